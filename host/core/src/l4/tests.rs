//! One l4 node of a small fleet, driven by hand.

mod explain;
mod machine;
mod random;
mod receiver;
mod second_chance;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::bgp::Wish;
use crate::config::{self, Fleet};
use crate::desired::Desired;
use crate::health::{
    Admin, CheckHealth, Event as HealthEvent, HealthSpec, Operator, OperatorCommand, ServerHealth,
};
use crate::time::Moment;

/// Two l4 nodes, three l7 nodes whose join numbers are not in the order of their names, two services on three addresses.
const FLEET: &str = "\
version = 1
nodes.l4-1 = { roles = [\"l4\"], addresses = [\"192.0.2.1\", \"2001:db8:2::1\"] }
nodes.l4-2 = { roles = [\"l4\"], addresses = [\"192.0.2.2\", \"192.0.2.202\", \"2001:db8:2::2\"] }
nodes.a = { roles = [\"l7\"], addresses = [\"192.0.2.11\", \"2001:db8:2::11\"], join = 2 }
nodes.b = { roles = [\"l7\"], addresses = [\"192.0.2.12\", \"2001:db8:2::12\"], join = 1, weight = 50 }
nodes.c = { roles = [\"l7\"], addresses = [\"192.0.2.13\", \"2001:db8:2::13\"], join = 3 }
pools.web.servers = [{ name = \"s\", address = \"192.0.2.101:80\" }]
services.www = { port = 80, addresses = [\"198.51.100.1\", \"2001:db8::1:1\"], pool = \"web\" }
services.api = { port = 8080, addresses = [\"198.51.100.1\", \"198.51.100.2\"], pool = \"web\" }
[bgp]
as = 65000
communities = [\"65000:1\"]
[[bgp.neighbors]]
name = \"rr1\"
address = \"192.0.2.254\"
as = 65000
families = [\"ipv4\", \"ipv6\"]
[[bgp.neighbors]]
name = \"edge\"
address = \"2001:db8:2::fe\"
as = 65001
nodes = [\"l4-1\"]
gtsm = true
password-file = \"/etc/weir/edge.key\"
";

#[track_caller]
fn fleet(text: &str) -> Arc<Fleet> {
    Arc::new(config::parse("fleet.toml", text).unwrap_or_else(|errors| panic!("{errors}")))
}

/// [`FLEET`] with some texts replaced.
#[track_caller]
fn with(changes: &[(&str, &str)]) -> Arc<Fleet> {
    let text = changes.iter().fold(FLEET.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    fleet(&text)
}

fn at(millis: u64) -> Moment {
    Moment::ZERO.after(Duration::from_millis(millis))
}

/// An l4 node with real health machines, whose checks end as they are told.
struct Bench {
    machine: Machine,
    healths: Vec<(Target, ServerHealth)>,
    now: Moment,
    /// What was wanted, in this order.
    wanted: Vec<Desired>,
    notes: Vec<String>,
}

impl Bench {
    fn new(fleet: &Arc<Fleet>) -> Self {
        let mut bench = Self::before_the_sidecar(fleet);
        bench.tell(Event::Inherited(BTreeSet::new()));
        bench
    }

    /// One whose sidecar has said nothing yet.
    fn before_the_sidecar(fleet: &Arc<Fleet>) -> Self {
        let machine = Machine::new(Arc::clone(fleet), "l4-1", Keys::new(), Admin::Ready, at(0));
        let mut bench =
            Self { machine, healths: Vec::new(), now: at(0), wanted: Vec::new(), notes: Vec::new() };
        bench.watch(fleet);
        bench
    }

    /// Starts and ends health machines as a watch does: by the names of targets.
    fn watch(&mut self, fleet: &Fleet) {
        let old = std::mem::take(&mut self.healths);
        let mut old: std::collections::BTreeMap<_, _> =
            old.into_iter().map(|(target, health)| (target.name, health)).collect();
        let targets = self.machine.layout().targets().to_vec();
        for target in targets {
            let weight = fleet.nodes[target.node.as_str()].weight;
            let spec = HealthSpec { weight, check: Some(fleet.l4.check.timing()), ..HealthSpec::default() };
            let health = old
                .remove(&target.name)
                .unwrap_or_else(|| ServerHealth::new(spec, Operator::default(), 1, self.now));
            let status = Box::new(health.status().clone());
            self.tell(Event::Health { target: Arc::clone(&target.name), status });
            self.healths.push((target, health));
        }
    }

    fn tell(&mut self, event: Event) {
        for action in self.machine.handle(event, self.now) {
            match action {
                Action::Set(desired) => {
                    assert_eq!(desired.check(), Ok(()));
                    assert_ne!(self.wanted.last(), Some(&*desired), "the same twice");
                    self.wanted.push(*desired);
                }
                Action::Note(note) => self.notes.push(note),
                Action::Watch => {}
            }
        }
    }

    fn fleet(&mut self, fleet: &Arc<Fleet>) {
        self.tell(Event::Fleet(Arc::clone(fleet), Keys::new()));
        self.watch(fleet);
    }

    /// Does something to the health machines of a node, and tells what became of them.
    fn on(&mut self, node: &str, mut act: impl FnMut(&mut ServerHealth, Moment)) {
        for place in 0..self.healths.len() {
            let now = self.now;
            let (target, health) = &mut self.healths[place];
            if node != target.node.as_str() {
                continue;
            }
            act(health, now);
            let (target, status) = (Arc::clone(&target.name), Box::new(health.status().clone()));
            self.tell(Event::Health { target, status });
        }
    }

    /// So many checks of a node end like this.
    fn checks(&mut self, node: &str, count: u32, passed: bool) {
        // A first check is due within a tenth of an interval, a later one within one and a half.
        let wait = if self.machine.deadline().is_some() { 20 } else { 500 };
        for _ in 0..count {
            self.now = self.now.after(Duration::from_millis(wait));
            self.on(node, |health, now| {
                health.handle(HealthEvent::Timer, now);
                let event = if passed {
                    HealthEvent::CheckPassed
                } else {
                    HealthEvent::CheckFailed("refused".into())
                };
                health.handle(event, now);
            });
        }
    }

    /// One check of each node that could not be tried.
    fn untried(&mut self, why: &str) {
        self.now = self.now.after(Duration::from_millis(20));
        for node in ["a", "b", "c"] {
            self.on(node, |health, now| {
                health.handle(HealthEvent::Timer, now);
                health.handle(HealthEvent::CheckUntried(why.to_owned()), now);
            });
        }
    }

    fn word(&mut self, node: &str, admin: Admin) {
        self.on(node, |health, now| {
            health.handle(HealthEvent::Operator(OperatorCommand::Admin(admin)), now);
        });
    }

    /// The first round: all pass.
    fn up(fleet: &Arc<Fleet>) -> Self {
        let mut bench = Self::new(fleet);
        for node in ["a", "b", "c"] {
            bench.checks(node, 1, true);
        }
        bench
    }

    fn last(&self) -> &Desired {
        self.wanted.last().unwrap()
    }

    /// Addresses that routers are told of, if the node announces at all.
    fn routes(&self) -> Vec<String> {
        let speaker = self.last().speaker.as_ref().unwrap();
        speaker.routes.iter().map(|route| route.prefix.to_string()).collect()
    }

    fn wish(&self) -> Wish {
        self.last().speaker.as_ref().unwrap().wish
    }

    /// Destinations of a service: address, weight, whether it takes connections.
    fn destinations(&self, service: &str) -> Vec<(String, u32, bool)> {
        destinations(self.last(), service)
    }
}

fn destinations(desired: &Desired, service: &str) -> Vec<(String, u32, bool)> {
    let at: SocketAddr = service.parse().unwrap();
    let service = desired.ipvs.table.get(&crate::ipvs::Key::tcp(at)).unwrap();
    let destinations = service.destinations.iter();
    destinations.map(|one| (one.endpoint.ip().to_string(), one.weight.get(), one.taking)).collect()
}

/// `192.0.2.12*50 192.0.2.11*100 192.0.2.13-100`: with a star who takes connections.
fn short(destinations: &[(String, u32, bool)]) -> String {
    let one = |(address, weight, taking): &(String, u32, bool)| {
        format!("{address}{}{weight}", if *taking { '*' } else { '-' })
    };
    destinations.iter().map(one).collect::<Vec<_>>().join(" ")
}
