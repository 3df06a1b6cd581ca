//! One TCP connection to a neighbor: the states of RFC 4271 §8.2.2, its hold, keepalive and send-hold timers.
//!
//! What spans two connections (collision, back-off, what to announce) is the [`Neighbor`](super::Neighbor)'s. Two deviations
//! that every speaker shares: a failed connect goes from `Connect` to `Active`, to be tried again, instead of to `Idle`; and
//! nothing is ever sent in a state that has no connection.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Settings;
use super::event::Down;
use super::message::{Message, Open};
use super::negotiate::{Negotiated, negotiate};
use super::notification::{Cease, Notification};
use crate::time::Moment;

/// How long to wait for an `OPEN`: RFC 4271 says "a large value".
const OPEN_HOLD: Duration = Duration::from_secs(240);
/// So long at least may the other end read nothing (RFC 9687).
const SEND_HOLD: Duration = Duration::from_secs(480);

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// We.
    Outgoing,
    /// The neighbor.
    Incoming,
}

impl Side {
    /// The other one.
    pub const fn other(self) -> Self {
        match self {
            Self::Outgoing => Self::Incoming,
            Self::Incoming => Self::Outgoing,
        }
    }
}

/// The states of RFC 4271.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Off, or in a pause after a failure. Connections are refused.
    #[default]
    Idle,
    /// Waits for the neighbor to connect, or for the next try.
    Active,
    /// A connection is being made.
    Connect,
    /// Connected; our `OPEN` is sent.
    OpenSent,
    /// Their `OPEN` was good; waiting for theirs to say the same.
    OpenConfirm,
    /// Routes are exchanged.
    Established,
}

impl State {
    /// Whether there is a connection on which something can be sent.
    pub const fn is_connected(self) -> bool {
        matches!(self, Self::OpenSent | Self::OpenConfirm | Self::Established)
    }

    /// The word in output and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Connect => "connect",
            Self::OpenSent => "open-sent",
            Self::OpenConfirm => "open-confirm",
            Self::Established => "established",
        }
    }
}

/// What happens to a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Input {
    /// Make one.
    Start,
    /// Wait for one.
    Listen,
    /// End it, and say this where it is possible.
    Stop(Notification),
    /// There is one.
    Connected,
    /// There is none, or none any more.
    Closed,
    /// It is given up, for this reason.
    GivenUp(String),
    /// A message.
    Message(Message),
    /// Bytes that break the connection, and what to answer.
    Malformed(Notification),
    /// An `UPDATE` with an error that breaks nothing (RFC 7606).
    Unread,
    /// All (`true`) or some of what was to be sent is on its way.
    Wrote(bool),
    /// Time has passed.
    Tick,
}

/// What follows. In this order: send, close.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) send: Vec<Message>,
    /// The connection, or the attempt to make one.
    pub(super) close: bool,
    /// A connection ended, and why.
    pub(super) down: Option<Down>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Session {
    pub(super) state: State,
    pub(super) negotiated: Option<Negotiated>,
    /// Our `OPEN` had no capabilities.
    pub(super) plain: bool,
    hold: Option<Moment>,
    keepalive: Option<Moment>,
    /// Set while something that was to be sent is not on its way.
    unsent: Option<Moment>,
}

impl Session {
    pub(super) fn deadline(&self) -> Option<Moment> {
        [self.hold, self.keepalive, self.unsent].into_iter().flatten().min()
    }

    /// Whether all that was to be sent is on its way.
    pub(super) const fn is_drained(&self) -> bool {
        self.unsent.is_none()
    }

    /// `plain`: our next `OPEN` has no capabilities. `jitter`: 0.75 to 1, for the next keepalive.
    pub(super) fn step(
        &mut self,
        input: Input,
        settings: &Settings,
        plain: bool,
        jitter: f64,
        now: Moment,
    ) -> Step {
        let mut step = Step::default();
        match (self.state, input) {
            (State::Idle | State::Active, Input::Start) => self.state = State::Connect,
            // The last attempt takes too long.
            (State::Connect, Input::Start) => step.close = true,
            (State::Idle, Input::Listen) => self.state = State::Active,
            (State::Active, Input::Stop(_)) => self.state = State::Idle,
            (State::Connect, Input::Stop(_)) => {
                self.state = State::Idle;
                step.close = true;
            }
            (State::Connect, Input::Closed) => self.state = State::Active,
            (State::Connect | State::Active, Input::Connected) => {
                self.state = State::OpenSent;
                self.plain = plain;
                self.hold = Some(now.after(OPEN_HOLD));
                step.send.push(Message::Open(Open::ours(settings, plain)));
            }
            (state, input) if state.is_connected() => {
                self.connected(input, settings, jitter, now, &mut step);
            }
            // Whatever else comes without a connection, or twice, is late.
            _ => {}
        }
        if self.state.is_connected() && !step.send.is_empty() {
            self.unsent.get_or_insert(now.after(self.patience()));
        }
        step
    }

    /// Sends these, which belong to an established session.
    pub(super) fn send(&mut self, now: Moment) {
        self.unsent.get_or_insert(now.after(self.patience()));
    }

    fn connected(&mut self, input: Input, settings: &Settings, jitter: f64, now: Moment, step: &mut Step) {
        match input {
            Input::Start | Input::Listen | Input::Connected => {}
            Input::Stop(why) => {
                let down = if why.is_collision() { Down::Collision } else { Down::Sent(why.clone()) };
                self.end(down, Some(why), step);
            }
            Input::Closed => self.end(Down::Closed, None, step),
            Input::GivenUp(why) => {
                self.end(Down::GivenUp(why), Some(Notification::cease(Cease::OutOfResources)), step);
            }
            Input::Malformed(answer) => self.end(Down::Sent(answer.clone()), Some(answer), step),
            Input::Message(Message::Notification(heard)) => self.end(Down::Heard(heard), None, step),
            Input::Wrote(true) => self.unsent = None,
            Input::Wrote(false) => self.unsent = self.unsent.map(|_| now.after(self.patience())),
            Input::Tick => self.tick(jitter, now, step),
            Input::Unread if self.state == State::Established => self.alive(now),
            Input::Unread => self.unexpected(step),
            Input::Message(message) => match (self.state, message) {
                (State::OpenSent, Message::Open(open)) => match negotiate(&open, settings, self.plain) {
                    Ok(agreed) => {
                        self.state = State::OpenConfirm;
                        self.keepalive = agreed.keepalive.map(|every| now.after(every.mul_f64(jitter)));
                        // Without a hold time the one for the OPEN goes on: who never says KEEPALIVE is not waited for for ever.
                        self.hold = agreed.hold.map(|hold| now.after(hold)).or(self.hold);
                        self.negotiated = Some(agreed);
                        step.send.push(Message::Keepalive);
                    }
                    Err((answer, why)) => {
                        self.end(Down::Disagreed(answer.clone(), why), Some(answer), step);
                    }
                },
                (State::OpenConfirm, Message::Keepalive) => {
                    self.state = State::Established;
                    self.alive(now);
                }
                (State::Established, Message::Keepalive | Message::Update(_)) => self.alive(now),
                // Does not restart the hold timer: RFC 4271 counts signs of life, RFC 2918 adds none.
                (State::Established, Message::RouteRefresh(_)) => {}
                _ => self.unexpected(step),
            },
        }
    }

    fn tick(&mut self, jitter: f64, now: Moment, step: &mut Step) {
        let due = |timer: Option<Moment>| timer.is_some_and(|at| at <= now);
        if due(self.hold) {
            self.end(Down::Sent(Notification::HOLD_EXPIRED), Some(Notification::HOLD_EXPIRED), step);
        } else if due(self.unsent) {
            self.end(
                Down::Sent(Notification::SEND_HOLD_EXPIRED),
                Some(Notification::SEND_HOLD_EXPIRED),
                step,
            );
        } else if due(self.keepalive) {
            let every = self.negotiated.as_ref().and_then(|agreed| agreed.keepalive);
            self.keepalive = every.map(|every| now.after(every.mul_f64(jitter)));
            step.send.push(Message::Keepalive);
        }
    }

    /// A message that does not belong in this state: RFC 6608 numbers the states.
    fn unexpected(&mut self, step: &mut Step) {
        let subcode = match self.state {
            State::OpenSent => 1,
            State::OpenConfirm => 2,
            State::Established => 3,
            State::Idle | State::Active | State::Connect => 0,
        };
        let answer = Notification::new(5, subcode);
        self.end(Down::Sent(answer.clone()), Some(answer), step);
    }

    fn alive(&mut self, now: Moment) {
        self.hold = self.negotiated.as_ref().and_then(|agreed| agreed.hold).map(|hold| now.after(hold));
    }

    fn patience(&self) -> Duration {
        let hold = self.negotiated.as_ref().and_then(|agreed| agreed.hold).unwrap_or_default();
        SEND_HOLD.max(2 * hold)
    }

    fn end(&mut self, down: Down, say: Option<Notification>, step: &mut Step) {
        *self = Self::default();
        step.send.extend(say.map(Message::Notification));
        step.close = !matches!(down, Down::Closed);
        step.down = Some(down);
    }
}

impl Input {
    pub(super) const fn collision() -> Self {
        Self::Stop(Notification::cease(Cease::Collision))
    }
}
