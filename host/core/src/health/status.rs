//! From separate bits to one state. Each source owns its bits, so that undoing one never undoes another.

use serde::{Deserialize, Serialize};

use super::agent::{Admin, Health, Weight};
use super::check::CheckHealth;
use super::load::Load;
use crate::model::State;
use crate::pool::Standing;
use crate::time::Moment;

/// What an operator ordered by command. Kept over a restart by whoever owns the disk: take it from
/// [`ServerHealth::operator`](super::ServerHealth::operator), give it to [`ServerHealth::new`](super::ServerHealth::new).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Operator {
    /// `weir ready|drain|maint`
    pub admin: Admin,
    /// `weir weight`; wins over the agent's.
    pub weight: Option<Weight>,
}

/// Everything that is said about a server, by whom. [`Bits::state`] is the whole precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Bits {
    /// By command.
    pub operator: Operator,
    /// By whatever this server stands under (its node, a server that it follows); `Up` where nothing is.
    pub inherited: State,
    /// The agent's `ready`, `drain` or `maint`.
    pub agent_admin: Admin,
    /// The agent's `up` or `down`; `None` until it said one, which is neutral.
    pub agent_health: Option<Health>,
    /// The agent's weight.
    pub agent_weight: Option<Weight>,
    /// The agent's limit; 0 is no limit.
    pub agent_max_in_flight: Option<u32>,
    /// Of the checks; `None` where the server is not checked.
    pub check: Option<CheckHealth>,
}

impl Default for Bits {
    /// Nobody said anything.
    fn default() -> Self {
        Self {
            operator: Operator::default(),
            inherited: State::Up,
            agent_admin: Admin::Ready,
            agent_health: None,
            agent_weight: None,
            agent_max_in_flight: None,
            check: None,
        }
    }
}

/// Who decided the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Nobody objects.
    Nothing,
    /// A command.
    Operator,
    /// What the server stands under.
    Inherited,
    /// The server's agent, or the plugin that judges it.
    Agent,
    /// The health checks.
    Check,
    /// A weight of 0, whoever set it.
    Weight,
}

impl Bits {
    /// The effective state and who decided it: maint before down before drain before up; of several who say
    /// the same, operator before inherited before agent before check. `weight` is what it weighs in the end.
    pub fn state(&self, weight: u16) -> (State, Cause) {
        let rules = [
            (self.operator.admin == Admin::Maint, State::Maint, Cause::Operator),
            (self.inherited == State::Maint, State::Maint, Cause::Inherited),
            (self.agent_admin == Admin::Maint, State::Maint, Cause::Agent),
            (self.inherited == State::Down, State::Down, Cause::Inherited),
            (self.agent_health == Some(Health::Down), State::Down, Cause::Agent),
            (self.check.is_some_and(|check| check != CheckHealth::Up), State::Down, Cause::Check),
            (self.operator.admin == Admin::Drain, State::Drain, Cause::Operator),
            (self.inherited == State::Drain, State::Drain, Cause::Inherited),
            (self.agent_admin == Admin::Drain, State::Drain, Cause::Agent),
            (weight == 0, State::Drain, Cause::Weight),
        ];
        rules
            .into_iter()
            .find_map(|(holds, state, cause)| holds.then_some((state, cause)))
            .unwrap_or((State::Up, Cause::Nothing))
    }

    /// The weight before slow start: the operator's, else the agent's, else the configured one.
    pub fn weight(&self, configured: u16) -> u16 {
        self.operator.weight.or(self.agent_weight).map_or(configured, |weight| weight.of(configured))
    }

    /// The limit before slow start: the agent's, else the configured one.
    pub fn max_in_flight(&self, configured: Option<u32>) -> Option<u32> {
        self.agent_max_in_flight.map_or(configured, |limit| (limit > 0).then_some(limit))
    }
}

/// What may be done with a server now, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The outcome of everything.
    pub state: State,
    /// What it weighs now, slow start included, 0 to 256. Also given while it is not up.
    pub weight: u16,
    /// Requests that may be in flight now, slow start included; `None` is no limit.
    pub max_in_flight: Option<u32>,
    /// Who decided `state`.
    pub cause: Cause,
    /// Why it is in this state, for a person; empty where it is simply up.
    pub reason: String,
    /// What is odd without having decided anything: failed checks on the way to down, an agent that does not answer.
    pub note: Option<String>,
    /// Why its last check could not even be tried; `None`: it was. What was known before is still held to be so.
    pub untried: Option<String>,
    /// What its judge said last, in the words of agents; `None` where none was asked.
    pub judgement: Option<String>,
    /// How busy its checks' answers say it is, in steps of 1/32; `None` where none of the last ones said it, and where the server is
    /// down or in maintenance.
    pub load: Option<Load>,
    /// What is wrong with the load that its last check's answer said.
    pub load_fault: Option<String>,
    /// Since when it is in this state.
    pub since: Moment,
    /// How far slow start is, in percent; `None` while there is none.
    pub slow_start: Option<u8>,
    /// What `state` was made of.
    pub bits: Bits,
}

impl Status {
    /// The part that requests depend on. Where it is the same, a view of the pool need not be made again.
    pub fn standing(&self) -> Standing {
        Standing { state: self.state, weight: self.weight, max_in_flight: self.max_in_flight }
    }
}
