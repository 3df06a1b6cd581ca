//! Explanations against zones and policies as they would be.

use weir_core::config::{self, Fleet};
use weir_core::dns::policy::{Candidate, Policy, StateFile};
use weir_core::dns::zone::Zones;
use weir_core::dns::zonefile;
use weir_core::model::State;

use super::*;

const ZONE: &str = "$TTL 300\n@ SOA ns1 hostmaster 7 1 2 3 60\n@ NS ns1.example.net.\nwww A 192.0.2.9\n\
                    _policy.www 60 TXT \"web\"\nalias CNAME www\ntext TXT \"a \\\"b\\\"\" \"\\007\"\nodd TYPE65400 \\# 2 abcd\n";

fn serving() -> Serving {
    let mut include = |_: &str, _: &str| Err("nothing is included".to_owned());
    let zone = zonefile::read(
        &Name::parse("example.org").unwrap(),
        "zones/example.org",
        ZONE.as_bytes(),
        &mut include,
    );
    Serving { zones: Zones::new([zone.unwrap()]).unwrap(), ..Serving::default() }
}

fn fleet() -> Fleet {
    let text = "version = 1\n[nodes.n]\nroles = [\"dns\"]\n[dns.policies.web]\n\
                addresses = [{ address = \"198.51.100.1\" }, { address = \"198.51.100.2\", weight = 3 }, { address = \"2001:db8::1\" }]\n";
    config::parse("fleet.toml", text).unwrap()
}

/// The first address is down.
fn table() -> Arc<Table> {
    let fleet = fleet();
    let config = &fleet.dns.policies["web"];
    let candidates = config.addresses.iter().enumerate().map(|(number, address)| {
        let mut candidate = Candidate::new(config, address, None, &StateFile::default());
        candidate.address.state = if number == 0 { State::Down } else { State::Up };
        candidate.reason = if number == 0 { "connection refused".into() } else { "".into() };
        candidate
    });
    Arc::new(Table::new([Arc::new(Policy::new("web".into(), config, candidates.collect(), None))]))
}

fn explain(name: &str, kind: &str, subnet: Option<&str>) -> Explanation {
    let ask = Ask::parse(name, kind, subnet).unwrap();
    Explainer::new(5).explain(&ask, &serving(), &table(), Moment::ZERO)
}

#[test]
fn a_decision_is_shown_with_every_address_and_why_it_is_not_there() {
    let shown = explain("alias.example.org", "a", Some("203.0.113.0/24"));
    assert_eq!((shown.rcode, shown.how, shown.zone.as_deref()), ("NOERROR", "policy", Some("example.org.")));
    assert_eq!(
        shown.records,
        ["alias.example.org. 300 CNAME www.example.org.", "www.example.org. 60 A 198.51.100.2"]
    );
    let policy = shown.policy.unwrap();
    assert_eq!((policy.name.as_str(), policy.place.as_str()), ("web", "zones/example.org:5"));
    assert_eq!((policy.by, policy.has_plugin, policy.max_ttl), ("healthy", false, 60));
    let standing: Vec<_> =
        policy.addresses.iter().map(|a| (a.state, a.reason.as_str(), a.answered)).collect();
    assert_eq!(standing, [("down", "connection refused", None), ("up", "", Some(1)), ("up", "", None)]);
}

#[test]
fn what_no_policy_decides_is_explained_by_its_records() {
    let shown = explain("text.example.org", "TXT", None);
    assert_eq!(shown.records, ["text.example.org. 300 TXT \"a \\\"b\\\"\" \"\\007\""]);
    assert!(shown.policy.is_none());
    assert_eq!(
        explain("odd.example.org", "TYPE65400", None).records,
        ["odd.example.org. 300 TYPE65400 \\# 2 abcd"]
    );
    let nothing = explain("no.example.org", "A", None);
    assert_eq!((nothing.rcode, nothing.how), ("NXDOMAIN", "no-name"));
    assert_eq!(nothing.records, ["example.org. 60 SOA ns1.example.org. hostmaster.example.org. 7 1 2 3 60"]);
    let elsewhere = explain("example.com", "A", None);
    assert_eq!((elsewhere.rcode, elsewhere.how, elsewhere.zone), ("REFUSED", "not-served", None));
}

#[test]
fn a_question_that_is_none_is_refused_with_what_would_be_right() {
    let wrong = |name, kind, subnet| Ask::parse(name, kind, subnet).unwrap_err().to_string();
    assert!(wrong("a..b", "A", None).starts_with("`a..b` is no name: "));
    assert!(wrong("a.b", "APPLE", None).contains("is no type"));
    for subnet in ["192.0.2.0/33", "2001:db8::/129", "x", "192.0.2.0/-1", "/24"] {
        assert!(wrong("a.b", "A", Some(subnet)).contains("is no network"), "{subnet}");
    }
    assert_eq!(Ask::parse("a.b", "A", Some("2001:db8::1")).unwrap().prefix, 128);
}
