//! Random events against a model that remembers everything and computes the state from all of it.

use super::super::super::agent::AgentReport;
use super::*;

/// xorshift64*: a stream of numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()].clone()
    }
}

/// Everything that was said, in order.
#[derive(Default)]
struct Model {
    spec: HealthSpec,
    operator: Operator,
    inherited: Option<State>,
    said: Vec<AgentReport>,
    /// Results since the server was last unknown, and what it took to turn the state when each came. Begins with a pass
    /// where there was no check before.
    results: Vec<(bool, CheckTiming)>,
    check_under_way: bool,
    question_under_way: bool,
}

impl Model {
    fn last<T>(&self, part: impl Fn(&AgentReport) -> Option<T>) -> Option<T> {
        self.said.iter().rev().find_map(part)
    }

    fn maint(&self) -> bool {
        self.operator.admin == Admin::Maint
            || self.inherited == Some(State::Maint)
            || self.last(|said| said.admin) == Some(Admin::Maint)
    }

    /// Looks for the last run that was long enough to decide; the first result always is.
    fn check_is_up(&self) -> bool {
        if self.spec.check.is_none() {
            return true;
        }
        let Some((first, _)) = self.results.first() else { return false };
        let mut up = *first;
        let mut run = 0;
        for (result, timing) in &self.results {
            run = if *result == up { 0 } else { run + 1 };
            if run >= if up { timing.fall } else { timing.rise } {
                (up, run) = (!up, 0);
            }
        }
        up
    }

    fn weight(&self) -> u16 {
        let weight = self.operator.weight.or_else(|| self.last(|said| said.weight));
        weight.map_or(self.spec.weight, |weight| weight.of(self.spec.weight))
    }

    fn state(&self) -> State {
        let agent = self.last(|said| said.admin);
        if self.maint() {
            State::Maint
        } else if self.inherited == Some(State::Down)
            || self.last(|said| said.health) == Some(Health::Down)
            || !self.check_is_up()
        {
            State::Down
        } else if self.operator.admin == Admin::Drain
            || self.inherited == Some(State::Drain)
            || agent == Some(Admin::Drain)
            || self.weight() == 0
        {
            State::Drain
        } else {
            State::Up
        }
    }

    fn take(&mut self, event: &Event) {
        self.take_in(event);
        if matches!(event, Event::Agent(_) | Event::AgentFailed(_) | Event::AgentJudged { .. }) {
            self.question_under_way = false;
        }
        if self.maint() {
            self.check_under_way = false;
            self.results.clear();
        }
    }

    /// What a judge said where there are checks.
    fn judged(&mut self, report: &AgentReport) {
        self.said.push(AgentReport { health: None, ..report.clone() });
        if let (Some(health), Some(timing)) = (report.health, self.spec.check) {
            self.results = vec![(health == Health::Up, timing)];
        }
    }

    fn take_in(&mut self, event: &Event) {
        match event {
            Event::Timer | Event::AgentFailed(_) | Event::LoadSaid(_) => {}
            Event::CheckUntried(_) => self.check_under_way = false,
            Event::CheckPassed | Event::CheckFailed(_) => {
                if std::mem::take(&mut self.check_under_way) {
                    self.results.push((*event == Event::CheckPassed, self.spec.check.unwrap()));
                }
            }
            Event::Agent(report) => {
                if self.question_under_way {
                    self.said.push(report.clone());
                }
            }
            Event::AgentJudged { said, line } => {
                let report = match (said, line) {
                    (Judgement::Verdict(report), _) | (Judgement::Nobody, Ok(report)) => report,
                    _ => &AgentReport::default(),
                };
                if self.question_under_way {
                    self.said.push(report.clone());
                }
            }
            Event::CheckJudged { said, seen } => {
                if std::mem::take(&mut self.check_under_way) {
                    let passed = match said {
                        Judgement::Verdict(report) => return self.judged(report),
                        Judgement::Passed => true,
                        Judgement::Failed(_) => false,
                        Judgement::Nobody => seen.is_ok(),
                    };
                    self.results.push((passed, self.spec.check.unwrap()));
                }
            }
            Event::TickJudged(Judgement::Verdict(report)) => {
                if self.spec.check.is_none() {
                    self.said.push(report.clone());
                } else if self.results.is_empty() {
                    self.judged(&AgentReport { health: None, ..report.clone() });
                } else {
                    self.judged(report);
                }
            }
            Event::TickJudged(_) => {}
            Event::Unspoken => self.said.clear(),
            Event::Operator(OperatorCommand::Admin(admin)) => self.operator.admin = *admin,
            Event::Operator(OperatorCommand::Weight(weight)) => self.operator.weight = *weight,
            Event::Inherited(state) => self.inherited = Some(*state),
            Event::Moved => {
                self.check_under_way = false;
                if let (Some(timing), false) = (self.spec.check, self.results.is_empty()) {
                    self.results = vec![(self.check_is_up(), timing)];
                }
            }
            Event::Retimed(spec) => {
                if spec.check.is_none() || self.spec.check.is_none() {
                    self.results = spec.check.map(|timing| (true, timing)).into_iter().collect();
                    self.check_under_way = false;
                }
                if spec.agent.is_none() && self.spec.agent.is_some() {
                    self.said.clear();
                    self.question_under_way = false;
                }
                self.spec = spec.clone();
            }
        }
    }
}

fn random_event(random: &mut Random) -> Event {
    let lines = [
        "up",
        "down",
        "ready",
        "drain",
        "maint",
        "50%",
        "0%",
        "100%",
        "weight:7",
        "maxconn:9",
        "up ready 30%",
        "",
    ];
    match random.below(26) {
        0..=4 => Event::CheckPassed,
        5..=9 => Event::CheckFailed("refused".into()),
        10..=12 => says(random.one(&lines)),
        13 => Event::AgentFailed("gone".into()),
        14 => Event::AgentJudged { said: judgement(random, &lines), line: Ok(report(random.one(&lines))) },
        15 => admin(random.one(&[Admin::Ready, Admin::Ready, Admin::Drain, Admin::Maint])),
        16 => weight(random.one(&[None, Some(Weight::Absolute(0)), Some(Weight::Percent(150))])),
        17 => Event::Inherited(random.one(&[
            State::Up,
            State::Up,
            State::Up,
            State::Down,
            State::Drain,
            State::Maint,
        ])),
        18 => Event::Retimed(random_spec(random)),
        19 => Event::Moved,
        20 => Event::CheckJudged {
            said: judgement(random, &lines),
            seen: random.one(&[Ok(()), Err("refused".into())]),
        },
        21 => Event::TickJudged(judgement(random, &lines)),
        22 => Event::Unspoken,
        23 => Event::CheckUntried("no way there".into()),
        24 => Event::LoadSaid(random.one(&[Load::parse(b"0.5"), Load::parse(b"1"), Load::parse(b"much")])),
        _ => Event::Timer,
    }
}

fn judgement(random: &mut Random, lines: &[&str]) -> Judgement {
    match random.below(6) {
        0 => Judgement::Nobody,
        1 => Judgement::Passed,
        2 => Judgement::Failed("trapped".into()),
        _ => Judgement::Verdict(report(random.one(lines))),
    }
}

fn random_spec(random: &mut Random) -> HealthSpec {
    let rise = u32::try_from(random.below(3) + 1).unwrap();
    let fall = u32::try_from(random.below(3) + 1).unwrap();
    HealthSpec {
        weight: random.one(&[0, 1, 10, 10, 256]),
        check: random.one(&[None, Some(timing(rise, fall)), Some(timing(rise, fall))]),
        agent: random.one(&[None, Some(AgentTiming::default()), Some(AgentTiming::default())]),
        ..HealthSpec::default()
    }
}

#[test]
fn any_history_leads_to_the_state_that_all_that_was_said_adds_up_to() {
    let mut seen = std::collections::BTreeMap::new();
    for seed in 1..400 {
        let mut random = Random(seed);
        let spec = random_spec(&mut random);
        let mut scene = Scene::new(spec.clone());
        let mut model = Model { spec, ..Model::default() };
        for step in 0..300 {
            // Time passes: to the next deadline, to before it, or far over it.
            if let Some(next) = scene.machine.deadline() {
                scene.now = match random.below(4) {
                    0 => scene.now.after(MILLI * 3),
                    1 => next.max(scene.now).after(MILLI * 700),
                    _ => next.max(scene.now),
                };
            }
            let event = random_event(&mut random);
            let before = scene.machine.status().clone();
            let actions = scene.on(event.clone());
            model.take(&event);

            let context = format!("seed {seed}, step {step}, {event:?}");
            let status = scene.machine.status();
            assert_eq!((status.state, status.weight), (model.state(), model.weight()), "{context}");
            assert_eq!(scene.machine.operator(), model.operator, "{context}");
            let works = matches!(status.state, State::Up | State::Drain) && model.spec.check.is_some();
            assert!(works || status.load.is_none(), "{context}");
            let changes = actions.iter().filter(|action| matches!(action, Action::Changed(_))).count();
            assert_eq!(changes, usize::from(*status != before), "{context}");
            if status.state != before.state {
                assert_eq!(status.since, scene.now, "{context}");
            }
            for action in &actions {
                match action {
                    Action::StartCheck => {
                        assert!(
                            !model.check_under_way && !model.maint() && model.spec.check.is_some(),
                            "{context}"
                        );
                        model.check_under_way = true;
                    }
                    Action::StartAgentCheck => {
                        assert!(!model.question_under_way && model.spec.agent.is_some(), "{context}");
                        model.question_under_way = true;
                    }
                    Action::Changed(said) => assert_eq!(**said, *status, "{context}"),
                }
            }
            // Whatever is not under way is planned, and what is planned lies ahead.
            let waits = (model.spec.check.is_some() && !model.check_under_way && !model.maint())
                || (model.spec.agent.is_some() && !model.question_under_way);
            assert_eq!(scene.machine.deadline().is_some(), waits, "{context}");
            assert!(scene.machine.deadline().is_none_or(|next| next > scene.now), "{context}");
            *seen.entry(status.state.as_str()).or_insert(0) += 1;
        }
    }
    assert!(seen.len() == 4 && seen.values().all(|times| *times > 5_000), "one-sided: {seen:?}");
}
