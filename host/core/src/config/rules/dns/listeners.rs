//! Where a DNS node listens: somewhere, and nowhere twice.

use std::net::SocketAddr;

use super::Rules;
use crate::config::source::{Step, at};
use crate::config::{DNS_HTTPS_PATH, DnsTls, Fleet, Role};

/// A list of listeners.
struct List<'f> {
    place: &'static [&'static str],
    listeners: &'f [SocketAddr],
    over: &'static [Protocol],
}

/// Whose ports.
#[derive(PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

pub(super) fn check(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let dns = &fleet.dns;
    if dns.listen.is_empty() && !rules.source.is_thinned(at!["dns", "listen"]) {
        rules.value(at!["dns", "listen"], "a DNS node listens somewhere: write \"[::]:53\"".to_owned());
    }
    let mut lists = vec![List {
        place: &["dns", "listen"],
        listeners: &dns.listen,
        over: &[Protocol::Udp, Protocol::Tcp],
    }];
    if let Some(tls) = &dns.tls {
        is_used(tls, rules);
        lists.extend([
            List { place: &["dns", "tls", "listen"], listeners: &tls.listen, over: &[Protocol::Tcp] },
            List { place: &["dns", "tls", "https"], listeners: &tls.https, over: &[Protocol::Tcp] },
            List { place: &["dns", "tls", "quic"], listeners: &tls.quic, over: &[Protocol::Udp] },
        ]);
    }
    let mut seen: Vec<(&List<'_>, SocketAddr)> = Vec::new();
    for list in &lists {
        for (i, listen) in list.listeners.iter().enumerate() {
            let place: Vec<_> = list.place.iter().map(|name| Step::from(*name)).chain([i.into()]).collect();
            let is_taken = |(other, address): &&(&List<'_>, SocketAddr)| {
                other.over.iter().any(|protocol| list.over.contains(protocol)) && overlap(*address, *listen)
            };
            if let Some((other, address)) = seen.iter().find(is_taken) {
                let whose = if std::ptr::eq(*other, list) {
                    address.to_string()
                } else {
                    format!("{}, {address},", other.place.join("."))
                };
                rules.value(&place, format!("{listen} is taken by {whose} already"));
            }
            seen.push((list, *listen));
            if list.over.contains(&Protocol::Tcp) {
                is_nobody_elses(&place, *listen, fleet, rules);
            }
        }
    }
}

/// What was written is for something.
fn is_used(tls: &DnsTls, rules: &mut Rules<'_, '_, '_>) {
    let is_thinned =
        ["listen", "https", "quic"].iter().any(|list| rules.source.is_thinned(at!["dns", "tls", *list]));
    if tls.listen.is_empty() && tls.https.is_empty() && tls.quic.is_empty() && !is_thinned {
        let message = "the certificate is for nobody: write where to listen, in `listen`, `https` or `quic`, or leave the table out";
        rules.value(at!["dns", "tls", "listen"], message.to_owned());
    }
    if tls.https_path.contains('?') {
        let message = format!("`{}` has a query: write the path alone, clients add `?dns=`", tls.https_path);
        rules.value(at!["dns", "tls", "https-path"], message);
    } else if *tls.https_path != *DNS_HTTPS_PATH && tls.https.is_empty() {
        let message = "`https-path` is used with `https`";
        rules.key(at!["dns", "tls", "https-path"], message.to_owned());
    }
}

/// Nothing else of the node listens there over TCP.
fn is_nobody_elses(place: &[Step<'_>], listen: SocketAddr, fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    if fleet.metrics.enabled && overlap(fleet.metrics.listen, listen) {
        rules.value(place, format!("{listen} is taken by metrics.listen, {}", fleet.metrics.listen));
    }
    let agents = fleet.nodes.values().any(|node| node.has(Role::Dns) && node.has(Role::Agent));
    if agents && overlap(fleet.agent.listen, listen) {
        rules.value(place, format!("{listen} is taken by agent.listen, {}", fleet.agent.listen));
    }
    let proxies = fleet.nodes.values().any(|node| node.has(Role::Dns) && node.has(Role::L7));
    let service = fleet.services.iter().find(|(_, service)| service.port == listen.port());
    if let Some((name, _)) = service.filter(|_| proxies) {
        rules.value(
            place,
            format!("port {} is that of service `{name}`: use another for one of them", listen.port()),
        );
    }
}

/// Whether the two cannot both be bound. Port 0 is a free one.
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let any = |listen: SocketAddr, other: SocketAddr| {
        // `[::]` takes IPv4 as well.
        listen.ip().is_unspecified() && (listen.is_ipv6() || other.is_ipv4())
    };
    a.port() == b.port() && a.port() != 0 && (a.ip() == b.ip() || any(a, b) || any(b, a))
}
