//! `weir dns explain`: an explanation as text for a terminal.

use std::fmt::Write;

use weir_dns::explain::{Decided, Explanation};

use super::status::percent;

/// The answer first, as `dig` would print it, then who decided and from what.
pub(crate) fn text(shown: &Explanation) -> String {
    let mut out = String::new();
    let Explanation { name, kind, client, rcode, .. } = shown;
    let _ = writeln!(out, "{name} {kind}, asked by {client}: {rcode}, {}", meaning(shown));
    for record in &shown.records {
        let _ = writeln!(out, "  {record}");
    }
    if let Some(policy) = &shown.policy {
        decided(&mut out, policy);
    }
    if !shown.labels.is_empty() {
        let labels: Vec<String> =
            shown.labels.iter().map(|(name, value)| format!("{name} {value}")).collect();
        let _ = writeln!(out, "the client is at {}", labels.join(", "));
    }
    out
}

fn meaning(shown: &Explanation) -> String {
    let zone = shown.zone.as_deref().unwrap_or("-");
    match shown.how {
        "data" => format!("records of the zone {zone}"),
        "wildcard" => format!("a wildcard of the zone {zone}"),
        "policy" => format!("decided by a policy of the zone {zone}"),
        "no-data" => format!("the name is in the zone {zone} and has no such record"),
        "no-name" => format!("the zone {zone} has no such name"),
        "referral" => format!("the zone {zone} delegates it to other servers"),
        "not-served" => "no zone here has it".to_owned(),
        "protocol" => "such queries are not answered with data".to_owned(),
        other => other.to_owned(),
    }
}

fn decided(out: &mut String, policy: &Decided) {
    let Decided { name, place, by, ttl, max_ttl, scope, .. } = policy;
    let who = match (*by, policy.has_plugin) {
        ("policy", _) => "its plugin chose".to_owned(),
        ("healthy", false) => "all addresses that are up, in turn".to_owned(),
        ("healthy", true) => {
            "all addresses that are up, in turn: its plugin left it to the host, or gave no answer".to_owned()
        }
        ("all", _) => "none is up: all".to_owned(),
        ("fallback-set", _) => "none is up: the fallback of the fleet file".to_owned(),
        ("no-data", _) => "none is up: no address".to_owned(),
        (other, _) => other.to_owned(),
    };
    let _ = writeln!(out, "policy {name} ({place}): {who}");
    let whom = match scope {
        0 => "everybody".to_owned(),
        bits => format!("clients that agree in {bits} bits"),
    };
    let _ =
        writeln!(out, "  TTL {} (decided {ttl}, the zone allows {max_ttl}); for {whom}", ttl.min(max_ttl));
    for standing in &policy.addresses {
        let place = standing.answered.map_or_else(|| "-".to_owned(), |place| place.to_string());
        let weight = match standing.weight {
            1 => String::new(),
            weight => format!(", weight {weight}"),
        };
        let load = standing.load.map(|load| format!(", load {}", percent(load))).unwrap_or_default();
        let why = match standing.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        let _ = writeln!(out, "  {place:>3}  {} {}{weight}{load}{why}", standing.address, standing.state);
    }
}

#[cfg(test)]
mod tests {
    use weir_dns::explain::Standing;

    use super::*;

    #[test]
    fn an_address_that_is_not_answered_says_why() {
        let standing = |address: &str, state, reason: &str, answered: Option<usize>| Standing {
            address: address.parse().unwrap(),
            state,
            reason: reason.to_owned(),
            weight: 1,
            load: answered.map(|_| 0.40625),
            answered,
        };
        let shown = Explanation {
            name: "www.example.org.".into(),
            kind: "A".into(),
            client: "192.0.2.1/32".into(),
            labels: [("country".to_owned(), "DE".to_owned())].into(),
            rcode: "NOERROR",
            how: "policy",
            zone: Some("example.org.".into()),
            policy: Some(Decided {
                name: "web".into(),
                place: "/etc/weir/zones/example.org:9".into(),
                has_plugin: false,
                by: "healthy",
                ttl: 300,
                max_ttl: 60,
                scope: 0,
                addresses: vec![
                    standing("198.51.100.1", "down", "the state file says so", None),
                    standing("198.51.100.2", "up", "", Some(1)),
                ],
            }),
            records: vec!["www.example.org. 60 A 198.51.100.2".into()],
        };
        assert_eq!(
            text(&shown),
            "www.example.org. A, asked by 192.0.2.1/32: NOERROR, decided by a policy of the zone example.org.\n  \
             www.example.org. 60 A 198.51.100.2\n\
             policy web (/etc/weir/zones/example.org:9): all addresses that are up, in turn\n  \
             TTL 60 (decided 300, the zone allows 60); for everybody\n    \
             -  198.51.100.1 down: the state file says so\n    \
             1  198.51.100.2 up, load 41%\n\
             the client is at country DE\n"
        );
    }
}
