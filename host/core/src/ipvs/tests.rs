//! [`Observed`] stands for the kernel: it takes changes by the kernel's rules.

mod histories;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::{NonZeroU16, NonZeroU32};

use super::*;
use crate::maglev::{Size, Table as Rows};

fn weight(weight: u32) -> NonZeroU32 {
    NonZeroU32::new(weight).unwrap()
}

fn node(number: u32) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::from_bits(0x0a00_0000 + number * 0x101).into(), 80)
}

fn key(number: u8) -> Key {
    Key::tcp(SocketAddr::new(Ipv4Addr::new(198, 51, 100, number).into(), 80))
}

fn up(number: u32) -> Destination {
    Destination::tunneled(node(number), weight(10))
}

fn down(number: u32) -> Destination {
    Destination { taking: false, ..up(number) }
}

fn service(number: u8, destinations: impl Into<Vec<Destination>>) -> Service {
    Service { key: key(number), settings: Settings::maglev(), destinations: destinations.into() }
}

fn wanted(services: impl IntoIterator<Item = Service>) -> Wanted {
    Wanted { table: Table::of(services).unwrap(), ..Wanted::default() }
}

/// Plans, and does it.
fn settle(memory: &mut Memory, wanted: &Wanted) -> Plan {
    let plan = memory.plan(wanted);
    for change in &plan.changes {
        memory.done(change).unwrap();
    }
    if plan.disorder.is_empty() || wanted.order == Order::Restore {
        memory.agree(wanted);
    }
    plan
}

/// What a kernel has that was given this and nothing else.
fn programmed(wanted: &Wanted) -> Memory {
    let mut memory = Memory::new();
    settle(&mut memory, wanted);
    memory
}

/// What somebody sees who has just begun to look.
fn seen_afresh(memory: &Memory) -> Memory {
    let mut dump = memory.known().clone();
    for one in dump.services.values_mut().flat_map(|service| &mut service.destinations) {
        *one = ObservedDestination::dumped(one.entry);
    }
    let mut afresh = Memory::new();
    afresh.see(dump);
    afresh
}

/// Takes in what a kernel has, one service after the other.
fn see_in_pieces(memory: &mut Memory, kernel: &Observed) {
    let there = kernel.services.iter().map(|(key, service)| (*key, &service.settings));
    memory.see_list(there, kernel.timeouts);
    for (key, service) in kernel.services.clone() {
        memory.see_service(key, Some(service));
    }
}

fn shown(plan: &Plan) -> Vec<String> {
    plan.changes.iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_as_wanted_needs_no_command() {
    let wanted = wanted([service(1, [up(1), down(2), up(3)]), service(2, [])]);
    let mut memory = programmed(&wanted);
    assert!(memory.plan(&wanted).is_empty());
    memory.see(seen_afresh(&memory).known().clone());
    assert_eq!(memory.plan(&wanted), Plan::default(), "a dump of the same changes nothing");
}

#[test]
fn a_node_that_fails_is_one_command_and_keeps_its_rows() {
    let mut memory = programmed(&wanted([service(1, [up(1), up(2), up(3)]), service(2, [up(1)])]));
    let rows = |memory: &Memory| {
        let has = &memory.known().services[&key(1)];
        let scheme = has.settings.scheme(key(1).family(), Size::DEFAULT).unwrap();
        let table = Rows::of(scheme, &has.list(|_| unreachable!("all weights were seen"))).unwrap();
        table.owners().map(|one| one.unwrap().endpoint).collect::<Vec<_>>()
    };
    let before = rows(&memory);
    let plan = settle(&mut memory, &wanted([service(1, [up(1), down(2), up(3)]), service(2, [up(1)])]));
    assert_eq!(shown(&plan), ["tcp 198.51.100.1:80: change 10.0.2.2:80 to weight 0"]);
    assert_eq!(rows(&memory), before);
}

#[test]
fn a_new_member_is_one_command_and_one_that_left_is_removed_after_it() {
    let mut memory = programmed(&wanted([service(1, [up(1), up(2)])]));
    let plan = settle(&mut memory, &wanted([service(1, [up(2), up(3)])]));
    assert_eq!(
        shown(&plan),
        ["tcp 198.51.100.1:80: add 10.0.3.3:80 with weight 10", "tcp 198.51.100.1:80: remove 10.0.1.1:80",]
    );
    assert_eq!(plan.disorder, []);
}

#[test]
fn who_comes_back_is_told_before_who_goes() {
    let mut memory = programmed(&wanted([service(1, [up(1), down(2)])]));
    let plan = settle(&mut memory, &wanted([service(1, [down(1), up(2)])]));
    assert_eq!(
        shown(&plan),
        [
            "tcp 198.51.100.1:80: change 10.0.2.2:80 to weight 10",
            "tcp 198.51.100.1:80: change 10.0.1.1:80 to weight 0",
        ]
    );
}

#[test]
fn a_member_that_is_down_from_the_start_has_its_rows_nevertheless() {
    let memory = programmed(&wanted([service(1, [up(1), down(2)])]));
    let has = memory.known().services[&key(1)].destinations[1];
    assert_eq!((has.entry.weight, has.last_weight), (0, Some(10)));
}

#[test]
fn the_weight_of_a_member_that_is_down_changes_its_rows() {
    let mut memory = programmed(&wanted([service(1, [up(1), down(2)])]));
    let heavier = Destination { weight: weight(30), ..down(2) };
    let plan = settle(&mut memory, &wanted([service(1, [up(1), heavier])]));
    assert_eq!(
        shown(&plan),
        [
            "tcp 198.51.100.1:80: change 10.0.2.2:80 to weight 30",
            "tcp 198.51.100.1:80: change 10.0.2.2:80 to weight 0",
        ]
    );
    assert_eq!(plan.restated, 0);
}

#[test]
fn an_adopted_member_of_weight_0_is_stated_again_once() {
    let wanted = wanted([service(1, [up(1), down(2)])]);
    let mut adopted = seen_afresh(&programmed(&wanted));
    let plan = settle(&mut adopted, &wanted);
    assert_eq!((plan.changes.len(), plan.restated), (2, 1));
    assert!(adopted.plan(&wanted).is_empty());
    adopted.see(seen_afresh(&adopted).known().clone());
    assert!(adopted.plan(&wanted).is_empty(), "a dump does not make it forget");
}

#[test]
fn other_schedulers_have_no_rows_to_state_and_no_order_to_keep() {
    let round_robin =
        Settings { scheduler: Name::new("wrr").unwrap(), flags: Flags::NONE, ..Settings::maglev() };
    let of = |destinations: [Destination; 3]| {
        wanted([Service { settings: round_robin.clone(), ..service(1, destinations) }])
    };
    let mut memory = programmed(&of([up(1), down(2), up(3)]));
    assert_eq!(memory.known().services[&key(1)].destinations[1].last_weight, Some(0));
    assert!(seen_afresh(&memory).plan(&of([up(3), down(2), up(1)])).is_empty());
    let plan = settle(&mut memory, &of([up(1), up(2), up(3)]));
    assert_eq!(plan.changes.len(), 1);
}

#[test]
fn what_is_out_of_order_is_restored_one_by_one_and_its_cost_is_told() {
    let right = wanted([service(1, [up(1), up(2), up(3), up(4)])]);
    let mut memory = programmed(&wanted([service(1, [up(1), up(3), up(2), up(4)])]));
    let mut report = Wanted { order: Order::Report, ..right.clone() };
    let told = memory.plan(&report);
    assert!(told.is_empty(), "it was only to be told: {told:?}");
    let plan = settle(&mut memory, &right);
    assert_eq!(
        shown(&plan),
        [
            "tcp 198.51.100.1:80: remove 10.0.3.3:80",
            "tcp 198.51.100.1:80: add 10.0.3.3:80 with weight 10",
            "tcp 198.51.100.1:80: remove 10.0.4.4:80",
            "tcp 198.51.100.1:80: add 10.0.4.4:80 with weight 10",
        ]
    );
    assert_eq!(told.disorder, plan.disorder);
    let [Disorder { readded: 2, moved: Some(moved), rows: 4093, .. }] = plan.disorder[..] else {
        panic!("{:?}", plan.disorder)
    };
    assert!((1..200).contains(&moved), "{moved} rows");
    assert_eq!(memory.known(), programmed(&right).known());
    report.order = Order::Restore;
    assert!(memory.plan(&report).is_empty());
}

#[test]
fn a_member_that_somebody_deleted_comes_back_to_its_place() {
    let right = wanted([service(1, [up(1), up(2), down(3)])]);
    let mut memory = programmed(&right);
    memory.done(&Change::RemoveDestination { service: key(1), endpoint: node(2) }).unwrap();
    let plan = settle(&mut memory, &right);
    assert_eq!(
        shown(&plan),
        [
            "tcp 198.51.100.1:80: add 10.0.2.2:80 with weight 10",
            "tcp 198.51.100.1:80: remove 10.0.3.3:80",
            "tcp 198.51.100.1:80: add 10.0.3.3:80 with weight 10",
            "tcp 198.51.100.1:80: change 10.0.3.3:80 to weight 0",
        ]
    );
    assert_eq!(memory.known(), programmed(&right).known());
}

#[test]
fn services_of_others_are_left_alone_unless_they_are_ours_by_address_mark_or_making() {
    let mut kernel = programmed(&wanted([service(1, [up(1)]), service(2, [up(1)])])).known().clone();
    let mark = Key::Mark { family: crate::maglev::Family::V4, mark: weight(7) };
    kernel.apply(&Change::AddService { key: mark, settings: Settings::maglev() }).unwrap();
    let mut memory = Memory::new();
    memory.see(kernel);
    let only_first = |ownership| Wanted { ownership, ..wanted([service(1, [up(1)])]) };

    let plan = memory.plan(&only_first(Ownership::default()));
    assert_eq!((plan.changes.len(), plan.foreign), (0, vec![key(2), mark]));
    let Key::Address { address, .. } = key(2) else { unreachable!() };
    let owned = Ownership { addresses: [address].into(), ..Ownership::default() };
    assert_eq!(shown(&memory.plan(&only_first(owned))), ["tcp 198.51.100.2:80: remove"]);
    let owned = Ownership { marks: Some(Marks { first: 6, last: 7 }), ..Ownership::default() };
    assert_eq!(shown(&memory.plan(&only_first(owned))), ["mark 7: remove"]);
    let owned = Ownership { everything: true, ..Ownership::default() };
    assert_eq!(memory.plan(&only_first(owned)).changes.len(), 2);

    settle(&mut memory, &wanted([service(1, [up(1)]), service(3, [])]));
    let plan = memory.plan(&only_first(Ownership::default()));
    assert_eq!(shown(&plan), ["tcp 198.51.100.3:80: remove"], "who made it may remove it");
}

#[test]
fn what_an_earlier_process_made_is_ours_once_it_was_wanted() {
    let both = wanted([service(1, [up(1)]), service(2, [up(1)])]);
    let mut memory = seen_afresh(&programmed(&both));
    let only_first = wanted([service(1, [up(1)])]);
    assert_eq!(memory.plan(&only_first).foreign, [key(2)], "it may be anybody's");
    assert_eq!(shown(&settle(&mut memory, &both)), [""; 0], "it is there already");
    assert_eq!(shown(&memory.plan(&only_first)), ["tcp 198.51.100.2:80: remove"]);
}

#[test]
fn settings_tunnels_and_timeouts_are_each_one_command() {
    let mut memory = programmed(&wanted([service(1, [up(1), up(2)])]));
    let mut changed = service(1, [up(1), up(2)]);
    changed.settings.flags = Flags::MH_PORT;
    let port = NonZeroU16::new(6080).unwrap();
    changed.destinations[0].forwarding = Forwarding::Tunnel(Tunnel::Gue { port, checksum: Checksum::Absent });
    let timeouts = Timeouts { tcp: weight(900), tcp_fin: weight(30), udp: weight(300) };
    let changed = Wanted { timeouts: Some(timeouts), ..wanted([changed]) };
    let plan = settle(&mut memory, &changed);
    assert!(
        matches!(
            plan.changes[..],
            [Change::SetTimeouts(_), Change::SetService { .. }, Change::SetDestination { .. }]
        ),
        "{plan:?}"
    );
    assert!(memory.plan(&changed).is_empty());
}

#[test]
fn what_the_kernel_would_refuse_is_no_table() {
    let faulty = |service| Table::of([service]).unwrap_err();
    let mut twice = service(1, [up(1), up(1)]);
    assert_eq!(faulty(twice.clone()), TableError::Destination { service: key(1), endpoint: node(1) });
    twice.destinations.pop();
    assert_eq!(Table::of([twice.clone(), twice]), Err(TableError::Service(key(1))));
    let heavy = Destination { weight: weight(1 << 31), ..up(1) };
    assert_eq!(faulty(service(1, [heavy])), TableError::Weight { service: key(1), endpoint: node(1) });
    let limits = Destination { thresholds: Thresholds { upper: 1, lower: 2 }, ..up(1) };
    assert_eq!(faulty(service(1, [limits])), TableError::Thresholds { service: key(1), endpoint: node(1) });
    let six = Destination { endpoint: "[2001:db8::1]:80".parse().unwrap(), ..up(1) };
    assert!(Table::of([service(1, [six])]).is_ok());
    let direct = Destination { forwarding: Forwarding::Route, ..six };
    assert_eq!(faulty(service(1, [direct])), TableError::Family { service: key(1), endpoint: six.endpoint });
    let all_ports = Key::tcp("198.51.100.1:0".parse().unwrap());
    assert_eq!(faulty(Service { key: all_ports, ..service(1, []) }), TableError::AllPorts(all_ports));
    let mut sticky = Service { key: all_ports, ..service(1, []) };
    sticky.settings.persistence = Some(Persistence { seconds: weight(60), prefix: 33 });
    assert_eq!(faulty(sticky), TableError::Prefix { service: all_ports, prefix: 33 });
    for name in ["", "much too long a name", "a b", "mh\0"] {
        assert!(Name::new(name).is_err(), "{name:?}");
    }
}

#[test]
fn what_is_wanted_travels_as_text() {
    let mut one = service(1, [up(1), down(2)]);
    one.settings.persistence = Some(Persistence { seconds: weight(60), prefix: 24 });
    one.destinations[0].forwarding = Forwarding::Tunnel(Tunnel::Gre { checksum: Checksum::Full });
    let mark = Key::Mark { family: crate::maglev::Family::V6, mark: weight(7) };
    let two = Service { key: mark, ..service(2, []) };
    let timeouts = Timeouts { tcp: weight(900), tcp_fin: weight(30), udp: weight(300) };
    let wanted = Wanted {
        ownership: Ownership { marks: Some(Marks { first: 6, last: 7 }), ..Ownership::default() },
        timeouts: Some(timeouts),
        ..wanted([one, two])
    };
    let text = serde_json::to_string(&wanted).unwrap();
    assert_eq!(serde_json::from_str::<Wanted>(&text).unwrap(), wanted);
    assert_eq!(serde_json::from_str::<Wanted>("{}").unwrap(), Wanted::default());
    for hostile in [
        text.replace("\"weight\":10", "\"weight\":0"),
        text.replace("4093", "4096"),
        text.replace("10.0.2.2", "10.0.1.1"),
        text.replace("\"taking\"", "\"taken\""),
        text.replace("\"mh\"", "\"\""),
    ] {
        assert!(serde_json::from_str::<Wanted>(&hostile).is_err(), "{hostile}");
    }
}

#[test]
fn a_plan_passes_over_what_is_agreed_on_and_not_over_what_was_seen_to_be_otherwise() {
    let right = wanted([service(1, [up(1), up(2)]), service(2, [up(1)])]);
    let mut memory = programmed(&right);
    let mut kernel = memory.known().clone();
    kernel.apply(&Change::SetDestination { service: key(2), entry: up(1).entry(false) }).unwrap();
    see_in_pieces(&mut memory, &kernel);
    assert_eq!(shown(&settle(&mut memory, &right)), ["tcp 198.51.100.2:80: change 10.0.1.1:80 to weight 10"]);
    kernel.apply(&Change::RemoveService { key: key(1) }).unwrap();
    see_in_pieces(&mut memory, &kernel);
    assert_eq!(memory.plan(&right).changes.len(), 4, "a service with two members, and the weight again");
    let mut gone = programmed(&right);
    gone.see_service(key(1), None);
    assert_eq!(gone.plan(&right).changes.len(), 3);
}

#[test]
fn of_a_failed_member_one_destination_is_told_and_of_a_new_one_the_service() {
    let before = wanted([service(1, [up(1), up(2)]), service(2, [up(1)]), service(3, [])]);
    let mut after = before.clone();
    after.table.put(service(1, [up(1), down(2)])).unwrap();
    let delta = Delta::between(&before, &after);
    let changed = Changed { service: key(1), destinations: vec![down(2)] };
    assert_eq!(delta, Delta { set: vec![changed], ..Delta::default() });
    after.table.put(service(2, [up(1), up(2)])).unwrap();
    after.table.remove(&key(3));
    let delta = Delta::between(&before, &after);
    assert_eq!((delta.put.len(), delta.set.len(), &delta.removed[..]), (1, 1, &[key(3)][..]));
    assert_eq!(delta.apply(&before).unwrap(), after);
    assert!(Delta::between(&after, &after.clone()).is_empty());
}

#[test]
fn a_difference_that_speaks_of_what_is_not_there_is_refused() {
    let before = wanted([service(1, [up(1)])]);
    let refused = |delta: Delta| delta.apply(&before).unwrap_err();
    let removed = vec![key(2)];
    assert_eq!(refused(Delta { removed, ..Delta::default() }), Unfit::NoService(key(2)));
    let changed = |number, one: Destination| vec![Changed { service: key(number), destinations: vec![one] }];
    assert_eq!(refused(Delta { set: changed(2, up(1)), ..Delta::default() }), Unfit::NoService(key(2)));
    assert_eq!(
        refused(Delta { set: changed(1, up(9)), ..Delta::default() }),
        Unfit::NoDestination { service: key(1), endpoint: node(9) }
    );
    let heavy = Destination { weight: weight(1 << 31), ..up(1) };
    assert!(matches!(refused(Delta { set: changed(1, heavy), ..Delta::default() }), Unfit::Table(_)));
    let twice = vec![service(2, [up(1), up(1)])];
    assert!(matches!(refused(Delta { put: twice, ..Delta::default() }), Unfit::Table(_)));
}
