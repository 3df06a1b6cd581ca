//! Leaving without losing a packet: ask for traffic to go elsewhere, wait, withdraw, wait, and only then end the session.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::advert::Adverts;
use crate::time::Moment;

/// What is wanted of the announcements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Wish {
    /// All of them, at once.
    Announce,
    /// None, after a graceful leave; sessions stay.
    Leave,
    /// None, at once: there is nothing left that could serve the traffic. Sessions stay.
    Withdraw,
    /// None, and no session either: a graceful leave, and then the end.
    Stop,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Announced as configured.
    Announced,
    /// Announced with the community of RFC 8326 and the smallest preference.
    Fading,
    /// Not announced; what is still on its way is served.
    Withdrawn,
    /// The sessions may end, with a text that says why.
    Done,
}

/// How long the stages last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pauses {
    /// From the community to the withdrawal: as long as routers need to choose another path everywhere.
    pub fade: Duration,
    /// From the withdrawal to the end of the sessions: as long as packets may still come.
    pub drain: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { fade: Duration::from_secs(2), drain: Duration::from_secs(2) }
    }
}

/// The sequence, for all neighbors together.
#[derive(Debug, Clone)]
pub struct Maintenance {
    pauses: Pauses,
    wish: Wish,
    stage: Stage,
    until: Option<Moment>,
}

impl Maintenance {
    /// Nothing is announced yet: the first checks come before the first announcement.
    pub const fn new(pauses: Pauses) -> Self {
        Self { pauses, wish: Wish::Withdraw, stage: Stage::Withdrawn, until: None }
    }

    /// Other pauses, for stages that begin from now on.
    pub const fn set_pauses(&mut self, pauses: Pauses) {
        self.pauses = pauses;
    }

    /// How far it is.
    pub const fn stage(&self) -> Stage {
        self.stage
    }

    /// When it goes on by itself.
    pub const fn deadline(&self) -> Option<Moment> {
        self.until
    }

    /// What to hand to each neighbor in this stage.
    pub fn adverts(&self, configured: &Adverts) -> Adverts {
        match self.stage {
            Stage::Announced => configured.clone(),
            Stage::Fading => configured.fading(),
            Stage::Withdrawn | Stage::Done => Adverts::default(),
        }
    }

    /// Another wish, which may be the same. Gives the stage after it.
    pub fn wish(&mut self, wish: Wish, now: Moment) -> Stage {
        self.wish = wish;
        match (wish, self.stage) {
            (Wish::Announce, _) => self.enter(Stage::Announced, None),
            (Wish::Leave | Wish::Stop, Stage::Announced) => {
                self.enter(Stage::Fading, Some(now.after(self.pauses.fade)));
            }
            (Wish::Withdraw, _) | (Wish::Leave, Stage::Done) => self.enter(Stage::Withdrawn, None),
            (Wish::Stop, Stage::Withdrawn) if self.until.is_none() => self.withdraw(now),
            // A drain that turns out to be none: the sessions stay.
            (Wish::Leave, Stage::Withdrawn) => self.until = None,
            (Wish::Leave | Wish::Stop, Stage::Fading) | (Wish::Stop, Stage::Withdrawn | Stage::Done) => {}
        }
        self.stage
    }

    /// Time has passed. Gives the stage after it.
    pub fn tick(&mut self, now: Moment) -> Stage {
        while self.until.is_some_and(|until| until <= now) {
            match self.stage {
                Stage::Fading => self.withdraw(now),
                _ => self.enter(Stage::Done, None),
            }
        }
        self.stage
    }

    fn withdraw(&mut self, now: Moment) {
        let until = (self.wish == Wish::Stop).then(|| now.after(self.pauses.drain));
        self.enter(Stage::Withdrawn, until);
    }

    const fn enter(&mut self, stage: Stage, until: Option<Moment>) {
        self.stage = stage;
        self.until = until;
    }
}
