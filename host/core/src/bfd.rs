//! Is the neighbor there? RFC 5880, asynchronous mode, one hop (RFC 5881): both ends send small packets all the time, and who
//! hears none for three intervals knows within a second what BGP's hold time would tell in many.
//!
//! The speaker around it owns socket, TTL check and bytes. It should read all packets that wait before it says
//! [`Event::Tick`]: a process that was held up must not take its own absence for the neighbor's.

mod control;

#[cfg(test)]
mod tests;

pub use control::{Control, Diagnostic, Refusal, State};

use std::time::Duration;

use crate::time::Moment;

/// While a session is not up, nobody is bothered with more than a packet a second.
const SLOW: Duration = Duration::from_secs(1);

/// How a session is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// We send this often, or less where the neighbor wants less.
    pub send_every: Duration,
    /// We can take packets this often.
    pub receive_every: Duration,
    /// So many intervals without a packet, and the neighbor is gone. At least 1.
    pub multiplier: u8,
    /// Says nothing before the neighbor does.
    pub passive: bool,
}

impl Settings {
    fn sane(self) -> Self {
        Self { multiplier: self.multiplier.max(1), ..self }
    }
}

impl Default for Settings {
    /// 300 ms and three times: 0.9 s.
    fn default() -> Self {
        let every = Duration::from_millis(300);
        Self { send_every: every, receive_every: every, multiplier: 3, passive: false }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A packet of this session came.
    Received(Control),
    /// Down by our own will; the neighbor is told, and shall not take it for a failure.
    Disable,
    /// No longer.
    Enable,
    /// Runs like this from now on. A session that is up stays up: the neighbor is asked to follow (RFC 5880 §6.8.3).
    Configure(Settings),
    /// Time has passed, see [`Session::deadline`].
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Send(Control),
    /// The neighbor is there.
    Up,
    /// It was, and is not any more. [`Diagnostic::says_failure`] tells whether the BGP session should fall with it.
    Down(Diagnostic),
}

/// What our end sent with, and what it could take.
#[derive(Debug, Clone, Copy)]
struct Intervals {
    send_every: Duration,
    receive_every: Duration,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Session {
    settings: Settings,
    state: State,
    diagnostic: Diagnostic,
    discriminator: u32,
    /// The neighbor's number for the session; 0: not known.
    theirs: u32,
    /// What the neighbor said last.
    heard: Option<Control>,
    /// A change of our intervals was not acknowledged yet.
    polling: bool,
    /// The intervals that the neighbor still counts with, while that is so.
    before: Option<Intervals>,
    /// See [`Session::told_at`].
    told_at: Option<Moment>,
    next_send: Option<Moment>,
    expires: Option<Moment>,
    refused: u64,
}

impl Session {
    /// A session that sends its first packet at once. `discriminator`: our number for it, not 0, and not that of another session;
    /// better not the one that it had before a restart.
    pub fn new(settings: Settings, discriminator: u32, now: Moment) -> Self {
        Self {
            settings: settings.sane(),
            state: State::Down,
            diagnostic: Diagnostic::None,
            discriminator: discriminator.max(1),
            theirs: 0,
            heard: None,
            polling: false,
            before: None,
            told_at: None,
            next_send: (!settings.passive).then_some(now),
            expires: None,
            refused: 0,
        }
    }

    /// Where it is.
    pub const fn state(&self) -> State {
        self.state
    }

    /// Why it was down last.
    pub const fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// Packets that were not taken.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// After so long without a packet the neighbor is gone; none before its first one.
    pub fn detection_time(&self) -> Option<Duration> {
        let heard = self.heard?;
        // Until it acknowledges a shorter interval it sends by the longer one.
        let before = self.before.map_or(Duration::ZERO, |before| before.receive_every);
        let every = self.settings.receive_every.max(before).max(heard.send_every);
        Some(every * u32::from(heard.multiplier))
    }

    /// After [`Event::Disable`]: when the neighbor has either heard of it or missed us for good. Until then a packet that is lost
    /// would make a failure of it (RFC 5880 §6.8.16); then nobody needs the session any more. `None`: nobody does now.
    pub const fn told_at(&self) -> Option<Moment> {
        self.told_at
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        self.next_send.into_iter().chain(self.expires).min()
    }

    /// Something happened. `jitter`: 0 to 1, by chance and for each call anew, so that sessions do not fall in step.
    pub fn handle(&mut self, event: Event, jitter: f64, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        let before = self.state;
        let (mut answer, mut changed) = (false, false);
        match event {
            Event::Received(control) => match control.check(self.discriminator) {
                Ok(()) => answer = self.receive(control, now),
                Err(_) => self.refused += 1,
            },
            Event::Disable if self.state != State::AdminDown => self.disable(now),
            Event::Configure(settings) => changed = self.configure(settings.sane(), now),
            Event::Enable if self.state == State::AdminDown => self.enter(State::Down, Diagnostic::None),
            Event::Disable | Event::Enable => {}
            Event::Tick => self.tick(now),
        }
        match (before == State::Up, self.state == State::Up) {
            (false, true) => actions.push(Action::Up),
            (true, false) => actions.push(Action::Down(self.diagnostic)),
            _ => {}
        }
        let due = self.next_send.is_some_and(|at| at <= now);
        let speaks = !self.settings.passive || self.theirs != 0;
        if answer {
            // The answer to a poll goes out at once, whatever the interval, and asks nothing itself.
            actions.push(Action::Send(Control { poll: false, last: true, ..self.control() }));
        }
        if due || ((changed || before != self.state) && speaks) {
            if !answer {
                actions.push(Action::Send(self.control()));
            }
            self.next_send = self.interval().map(|every| now.after(self.jittered(every, jitter)));
        } else if self.next_send.is_none() && speaks {
            self.next_send = self.interval().map(|every| now.after(self.jittered(every, jitter)));
        } else if let (Some(at), Some(every)) = (self.next_send, self.interval()) {
            // The interval became shorter: what is left of the longer one is not waited for.
            self.next_send = Some(at.min(now.after(every)));
        } else {
            self.next_send = None;
        }
        actions
    }

    /// RFC 5880 §6.8.6. Whether it asks for an answer.
    fn receive(&mut self, control: Control, now: Moment) -> bool {
        if self.state == State::AdminDown {
            return false;
        }
        self.theirs = control.mine;
        if control.last {
            self.polling = false;
            self.before = None;
        }
        self.heard = Some(control);
        self.expires = self.detection_time().map(|time| now.after(time));
        match (self.state, control.state) {
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                let why = if control.state == State::AdminDown {
                    Diagnostic::NeighborAdministrative
                } else {
                    Diagnostic::NeighborSaidDown
                };
                self.enter(State::Down, why);
            }
            (State::Down, State::Down) => self.enter(State::Init, self.diagnostic),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                // From a packet a second to what is configured: a change of intervals, to be acknowledged.
                self.polling = true;
                self.enter(State::Up, Diagnostic::None);
            }
            _ => {}
        }
        control.poll
    }

    /// Whether the neighbor is to be told.
    fn configure(&mut self, settings: Settings, now: Moment) -> bool {
        let detection = self.detection_time();
        let old = std::mem::replace(&mut self.settings, settings);
        if old == settings || self.state == State::AdminDown {
            return false;
        }
        if self.theirs == 0 {
            self.next_send = (!settings.passive).then_some(now);
        }
        let intervals = |of: Settings| (of.send_every, of.receive_every);
        if self.state == State::Up && intervals(old) != intervals(settings) {
            // Of several changes that were not acknowledged any may be the one that the neighbor knows of.
            let before = self.before.map_or((old.send_every, old.receive_every), |before| {
                (before.send_every.min(old.send_every), before.receive_every.max(old.receive_every))
            });
            self.before = Some(Intervals { send_every: before.0, receive_every: before.1 });
            self.polling = true;
            // The neighbor may be slower from its next packet on, and its answer may be lost.
            let longer = self.detection_time().zip(detection).map(|(new, old)| new.saturating_sub(old));
            self.expires = self.expires.zip(longer).map(|(at, longer)| at.after(longer));
        }
        intervals(old) != intervals(settings) || old.multiplier != settings.multiplier
    }

    /// Who heard of us is told for as long as it would take to miss us, and as often as before: a packet a second would come too
    /// late for one that was lost.
    fn disable(&mut self, now: Moment) {
        let counts = matches!(self.state, State::Init | State::Up);
        let pace = self.interval().filter(|_| counts);
        self.enter(State::AdminDown, Diagnostic::Administrative);
        self.told_at = pace.map(|every| now.after(every.saturating_mul(self.settings.multiplier.into())));
        self.before =
            pace.map(|send_every| Intervals { send_every, receive_every: self.settings.receive_every });
    }

    fn tick(&mut self, now: Moment) {
        if self.state == State::AdminDown && self.told_at.is_some_and(|at| at <= now) {
            self.before = None;
        }
        if self.expires.is_some_and(|at| at <= now) {
            // The neighbor may have restarted, with another number.
            self.theirs = 0;
            self.heard = None;
            self.expires = None;
            if matches!(self.state, State::Init | State::Up) {
                self.enter(State::Down, Diagnostic::Expired);
            }
        }
    }

    fn enter(&mut self, state: State, diagnostic: Diagnostic) {
        self.state = state;
        self.diagnostic = diagnostic;
        self.polling &= state == State::Up;
        self.before = None;
        self.told_at = None;
        if state == State::AdminDown {
            self.expires = None;
            self.heard = None;
        }
    }

    /// The packet that says how things are.
    fn control(&self) -> Control {
        Control {
            state: self.state,
            diagnostic: self.diagnostic,
            poll: self.polling,
            last: false,
            demand: false,
            multipoint: false,
            authenticated: false,
            multiplier: self.settings.multiplier,
            mine: self.discriminator,
            yours: self.theirs,
            send_every: self.send_every(),
            receive_every: self.settings.receive_every,
        }
    }

    fn send_every(&self) -> Duration {
        if self.state == State::Up { self.settings.send_every } else { self.settings.send_every.max(SLOW) }
    }

    /// Between packets, before jitter; `None` where the neighbor wants none.
    fn interval(&self) -> Option<Duration> {
        let before = self.before.map(|before| before.send_every);
        let Some(heard) = self.heard else { return Some(before.unwrap_or_else(|| self.send_every())) };
        // Before it acknowledges a longer interval it would miss us.
        let ours = self.send_every().min(before.unwrap_or(Duration::MAX));
        let both_up = self.state == State::Up && heard.state == State::Up;
        let unwanted = heard.receive_every.is_zero() || heard.demand && both_up && !self.polling;
        (!unwanted).then(|| ours.max(heard.receive_every))
    }

    fn jittered(&self, every: Duration, jitter: f64) -> Duration {
        // With a multiplier of 1 a full interval would already be too late (RFC 5880 §6.8.7).
        let span = if self.settings.multiplier == 1 { 0.15 } else { 0.25 };
        let jitter = if jitter.is_finite() { jitter.clamp(0.0, 1.0) } else { 0.0 };
        every.mul_f64(0.75 + span * jitter).max(Duration::from_micros(1))
    }
}
