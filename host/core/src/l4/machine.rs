//! The machine of an l4 node: events in, desired state out, nothing done.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::announcement::{Keys, lacks_key, speaker};
use super::layout::{Layout, in_join_order};
use super::quorum::{Supports, needed};
use super::standing::Standing;
use super::status::{AddressStatus, Announcing, CheckStatus, NodeStatus, Status};
use super::{settings, table, way};
use crate::bgp::Wish;
use crate::config::{AddressFamily, Fleet, Name, Node};
use crate::desired::{Desired, ServiceAddress, Ways};
use crate::health::{self, Admin};
use crate::ipvs::Wanted;
use crate::time::Moment;

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// [`Machine::deadline`] has come. Too early or too late does no harm.
    Timer,
    /// A target is like this now. To be said of every target once, and then of every change.
    Health {
        /// [`Target::name`](super::Target::name).
        target: Arc<str>,
        /// What its health machine says.
        status: Box<health::Status>,
    },
    /// What the sidecar announces by the word of an earlier process: it takes as few nodes to go on as it took that one. To be said once,
    /// also where it is nothing.
    Inherited(BTreeSet<IpAddr>),
    /// Whether the file is there that takes this node out.
    Disabled(bool),
    /// An operator's word about this node itself. `Drain` and `Maint` do the same: it is left, and goes on forwarding.
    Operator(Admin),
    /// The fleet file says something else now, or the neighbors' secrets are others.
    Fleet(Arc<Fleet>, Keys),
    /// This node is to end, and why, in words for the operators of routers. Not to be said when only this process ends.
    Stop(String),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// This is wanted now. Never the same twice in a row.
    Set(Box<Desired>),
    /// [`Machine::layout`] has other targets.
    Watch,
    /// For the log: what has changed that an operator wants to know.
    Note(String),
}

/// All that decides what one l4 node wants.
///
/// Drive it so: watch the targets of [`layout`](Self::layout), tell it what becomes of them, perform what
/// [`handle`](Self::handle) returns, and tell it the time at [`deadline`](Self::deadline).
///
/// It wants nothing until the first round of checks is over. So a node announces nothing that nobody has looked at; and where a sidecar
/// is at work already, a host process that has just started does not withdraw what another one announced. For as long it waits for the
/// sidecar's word.
#[derive(Debug, Clone)]
pub struct Machine {
    node: String,
    fleet: Arc<Fleet>,
    keys: Keys,
    layout: Layout,
    /// One for each target.
    standings: Vec<Standing>,
    /// One for each target, for whoever asks: what decides nothing is here only.
    said: Vec<Option<Box<health::Status>>>,
    /// Of these, those of which nothing is known yet.
    unknown: usize,
    supports: Supports,
    /// What an earlier process announced, until the first decision; `None`: nobody has said.
    inherited: Option<BTreeSet<IpAddr>>,
    /// The end of the first round, whoever is silent; `None`: it is over.
    patience: Option<Moment>,
    /// It should be over, and there are nodes that could not even be checked.
    is_overdue: bool,
    disabled: bool,
    operator: Admin,
    stopping: Option<String>,
    /// Services and destinations by the present standings; `None` where they are to be made anew.
    ipvs: Option<Wanted>,
    wanted: Option<Desired>,
}

impl Machine {
    /// The machine of this node. `operator`: what was said of it in an earlier process.
    pub fn new(fleet: Arc<Fleet>, node: &str, keys: Keys, operator: Admin, now: Moment) -> Self {
        let layout = Layout::of(&fleet);
        Self {
            node: node.to_owned(),
            keys,
            unknown: layout.targets.len(),
            standings: vec![Standing::default(); layout.targets.len()],
            said: vec![None; layout.targets.len()],
            layout,
            supports: Supports::default(),
            inherited: None,
            patience: Some(now.after(patience(&fleet))),
            is_overdue: false,
            disabled: false,
            operator,
            stopping: None,
            ipvs: None,
            wanted: None,
            fleet,
        }
    }

    /// What is to be checked.
    pub const fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What checks through tunnels need before anything is known, and so before anything is wanted. It is a part of what is wanted
    /// later.
    pub fn ways(&self) -> Ways {
        Ways {
            services: way::services(&self.fleet, &self.layout),
            sysctls: way::sysctls(&self.fleet.l4.check),
        }
    }

    /// What is wanted; `None` before the end of the first round.
    pub const fn wanted(&self) -> Option<&Desired> {
        self.wanted.as_ref()
    }

    /// When [`Event::Timer`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        let patience = self.patience?;
        match self.is_overdue {
            false => Some(patience),
            true => self.knows_any().then(|| self.longest(patience)),
        }
    }

    /// Whether anything is known of any target.
    const fn knows_any(&self) -> bool {
        self.unknown < self.standings.len()
    }

    /// How long nodes are waited for that could not even be checked, where others could: by then the sidecar has withdrawn what an
    /// earlier process announced.
    fn longest(&self, patience: Moment) -> Moment {
        patience.after(self.fleet.l4.host_hold.get())
    }

    /// Takes one event in.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        let mut stands_otherwise = None;
        match event {
            Event::Timer => {}
            Event::Health { target, status } => {
                let place = self.layout.position(&target);
                let Some(standing) = place.and_then(|place| self.standings.get_mut(place)) else {
                    return actions;
                };
                let next = Standing::of(&status).after(*standing);
                if let Some(said) = place.and_then(|place| self.said.get_mut(place)) {
                    *said = Some(status);
                }
                // Most of what changes about a target (notes, reasons) changes nothing here.
                if next == *standing {
                    return actions;
                }
                self.unknown += usize::from(standing.known);
                *standing = next;
                self.unknown = self.unknown.saturating_sub(usize::from(next.known));
                stands_otherwise = place;
            }
            Event::Inherited(addresses) => self.inherited = Some(addresses),
            Event::Disabled(there) => self.disabled = there,
            Event::Operator(admin) => self.operator = admin,
            Event::Fleet(fleet, keys) => {
                if self.take(fleet, keys) {
                    actions.push(Action::Watch);
                }
            }
            Event::Stop(why) => self.stopping = Some(why),
        }
        self.decide(stands_otherwise, now, &mut actions);
        actions
    }

    /// What an operator is shown.
    pub fn status(&self) -> Status {
        let (announcing, why) = self.announcing();
        let l4 = &self.fleet.l4;
        let address = |(address, support): (_, super::quorum::Support)| AddressStatus {
            address,
            announced: support.announced && announcing == Announcing::Yes,
            taking: support.taking,
            nodes: support.nodes,
            needed: needed(l4, support.announced),
        };
        Status {
            announcing,
            why,
            addresses: self.supports.iter().map(address).collect(),
            nodes: self.nodes(),
            table: self.wanted.as_ref().map(|wanted| table::digest(&wanted.ipvs)),
            silent_neighbors: self.silent_neighbors(),
        }
    }

    /// Another fleet. What is known of targets that go on stays known, and what is new stands as the node stood before. Says whether the
    /// targets are others.
    fn take(&mut self, fleet: Arc<Fleet>, keys: Keys) -> bool {
        let layout = Layout::of(&fleet);
        let inherited = |target: &super::Target| {
            let family = AddressFamily::of(target.to.ip());
            let same_end =
                |old: &&super::Target| old.node == target.node && AddressFamily::of(old.to.ip()) == family;
            let mut old = self.layout.targets.iter().zip(&self.standings);
            let known =
                self.layout.position(&target.name).and_then(|place| self.standings.get(place).copied());
            known.or_else(|| old.find(|(old, _)| same_end(old)).map(|(_, standing)| *standing))
        };
        let standings: Vec<Standing> =
            layout.targets.iter().map(|target| inherited(target).unwrap_or_default()).collect();
        self.unknown = standings.iter().filter(|standing| !standing.known).count();
        let said = |target: &super::Target| {
            let place = self.layout.position(&target.name)?;
            self.said.get(place).cloned().flatten()
        };
        self.said = layout.targets.iter().map(said).collect();
        let others = layout.targets != self.layout.targets;
        (self.fleet, self.keys, self.layout, self.standings) = (fleet, keys, layout, standings);
        self.ipvs = None;
        others
    }

    /// `target`: the one that stands differently.
    fn decide(&mut self, target: Option<usize>, now: Moment, actions: &mut Vec<Action>) {
        if let Some(patience) = self.patience {
            self.is_overdue = patience <= now;
            let waits = match self.is_overdue {
                false => self.unknown > 0 || self.inherited.is_none(),
                true => self.unknown > 0 && self.has_untried(),
            };
            // One node that cannot be tried must not keep this one from serving the others for ever.
            if waits && !(self.knows_any() && self.longest(patience) <= now) {
                return;
            }
            self.patience = None;
            self.supports.inherit(self.inherited.take().unwrap_or_default());
        }
        let (fleet, layout, standings) = (&self.fleet, &self.layout, &self.standings);
        match (&mut self.ipvs, target) {
            (Some(ipvs), Some(target)) => table::update(ipvs, fleet, layout, standings, target),
            (Some(_), None) => {}
            (ipvs @ None, _) => *ipvs = Some(table::wanted(fleet, layout, standings)),
        }
        let before = self.supports.clone();
        self.supports.count(&self.fleet.l4, &self.layout, &self.standings);
        let desired = self.desired();
        if self.wanted.as_ref() == Some(&desired) {
            return;
        }
        actions.extend(self.notes(&before).map(Action::Note));
        self.wanted = Some(desired.clone());
        actions.push(Action::Set(Box::new(desired)));
    }

    /// Whether there is a target of which nothing is known because its check could not be tried: to take its node out at once, where an
    /// earlier process had it, would be wrong.
    fn has_untried(&self) -> bool {
        let untried =
            |said: &Option<Box<health::Status>>| said.as_ref().is_some_and(|said| said.untried.is_some());
        self.standings.iter().zip(&self.said).any(|(standing, said)| !standing.known && untried(said))
    }

    fn desired(&self) -> Desired {
        let announced =
            self.supports.iter().filter(|(_, support)| support.announced).map(|(address, _)| address);
        let mut speaker = speaker(&self.fleet, &self.node, &self.keys, announced, self.wish());
        if let (Some(speaker), Some(why)) = (&mut speaker, &self.stopping) {
            speaker.reason.clone_from(why);
        }
        Desired {
            addresses: self.layout.addresses().into_iter().map(ServiceAddress).collect(),
            sysctls: settings::l4(&self.fleet.l4.check),
            ipvs: self.ipvs.clone().unwrap_or_default(),
            speaker,
            hold: self.fleet.l4.host_hold.get(),
            ..Desired::default()
        }
    }

    fn wish(&self) -> Wish {
        match self.announcing().0 {
            Announcing::Ended => Wish::Stop,
            Announcing::No => Wish::Leave,
            Announcing::Yes | Announcing::NotYet => Wish::Announce,
        }
    }

    fn announcing(&self) -> (Announcing, String) {
        if let Some(why) = &self.stopping {
            return (Announcing::Ended, format!("this node ends: {why}"));
        }
        if self.disabled {
            return (Announcing::No, format!("{} exists", self.fleet.l4.disable_file));
        }
        match self.operator {
            Admin::Drain => return (Announcing::No, "drained by an operator".to_owned()),
            Admin::Maint => return (Announcing::No, "in maintenance by an operator".to_owned()),
            Admin::Ready => {}
        }
        match self.patience {
            Some(_) if self.is_overdue => {
                (Announcing::NotYet, "there are l7 nodes that could not even be checked".to_owned())
            }
            Some(_) => (Announcing::NotYet, "the first round of checks is not over".to_owned()),
            None => (Announcing::Yes, String::new()),
        }
    }

    /// What has changed about addresses since `before`.
    fn notes(&self, before: &Supports) -> impl Iterator<Item = String> {
        let before: std::collections::BTreeMap<_, _> = before.iter().collect();
        let note = move |(address, support): (_, super::quorum::Support)| {
            let was = before.get(&address).is_some_and(|before| before.announced);
            let count = format!("{} of {} l7 nodes take connections", support.taking, support.nodes);
            match (was, support.announced) {
                (false, true) => Some(format!("{address} may be announced: {count}")),
                (true, false) => Some(format!("{address} is withdrawn: {count}")),
                _ => None,
            }
        };
        self.supports.iter().filter_map(note).collect::<Vec<_>>().into_iter()
    }

    fn nodes(&self) -> Vec<NodeStatus> {
        let status = |(name, node): (&Name, &Node)| {
            let targets = self.layout.targets.iter().zip(&self.standings).zip(&self.said);
            let own = targets.filter(|((target, _), _)| target.node == *name);
            NodeStatus {
                name: name.to_string(),
                join: node.join.unwrap_or_default(),
                weight: node.weight,
                checks: own
                    .map(|((target, standing), said)| {
                        CheckStatus::of(target, standing.taking, said.as_deref())
                    })
                    .collect(),
            }
        };
        in_join_order(&self.fleet).into_iter().map(status).collect()
    }

    /// Neighbors that are left out, since what their `password-file` names cannot be read.
    fn silent_neighbors(&self) -> Vec<String> {
        let neighbors = self.fleet.bgp.iter().flat_map(|bgp| &bgp.neighbors);
        let mine = neighbors.filter(|neighbor| neighbor.is_of(&self.node));
        mine.filter_map(|neighbor| lacks_key(neighbor, &self.keys)).map(ToString::to_string).collect()
    }
}

/// How long the first round may take: a check of each target begins within a tenth of an interval and ends within its timeout. Twice that,
/// since a machine that has just started is busy; whoever is silent then counts as down.
/// A check that could not even be tried says nothing of anybody, and is waited for.
fn patience(fleet: &Fleet) -> Duration {
    let timing = fleet.l4.check.timing();
    (timing.interval + timing.timeout) * 2
}
