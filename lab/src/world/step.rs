//! What can be done to a world: programs of a node stopped, started and killed, nodes cut off, put into maintenance and
//! added, connections moved to other L4 nodes; and all of it undone.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use super::World;
use crate::fabric::Daemon;
use crate::paths;
use crate::stack::{AGENT_FILE, DISABLE_FILE, Outfit, Stack, keepalived, weir};
use crate::topology::{Kind, address};

/// How long programs of a node may take to end: Weir drains for up to half a minute.
const STOPPED_WITHIN: Duration = Duration::from_secs(60);
/// ExaBGP ends at once or never.
const EXABGP_WITHIN: Duration = Duration::from_secs(5);
/// How long a change may take until every L4 node or router has it.
const KNOWN_WITHIN: Duration = Duration::from_secs(60);
/// How long a disturbed world may take to be whole again.
const WHOLE_WITHIN: Duration = Duration::from_secs(120);

/// What routers hash, one after the other: five tuples, then parts of them, so that connections are spread anew.
const HASHES: [(&str, &str); 4] = [("1", "0x0037"), ("3", "0x0013"), ("3", "0x0011"), ("3", "0x0017")];

impl World {
    /// Ends the programs of a node with SIGTERM, last started first. What does not end is killed after a while, as an init system
    /// does: ExaBGP with two processes of its own is such a program.
    pub(crate) fn stop(&mut self, node: &str) -> Result<()> {
        for daemon in self.running(node)?.iter().rev() {
            let patience = if daemon.name() == "exabgp" { EXABGP_WITHIN } else { STOPPED_WITHIN };
            daemon.stop_or_kill(patience)?;
        }
        self.running.remove(node);
        Ok(())
    }

    /// Ends the programs of a node with SIGKILL.
    pub(crate) fn kill(&mut self, node: &str) -> Result<()> {
        for daemon in self.running(node)? {
            daemon.kill()?;
        }
        self.running.remove(node);
        Ok(())
    }

    /// Starts the programs of a node again.
    pub(crate) fn start(&mut self, name: &str) -> Result<()> {
        if self.running.contains_key(name) {
            bail!("the programs of {name} run already");
        }
        let node = self.topology.node(name)?;
        let outfit = Outfit::of(&self.topology, self.choice, node, &self.lab, &paths::weir());
        let programs = outfit.programs.iter();
        let started =
            programs.map(|program| self.start_program(name, program, false)).collect::<Result<_>>()?;
        self.running.insert(name.to_owned(), started);
        Ok(())
    }

    /// From now on no packet reaches or leaves a node.
    pub(crate) fn cut_off(&mut self, node: &str) -> Result<()> {
        self.fabric.cut_off(node)?;
        self.cut_off.insert(node.to_owned());
        Ok(())
    }

    /// Ends [`World::cut_off`].
    pub(crate) fn reconnect(&mut self, node: &str) -> Result<()> {
        self.fabric.reconnect(node)?;
        self.cut_off.remove(node);
        Ok(())
    }

    /// Takes a node out, or back in, by the file that operators of the original use.
    pub(crate) fn maintenance(&mut self, name: &str, on: bool) -> Result<()> {
        let node = self.topology.node(name)?;
        match (node.kind, on) {
            (Kind::L4, true) => self.fabric.write(name, DISABLE_FILE, "")?,
            (Kind::L4, false) => self.fabric.remove(name, DISABLE_FILE)?,
            (Kind::L7, true) => self.fabric.write(name, AGENT_FILE, "down\n")?,
            (Kind::Server, true) => self.fabric.write(name, AGENT_FILE, "drain\n")?,
            (Kind::L7, false) => self.fabric.write(name, AGENT_FILE, "UP\n")?,
            // An agent's `up` takes `down` back, and leaves `drain` as it is.
            (Kind::Server, false) => self.fabric.write(name, AGENT_FILE, "ready up\n")?,
            _ => bail!("{name} has no maintenance: L4 nodes, L7 nodes and servers have"),
        }
        if on {
            self.maintained.insert(name.to_owned());
        } else {
            self.maintained.remove(name);
        }
        Ok(())
    }

    /// Starts the spare L7 node and tells every L4 node of it. Returns its name when all of them use it.
    pub(crate) fn add_l7(&mut self) -> Result<String> {
        let spare = self.topology.spare().context("there is no spare L7 node")?;
        let (name, number) = (spare.name.clone(), spare.number);
        if self.l7 >= number {
            bail!("{name} has been added already");
        }
        self.start(&name)?;
        self.await_l7(number..=number)?;
        self.tell_nodes(number)?;
        Ok(name)
    }

    /// Takes the spare L7 node out of every list. Its programs go on with the connections that they have.
    pub(crate) fn remove_l7(&mut self) -> Result<()> {
        self.tell_nodes(self.topology.size.l7)
    }

    /// Undoes [`World::add_l7`]: no L4 node knows the spare node any more, and it runs nothing.
    fn remove_spare(&mut self) -> Result<()> {
        let spare = self.topology.spare().context("there is no spare L7 node")?;
        let name = spare.name.clone();
        self.remove_l7()?;
        if self.running.contains_key(&name) {
            self.stop(&name)?;
        }
        Ok(())
    }

    /// Has L4 nodes use the first `count` L7 nodes. Where both tiers are Weir's, the L7 nodes are told first: they have to know of each
    /// other before connections come.
    fn tell_nodes(&mut self, count: u32) -> Result<()> {
        self.l7 = count;
        if self.choice.l4 == Stack::Weir && self.choice.l7 == Stack::Weir {
            let text = weir::fleet(&self.topology, self.choice, count);
            for node in self.names(Kind::L7) {
                self.fabric.write(&node, weir::FILE, &text)?;
                if self.program(&node, "weir").is_some() {
                    // Ends when the kernel is as it shall be.
                    self.fabric.run(&node, &[&paths::weir().display().to_string(), "reload"])?;
                }
            }
        }
        let (file, text) = match self.choice.l4 {
            Stack::Classic => (keepalived::FILE, keepalived::configuration(self.topology.size, count)),
            Stack::Weir => (weir::FILE, weir::fleet(&self.topology, self.choice, count)),
        };
        let nodes = self.names(Kind::L4);
        for node in &nodes {
            self.fabric.write(node, file, &text)?;
            if let Some(daemon) = self.program(node, self.balancer()) {
                daemon.signal(Signal::HUP)?;
            }
        }
        self.await_that("every L4 node has the new list of L7 nodes", KNOWN_WITHIN, || {
            for node in &nodes {
                if self.program(node, self.balancer()).is_some()
                    && let Some(lacks) = self.ipvs_lacks(node)?
                {
                    return Ok(Some(format!("{node}: {lacks}")));
                }
            }
            Ok(None)
        })
    }

    /// Has Weir's L4 nodes check the L7 nodes through the tunnels, at the service addresses. Done when every way is there.
    pub(crate) fn check_through_tunnels(&self) -> Result<()> {
        let mut text = weir::fleet(&self.topology, self.choice, self.l7);
        text.push_str("\n[l4.check]\nthrough = \"tunnel\"\n");
        let nodes = self.names(Kind::L4);
        for node in &nodes {
            self.fabric.write(node, weir::FILE, &text)?;
            if let Some(daemon) = self.program(node, self.balancer()) {
                daemon.signal(Signal::HUP)?;
            }
        }
        // One for each L7 node and family.
        let wanted = usize::try_from(self.l7)? * 2;
        self.await_that("checks have a way through each tunnel", KNOWN_WITHIN, || {
            for node in &nodes {
                let has = self.marked_services(node)?;
                if has != wanted {
                    return Ok(Some(format!("{node} has {has} of {wanted} services for marks")));
                }
            }
            Ok(None)
        })
    }

    /// Has one L4 node withdraw its announcements by the file of operators: the node that has all IPv6. It goes on forwarding.
    /// Returns its name when no router sends anything there any more: its connections have moved to the others.
    pub(crate) fn move_ecmp(&mut self) -> Result<String> {
        let routers = self.names(Kind::Router);
        let router = routers.first().context("there is no router")?;
        let used = self.gateways(router, true)?.into_iter().next();
        let size = self.topology.size;
        let own = |node: &str| -> Option<(IpAddr, IpAddr)> {
            let v4 = address::l4(size, self.topology.node(node).ok()?.number);
            Some((v4.into(), address::beside(v4).into()))
        };
        let nodes = self.names(Kind::L4);
        let node = nodes.iter().find(|node| own(node).map(|(_, v6)| v6) == used).or(nodes.first());
        let node = node.context("there is no L4 node")?.clone();
        let (v4, v6) = own(&node).context("an L4 node without addresses")?;
        self.maintenance(&node, true)?;
        self.await_that("no router sends to the withdrawn L4 node", KNOWN_WITHIN, || {
            for router in &routers {
                let sends =
                    self.gateways(router, false)?.contains(&v4) || self.gateways(router, true)?.contains(&v6);
                if sends {
                    return Ok(Some(format!("{router} still sends to {node}")));
                }
            }
            Ok(None)
        })?;
        Ok(node)
    }

    /// Has the routers spread connections over the same L4 nodes in another way, as a router that was started anew does.
    pub(crate) fn shuffle_ecmp(&mut self) -> Result<()> {
        self.shuffles += 1;
        self.hash()
    }

    fn hash(&self) -> Result<()> {
        let (policy, fields) = HASHES.get(self.shuffles % HASHES.len()).copied().unwrap_or(HASHES[0]);
        for router in self.names(Kind::Router) {
            self.fabric.sysctl(
                &router,
                &[
                    ("net.ipv4.fib_multipath_hash_fields", fields),
                    ("net.ipv4.fib_multipath_hash_policy", policy),
                ],
            )?;
        }
        Ok(())
    }

    /// Undoes every step and waits until the world is as [`World::bring_up`] left it, and whole.
    pub(crate) fn settle(&mut self) -> Result<()> {
        for node in std::mem::take(&mut self.cut_off) {
            self.fabric.reconnect(&node)?;
        }
        for node in std::mem::take(&mut self.maintained) {
            self.maintenance(&node, false)?;
        }
        self.shuffles = 0;
        self.hash()?;
        let all: Vec<(String, bool)> =
            self.topology.nodes.iter().map(|node| (node.name.clone(), node.spare)).collect();
        for (node, spare) in all {
            let outfit = Outfit::of(
                &self.topology,
                self.choice,
                self.topology.node(&node)?,
                &self.lab,
                &paths::weir(),
            );
            if spare || outfit.programs.is_empty() {
                continue;
            }
            for program in &outfit.programs {
                if self.program(&node, program.name).is_none_or(|daemon| !daemon.is_running()) {
                    let daemon = self.start_program(&node, program, false)?;
                    let running = self.running.entry(node.clone()).or_default();
                    running.retain(|daemon| daemon.name() != program.name);
                    running.push(daemon);
                }
            }
        }
        self.remove_spare()?;
        self.await_whole(WHOLE_WITHIN)?;
        self.await_answers(WHOLE_WITHIN)
    }

    pub(super) fn program(&self, node: &str, name: &str) -> Option<&Daemon> {
        self.running.get(node)?.iter().find(|daemon| daemon.name() == name)
    }

    fn running(&self, node: &str) -> Result<&[Daemon]> {
        let running = self.running.get(node).with_context(|| format!("{node} runs nothing"))?;
        Ok(running)
    }
}
