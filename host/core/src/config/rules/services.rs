//! Rules of services: who answers, and that no two want the same connection.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use super::Rules;
use crate::config::source::at;
use crate::config::{Fleet, Name, Period, Service};

pub(super) fn check(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    for (name, service) in &fleet.services {
        rules.refers(at!["services", name.as_str(), "pool"], &service.pool, "pools");
        own_listeners(fleet, name, service, rules);
        let timeouts = service.client_timeouts;
        if timeouts.request == Period::ZERO {
            let message =
                "a request timeout of zero fails every request: write a time such as \"50s\"".to_owned();
            rules.value(at!["services", name.as_str(), "client-timeouts", "request"], message);
        }
        if timeouts.idle == Period::ZERO {
            let message =
                "an idle timeout of zero closes clients before they can ask: write a time such as \"60s\""
                    .to_owned();
            rules.value(at!["services", name.as_str(), "client-timeouts", "idle"], message);
        }
    }
    overlaps(fleet, rules);
}

/// Services listen on every address, so the port of another listener is taken, whatever its address is.
fn own_listeners(fleet: &Fleet, name: &str, service: &Service, rules: &mut Rules<'_, '_, '_>) {
    let metrics = fleet.metrics.enabled.then_some(("metrics.listen", fleet.metrics.listen));
    for (what, listen) in metrics.into_iter().chain([("agent.listen", fleet.agent.listen)]) {
        if listen.port() == service.port {
            let message =
                format!("port {} is that of {what}, {listen}: use another for one of them", service.port);
            rules.value(at!["services", name, "port"], message);
        }
    }
}

/// Who has a port so far.
#[derive(Default)]
struct Port<'f> {
    /// The service without addresses: it takes what no other takes, so there is nothing left for others.
    any: Option<&'f Name>,
    first: Option<&'f Name>,
    taken: HashMap<IpAddr, &'f Name>,
}

fn overlaps(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let mut services: Vec<_> = fleet.services.iter().collect();
    // The later one in the file is the one to complain of.
    services.sort_by_key(|(name, _)| rules.source.key(at!["services", name.as_str()]).start);
    let mut ports: BTreeMap<u16, Port<'_>> = BTreeMap::new();
    for (name, service) in services {
        let port = ports.entry(service.port).or_default();
        let clash = |other: &Name, both: &str| {
            format!(
                "service `{name}` wants what `{other}` has on port {}: {both}; give them different addresses or ports",
                service.port
            )
        };
        let place = at!["services", name.as_str(), "addresses"];
        if let Some(other) = port.any {
            rules.key(place, clash(other, &format!("`{other}` takes every address")));
        } else if let (true, Some(other)) = (service.addresses.is_empty(), port.first) {
            rules.key(place, clash(other, &format!("without addresses `{name}` takes every address")));
        }
        for (i, address) in service.addresses.iter().enumerate() {
            let place = at!["services", name.as_str(), "addresses", i];
            match port.taken.insert(*address, name) {
                Some(other) if other == name => rules.value(place, format!("{address} is written twice")),
                Some(other) => rules.value(place, clash(other, &format!("{address}"))),
                None => {}
            }
        }
        port.first = port.first.or(Some(name));
        if service.addresses.is_empty() {
            port.any = port.any.or(Some(name));
        }
    }
}
