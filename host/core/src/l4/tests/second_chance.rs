//! Connections that begin, live through a change and are then moved to an l4 node that does not know them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;
use crate::desired::TunnelKind;
use crate::ipvs::{Forwarding, Key, Service, Tunnel};
use crate::maglev::{Family, Size, Table};

const SERVICES: [&str; 2] = ["198.51.100.1:80", "[2001:db8::1:1]:80"];
const HOUR: u64 = 3600;

/// A client's end of many connections, of both families.
fn flows() -> impl Iterator<Item = SocketAddr> {
    (0..1000_u16).flat_map(|number| {
        let port = 20_000 + number;
        [SocketAddr::new([203, 0, 113, (number % 250) as u8].into(), port), {
            let address: IpAddr = "2001:db8:3::7".parse().unwrap();
            SocketAddr::new(address, port)
        }]
    })
}

/// Whom the kernel sends a flow to: the end of the tunnel.
fn placed(service: &Service, flow: SocketAddr) -> Option<IpAddr> {
    let scheme = service.settings.scheme(service.key.family(), Size::DEFAULT).unwrap();
    let table = Table::of(scheme, &service.list().unwrap()).unwrap();
    Some(table.place(flow).destination?.ip())
}

/// An l4 tier and its l7 nodes, each with the connections that it has.
struct Tier {
    l4: Bench,
    l7: BTreeMap<&'static str, Receiver>,
    has: BTreeMap<SocketAddr, IpAddr>,
    time: u64,
}

impl Tier {
    fn up(fleet: &Arc<Fleet>, nodes: &[&'static str]) -> Self {
        let mut l4 = Bench::new(fleet);
        for node in ["a", "b", "c"] {
            l4.checks(node, 1, true);
        }
        let mut tier = Self { l4, l7: BTreeMap::new(), has: BTreeMap::new(), time: 1_000_000 };
        for node in nodes {
            tier.start(fleet, node);
        }
        tier.time += HOUR;
        tier
    }

    /// A node that was never there before.
    fn start(&mut self, fleet: &Arc<Fleet>, node: &'static str) {
        self.l7.insert(node, Receiver::new(Arc::clone(fleet), node, None, self.time));
    }

    /// The l7 nodes first, then the l4 nodes.
    fn fleet(&mut self, fleet: &Arc<Fleet>) {
        for receiver in self.l7.values_mut() {
            receiver.handle(ReceiverEvent::Fleet(Arc::clone(fleet)), self.time);
        }
        self.l4.fleet(fleet);
    }

    fn service(&self, flow: SocketAddr) -> Service {
        let at = SERVICES[usize::from(flow.is_ipv6())].parse().unwrap();
        self.l4.last().ipvs.table.get(&Key::tcp(at)).unwrap().clone()
    }

    /// All flows begin, where there is none yet, at the nodes that the l4 tier chooses. A share of them only, so that some begin later.
    fn connect(&mut self, share: u16) {
        for flow in flows().filter(|flow| flow.port() % 4 < share) {
            let node = placed(&self.service(flow), flow).unwrap();
            self.has.entry(flow).or_insert(node);
        }
    }

    /// Whatever a node had is gone.
    fn lose(&mut self, end: &str) {
        let last = |address: &IpAddr| address.to_string().rsplit(['.', ':']).next() == Some(end);
        self.has.retain(|_, node| !last(node));
    }

    /// All connections are moved. How many reached their node at once, by a second chance, and not at all.
    fn move_all(&self) -> (usize, usize, usize) {
        let (mut at_once, mut second, mut lost) = (0, 0, 0);
        for (flow, owner) in &self.has {
            let reached = placed(&self.service(*flow), *flow).unwrap();
            if reached == *owner {
                at_once += 1;
                continue;
            }
            let node = self
                .l7
                .values()
                .map(|receiver| receiver.desired(self.time))
                .find(|desired| desired.tunnels.iter().any(|tunnel| tunnel.local == reached));
            let redirected = node.and_then(|node| {
                let family = if flow.is_ipv4() { Family::V4 } else { Family::V6 };
                let is_for = |mark| Key::Mark { family, mark };
                let from = if flow.is_ipv4() { TunnelKind::Ipip } else { TunnelKind::Ip6tnl };
                let redirect = node.redirects.iter().find(|one| one.port == 80 && one.from == from)?;
                placed(node.ipvs.table.get(&is_for(redirect.mark)).unwrap(), *flow)
            });
            if redirected == Some(*owner) {
                second += 1;
            } else {
                lost += 1;
            }
        }
        (at_once, second, lost)
    }

    #[track_caller]
    fn loses_nothing(&self, what: &str) {
        let (at_once, second, lost) = self.move_all();
        assert_eq!(lost, 0, "{what}: {at_once} at once, {second} by a second chance");
        assert!(second > 50 && at_once > 50, "{what}: {at_once} at once, {second} by a second chance");
    }
}

/// Without `c`, which joins later.
fn without_c() -> Arc<Fleet> {
    with(&[(
        "nodes.c = { roles = [\"l7\"], addresses = [\"192.0.2.13\", \"2001:db8:2::13\"], join = 3 }\n",
        "",
    )])
}

#[test]
fn a_node_that_returns_hands_on_what_others_took_while_it_was_away() {
    let mut tier = Tier::up(&with(&[]), &["a", "b", "c"]);
    tier.connect(2);
    tier.l4.checks("a", 3, false);
    tier.lose("11");
    tier.connect(4);
    tier.l4.checks("a", 3, true);
    tier.loses_nothing("a returned");
}

#[test]
fn connections_of_a_drained_node_reach_it_whoever_they_come_to() {
    let mut tier = Tier::up(&with(&[]), &["a", "b", "c"]);
    tier.connect(2);
    tier.l4.word("b", Admin::Drain);
    tier.connect(4);
    tier.loses_nothing("b drained");
    // And those that came while it was drained reach who took them, after it is back.
    tier.l4.word("b", Admin::Ready);
    tier.loses_nothing("b ready");
}

#[test]
fn a_node_that_joins_hands_on_what_was_there_before_it() {
    let mut tier = Tier::up(&without_c(), &["a", "b"]);
    tier.connect(4);
    let fleet = with(&[]);
    tier.start(&fleet, "c");
    tier.fleet(&fleet);
    tier.l4.checks("c", 3, true);
    tier.loses_nothing("c joined");
    // In time, that is forgotten.
    tier.time += HOUR;
    assert!(tier.move_all().2 > 0);
}

#[test]
fn connections_of_a_node_that_left_the_fleet_reach_it_until_that_is_forgotten() {
    let mut tier = Tier::up(&with(&[]), &["a", "b", "c"]);
    tier.connect(4);
    tier.fleet(&without_c());
    tier.loses_nothing("c left");
    tier.time += HOUR - 1;
    tier.loses_nothing("c left an hour ago");
    let is_known =
        |tier: &Tier| tier.l7["a"].others(tier.time).iter().any(|other| other.name.starts_with("c "));
    assert!(is_known(&tier));
    tier.time += 1;
    assert!(tier.move_all().2 > 0 && !is_known(&tier));
}

#[test]
fn what_was_known_outlives_the_process() {
    let mut tier = Tier::up(&without_c(), &["a", "b"]);
    tier.connect(4);
    let fleet = with(&[]);
    tier.start(&fleet, "c");
    tier.fleet(&fleet);
    tier.l4.checks("c", 3, true);
    let kept = tier.l7["c"].history().clone();
    tier.l7.insert("c", Receiver::new(Arc::clone(&fleet), "c", Some(&kept), tier.time + 60));
    tier.loses_nothing("c joined and was started again");
}

#[test]
fn a_node_without_a_history_is_new_only_if_no_other_joined_after_it() {
    let mut tier = Tier::up(&with(&[]), &["a", "b", "c"]);
    tier.connect(2);
    tier.l4.checks("a", 3, false);
    tier.lose("11");
    tier.connect(4);
    // What it kept is lost, and it is not the newest.
    tier.start(&with(&[]), "a");
    tier.l4.checks("a", 3, true);
    tier.loses_nothing("a lost what it kept, and returned");
}

#[test]
fn a_list_that_changed_while_a_node_was_away_was_spread_over() {
    let mut tier = Tier::up(&without_c(), &["a", "b"]);
    let kept = tier.l7["a"].history().clone();
    tier.l7.remove("a");
    let fleet = with(&[]);
    tier.start(&fleet, "c");
    tier.fleet(&fleet);
    tier.l4.checks("c", 3, true);
    tier.l4.checks("a", 3, false);
    tier.time += HOUR;
    tier.connect(4);
    tier.l7.insert("a", Receiver::new(fleet, "a", Some(&kept), tier.time));
    tier.l4.checks("a", 3, true);
    tier.loses_nothing("a returned to another list");
}

#[test]
fn a_node_of_the_past_whose_address_is_somebody_elses_by_now_is_nobody() {
    let old = with(&[]);
    for (from, to) in [("nodes.a", "nodes.z"), ("nodes.c", "nodes.z")] {
        let new = with(&[(from, to)]);
        for node in ["z", "b"] {
            let kept = Receiver::new(Arc::clone(&old), "b", None, 0);
            let mut receiver = Receiver::new(Arc::clone(&old), node, Some(kept.history()), 1);
            receiver.handle(ReceiverEvent::Fleet(Arc::clone(&new)), 2);
            let desired = receiver.desired(3);
            assert_eq!(desired.check(), Ok(()), "{node}");
            let remotes: Vec<_> = desired.tunnels.iter().map(|tunnel| tunnel.remote).collect();
            let mut once = remotes.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), remotes.len(), "one tunnel from each");
        }
    }
}

#[test]
fn nothing_is_handed_on_to_who_does_not_answer() {
    let mut tier = Tier::up(&with(&[]), &["a", "b", "c"]);
    tier.connect(2);
    // b dies; then a is away and returns.
    tier.l4.checks("b", 3, false);
    tier.lose("12");
    tier.connect(3);
    tier.l4.checks("a", 3, false);
    tier.lose("11");
    tier.connect(4);
    tier.l4.checks("a", 3, true);
    let a = tier.l7.get_mut("a").unwrap();
    for other in a.others(tier.time).into_iter().filter(|other| other.name.starts_with("b ")) {
        a.handle(ReceiverEvent::Answers { name: other.name, answers: false }, tier.time);
    }
    let c = tier.l7.get_mut("c").unwrap();
    for other in c.others(tier.time).into_iter().filter(|other| other.name.starts_with("b ")) {
        c.handle(ReceiverEvent::Answers { name: other.name, answers: false }, tier.time);
    }
    tier.loses_nothing("a returned while b was dead");
}

#[test]
fn with_nobody_to_ask_nothing_is_marked_and_so_connections_end_at_once() {
    let mut receiver = Receiver::new(with(&[]), "a", None, 0);
    assert_eq!(receiver.desired(0).redirects.len(), 3, "80 over both families, 8080 over IPv4");
    let others = receiver.others(0);
    let asked: Vec<&str> = others.iter().map(|other| &*other.name).collect();
    assert_eq!(
        asked,
        ["b 192.0.2.12:80", "b [2001:db8:2::12]:80", "c 192.0.2.13:80", "c [2001:db8:2::13]:80"]
    );
    for other in others.iter().filter(|other| other.at.is_ipv4()) {
        receiver.handle(ReceiverEvent::Answers { name: Arc::clone(&other.name), answers: false }, 0);
    }
    let left: Vec<TunnelKind> = receiver.desired(0).redirects.iter().map(|one| one.from).collect();
    assert_eq!(left, [TunnelKind::Ip6tnl]);
    receiver.handle(ReceiverEvent::Answers { name: Arc::clone(&others[0].name), answers: true }, 0);
    assert_eq!(receiver.desired(0).redirects.len(), 3);
}

#[test]
fn what_is_handed_on_travels_in_the_other_kind_of_tunnel_and_is_taken_from_the_others_only() {
    for (tunnel, others_come_in) in [("ipip", TunnelKind::Gre), ("gre", TunnelKind::Ipip)] {
        let fleet = with(&[("[bgp]", &format!("[l4]\ntunnel = \"{tunnel}\"\n[bgp]"))]);
        let desired = Receiver::new(fleet, "a", None, 0).desired(0);
        assert_eq!(desired.check(), Ok(()));
        let from = |kind| -> Vec<String> {
            let tunnels = desired.tunnels.iter().filter(|tunnel| tunnel.kind == kind);
            tunnels.map(|tunnel| tunnel.remote.to_string()).collect()
        };
        assert_eq!(from(others_come_in), ["192.0.2.12", "192.0.2.13"]);
        assert!(desired.redirects.iter().all(|one| one.from != others_come_in));
        let ways = desired.ipvs.table.iter().flat_map(|service| &service.destinations);
        let is_gre =
            |one: &crate::ipvs::Destination| matches!(one.forwarding, Forwarding::Tunnel(Tunnel::Gre { .. }));
        assert!(ways.into_iter().all(|one| is_gre(one) == (tunnel == "ipip")));
    }
}

#[test]
fn where_it_is_not_wanted_or_cannot_be_foretold_there_is_none_and_what_was_made_is_removed() {
    for section in ["second-chance.enabled = false", "scheduler = \"wlc\""] {
        let fleet = with(&[("[bgp]", &format!("[l4]\n{section}\n[bgp]"))]);
        let receiver = Receiver::new(fleet, "a", None, 0);
        let desired = receiver.desired(0);
        assert!(
            desired.redirects.is_empty() && desired.ipvs.table.is_empty() && receiver.others(0).is_empty()
        );
        assert_eq!(desired.ipvs.ownership.marks, Some(REDIRECT_MARKS));
        assert!(desired.tunnels.iter().all(|tunnel| tunnel.kind != TunnelKind::Gre));
    }
}
