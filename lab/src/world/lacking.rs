//! How a world differs from one that is whole: every program runs, every L4 node has every L7 node behind every
//! service, every router has a way over every L4 node. Each difference says which node, which log, and what to look
//! with.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;

use super::World;
use crate::command;
use crate::stack::Stack;
use crate::topology::{Kind, address};

/// Lines of a log that are shown of a program that has ended.
const TAIL: usize = 6;

impl World {
    /// Everything that is not as it should be; nothing where the world is whole.
    pub(crate) fn lacking(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for daemon in self.running.values().flatten() {
            if let Some(status) = daemon.ended() {
                let log = std::fs::read_to_string(daemon.log()).unwrap_or_default();
                let last: Vec<&str> = log.lines().rev().take(TAIL).collect();
                let last: Vec<&str> = last.into_iter().rev().collect();
                lines.push(format!(
                    "{}: {} has ended ({status}); log {}:\n{}",
                    daemon.node(),
                    daemon.name(),
                    crate::paths::short(&daemon.log()),
                    command::tail(&last.join("\n"))
                ));
            }
        }
        for node in self.names(Kind::L4) {
            self.note(&mut lines, &node, self.balancer(), "ipvsadm -Ln", |world| world.ipvs_lacks(&node));
        }
        for node in self.names(Kind::Router) {
            self.note(&mut lines, &node, "bird", "birdc -s /run/bird.ctl show route", |world| {
                world.routes_lack(&node)
            });
        }
        lines
    }

    /// The program that keeps IPVS on L4 nodes.
    pub(super) fn balancer(&self) -> &'static str {
        match self.choice.l4 {
            Stack::Classic => "keepalived",
            Stack::Weir => "weir",
        }
    }

    /// Waits until nothing is lacking.
    pub(crate) fn await_whole(&self, within: Duration) -> Result<()> {
        self.await_that("the world is whole", within, || {
            let lines = self.lacking();
            let count = lines.len();
            Ok((count > 0).then(|| format!("{count} things are lacking")))
        })
    }

    fn note(
        &self,
        lines: &mut Vec<String>,
        node: &str,
        program: &str,
        look: &str,
        lacks: impl FnOnce(&Self) -> Result<Option<String>>,
    ) {
        let what = match lacks(self) {
            Ok(None) => return,
            Ok(Some(what)) => what,
            Err(error) => format!("{error:#}"),
        };
        let log = self.fabric.logs(node).join(format!("{program}.log"));
        lines.push(format!(
            "{node}: {what} (log {}; look with: cargo lab shell {node}, then {look})",
            crate::paths::short(&log)
        ));
    }

    /// Whether every L4 node that is there sends to these L7 nodes and to no others.
    pub(crate) fn l4_nodes_send_to(&self, l7: &[String]) -> Result<bool> {
        let mut wanted = BTreeSet::new();
        for name in l7 {
            let node = self.topology.node(name)?;
            let first = node.interfaces.first().map_or(&[][..], |wire| &wire.addresses);
            wanted.extend(first.iter().map(|(address, _)| *address));
        }
        let there = |name: &String| self.running.contains_key(name) && !self.cut_off.contains(name);
        for node in self.names(Kind::L4).iter().filter(|name| there(name)) {
            for (service, has) in self.destinations(node)? {
                let of_family = wanted.iter().filter(|address| address.is_ipv6() == service.is_ipv6());
                if has != of_family.copied().collect() {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// The first service of an L4 node that does not have exactly the L7 nodes behind it that it should have.
    pub(super) fn ipvs_lacks(&self, node: &str) -> Result<Option<String>> {
        let known = self.destinations(node)?;
        for service in self.topology.services() {
            let wanted = self.l7_addresses(service.is_ipv6());
            let has =
                known.get(&(service, crate::topology::SERVICE_PORT).into()).cloned().unwrap_or_default();
            if has != wanted {
                return Ok(Some(format!(
                    "IPVS has {} of {} L7 nodes behind {service}",
                    has.len(),
                    wanted.len()
                )));
            }
        }
        Ok(None)
    }

    /// What the routes of a router lack. IPv6 has one way, as in the original.
    fn routes_lack(&self, node: &str) -> Result<Option<String>> {
        let count = self.gateways(node, false)?.len();
        let wanted = self.topology.of(Kind::L4).count();
        if count != wanted {
            return Ok(Some(format!("has {count} of {wanted} L4 nodes as ways to 198.51.100.1")));
        }
        if self.gateways(node, true)?.is_empty() {
            return Ok(Some("has no way to 2001:db8::198.51.100.1".into()));
        }
        Ok(None)
    }

    /// Addresses of the L7 nodes that L4 nodes should know, of one family.
    fn l7_addresses(&self, v6: bool) -> BTreeSet<IpAddr> {
        let all = (1..=self.l7).map(|number| address::l7(self.topology.size, number));
        all.map(|v4| if v6 { address::beside(v4).into() } else { v4.into() }).collect()
    }
}
