//! What becomes of the versions of a plugin: which is loaded, which decides, which is out.
//!
//! One [`Machine`] for each plugin instance. It is told what the directory holds, how loading went and how calls failed; it
//! answers with what is to be done. Two questions are kept apart, because the answers differ just when it matters: what state
//! the version that is *wanted* is in, and which version *serves*.
//!
//! ```text
//!              Wanted                 Loaded            Passed
//!   absent ------------> loading ------------> canary ----------> active <---------+
//!                           |                     |                  | Failed      | Rebuild
//!                           | Refused             | Refused          v             | (1 s .. 30 s)
//!                           +-------> rejected <--+             backing-off -------+
//!                                                                    | the 4th failure in 60 s
//!                                                                    v
//!                                                               quarantined, back to the last good version
//! ```
//!
//! A version that was rejected or quarantined is not loaded again until its content or configuration changes, or an
//! operator says `retry`. Whatever happens to a new version, the old one serves on.

mod version;

#[cfg(test)]
mod tests;

pub use version::{Digest, DigestError, Version};

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::Moment;

/// The pause before a failed instance is made again; doubled each time. As Redpanda's.
pub const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
pub const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// So long without a failure, and the next pause is the first one again.
pub const GOOD_AFTER: Duration = Duration::from_secs(10);
/// Failures within this time are counted together.
pub const FAILURE_WINDOW: Duration = Duration::from_secs(60);
/// More failures than this within [`FAILURE_WINDOW`] quarantine a version.
pub const FAILURES_ALLOWED: usize = 3;
/// The pause after the *host* failed to load a version, which is no fault of the version.
pub const HOST_PAUSE: Duration = Duration::from_secs(30);
/// Versions that are remembered as bad.
const MAX_BAD: usize = 16;
/// Versions that are kept as good: the one that serves and the one before.
const MAX_KEPT: usize = 2;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The directory and the fleet file together ask for this version.
    Wanted(Version),
    /// The file is there and cannot be used: unreadable, unsafe, another content than is pinned.
    Unusable(String),
    /// There is no such file, and its grace period is over.
    Gone,
    /// A version is compiled and checked, and is tried now.
    Loaded(Version),
    /// A version passed its trial, and instances of it are ready.
    Passed(Version),
    /// A version is no good, for this reason.
    Refused(Version, String),
    /// The host could not load a version: no disk space, no process. To be tried again.
    Stumbled(Version, String),
    /// A call into an instance of this generation failed so that the instance is lost.
    Failed {
        /// Of the instance.
        generation: u64,
        /// In words.
        reason: String,
    },
    /// An operator wants everything tried again.
    Retry,
    /// Time has passed, see [`Machine::deadline`].
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Load this version, try it, and answer with [`Event::Loaded`] and then [`Event::Passed`], or with [`Event::Refused`] or
    /// [`Event::Stumbled`]. What was being loaded is of no interest any more.
    Load(Version),
    /// Put the instances of this version to use, as [`Machine::generation`], and keep it on disk.
    Publish(Version),
    /// Make new instances in place of the lost ones.
    Rebuild,
    /// Take all instances away: the native fallback decides.
    Withdraw,
    /// Do not keep this version on disk any more.
    Forget(Version),
}

/// State of the version that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// There is no file.
    Absent,
    /// It is being compiled and checked; or the directory was not read yet.
    Loading,
    /// It is tried beside the version that serves.
    Canary,
    /// It decides.
    Active,
    /// It decides where it still has instances; new ones are made after a pause.
    BackingOff,
    /// It failed too often.
    Quarantined,
    /// It cannot be used.
    Rejected,
}

impl State {
    /// The word in output and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Loading => "loading",
            Self::Canary => "canary",
            Self::Active => "active",
            Self::BackingOff => "backing-off",
            Self::Quarantined => "quarantined",
            Self::Rejected => "rejected",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wish {
    /// The directory was not read yet.
    Unknown,
    Absent,
    Unusable(String),
    Version(Version),
}

#[derive(Debug, Clone)]
struct Bad {
    version: Version,
    quarantined: bool,
    reason: String,
    /// The host's fault: to be tried again then.
    until: Option<Moment>,
}

#[derive(Debug, Clone)]
struct Serving {
    version: Version,
    failures: VecDeque<Moment>,
    last_reason: String,
    pause: Duration,
    /// Instances are lost, and made again then.
    rebuild_at: Option<Moment>,
    /// When instances were made last.
    since: Moment,
}

/// The life of one plugin instance.
#[derive(Debug, Clone)]
pub struct Machine {
    wish: Wish,
    /// Whether a file was ever there: its absence then is somebody's decision.
    seen: bool,
    loading: Option<(Version, State)>,
    bad: VecDeque<Bad>,
    serving: Option<Serving>,
    /// Good versions, the last one first.
    kept: Vec<Version>,
    generation: u64,
}

impl Machine {
    /// With the versions that an earlier run kept on disk, the last good one first.
    pub fn new(kept: Vec<Version>) -> Self {
        Self {
            wish: Wish::Unknown,
            seen: false,
            loading: None,
            bad: VecDeque::new(),
            serving: None,
            kept,
            generation: 0,
        }
    }

    /// Takes an event. The actions are to be carried out in their order before the next event is given.
    #[must_use]
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Wanted(version) => {
                self.seen = true;
                self.wish = Wish::Version(version);
            }
            Event::Unusable(reason) => self.wish = Wish::Unusable(reason),
            Event::Gone => {
                self.wish = Wish::Absent;
                if self.seen {
                    self.loading = None;
                    if self.serving.take().is_some() {
                        actions.push(Action::Withdraw);
                    }
                    actions.extend(self.kept.drain(..).map(Action::Forget));
                }
            }
            Event::Loaded(version) => {
                if let Some((loading, state)) = &mut self.loading
                    && *loading == version
                {
                    *state = State::Canary;
                }
            }
            Event::Passed(version) => {
                if self.take_loading(version) {
                    self.publish(version, now);
                    actions.push(Action::Publish(version));
                }
            }
            Event::Refused(version, reason) => {
                if self.take_loading(version) {
                    self.condemn(Bad { version, quarantined: false, reason, until: None }, &mut actions);
                }
            }
            Event::Stumbled(version, reason) => {
                if self.take_loading(version) {
                    let until = Some(now.after(HOST_PAUSE));
                    self.remember(Bad { version, quarantined: false, reason, until });
                }
            }
            Event::Failed { generation, reason } => self.failed(generation, reason, now, &mut actions),
            Event::Retry => {
                self.bad.clear();
                if let Some(serving) = &mut self.serving {
                    serving.failures.clear();
                    serving.pause = FIRST_PAUSE;
                    serving.rebuild_at = serving.rebuild_at.map(|_| now);
                }
                self.tick(now, &mut actions);
            }
            Event::Tick => self.tick(now, &mut actions),
        }
        self.seek(&mut actions);
        actions
    }

    /// When [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Moment> {
        let rebuild = self.serving.as_ref().and_then(|s| s.rebuild_at);
        self.bad.iter().filter_map(|b| b.until).chain(rebuild).min()
    }

    /// State of the version that is wanted, and why, in words; empty where there is nothing to say.
    pub fn state(&self) -> (State, &str) {
        let wanted = match &self.wish {
            Wish::Unknown => return (State::Loading, "the plugin directory was not read yet"),
            Wish::Absent => return (State::Absent, "there is no such file"),
            Wish::Unusable(reason) => return (State::Rejected, reason),
            Wish::Version(version) => *version,
        };
        if let Some(serving) = self.serving.as_ref().filter(|s| s.version == wanted) {
            return match serving.rebuild_at {
                Some(_) => (State::BackingOff, &serving.last_reason),
                None => (State::Active, ""),
            };
        }
        if let Some((_, state)) = self.loading.filter(|(loading, _)| *loading == wanted) {
            return (state, "");
        }
        match self.bad.iter().find(|b| b.version == wanted) {
            Some(bad) if bad.quarantined => (State::Quarantined, &bad.reason),
            Some(bad) => (State::Rejected, &bad.reason),
            None => (State::Loading, ""),
        }
    }

    /// The version that decides.
    pub fn serving(&self) -> Option<Version> {
        self.serving.as_ref().map(|s| s.version)
    }

    /// Whether the version that decides is one that is not wanted: the last good one.
    pub fn is_last_good(&self) -> bool {
        self.serving().is_some_and(|v| self.wish != Wish::Version(v))
    }

    /// Grows with every [`Action::Publish`].
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn take_loading(&mut self, version: Version) -> bool {
        self.loading.take_if(|(loading, _)| *loading == version).is_some()
    }

    fn publish(&mut self, version: Version, now: Moment) {
        self.generation += 1;
        self.kept.retain(|kept| *kept != version);
        self.kept.insert(0, version);
        self.kept.truncate(MAX_KEPT);
        self.serving = Some(Serving {
            version,
            failures: VecDeque::new(),
            last_reason: String::new(),
            pause: FIRST_PAUSE,
            rebuild_at: None,
            since: now,
        });
    }

    fn failed(&mut self, generation: u64, reason: String, now: Moment, actions: &mut Vec<Action>) {
        // Of a version that was replaced meanwhile: it says nothing of the one that serves.
        let Some(serving) = self.serving.as_mut().filter(|_| generation == self.generation) else { return };
        serving.failures.retain(|at| now.since(*at) < FAILURE_WINDOW);
        serving.failures.push_back(now);
        if serving.failures.len() > FAILURES_ALLOWED {
            let (version, count) = (serving.version, serving.failures.len());
            self.serving = None;
            actions.push(Action::Withdraw);
            let reason =
                format!("{count} failures within {} s, the last: {reason}", FAILURE_WINDOW.as_secs());
            self.condemn(Bad { version, quarantined: true, reason, until: None }, actions);
            return;
        }
        serving.last_reason = reason;
        if serving.rebuild_at.is_none() {
            if now.since(serving.since) >= GOOD_AFTER {
                serving.pause = FIRST_PAUSE;
            }
            serving.rebuild_at = Some(now.after(serving.pause));
            serving.pause = (serving.pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn tick(&mut self, now: Moment, actions: &mut Vec<Action>) {
        self.bad.retain(|bad| bad.until.is_none_or(|until| until > now));
        if let Some(serving) = &mut self.serving
            && serving.rebuild_at.is_some_and(|at| at <= now)
        {
            serving.rebuild_at = None;
            serving.since = now;
            actions.push(Action::Rebuild);
        }
    }

    /// Never again, until its content or configuration changes.
    fn condemn(&mut self, bad: Bad, actions: &mut Vec<Action>) {
        if self.kept.contains(&bad.version) {
            self.kept.retain(|kept| *kept != bad.version);
            actions.push(Action::Forget(bad.version));
        }
        self.remember(bad);
    }

    fn remember(&mut self, bad: Bad) {
        self.bad.retain(|known| known.version != bad.version);
        if self.bad.len() >= MAX_BAD {
            self.bad.pop_front();
        }
        self.bad.push_back(bad);
    }

    fn is_bad(&self, version: Version) -> bool {
        self.bad.iter().any(|bad| bad.version == version)
    }

    /// Sees to it that what should be loading is: the version that is wanted, or else, where nothing serves, a kept one.
    fn seek(&mut self, actions: &mut Vec<Action>) {
        let wanted = match self.wish {
            Wish::Unknown => return,
            Wish::Version(version) if !self.is_bad(version) => Some(version),
            _ => None,
        };
        let serving = self.serving();
        let target = match wanted {
            Some(version) => Some(version).filter(|v| serving != Some(*v)),
            None if serving.is_some() => None,
            None => self.kept.iter().copied().find(|kept| !self.is_bad(*kept)),
        };
        match target {
            Some(version) if self.loading.is_none_or(|(loading, _)| loading != version) => {
                self.loading = Some((version, State::Loading));
                actions.push(Action::Load(version));
            }
            Some(_) => {}
            None => self.loading = None,
        }
    }
}
