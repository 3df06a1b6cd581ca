//! Rise and fall: how many results in a row it takes to believe a check.
//!
//! ```text
//!                 passed                     fall failed in a row
//!   ┌─────────┐ ─────────▶ ┌────┐ ──────────────────────────────▶ ┌──────┐
//!   │ unknown │            │ up │                                 │ down │
//!   └─────────┘ ─────────┐ └────┘ ◀────────────────────────────── └──────┘
//!                 failed │          rise passed in a row              ▲
//!                        └────────────────────────────────────────────┘
//! ```
//!
//! A server starts *unknown, treated as down*, and its first result decides alone. HAProxy starts a server as up
//! instead: after a restart its clients find out which servers are dead. Weir would rather wait for one round
//! trip (the first round is over within a tenth of an interval and a timeout) than send requests where nobody looked; and
//! it does not ask `rise` times for a first opinion, because there is no earlier one that a glitch could upset.

use serde::{Deserialize, Serialize};

use super::agent::Health;
use super::cadence::Cadence;
use super::spec::CheckTiming;
use crate::time::Moment;

/// What the checks of a server say, all in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckHealth {
    /// No check has ended yet. Treated as down.
    Unknown,
    /// The last `rise` checks passed, and no `fall` failed in a row since.
    Up,
    /// The last `fall` checks failed, and no `rise` passed in a row since.
    Down,
}

/// The checks of one server.
#[derive(Debug, Clone)]
pub(super) struct Check {
    timing: CheckTiming,
    pub(super) cadence: Cadence,
    health: CheckHealth,
    /// Results in a row that contradict `health`; less than `rise` or `fall`.
    against: u32,
    /// Why the last failed check failed.
    failure: String,
    /// Why the last check could not be tried; `None`: it was.
    untried: Option<String>,
}

impl Check {
    pub(super) fn new(timing: CheckTiming, seed: u64, now: Moment) -> Self {
        let cadence = Cadence::new(seed, timing.interval, now);
        Self {
            timing,
            cadence,
            health: CheckHealth::Unknown,
            against: 0,
            failure: String::new(),
            untried: None,
        }
    }

    /// Of a server that was in use without a check: up until `fall` failures say otherwise. A check that is added
    /// to a pool must not empty it until its first round is over.
    pub(super) fn of_trusted(timing: CheckTiming, seed: u64, now: Moment) -> Self {
        Self { health: CheckHealth::Up, ..Self::new(timing, seed, now) }
    }

    pub(super) fn health(&self) -> CheckHealth {
        self.health
    }

    pub(super) fn failure(&self) -> &str {
        &self.failure
    }

    /// Why the last check could not be tried.
    pub(super) fn why_untried(&self) -> Option<&str> {
        self.untried.as_deref()
    }

    /// What an operator should know beside the state: how far the next one is.
    pub(super) fn note(&self) -> Option<String> {
        match (self.health, self.against) {
            (_, 0) | (CheckHealth::Unknown, _) => None,
            (CheckHealth::Up, n) => {
                Some(format!("{n} of {} failed checks: {}", self.timing.fall, self.failure))
            }
            (CheckHealth::Down, n) => Some(format!("{n} of {} passed checks", self.timing.rise)),
        }
    }

    /// A check has ended, with why it failed. Ignored where none was under way.
    pub(super) fn ended(&mut self, result: Result<(), String>, now: Moment) {
        if !self.cadence.is_under_way() {
            return;
        }
        self.untried = None;
        let (says, needed) = match &result {
            Ok(()) => (CheckHealth::Up, self.timing.rise),
            Err(_) => (CheckHealth::Down, self.timing.fall),
        };
        if let Err(failure) = result {
            self.failure = failure;
        }
        if self.health == says {
            self.against = 0;
        } else {
            self.against = self.against.saturating_add(1);
            if self.health == CheckHealth::Unknown || self.against >= needed {
                self.health = says;
                self.against = 0;
            }
        }
        self.cadence.end(self.interval(), now);
    }

    /// A check could not be tried. What is known stays known. Ignored where none was under way.
    pub(super) fn untried(&mut self, why: String, now: Moment) {
        if self.cadence.end(self.interval(), now) {
            self.untried = Some(why);
        }
    }

    /// A check has ended, and a judge has decided: `None` leaves what is known. Ignored where none was under way.
    pub(super) fn judged(&mut self, health: Option<Health>, reason: Option<&str>, now: Moment) {
        if self.cadence.is_under_way() {
            self.untried = None;
            self.decided(health, reason);
            self.cadence.end(self.interval(), now);
        }
    }

    /// A judge has decided without a check. Not before the first one: that nobody looked yet is no news.
    pub(super) fn reminded(&mut self, health: Option<Health>, reason: Option<&str>) {
        if self.health != CheckHealth::Unknown {
            self.decided(health, reason);
        }
    }

    fn decided(&mut self, health: Option<Health>, reason: Option<&str>) {
        let Some(health) = health else { return };
        self.against = 0;
        self.health = match health {
            Health::Up => CheckHealth::Up,
            Health::Down => {
                self.failure = reason.unwrap_or("by its judge").to_owned();
                CheckHealth::Down
            }
        };
    }

    pub(super) fn pause(&mut self) {
        self.cadence.pause();
    }

    /// After a pause nothing is known any more, and a check is due at once.
    pub(super) fn resume(&mut self, now: Moment) {
        self.health = CheckHealth::Unknown;
        self.against = 0;
        self.untried = None;
        self.cadence.resume(now);
    }

    /// Other timing, same knowledge.
    pub(super) fn retime(&mut self, timing: CheckTiming, now: Moment) {
        self.timing = timing;
        self.cadence.retime(self.interval(), now);
    }

    /// Another place, same standing: results of the old place no longer count towards changing it.
    pub(super) fn relocate(&mut self, now: Moment) {
        self.against = 0;
        self.untried = None;
        self.cadence.restart(self.timing.interval, now);
    }

    fn interval(&self) -> std::time::Duration {
        if self.against > 0 { self.timing.fast_interval } else { self.timing.interval }
    }
}

#[cfg(test)]
mod tests;
