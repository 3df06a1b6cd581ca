//! What happens, and what is wanted then.

use super::*;

const ALL: [&str; 3] = ["198.51.100.1/32", "198.51.100.2/32", "2001:db8::1:1/128"];

#[test]
fn nothing_is_wanted_before_the_last_node_has_had_its_first_check() {
    let fleet = with(&[]);
    let mut bench = Bench::new(&fleet);
    bench.checks("a", 3, true);
    bench.checks("b", 1, false);
    bench.tell(Event::Disabled(true));
    bench.tell(Event::Disabled(false));
    assert!(bench.wanted.is_empty() && bench.machine.wanted().is_none());
    assert_eq!(bench.machine.status().announcing, Announcing::NotYet);
    bench.checks("c", 1, true);
    assert_eq!((bench.wish(), bench.routes()), (Wish::Announce, ALL.map(str::to_owned).to_vec()));
    assert_eq!(bench.machine.deadline(), None);
}

#[test]
fn whoever_stays_silent_for_a_round_counts_as_down_and_no_longer_holds_up_the_rest() {
    let fleet = with(&[]);
    let mut bench = Bench::new(&fleet);
    bench.checks("a", 1, true);
    let patience = bench.machine.deadline().unwrap();
    assert_eq!(patience, at(800), "two intervals and two timeouts of 200 ms");
    bench.now = at(799);
    bench.tell(Event::Timer);
    assert!(bench.wanted.is_empty());
    bench.now = patience;
    bench.tell(Event::Timer);
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), "192.0.2.12-50 192.0.2.11*100 192.0.2.13-100");
}

#[test]
fn destinations_are_in_join_order_with_the_address_of_their_family() {
    let bench = Bench::up(&with(&[]));
    for (service, expected) in [
        ("198.51.100.1:80", "192.0.2.12*50 192.0.2.11*100 192.0.2.13*100"),
        ("198.51.100.2:8080", "192.0.2.12*50 192.0.2.11*100 192.0.2.13*100"),
        ("[2001:db8::1:1]:80", "2001:db8:2::12*50 2001:db8:2::11*100 2001:db8:2::13*100"),
    ] {
        assert_eq!(short(&bench.destinations(service)), expected);
    }
    let ipvs = &bench.last().ipvs;
    assert_eq!(ipvs.table.len(), 4);
    assert!(ipvs.table.iter().all(|service| service.settings == crate::ipvs::Settings::maglev()));
    assert_eq!(ipvs.timeouts.map(|timeouts| timeouts.tcp.get()), Some(900));
    assert_eq!(ipvs.ownership.addresses.len(), 3);
}

#[test]
fn a_node_that_fails_keeps_its_place_and_weight_and_takes_nothing() {
    let mut bench = Bench::up(&with(&[]));
    bench.checks("a", 2, false);
    assert_eq!(bench.wanted.len(), 1, "two failures of three are none");
    bench.checks("a", 1, false);
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), "192.0.2.12*50 192.0.2.11-100 192.0.2.13*100");
    bench.checks("a", 3, true);
    assert_eq!(bench.wanted.first(), bench.wanted.last());
}

#[test]
fn words_of_operators_take_a_node_out_and_checks_do_not_bring_it_back() {
    let mut bench = Bench::up(&with(&[]));
    for admin in [Admin::Drain, Admin::Maint] {
        bench.word("c", admin);
        bench.checks("c", 4, true);
        assert_eq!(
            short(&bench.destinations("198.51.100.1:80")),
            "192.0.2.12*50 192.0.2.11*100 192.0.2.13-100"
        );
    }
    bench.word("c", Admin::Ready);
    bench.checks("c", 1, true);
    assert_eq!(bench.wanted.first(), bench.wanted.last());
}

#[test]
fn a_weight_of_zero_is_a_drain_and_another_weight_shapes_the_table() {
    let fleet = with(&[("join = 3", "join = 3, weight = 0")]);
    let mut bench = Bench::up(&fleet);
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), "192.0.2.12*50 192.0.2.11*100 192.0.2.13-100");
    bench.on("a", |health, now| {
        let weight = crate::health::Weight::parse("30%");
        health.handle(HealthEvent::Operator(OperatorCommand::Weight(weight)), now);
    });
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), "192.0.2.12*50 192.0.2.11*30 192.0.2.13-100");
}

#[test]
fn an_address_is_withdrawn_below_the_lower_number_and_comes_back_with_the_upper_one() {
    let quorum = with(&[("[bgp]", "[l4]\nquorum = { rise = 3, fall = 2 }\n[bgp]")]);
    let mut bench = Bench::up(&quorum);
    let mut announced = Vec::new();
    for (node, passed) in [("a", false), ("b", false), ("b", true), ("a", true)] {
        bench.checks(node, 3, passed);
        announced.push(bench.routes().len());
    }
    assert_eq!(announced, [3, 0, 0, 3]);
    assert_eq!(
        bench.notes.last().map(String::as_str),
        Some("2001:db8::1:1 may be announced: 3 of 3 l7 nodes take connections")
    );
    assert_eq!(bench.wish(), Wish::Announce);
}

#[test]
fn who_begins_anew_goes_on_with_what_was_announced_by_the_lower_number() {
    let quorum = with(&[("[bgp]", "[l4]\nquorum = { rise = 3, fall = 2 }\n[bgp]")]);
    for (inherited, announced) in [(&ALL[..], 3), (&ALL[..1], 1), (&[], 0)] {
        let mut bench = Bench::new(&quorum);
        let addresses = inherited.iter().map(|prefix| prefix.split_once('/').unwrap().0.parse().unwrap());
        bench.tell(Event::Inherited(addresses.collect()));
        bench.checks("a", 1, true);
        bench.checks("b", 1, true);
        assert_eq!(bench.machine.status().announcing, Announcing::NotYet);
        bench.checks("c", 1, false);
        assert_eq!(bench.routes().len(), announced);
    }
}

#[test]
fn nothing_is_decided_before_the_sidecar_has_said_what_it_announces_or_was_silent_for_a_round() {
    let fleet = with(&[]);
    let up = |bench: &mut Bench| ["a", "b", "c"].iter().for_each(|node| bench.checks(node, 1, true));
    let mut silent = Bench::before_the_sidecar(&fleet);
    up(&mut silent);
    assert!(silent.wanted.is_empty());
    let mut heard = Bench::before_the_sidecar(&fleet);
    up(&mut heard);
    heard.tell(Event::Inherited(BTreeSet::new()));
    assert_eq!(heard.routes().len(), 3);
    silent.now = silent.machine.deadline().unwrap();
    silent.tell(Event::Timer);
    assert_eq!(silent.routes().len(), 3);
}

#[test]
fn services_of_one_port_share_a_check_only_where_their_answers_cannot_differ() {
    let fleet = with(&[
        (
            "services.www",
            "pools.other.servers = [{ name = \"s\", address = \"192.0.2.102:80\" }]\nservices.www",
        ),
        (
            "services.api",
            "services.img = { port = 80, addresses = [\"198.51.100.3\"], pool = \"other\" }\n\
             services.js = { port = 80, addresses = [\"198.51.100.4\"], pool = \"other\" }\n\
             services.svg = { port = 80, addresses = [\"198.51.100.5\"], pool = \"web\", healthcheck = \"/svg\" }\n\
             services.wap = { port = 80, addresses = [\"198.51.100.6\"], pool = \"web\" }\n\
             services.api",
        ),
    ]);
    let names = |fleet: &Fleet| -> BTreeSet<String> {
        let layout = Layout::of(fleet);
        let of_a = layout.of_node("a").filter(|target| target.to.is_ipv4());
        of_a.map(|target| target.name.to_string()).collect()
    };
    // `img` is the first service of the port, and `js` is like it.
    let expected = [
        "a 192.0.2.11:80 /healthcheck",
        "a 192.0.2.11:80 /healthcheck for wap",
        "a 192.0.2.11:80 /svg for svg",
        "a 192.0.2.11:8080 /healthcheck",
    ];
    assert_eq!(names(&fleet), expected.map(str::to_owned).into());
    let mut tcp = Fleet::clone(&fleet);
    tcp.l4.check.kind = crate::config::CheckType::Tcp;
    assert_eq!(names(&tcp).len(), 2, "a connection is of no service");
}

#[test]
fn an_address_that_can_serve_one_of_its_services_stays() {
    // A check of its own for each port: 198.51.100.1 has both, 198.51.100.2 only one.
    let mut bench = Bench::up(&with(&[]));
    for place in 0..bench.healths.len() {
        let (target, mut status) =
            (Arc::clone(&bench.healths[place].0.name), Box::new(bench.healths[place].1.status().clone()));
        if bench.healths[place].0.to.port() == 8080 {
            status.state = crate::model::State::Down;
            status.bits.check = Some(CheckHealth::Down);
            bench.tell(Event::Health { target, status });
        }
    }
    assert_eq!(bench.routes(), ["198.51.100.1/32", "2001:db8::1:1/128"]);
}

#[test]
fn with_nobody_left_an_address_is_withdrawn_or_kept_as_the_file_says() {
    for (keep, routes, table) in [
        (false, 0, "192.0.2.12-50 192.0.2.11-100 192.0.2.13-100"),
        (true, 3, "192.0.2.12*50 192.0.2.11*100 192.0.2.13-100"),
    ] {
        let fleet = with(&[("[bgp]", if keep { "[l4]\nall-down = \"keep\"\n[bgp]" } else { "[bgp]" })]);
        let mut bench = Bench::up(&fleet);
        bench.word("c", Admin::Maint);
        bench.checks("a", 3, false);
        bench.checks("b", 3, false);
        assert_eq!(
            (bench.routes().len(), short(&bench.destinations("198.51.100.1:80"))),
            (routes, table.to_owned())
        );
        // Nobody brings connections to a node that an operator took out.
        bench.word("a", Admin::Maint);
        bench.word("b", Admin::Drain);
        assert_eq!(bench.routes().len(), 0);
    }
}

#[test]
fn a_node_that_is_taken_out_leaves_in_the_graceful_order_and_goes_on_forwarding() {
    let mut bench = Bench::up(&with(&[]));
    let full = bench.last().clone();
    for (event, wish, why) in [
        (Event::Disabled(true), Wish::Leave, "/etc/lb/disable exists"),
        (Event::Disabled(false), Wish::Announce, ""),
        (Event::Operator(Admin::Drain), Wish::Leave, "drained by an operator"),
        (Event::Operator(Admin::Maint), Wish::Leave, "in maintenance by an operator"),
        (Event::Operator(Admin::Ready), Wish::Announce, ""),
        (Event::Stop("kernel upgrade".into()), Wish::Stop, "this node ends: kernel upgrade"),
    ] {
        bench.tell(event);
        let desired = bench.last();
        let speaker = desired.speaker.as_ref().unwrap();
        // Routes stay in the list: what fades is announced once more, with the community.
        assert_eq!((speaker.wish, speaker.routes.len(), &desired.ipvs), (wish, 3, &full.ipvs));
        assert_eq!(bench.machine.status().why, why);
        let told = bench.machine.status().addresses.iter().filter(|address| address.announced).count();
        assert_eq!(told, if wish == Wish::Announce { 3 } else { 0 });
    }
    assert_eq!(bench.last().speaker.as_ref().unwrap().reason, "kernel upgrade");
}

#[test]
fn a_node_that_was_disabled_before_it_started_never_announces() {
    let fleet = with(&[]);
    let mut bench = Bench::new(&fleet);
    bench.tell(Event::Disabled(true));
    for node in ["a", "b", "c"] {
        bench.checks(node, 1, true);
    }
    assert!(
        bench.wanted.iter().all(|desired| desired.speaker.as_ref().is_some_and(|s| s.wish == Wish::Leave))
    );
}

#[test]
fn another_check_takes_nobody_out_until_it_has_failed() {
    let mut bench = Bench::up(&with(&[]));
    let full = bench.last().clone();
    bench.fleet(&with(&[("[bgp]", "[l4]\ncheck = { path = \"/other\" }\n[bgp]")]));
    assert_eq!(bench.last(), &full);
    assert!(bench.healths.iter().all(|(target, _)| target.path.as_deref() == Some("/other")));
    bench.checks("a", 1, false);
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), "192.0.2.12*50 192.0.2.11-100 192.0.2.13*100");
}

#[test]
fn a_node_that_joins_takes_nothing_until_it_was_checked_and_one_that_leaves_is_gone() {
    let mut bench = Bench::up(&with(&[]));
    let more = with(&[(
        "pools.web",
        "nodes.d = { roles = [\"l7\"], addresses = [\"192.0.2.14\", \"2001:db8:2::14\"], join = 4 }\npools.web",
    )]);
    bench.fleet(&more);
    let joined = "192.0.2.12*50 192.0.2.11*100 192.0.2.13*100 192.0.2.14-100";
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), joined);
    bench.checks("d", 1, true);
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), joined.replace(".14-", ".14*"));
    bench.fleet(&with(&[]));
    assert_eq!(bench.wanted.first(), bench.wanted.last());
}

#[test]
fn each_neighbor_of_this_node_is_told_how_it_is_reached_and_none_without_its_secret() {
    let mut bench = Bench::up(&with(&[]));
    let speaker = bench.last().speaker.clone().unwrap();
    assert_eq!(speaker.router_id.to_string(), "192.0.2.1");
    assert_eq!(speaker.neighbors.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["rr1"]);
    assert_eq!(bench.machine.status().silent_neighbors, ["edge"]);

    let keys = Keys::from([("edge".parse().unwrap(), crate::desired::speaker::Key::new("secret".into()))]);
    bench.tell(Event::Fleet(with(&[]), keys));
    let speaker = bench.last().speaker.clone().unwrap();
    let edge = &speaker.neighbors[1];
    assert_eq!(edge.distance, crate::desired::speaker::Distance::Secured(1));
    assert_eq!(edge.local.map(|address| address.to_string()).as_deref(), Some("2001:db8:2::1"));
    assert_eq!(edge.families, [crate::bgp::Family::Ipv6]);
    assert!(edge.key.is_some() && speaker.neighbors[0].key.is_none());
    assert_eq!(
        speaker.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.0.2.1:179", "[2001:db8:2::1]:179"]
    );
    assert_eq!(speaker.routes[0].communities, [crate::bgp::Community(65000, 1)]);

    // The other l4 node has one neighbor only.
    let mut other = Machine::new(with(&[]), "l4-2", Keys::new(), Admin::Ready, at(0));
    let actions = other.handle(Event::Timer, at(10_000));
    let [Action::Set(desired)] = actions.as_slice() else { panic!("{actions:?}") };
    assert_eq!(desired.speaker.as_ref().map(|speaker| speaker.neighbors.len()), Some(1));
    assert!(other.status().silent_neighbors.is_empty());
}

#[test]
fn services_that_cannot_differ_share_a_check() {
    let names = |fleet: &Fleet| -> Vec<String> {
        Layout::of(fleet).targets().iter().map(|target| target.name.to_string()).collect()
    };
    // Two services and two families, three nodes: api has IPv4 only.
    let all = names(&with(&[]));
    assert_eq!(all.len(), 3 * 3, "{all:?}");
    assert!(all.contains(&"a [2001:db8:2::11]:80 /healthcheck".to_owned()), "{all:?}");
    let tcp = names(&with(&[("[bgp]", "[l4]\ncheck = { type = \"tcp\" }\n[bgp]")]));
    assert!(tcp.contains(&"a 192.0.2.11:8080".to_owned()), "{tcp:?}");
    let layout = Layout::of(&with(&[]));
    assert!(
        layout.of_node("b").count() == 3 && layout.of_node("b").all(|target| target.node.as_str() == "b")
    );
}

#[test]
fn gre_and_other_schedulers_are_passed_on() {
    let fleet = with(&[("[bgp]", "[l4]\ntunnel = \"gre\"\nscheduler = \"wlc\"\n[bgp]")]);
    let bench = Bench::up(&fleet);
    let service = bench.last().ipvs.table.iter().next().unwrap().clone();
    assert_eq!((service.settings.scheduler.as_str(), service.settings.flags.bits()), ("wlc", 0));
    assert!(matches!(
        service.destinations[0].forwarding,
        crate::ipvs::Forwarding::Tunnel(crate::ipvs::Tunnel::Gre { .. })
    ));
    assert_eq!(bench.machine.status().table, Some(0), "only mh is foretold");
}

#[test]
fn checks_through_tunnels_have_ways_of_their_own_before_anything_is_known_and_ever_after() {
    let fleet = with(&[("[bgp]", "[l4]\ncheck = { through = \"tunnel\" }\n[bgp]")]);
    let mut bench = Bench::new(&fleet);
    let marks = |table: &crate::ipvs::Table| -> Vec<String> {
        let ways = table.iter().filter(|service| matches!(service.key, crate::ipvs::Key::Mark { .. }));
        ways.map(|way| format!("{} to {}", way.key, way.destinations[0].endpoint)).collect()
    };
    let ways = bench.machine.ways().services;
    assert_eq!(bench.machine.ways().check(), Ok(()));
    assert_eq!(bench.machine.ways().sysctls.len(), 2);
    assert_eq!(
        marks(&ways),
        [
            "mark 1464139777 to 192.0.2.12:0",
            "mark 1464139778 to 192.0.2.11:0",
            "mark 1464139779 to 192.0.2.13:0",
            "mark 1464139777 (IPv6) to [2001:db8:2::12]:0",
            "mark 1464139778 (IPv6) to [2001:db8:2::11]:0",
            "mark 1464139779 (IPv6) to [2001:db8:2::13]:0",
        ]
    );
    assert_eq!(marks(&ways).len(), ways.len());
    // Each service address is checked on each node.
    let targets = bench.machine.layout().targets();
    assert_eq!(targets.len(), 4 * 3);
    let target = targets
        .iter()
        .find(|target| &*target.name == "a 198.51.100.1:8080 via 192.0.2.11 /healthcheck")
        .unwrap();
    assert_eq!(target.way.map(|way| way.end.to_string()).as_deref(), Some("192.0.2.11"));

    // As long as no check could be tried, this host decides nothing, however long that is. (The sidecar has its own patience with it.)
    bench.untried("no way there");
    bench.now = at(60_000);
    bench.tell(Event::Timer);
    assert_eq!((bench.wanted.len(), bench.machine.deadline()), (0, None));
    assert_eq!(bench.machine.status().why, "there are l7 nodes that could not even be checked");
    assert!(
        bench
            .machine
            .status()
            .nodes
            .iter()
            .flat_map(|n| &n.checks)
            .all(|c| c.untried && c.why == "no way there")
    );
    for node in ["a", "b", "c"] {
        bench.checks(node, 1, true);
    }
    assert_eq!(marks(&bench.last().ipvs.table), marks(&ways));
    bench.checks("a", 3, false);
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), "192.0.2.12*50 192.0.2.11-100 192.0.2.13*100");
    // Who is down is asked further on.
    assert_eq!(marks(&bench.last().ipvs.table), marks(&ways));
    let declared = |name: &str| bench.last().sysctls.iter().any(|one| one.name == name);
    assert!(declared("net/ipv4/conf/all/accept_local") && declared("net/ipv4/conf/all/rp_filter"));
    bench.fleet(&with(&[]));
    assert_eq!(marks(&bench.last().ipvs.table).len(), 0);
    assert!(bench.last().ipvs.ownership.marks.is_some(), "what an earlier process left is removed");
}

#[test]
fn a_node_that_cannot_be_tried_is_waited_for_as_long_as_the_sidecar_waits_and_then_the_others_serve() {
    let mut bench = Bench::new(&with(&[]));
    bench.untried("no address of that family");
    let first_round = bench.machine.deadline().unwrap();
    // The next checks are due by then.
    bench.now = at(600);
    for node in ["a", "b"] {
        bench.checks(node, 1, true);
    }
    bench.now = first_round;
    bench.tell(Event::Timer);
    assert_eq!((bench.wanted.len(), bench.machine.status().announcing), (0, Announcing::NotYet));
    let end = bench.machine.deadline().unwrap();
    assert_eq!(end, first_round.after(Duration::from_secs(10)));
    bench.now = end;
    bench.tell(Event::Timer);
    assert_eq!(bench.machine.status().announcing, Announcing::Yes);
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), "192.0.2.12*50 192.0.2.11*100 192.0.2.13-100");
    assert_eq!(bench.machine.deadline(), None);
    bench.checks("c", 1, true);
    assert_eq!(short(&bench.destinations("198.51.100.1:80")), "192.0.2.12*50 192.0.2.11*100 192.0.2.13*100");
}
