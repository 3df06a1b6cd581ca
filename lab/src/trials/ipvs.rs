//! The kernel's balancer as Weir keeps it: placements as foretold, equal tables on nodes with different histories, foreign
//! changes seen and undone.
//!
//! Two nodes that balance and a client on a segment. The client sends single packets from many sources; where the kernel put
//! each is in its list of connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::balancer::{Balancer, Members, key, service};
use crate::clients::dice::Dice;
use crate::fabric::Fabric;
use crate::inside::{Job, Orders};
use crate::{build, kernel, say};

/// Changes of the members, after each of which flows are sent, and flows for each of both families.
const ROUNDS: u64 = 20;
const FLOWS: u64 = 500;
/// Steps of the walk in which one node sees more than the other.
const STEPS: u64 = 1000;
const SERVICES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(198, 51, 100, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0xc633, 0x6401)),
];
const BALANCERS: [&str; 2] = ["lb-1", "lb-2"];
const CLIENT: &str = "client";

pub(super) fn run(_: &Path) -> Result<()> {
    build::example("balancer")?;
    let wish = kernel::Wish { memory: 512, limit: Duration::from_secs(300), ..kernel::Wish::named("ipvs") };
    kernel::start(&wish, Job::TrialIpvs)?.follow(|line| say::line(line)).map(drop)
}

/// Inside.
pub(crate) fn inside(out: &Path, _: &Orders) -> Result<()> {
    let fabric = Fabric::new(out)?;
    build_nodes(&fabric)?;
    let [first, second] = BALANCERS;
    let mut scene = Scene {
        client: Balancer::start(&fabric, CLIENT)?,
        calm: Balancer::start(&fabric, first)?,
        troubled: Balancer::start(&fabric, second)?,
        dice: Dice::new(1, 0),
        members: Members::first(5),
        fabric,
    };
    scene.placements()?;
    scene.walk()?;
    scene.corrections()
}

fn build_nodes(fabric: &Fabric) -> Result<()> {
    let nodes = [CLIENT, BALANCERS[0], BALANCERS[1]].map(str::to_owned);
    fabric.add_nodes(&nodes)?;
    fabric.segment("lan", &nodes.clone().map(|node| (node, "eth0".to_owned())))?;
    for (node, number) in nodes.iter().zip(1..) {
        fabric.ip(
            node,
            &format!("addr add 10.99.0.{number}/24 dev eth0\naddr add fd99::{number}/64 dev eth0 nodad\n"),
        )?;
        fabric
            .sysctl(node, &[("net.ipv4.conf.all.rp_filter", "0"), ("net.ipv4.conf.eth0.rp_filter", "0")])?;
    }
    // All sources are the client's own.
    fabric.ip(CLIENT, "route add local 100.64.0.0/10 dev lo\nroute add local 2001:db8:64::/48 dev lo\n")?;
    fabric.sysctl(CLIENT, &[("net.ipv6.ip_nonlocal_bind", "1")])?;
    for node in BALANCERS {
        for address in SERVICES {
            fabric.ip(node, &format!("addr add {address} dev lo\n"))?;
        }
        // What is sent to members goes nowhere: where it would go is known before.
        fabric.ip(
            node,
            "link add name nowhere type dummy\nlink set dev nowhere up\nroute add 10.0.0.0/16 dev nowhere\n\
             route add 2001:db8:10::/64 dev nowhere\nroute add 100.64.0.0/10 dev nowhere\n",
        )?;
    }
    towards(fabric, 2)?;
    for address in ["10.99.0.2", "10.99.0.3", "fd99::2", "fd99::3"] {
        fabric.run(CLIENT, &["ping", "-c", "1", "-W", "2", address])?;
    }
    Ok(())
}

/// The client's way to the services leads through the node with this number on the segment.
fn towards(fabric: &Fabric, number: u8) -> Result<()> {
    let [v4, v6] = SERVICES;
    fabric.ip(
        CLIENT,
        &format!("route replace {v4} via 10.99.0.{number}\nroute replace {v6} via fd99::{number}\n"),
    )
}

struct Scene {
    fabric: Fabric,
    client: Balancer,
    calm: Balancer,
    troubled: Balancer,
    dice: Dice,
    members: Members,
}

impl Scene {
    fn wanted(&self) -> Value {
        let services = SERVICES.map(|address| service(address, &self.members.all));
        json!({ "table": services })
    }

    /// Every flow is where it was foretold, whatever changed before.
    fn placements(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut equal = [0, 0];
        for round in 0..ROUNDS {
            for _ in 0..1 + self.dice.below(4) {
                self.members.step(&mut self.dice);
            }
            self.calm.settle(&self.wanted())?;
            for (address, equal) in SERVICES.into_iter().zip(&mut equal) {
                *equal += self.placed(address, 1 + round, FLOWS, true)?;
            }
        }
        let [v4, v6] = equal;
        let sent = ROUNDS * FLOWS;
        println!(
            "  placed    {v4} of {sent} IPv4 flows and {v6} of {sent} IPv6 flows where they were foretold, over {ROUNDS} changes ({})",
            say::elapsed(began.elapsed())
        );
        Ok(())
    }

    /// Sends flows to a service and counts those that are where they were foretold: all.
    fn placed(&mut self, address: IpAddr, seed: u64, count: u64, calm: bool) -> Result<u64> {
        let family = if address.is_ipv4() { "v4" } else { "v6" };
        let sources = json!({ "family": family, "seed": seed, "count": count });
        let to = std::net::SocketAddr::new(address, 80);
        self.client.ask(&json!({ "send": { "to": to, "sources": sources } }))?;
        let at = if calm { &mut self.calm } else { &mut self.troubled };
        let found = at.ask(&json!({ "compare": { "service": key(address), "sources": sources } }))?;
        ensure!(
            found["equal"] == count,
            "of {count} flows to {address} not all are where they were foretold: {found}"
        );
        Ok(count)
    }

    /// One node sees each step; the other sees more, less and worse, and has the same table after each.
    fn walk(&mut self) -> Result<()> {
        let began = Instant::now();
        let (mut flaps, mut restarts, mut hands, mut restated, mut commands) = (0, 0, 0, 0, 0);
        for step in 0..STEPS {
            self.members.step(&mut self.dice);
            let wanted = self.wanted();
            let mut calm = self.calm.ask(&json!({ "reach": wanted }))?;
            commands += done(&calm);
            if self.dice.chance(0.2) {
                flaps += 1;
                let mut detour = self.members.clone();
                detour.step(&mut self.dice);
                detour.step(&mut self.dice);
                let services = SERVICES.map(|address| service(address, &detour.all));
                self.troubled.settle(&json!({ "table": services }))?;
            }
            let foreign = self.dice.chance(0.03);
            if foreign {
                hands += 1;
                self.meddle()?;
            }
            if self.dice.chance(0.03) {
                restarts += 1;
                self.troubled = Balancer::start(&self.fabric, BALANCERS[1])?;
            }
            if foreign {
                self.troubled.ask(&json!("look"))?;
            }
            let mut troubled = self.troubled.ask(&json!({ "reach": wanted }))?;
            restated += troubled["restated"].as_u64().unwrap_or(0);
            let (calm, troubled) = (calm["services"].take(), troubled["services"].take());
            ensure!(
                calm == troubled,
                "step {step}: after {wanted} one node has {calm}, the other {troubled}"
            );
        }
        for (node, calm) in [(2, true), (3, false)] {
            towards(&self.fabric, node)?;
            for address in SERVICES {
                self.placed(address, 1_000_001, 1000, calm)?;
            }
        }
        println!(
            "  equal     tables after each of {STEPS} steps ({commands} commands), with {flaps} detours, {hands} changes by hand, {restarts} restarts ({restated} weights stated again) on one node; 4000 flows alike on both ({})",
            say::elapsed(began.elapsed())
        );
        Ok(())
    }

    /// Somebody with `ipvsadm`, on the second node.
    fn meddle(&mut self) -> Result<()> {
        let v6 = self.dice.chance(0.5);
        let [four, six] = SERVICES;
        let at = if v6 { format!("[{six}]:80") } else { format!("{four}:80") };
        let member = *self.dice.pick(&self.members.all).context("no member")?;
        let address = member.address(v6);
        let weight = (1 + self.dice.below(40)).to_string();
        let arguments: Vec<&str> = match self.dice.below(4) {
            0 => vec!["-d", "-u", &at, "-r", &address],
            1 => vec!["-e", "-u", &at, "-r", &address, "-i", "-w", &weight],
            2 => {
                vec!["-a", "-u", &at, "-r", if v6 { "[2001:db8:10::ffff]:80" } else { "10.0.99.99:80" }, "-i"]
            }
            _ => vec!["-D", "-u", &at],
        };
        // What was changed before may be gone already, and then it is none.
        drop(self.ipvsadm(&arguments));
        Ok(())
    }

    fn ipvsadm(&self, arguments: &[&str]) -> Result<String> {
        let argv: Vec<&str> = std::iter::once("ipvsadm").chain(arguments.iter().copied()).collect();
        self.fabric.run(BALANCERS[1], &argv)
    }

    /// A foreign hand is seen, told with its cost, and undone; what is not ours is left alone.
    fn corrections(&mut self) -> Result<()> {
        self.members = Members::first(6);
        let wanted = self.wanted();
        for balancer in [&mut self.calm, &mut self.troubled] {
            balancer.settle(&wanted)?;
        }
        let service = format!("{}:80", SERVICES[0]);
        let third = self.members.all.get(2).context("no third member")?.address(false);
        self.ipvsadm(&["-d", "-u", &service, "-r", &third])?;
        self.ipvsadm(&["-a", "-u", &service, "-r", &third, "-i", "-w", "3"])?;
        self.ipvsadm(&["-A", "-t", "203.0.113.1:443", "-s", "wrr"])?;
        self.troubled.ask(&json!("look"))?;
        let plan = self.troubled.ask(&json!("plan"))?;
        let cost = &plan["disorder"][0];
        ensure!(
            cost["readded"] == 3
                && cost["moved"].as_u64().is_some_and(|moved| moved > 0)
                && plan["foreign"] == 1,
            "a member that was deleted and added by hand is not seen: {plan}"
        );
        let before = self.troubled.dump()?;
        ensure!(before != self.calm.dump()?, "the plan was carried out though it was only asked for");
        let settled = self.troubled.ask(&json!("settle"))?;
        ensure!(done(&settled) == 6, "{settled}");
        self.ipvsadm(&["-D", "-t", "203.0.113.1:443"]).context("a service of somebody else was removed")?;
        ensure!(self.calm.dump()? == self.troubled.dump()?, "the order was not restored");
        ensure!(done(&self.troubled.ask(&json!("settle"))?) == 0, "what is as wanted was changed");
        println!(
            "  undone    a change by hand, with {} of {} rows foretold to move back",
            cost["moved"], cost["rows"]
        );
        Ok(())
    }
}

/// How many commands the kernel was given.
fn done(answer: &Value) -> u64 {
    answer["changes"].as_u64().unwrap_or(0)
}
