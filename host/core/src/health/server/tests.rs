use std::time::Duration;

use super::super::agent::{Health, parse};
use super::super::spec::{AgentTiming, CheckTiming};
use super::*;

mod load;
mod precedence;
mod random;
mod timeline;

const MILLI: Duration = Duration::from_millis(1);

fn timing(rise: u32, fall: u32) -> CheckTiming {
    let second = Duration::from_secs(1);
    CheckTiming { interval: second, fast_interval: second / 5, timeout: second, rise, fall }
}

fn checked() -> HealthSpec {
    HealthSpec { weight: 10, check: Some(timing(2, 3)), ..HealthSpec::default() }
}

fn with_agent() -> HealthSpec {
    HealthSpec { weight: 10, agent: Some(AgentTiming::default()), ..HealthSpec::default() }
}

fn admin(admin: Admin) -> Event {
    Event::Operator(OperatorCommand::Admin(admin))
}

fn weight(weight: Option<Weight>) -> Event {
    Event::Operator(OperatorCommand::Weight(weight))
}

fn report(line: &str) -> AgentReport {
    parse(format!("{line}\n").as_bytes()).unwrap()
}

fn says(line: &str) -> Event {
    Event::Agent(report(line))
}

/// A machine and its time, moved by what it asks for.
struct Scene {
    machine: ServerHealth,
    now: Moment,
    /// Started and not answered yet.
    pending: Vec<Action>,
}

impl Scene {
    fn new(spec: HealthSpec) -> Self {
        Self::of(spec, Operator::default())
    }

    fn of(spec: HealthSpec, operator: Operator) -> Self {
        let machine = ServerHealth::new(spec, operator, 1, Moment::ZERO);
        Self { machine, now: Moment::ZERO, pending: Vec::new() }
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let actions = self.machine.handle(event, self.now);
        self.pending.extend(actions.iter().filter(|action| !matches!(action, Action::Changed(_))).cloned());
        actions
    }

    /// Lets time pass to the next deadline.
    fn next(&mut self) -> Vec<Action> {
        self.now = self.machine.deadline().expect("something to wait for");
        self.on(Event::Timer)
    }

    /// Waits until the machine asks for this, then reports that.
    fn once(&mut self, action: &Action, event: Event) {
        while !self.pending.contains(action) {
            self.next();
        }
        self.pending.retain(|other| other != action);
        self.on(event);
    }

    fn pass(&mut self) {
        self.once(&Action::StartCheck, Event::CheckPassed);
    }

    fn fail(&mut self) {
        self.once(&Action::StartCheck, Event::CheckFailed("refused".into()));
    }

    /// A check passes whose answer says this load.
    fn pass_with(&mut self, load: &str) {
        self.once(&Action::StartCheck, Event::LoadSaid(Load::parse(load.as_bytes())));
        self.on(Event::CheckPassed);
    }

    fn load(&self) -> Option<f32> {
        self.machine.status().load.map(Load::as_f32)
    }

    fn agent(&mut self, line: &str) {
        self.once(&Action::StartAgentCheck, says(line));
    }

    fn state(&self) -> State {
        self.machine.status().state
    }

    fn weight(&self) -> u16 {
        self.machine.status().weight
    }

    fn reason(&self) -> &str {
        &self.machine.status().reason
    }
}
