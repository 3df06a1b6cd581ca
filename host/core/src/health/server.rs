//! The machine of one server: events in, actions out, nothing done.

use super::agent::{Admin, AgentReport, Weight};
use super::cadence::Cadence;
use super::check::{Check, CheckHealth};
use super::load::{LastLoad, Load};
use super::slow_start::{SlowStart, scaled};
use super::spec::HealthSpec;
use super::status::{Bits, Cause, Operator, Status};
use super::verdict::Judgement;
use crate::model::State;
use crate::time::Moment;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// [`ServerHealth::deadline`] has come. Too early or too late does no harm.
    Timer,
    /// The check that [`Action::StartCheck`] started passed.
    CheckPassed,
    /// It failed, and why.
    CheckFailed(String),
    /// It could not be tried, and why: this node is at fault, and nothing is known of the server that was not known before.
    CheckUntried(String),
    /// The answer to the check that is under way says how busy the server is, or what is wrong with what it says. It counts
    /// when the check ends, whatever comes of that. Ignored where no check is under way.
    LoadSaid(Result<Load, String>),
    /// The question that [`Action::StartAgentCheck`] started was answered.
    Agent(AgentReport),
    /// It was not, or with a line that cannot be used, and why. Neutral: an agent that died must not take its server with it.
    AgentFailed(String),
    /// The check that [`Action::StartCheck`] started has ended, and a judge was asked what that means. The `health` of a verdict
    /// is the checks' health at once, without rise and fall; its other parts are as an agent's. Ignored where no check was
    /// under way.
    CheckJudged {
        /// The judge's answer.
        said: Judgement,
        /// What counts where nobody judged: whether the check passed by itself, and why it did not.
        seen: Result<(), String>,
    },
    /// The question that [`Action::StartAgentCheck`] started was answered, and a judge was asked what the line means. Its words are
    /// as the agent's own. Ignored where no question was under way.
    AgentJudged {
        /// The judge's answer.
        said: Judgement,
        /// What counts where nobody judged: what the line says, or why it cannot be used.
        line: Result<AgentReport, String>,
    },
    /// Nothing was seen for a while, and a judge was asked what that means. It ends no check, and decides nothing that no check
    /// has decided before.
    TickJudged(Judgement),
    /// Who spoke for this server, an agent or a judge, does so no more: what only they could undo is undone.
    Unspoken,
    /// A command.
    Operator(OperatorCommand),
    /// What the server stands under is in this state now; [`State::Up`] takes it back.
    Inherited(State),
    /// The fleet file says something else now. What is known of the server stays known, and a check under way still
    /// counts; a server that was not checked so far stays up until its new check has failed often enough. What
    /// only a removed agent could undo is undone.
    Retimed(HealthSpec),
    /// It is checked at another address from here on: another port, or the server itself is elsewhere. What was under way no
    /// longer counts. Whoever edits a port must not take every server of the pool out at once, so an up server is
    /// trusted until `fall` failures say otherwise, and a down one until `rise` passes do. The next check is due within a
    /// tenth of the interval, as for a new server.
    Moved,
}

/// What an operator can order. Each undoes only what an operator ordered before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorCommand {
    /// `weir ready`, `weir drain`, `weir maint`
    Admin(Admin),
    /// `weir weight`; `None` gives the weight back to agent and fleet file.
    Weight(Option<Weight>),
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Check the server, and report with [`Event::CheckPassed`], [`Event::CheckFailed`], [`Event::CheckUntried`] or
    /// [`Event::CheckJudged`], whatever comes.
    StartCheck,
    /// Ask the agent, and report with [`Event::Agent`], [`Event::AgentFailed`] or [`Event::AgentJudged`].
    StartAgentCheck,
    /// Something that can be seen has changed. At most one for each event.
    Changed(Box<Status>),
}

/// All that is known of one server of a pool. One per server and pool, for as long as the pool has a server of this
/// name.
///
/// Drive it so: perform what [`handle`](Self::handle) returns, then wait for [`deadline`](Self::deadline) or for the end of
/// what was started, then `handle` again. While the server is in maintenance (anybody's) it is not
/// checked, but its agent is asked, or the agent could never undo its own `maint`. Afterwards nothing is known of
/// it: a check is due at once and its result decides alone.
#[derive(Debug, Clone)]
pub struct ServerHealth {
    spec: HealthSpec,
    seed: u64,
    bits: Bits,
    agent_reason: Option<String>,
    /// What was odd about the last answer of the agent.
    agent_note: Option<String>,
    /// Who said the last `up`, `down`, `ready`, `drain` or `maint` of the agent's bits.
    voice: Voice,
    /// Who said the last weight of them.
    weight_voice: Voice,
    /// What the judge said last, in words.
    judgement: Option<String>,
    check: Option<Check>,
    agent: Option<Cadence>,
    load: LastLoad,
    slow_start: Option<SlowStart>,
    /// Whether there was a first opinion; coming up before it is no coming back, and starts at full weight.
    settled: bool,
    status: Status,
}

/// Who set bits that are an agent's.
#[derive(Debug, Clone, Copy)]
enum Voice {
    Agent,
    Judge,
}

impl Voice {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Judge => "judge",
        }
    }
}

/// The agent is asked at other times than the server is checked.
const AGENT_SEED: u64 = 0x5bd1_e995_0a9e_3779;

impl ServerHealth {
    /// A server that is new to this process, with what an operator ordered in an earlier one.
    ///
    /// `seed` spreads the checks: make it from the names of node, pool and server, so that it differs between all of them.
    pub fn new(spec: HealthSpec, operator: Operator, seed: u64, now: Moment) -> Self {
        let spec = spec.bounded();
        let mut health = Self {
            seed,
            bits: Bits { operator, ..Bits::default() },
            agent_reason: None,
            agent_note: None,
            voice: Voice::Agent,
            weight_voice: Voice::Agent,
            judgement: None,
            check: None,
            agent: None,
            load: LastLoad::default(),
            slow_start: None,
            settled: false,
            status: Status {
                state: State::Down,
                weight: spec.weight,
                max_in_flight: spec.max_in_flight,
                cause: Cause::Nothing,
                reason: String::new(),
                note: None,
                untried: None,
                judgement: None,
                load: None,
                load_fault: None,
                since: now,
                slow_start: None,
                bits: Bits::default(),
            },
            spec,
        };
        health.check = health.spec.check.map(|timing| Check::new(timing, seed, now));
        health.fit_checks(now);
        health.settle(now);
        health
    }

    /// What may be done with the server, as of the last event.
    pub fn status(&self) -> &Status {
        &self.status
    }

    /// What an operator ordered; to be kept over a restart.
    pub fn operator(&self) -> Operator {
        self.bits.operator
    }

    /// When [`Event::Timer`] is due; `None` while there is nothing to wait for but events.
    pub fn deadline(&self) -> Option<Moment> {
        let check = self.check.as_ref().and_then(|check| check.cadence.deadline());
        let agent = self.agent.as_ref().and_then(Cadence::deadline);
        let step = self.slow_start.as_ref().map(SlowStart::deadline);
        [check, agent, step].into_iter().flatten().min()
    }

    /// Takes one event in. Whatever is due by `now` is started too, whatever the event.
    pub fn handle(&mut self, event: Event, now: Moment) -> Vec<Action> {
        let ends_check = matches!(
            event,
            Event::CheckPassed | Event::CheckFailed(_) | Event::CheckUntried(_) | Event::CheckJudged { .. }
        );
        if ends_check && let Some(timing) = self.spec.check.filter(|_| self.is_check_under_way()) {
            self.load.check_ended(timing.fall);
        }
        match event {
            Event::Timer => {}
            Event::LoadSaid(said) => {
                if self.is_check_under_way() {
                    self.load.said(said);
                }
            }
            Event::CheckPassed => self.check_ended(Ok(()), now),
            Event::CheckFailed(reason) => self.check_ended(Err(reason), now),
            Event::CheckUntried(why) => {
                if let Some(check) = &mut self.check {
                    check.untried(why, now);
                }
            }
            Event::Agent(report) => {
                if self.agent_ended(now) {
                    self.take_report(report, Voice::Agent);
                }
            }
            Event::AgentFailed(reason) => {
                if self.agent_ended(now) {
                    self.agent_note = Some(reason);
                }
            }
            Event::CheckJudged { said, seen } => self.check_judged(said, seen, now),
            Event::AgentJudged { said, line } => {
                if self.agent_ended(now) {
                    self.agent_judged(said, line);
                }
            }
            Event::TickJudged(said) => self.tick_judged(said),
            Event::Unspoken => self.unspoken(),
            Event::Operator(OperatorCommand::Admin(admin)) => self.bits.operator.admin = admin,
            Event::Operator(OperatorCommand::Weight(weight)) => self.bits.operator.weight = weight,
            Event::Inherited(state) => self.bits.inherited = state,
            Event::Retimed(spec) => {
                self.spec = spec.bounded();
                self.fit_checks(now);
            }
            Event::Moved => {
                if let Some(check) = &mut self.check {
                    check.relocate(now);
                }
                self.load = LastLoad::default();
            }
        }

        let mut actions = Vec::new();
        if self.settle(now) {
            actions.push(Action::Changed(Box::new(self.status.clone())));
        }
        if self.check.as_mut().is_some_and(|check| check.cadence.start(now)) {
            actions.push(Action::StartCheck);
        }
        if self.agent.as_mut().is_some_and(|agent| agent.start(now)) {
            actions.push(Action::StartAgentCheck);
        }
        actions
    }

    fn is_check_under_way(&self) -> bool {
        self.check.as_ref().is_some_and(|check| check.cadence.is_under_way())
    }

    fn check_ended(&mut self, result: Result<(), String>, now: Moment) {
        if let Some(check) = &mut self.check {
            check.ended(result, now);
        }
    }

    /// False where no question was under way: the answer is of an agent that no longer counts.
    fn agent_ended(&mut self, now: Moment) -> bool {
        let interval = self.spec.agent.unwrap_or_default().interval;
        self.agent.as_mut().is_some_and(|agent| agent.end(interval, now))
    }

    fn check_judged(&mut self, said: Judgement, seen: Result<(), String>, now: Moment) {
        let Some(check) = self.check.as_mut().filter(|check| check.cadence.is_under_way()) else { return };
        self.judgement = Some(said.to_string());
        match said {
            Judgement::Verdict(report) => {
                check.judged(report.health, report.reason.as_deref(), now);
                self.take_report(AgentReport { health: None, ..report }, Voice::Judge);
            }
            Judgement::Passed => self.check_ended(Ok(()), now),
            Judgement::Failed(why) => self.check_ended(Err(why), now),
            Judgement::Nobody => self.check_ended(seen, now),
        }
    }

    fn agent_judged(&mut self, said: Judgement, line: Result<AgentReport, String>) {
        self.judgement = Some(said.to_string());
        match (said, line) {
            (Judgement::Verdict(report), _) => self.take_report(report, Voice::Judge),
            (Judgement::Passed, _) => self.agent_note = None,
            (Judgement::Failed(why), _) | (Judgement::Nobody, Err(why)) => self.agent_note = Some(why),
            (Judgement::Nobody, Ok(report)) => self.take_report(report, Voice::Agent),
        }
    }

    fn tick_judged(&mut self, said: Judgement) {
        let Judgement::Verdict(report) = said else { return };
        if report.is_silent() {
            return;
        }
        self.judgement = Some(Judgement::Verdict(report.clone()).to_string());
        match &mut self.check {
            Some(check) => {
                check.reminded(report.health, report.reason.as_deref());
                self.take_report(AgentReport { health: None, ..report }, Voice::Judge);
            }
            None => self.take_report(report, Voice::Judge),
        }
    }

    /// Categories are independent bits, so that HAProxy's order (admin, weight, limit, health) needs no steps here:
    /// [`Bits::state`] looks at all of them when all are set.
    fn take_report(&mut self, report: AgentReport, voice: Voice) {
        if report.health.is_some() || report.admin.is_some() {
            self.agent_reason = report.reason;
            self.voice = voice;
        }
        if report.weight.is_some() {
            self.weight_voice = voice;
        }
        self.bits.agent_admin = report.admin.unwrap_or(self.bits.agent_admin);
        self.bits.agent_weight = report.weight.or(self.bits.agent_weight);
        self.bits.agent_max_in_flight = report.max_in_flight.or(self.bits.agent_max_in_flight);
        self.bits.agent_health = report.health.or(self.bits.agent_health);
        self.agent_note = report.complaint.map(|complaint| complaint.to_string());
    }

    /// What somebody said who speaks no more, nobody could take back.
    fn unspoken(&mut self) {
        let Bits { operator, inherited, check, .. } = self.bits;
        self.bits = Bits { operator, inherited, check, ..Bits::default() };
        self.agent_reason = None;
        self.agent_note = None;
        self.judgement = None;
    }

    /// Makes, changes and removes checks as the spec says.
    fn fit_checks(&mut self, now: Moment) {
        match (&mut self.check, self.spec.check) {
            (Some(check), Some(timing)) => check.retime(timing, now),
            (check, timing) => *check = timing.map(|timing| Check::of_trusted(timing, self.seed, now)),
        }
        match (&mut self.agent, self.spec.agent) {
            (Some(agent), Some(timing)) => agent.retime(timing.interval, now),
            (Some(_), None) => {
                self.agent = None;
                self.unspoken();
            }
            (None, timing) => {
                self.agent = timing.map(|timing| Cadence::new(self.seed ^ AGENT_SEED, timing.interval, now));
            }
        }
    }

    /// Brings everything that follows from the bits up to date. True where something that can be seen changed.
    fn settle(&mut self, now: Moment) -> bool {
        let in_maint = self.bits.state(1).0 == State::Maint;
        if let Some(check) = &mut self.check {
            if in_maint {
                check.pause();
            } else if check.cadence.is_paused() {
                check.resume(now);
            }
        }
        self.bits.check = self.check.as_ref().map(Check::health);
        if in_maint || self.check.is_none() {
            // Nobody asks any more, so nothing that was said gets older.
            self.load = LastLoad::default();
        }

        let full_weight = self.bits.weight(self.spec.weight);
        let (state, cause) = self.bits.state(full_weight);
        // Drained servers are warm: slow start is for those that were away.
        let works = |state| matches!(state, State::Up | State::Drain);
        if !works(state) {
            self.slow_start = None;
        } else if !works(self.status.state) && self.settled {
            self.slow_start = SlowStart::new(self.spec.slow_start, now);
        }
        self.slow_start = self.slow_start.take().and_then(|ramp| ramp.advanced(now));
        self.settled |= in_maint || self.bits.check != Some(CheckHealth::Unknown);

        let share = self.slow_start.as_ref().map(SlowStart::share);
        let scale = |whole: u32| share.map_or(whole, |share| scaled(whole, share));
        let status = Status {
            state,
            weight: u16::try_from(scale(u32::from(full_weight))).unwrap_or(full_weight),
            max_in_flight: self.bits.max_in_flight(self.spec.max_in_flight).map(scale),
            cause,
            reason: self.reason(state, cause),
            note: self.note(state),
            untried: self.check.as_ref().and_then(Check::why_untried).map(str::to_owned),
            judgement: self.judgement.clone(),
            load: self.load.load().filter(|_| works(state)),
            load_fault: self.load.fault().map(str::to_owned),
            since: if state == self.status.state { self.status.since } else { now },
            slow_start: share,
            bits: self.bits,
        };
        let changed = status != self.status;
        self.status = status;
        changed
    }

    fn reason(&self, state: State, cause: Cause) -> String {
        let said = self.agent_reason.as_deref().map(|text| format!(": {text}")).unwrap_or_default();
        match cause {
            Cause::Nothing => String::new(),
            Cause::Operator => format!("{} by an operator", state.as_str()),
            Cause::Inherited => format!("{} with what it stands under", state.as_str()),
            Cause::Agent => format!("{} by its {}{said}", state.as_str(), self.voice.as_str()),
            Cause::Weight if self.bits.operator.weight.is_some() => "weight 0 by an operator".to_owned(),
            Cause::Weight if self.bits.agent_weight.is_some() => {
                format!("weight 0 by its {}{said}", self.weight_voice.as_str())
            }
            Cause::Weight => "weight 0 in the fleet file".to_owned(),
            Cause::Check => match self.check.as_ref() {
                Some(check) if check.health() == CheckHealth::Down => {
                    format!("check failed: {}", check.failure())
                }
                _ => "no check has ended yet".to_owned(),
            },
        }
    }

    fn note(&self, state: State) -> Option<String> {
        let check = self.check.as_ref().filter(|_| state != State::Maint).and_then(Check::note);
        let notes: Vec<String> = [check, self.agent_note.clone()].into_iter().flatten().collect();
        (!notes.is_empty()).then(|| notes.join("; "))
    }
}

#[cfg(test)]
mod tests;
