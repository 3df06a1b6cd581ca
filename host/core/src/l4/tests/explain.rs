//! Where a flow goes: as a person reads it, and as the machine would have it.

use super::*;

fn flow(source: &str, destination: &str) -> Flow {
    Flow { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

fn flows() -> impl Iterator<Item = Flow> {
    (0..500_u16).map(|n| flow(&format!("203.0.113.{}:{}", n % 200, 1024 + n * 7), "198.51.100.1:80"))
}

fn node(outcome: &Outcome) -> &str {
    outcome.node.as_ref().map_or("nobody", |place| place.node.as_str())
}

#[test]
fn a_flow_goes_where_the_table_that_a_node_wants_sends_it() {
    let fleet = with(&[]);
    let mut bench = Bench::up(&fleet);
    bench.word("c", Admin::Drain);
    let key = crate::ipvs::Key::tcp("198.51.100.1:80".parse().unwrap());
    let service = bench.last().ipvs.table.get(&key).unwrap().clone();
    let scheme = service.settings.scheme(key.family(), crate::maglev::Size::DEFAULT).unwrap();
    let table = crate::maglev::Table::of(scheme, &service.list().unwrap()).unwrap();
    let mut ends = std::collections::BTreeSet::new();
    for flow in flows() {
        let explained = explain(&fleet, flow, &["c".to_owned()], None).unwrap();
        let wanted = table.place(flow.source);
        let place = explained.now.node.clone().unwrap();
        assert_eq!(wanted.destination.map(|end| end.ip()), Some(place.address));
        assert_eq!((explained.now.row, explained.now.table), (wanted.row, table.digest()));
        ends.insert(place.node);
    }
    assert_eq!(ends, ["a", "b"].map(str::to_owned).into());
}

#[test]
fn a_drained_node_loses_its_flows_and_moves_no_row() {
    let fleet = with(&[]);
    let drained = Supposition::Drained("a".into());
    for flow in flows() {
        let explained = explain(&fleet, flow, &[], Some(&drained)).unwrap();
        let supposed = explained.supposed.unwrap();
        assert_eq!(supposed.rows_moved, 0);
        assert_eq!(supposed.moves, node(&explained.now) == "a");
        assert!((supposed.flows_moved - 0.4).abs() < 0.02, "two of five parts: {}", supposed.flows_moved);
        assert_ne!(node(&supposed.outcome), "a");
    }
}

#[test]
fn a_node_that_leaves_and_one_that_joins_are_each_others_mirror() {
    let fleet = with(&[]);
    let (without, with_it) = (Supposition::Without("c".into()), Supposition::With("c".into()));
    for flow in flows().take(100) {
        let leaves = explain(&fleet, flow, &[], Some(&without)).unwrap();
        let joins = explain(&fleet, flow, &[], Some(&with_it)).unwrap();
        let (left, joined) = (leaves.supposed.unwrap(), joins.supposed.unwrap());
        assert_eq!((&leaves.now, &left.outcome), (&joined.outcome, &joins.now));
        assert_eq!((left.rows_moved, left.flows_moved), (joined.rows_moved, joined.flows_moved));
        assert!(left.rows_moved > left.rows_shuffled && left.flows_moved > 0.35);
    }
}

#[test]
fn a_node_that_is_not_in_the_file_yet_joins_last_by_its_address() {
    let explained = explain(
        &with(&[]),
        flow("203.0.113.7:40000", "198.51.100.1:80"),
        &[],
        Some(&Supposition::With("192.0.2.14".into())),
    )
    .unwrap();
    let supposed = explained.supposed.unwrap();
    assert!(supposed.flows_moved > 0.25 && supposed.flows_moved < 0.45);
    assert_eq!(supposed.what, "with 192.0.2.14");
}

#[test]
fn what_is_said_begins_with_who_gets_the_flow() {
    let fleet = with(&[]);
    let text = |out: &[String], supposition: Option<Supposition>| {
        explain(&fleet, flow("203.0.113.7:40000", "198.51.100.1:80"), out, supposition.as_ref())
            .unwrap()
            .to_string()
    };
    assert_eq!(
        text(&[], None),
        "203.0.113.7:40000 -> 198.51.100.1:80 (service www)
  now  c (192.0.2.13, join 3, weight 100), row 2964 of 4093

Every l4 node places new connections so (table 66128ba942b4fea7); those that it knows stay where they are.
Taken for granted: every l7 node is healthy. Name those that are not with --out NODE.
"
    );
    let drained = text(&[], Some(Supposition::Drained("c".into())));
    let expected = "
  now        c (192.0.2.13, join 3, weight 100), row 2964 of 4093
  c drained  b (192.0.2.12, join 1, weight 50), row 2964 of 4093, since c whose row it is takes no new connections

This flow moves. Of all flows 40.1 % go elsewhere; none is refused.
Rows with another owner: 0 of 4093.
";
    assert!(drained.contains(expected), "{drained}");
    let nobody = text(&["a".into(), "b".into(), "c".into()], None);
    assert!(
        nobody.contains("now  refused: row 2964 of 4093 belongs to c, and nobody takes new connections"),
        "{nobody}"
    );
    assert!(nobody.ends_with("no new connections to a, b, c; every other l7 node is healthy.\n"), "{nobody}");
}

#[test]
fn a_question_without_an_answer_says_what_could_be_asked() {
    let fleet = with(&[]);
    let ask = |source: &str, destination: &str, supposition: Option<Supposition>| {
        explain(&fleet, flow(source, destination), &[], supposition.as_ref()).unwrap_err().to_string()
    };
    let client = "203.0.113.7:40000";
    assert_eq!(
        ask(client, "198.51.100.2:80", None),
        "no service has 198.51.100.2:80; the file has 198.51.100.1:8080, 198.51.100.2:8080, 198.51.100.1:80, [2001:db8::1:1]:80"
    );
    assert!(ask(client, "[2001:db8::1:1]:80", None).contains("two families"));
    for supposition in [Supposition::Drained("l4-1".into()), Supposition::Without("x".into())] {
        assert!(ask(client, "198.51.100.1:80", Some(supposition)).ends_with("the file has b, a, c"));
    }
    for newcomer in ["192.0.2.11", "2001:db8::5", "nobody"] {
        let said = ask(client, "198.51.100.1:80", Some(Supposition::With(newcomer.into())));
        assert!(said.starts_with(&format!("`{newcomer}` cannot join")), "{said}");
    }
    let other = with(&[("[bgp]", "[l4]\nscheduler = \"wrr\"\n[bgp]")]);
    let said = explain(&other, flow(client, "198.51.100.1:80"), &[], None).unwrap_err().to_string();
    assert!(said.contains("`wrr`"), "{said}");
}
