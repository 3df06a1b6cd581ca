use super::*;

#[test]
fn without_check_and_agent_a_server_is_up_and_waits_for_nothing() {
    let scene = Scene::new(HealthSpec::default());
    assert_eq!((scene.state(), scene.weight(), scene.machine.deadline()), (State::Up, 1, None));
}

#[test]
fn a_checked_server_takes_nothing_until_its_first_check_has_passed() {
    let mut scene = Scene::new(checked());
    assert_eq!((scene.state(), scene.reason()), (State::Down, "no check has ended yet"));
    assert_eq!(scene.next(), [Action::StartCheck]);
    assert_eq!(scene.machine.deadline(), None, "one check at a time");
    let actions = scene.on(Event::CheckPassed);
    assert!(matches!(actions.as_slice(), [Action::Changed(status)] if status.state == State::Up));
}

#[test]
fn a_server_that_dies_and_comes_back_does_so_by_fall_and_rise() {
    let mut scene = Scene::new(checked());
    scene.pass();
    scene.fail();
    scene.fail();
    assert_eq!(scene.state(), State::Up);
    assert_eq!(scene.machine.status().note.as_deref(), Some("2 of 3 failed checks: refused"));
    scene.fail();
    assert_eq!((scene.state(), scene.reason()), (State::Down, "check failed: refused"));
    assert_eq!(scene.machine.status().since, scene.now);
    scene.pass();
    assert_eq!(scene.state(), State::Down);
    scene.pass();
    assert_eq!((scene.state(), scene.reason()), (State::Up, ""));
}

#[test]
fn a_server_is_up_only_if_check_and_agent_both_say_so() {
    let mut scene = Scene::new(HealthSpec { agent: Some(AgentTiming::default()), ..checked() });
    scene.agent("up");
    assert_eq!(scene.state(), State::Down, "the agent cannot pass a check");
    scene.pass();
    assert_eq!(scene.state(), State::Up);
    scene.agent("down # disk full");
    assert_eq!((scene.state(), scene.reason()), (State::Down, "down by its agent: disk full"));
    scene.pass();
    scene.agent("50%");
    assert_eq!(scene.state(), State::Down, "only `up` takes `down` back");
    scene.agent("up");
    assert_eq!((scene.state(), scene.weight()), (State::Up, 5));
}

#[test]
fn an_agent_that_does_not_answer_or_says_nonsense_is_shown_and_changes_nothing() {
    let mut scene = Scene::new(with_agent());
    scene.agent("drain 50%");
    scene.once(&Action::StartAgentCheck, Event::AgentFailed("agent: connection refused".into()));
    let status = scene.machine.status();
    assert_eq!((status.state, status.weight), (State::Drain, 5));
    assert_eq!(status.note.as_deref(), Some("agent: connection refused"));
    scene.agent("ready huh");
    assert_eq!(scene.state(), State::Up);
    assert!(scene.machine.status().note.as_deref().unwrap().contains("huh"));
    scene.agent("ready");
    assert_eq!(scene.machine.status().note, None);
}

#[test]
fn weight_zero_drains_whoever_sets_it() {
    let mut scene = Scene::new(with_agent());
    scene.agent("0%");
    assert_eq!((scene.state(), scene.weight(), scene.reason()), (State::Drain, 0, "weight 0 by its agent"));
    scene.on(weight(Some(Weight::Absolute(0))));
    assert_eq!(scene.reason(), "weight 0 by an operator");
    scene.on(weight(None));
    scene.agent("100%");
    assert_eq!((scene.state(), scene.weight()), (State::Up, 10));
}

#[test]
fn in_maintenance_checks_stop_and_the_agent_is_still_asked() {
    let mut scene = Scene::new(HealthSpec { agent: Some(AgentTiming::default()), ..checked() });
    scene.pass();
    scene.agent("maint");
    assert_eq!(scene.state(), State::Maint);
    for _ in 0..20 {
        assert_eq!(scene.next(), [Action::StartAgentCheck]);
        scene.on(says("maint"));
    }
    scene.next();
    let actions = scene.on(says("ready"));
    assert!(actions.contains(&Action::StartCheck), "checked at once: {actions:?}");
    assert_eq!((scene.state(), scene.reason()), (State::Down, "no check has ended yet"));
    scene.on(Event::CheckPassed);
    assert_eq!(scene.state(), State::Up);
}

#[test]
fn the_result_of_a_check_from_before_maintenance_does_not_count_after_it() {
    let mut scene = Scene::new(checked());
    scene.next();
    scene.on(admin(Admin::Maint));
    assert_eq!(scene.on(Event::CheckPassed), []);
    assert_eq!(scene.on(admin(Admin::Ready)).last(), Some(&Action::StartCheck));
    assert_eq!(scene.state(), State::Down);
}

#[test]
fn a_server_that_comes_back_grows_in_steps_and_one_that_is_new_does_not() {
    let spec = HealthSpec {
        weight: 100,
        max_in_flight: Some(40),
        slow_start: Duration::from_secs(4),
        check: Some(timing(1, 1)),
        ..HealthSpec::default()
    };
    let mut scene = Scene::new(spec);
    scene.pass();
    assert_eq!((scene.weight(), scene.machine.status().slow_start), (100, None));
    scene.fail();
    scene.pass();
    let began = scene.now;
    let mut seen = vec![(0, scene.weight(), scene.machine.status().max_in_flight)];
    while scene.machine.status().slow_start.is_some() {
        let actions = scene.next();
        if actions.contains(&Action::StartCheck) {
            scene.on(Event::CheckPassed);
        }
        if actions.iter().any(|action| matches!(action, Action::Changed(_))) {
            let second = scene.now.since(began).as_secs();
            seen.push((second, scene.weight(), scene.machine.status().max_in_flight));
        }
    }
    assert_eq!(seen, [(0, 25, Some(10)), (1, 50, Some(20)), (2, 75, Some(30)), (3, 100, Some(40))]);
}

#[test]
fn slow_start_follows_maintenance_but_not_drain() {
    let slow = HealthSpec { weight: 100, slow_start: Duration::from_secs(20), ..HealthSpec::default() };
    let mut scene = Scene::new(slow.clone());
    scene.on(admin(Admin::Drain));
    scene.on(admin(Admin::Ready));
    assert_eq!(scene.weight(), 100);
    scene.on(admin(Admin::Maint));
    scene.on(admin(Admin::Ready));
    assert_eq!(scene.weight(), 5);
    scene.on(admin(Admin::Maint));
    assert_eq!(scene.machine.deadline(), None, "a ramp ends with what it was for");

    // A server that was in maintenance when this process began is no new server.
    let operator = Operator { admin: Admin::Maint, weight: None };
    let mut scene = Scene::of(slow, operator);
    scene.on(admin(Admin::Ready));
    assert_eq!(scene.weight(), 5);
}

#[test]
fn what_a_judge_makes_of_an_agents_line_sets_the_bits_of_an_agent() {
    let judged = |said: Judgement| Event::AgentJudged { said, line: Ok(report("down")) };
    let mut scene = Scene::new(with_agent());
    scene.once(&Action::StartAgentCheck, judged(Judgement::Verdict(report("drain 50% maxconn:3"))));
    let status = scene.machine.status();
    assert_eq!((status.state, status.weight, status.max_in_flight), (State::Drain, 5, Some(3)));
    assert_eq!(scene.reason(), "drain by its judge");
    assert_eq!(scene.machine.status().judgement.as_deref(), Some("drain 50% maxconn:3"));
    scene.on(judged(Judgement::Nobody));
    assert_eq!(scene.state(), State::Drain, "nobody asked");
    // An error is shown and changes nothing, as a line that cannot be used.
    scene.once(&Action::StartAgentCheck, judged(Judgement::Failed("no such word".into())));
    assert_eq!((scene.state(), scene.machine.status().note.as_deref()), (State::Drain, Some("no such word")));
    // Without a judge the line means what it says.
    scene.once(&Action::StartAgentCheck, judged(Judgement::Nobody));
    assert_eq!((scene.state(), scene.reason()), (State::Down, "down by its agent"));
}

#[test]
fn what_it_stands_under_is_one_more_voice() {
    let mut scene = Scene::new(with_agent());
    scene.on(Event::Inherited(State::Maint));
    scene.on(admin(Admin::Drain));
    assert_eq!((scene.state(), scene.reason()), (State::Maint, "maint with what it stands under"));
    scene.on(Event::Inherited(State::Up));
    assert_eq!(scene.state(), State::Drain);
}

#[test]
fn an_operators_orders_survive_the_process() {
    let mut scene = Scene::new(checked());
    scene.on(admin(Admin::Drain));
    scene.on(weight(Some(Weight::Percent(50))));
    let kept = toml::to_string(&scene.machine.operator()).unwrap();
    let operator = toml::from_str(&kept).unwrap();
    let mut later = Scene::of(checked(), operator);
    later.pass();
    assert_eq!((later.state(), later.weight()), (State::Drain, 5));
    later.on(admin(Admin::Ready));
    later.on(weight(None));
    assert_eq!((later.state(), later.weight()), (State::Up, 10));
}

#[test]
fn another_spec_keeps_what_is_known() {
    let mut scene = Scene::new(HealthSpec { agent: Some(AgentTiming::default()), ..checked() });
    scene.pass();
    scene.agent("drain");
    scene.on(Event::Retimed(HealthSpec { weight: 50, agent: Some(AgentTiming::default()), ..checked() }));
    assert_eq!((scene.state(), scene.weight()), (State::Drain, 50));
    // No agent: nobody could take its drain back.
    scene.on(Event::Retimed(checked()));
    assert_eq!(scene.state(), State::Up);
    assert_eq!(scene.on(says("down")), [], "its last words are not heard");
    // No check: nobody objects.
    scene.fail();
    scene.fail();
    scene.fail();
    assert_eq!(scene.state(), State::Down);
    scene.on(Event::Retimed(HealthSpec::default()));
    assert_eq!((scene.state(), scene.machine.deadline()), (State::Up, None));
    // A check again: it was in use so far, and stays so until the check has failed.
    scene.on(Event::Retimed(checked()));
    scene.pending.clear();
    scene.fail();
    scene.fail();
    assert_eq!(scene.state(), State::Up);
    scene.fail();
    assert_eq!(scene.state(), State::Down);
}

#[test]
fn values_out_of_range_are_brought_into_it() {
    let zero = Duration::ZERO;
    let spec = HealthSpec {
        weight: 9999,
        max_in_flight: Some(0),
        check: Some(CheckTiming { interval: zero, fast_interval: zero, timeout: zero, rise: 0, fall: 0 }),
        agent: Some(AgentTiming { interval: zero }),
        slow_start: Duration::MAX,
    };
    let mut scene = Scene::new(spec);
    for _ in 0..3 {
        scene.pass();
        scene.fail();
    }
    let before = scene.now;
    scene.pass();
    assert!(scene.now > before, "an interval of zero must not be a busy loop");
    let status = scene.machine.status();
    assert_eq!((status.state, status.max_in_flight), (State::Up, None));
    assert!(status.weight <= 256);
}

#[test]
fn a_check_that_moved_is_due_soon_and_leaves_the_standing_as_it_was() {
    let mut scene = Scene::new(checked());
    scene.pass();
    scene.fail();
    scene.fail();
    while !scene.pending.contains(&Action::StartCheck) {
        scene.next();
    }
    scene.on(Event::Moved);
    assert_eq!((scene.state(), &scene.machine.status().note), (State::Up, &None));
    let due = scene.machine.deadline().unwrap();
    assert!(due <= scene.now.after(timing(2, 3).interval / 10));
    assert_eq!(scene.on(Event::CheckFailed("of the old place".into())), []);
    scene.pending.clear();
    scene.fail();
    scene.fail();
    assert_eq!(scene.state(), State::Up, "the two failures of before do not count");
    scene.fail();
    assert_eq!(scene.state(), State::Down);
    scene.pass();
    scene.on(Event::Moved);
    scene.pass();
    assert_eq!(scene.state(), State::Down, "nor does the pass of before");
    scene.pass();
    assert_eq!(scene.state(), State::Up);
    // In maintenance nothing is checked, wherever it is.
    scene.on(admin(Admin::Maint));
    scene.on(Event::Moved);
    assert_eq!(scene.machine.deadline(), None);
}

#[test]
fn a_judge_decides_at_once_and_what_it_leaves_open_stays() {
    let judged = |line: &str| Event::CheckJudged {
        said: Judgement::Verdict(report(line)),
        seen: Err("the judge was asked, and so this does not count".into()),
    };
    let mut scene = Scene::new(checked());
    scene.once(&Action::StartCheck, judged("up 50%"));
    assert_eq!((scene.state(), scene.weight()), (State::Up, 5));
    scene.once(&Action::StartCheck, judged("down # queue of 900"));
    assert_eq!((scene.state(), scene.reason()), (State::Down, "check failed: queue of 900"));
    scene.once(&Action::StartCheck, judged("100%"));
    assert_eq!((scene.state(), scene.weight()), (State::Down, 10));
    assert_eq!(scene.machine.status().judgement.as_deref(), Some("100%"));
    scene.once(&Action::StartCheck, judged("up drain"));
    assert_eq!((scene.state(), scene.reason()), (State::Drain, "drain by its judge"));
    // A judge that fails is one failed check of three.
    let failed = Event::CheckJudged { said: Judgement::Failed("trapped".into()), seen: Ok(()) };
    scene.once(&Action::StartCheck, failed);
    assert_eq!(scene.state(), State::Drain);
    assert_eq!(scene.machine.status().note.as_deref(), Some("1 of 3 failed checks: trapped"));
    scene.on(judged("maint"));
    assert_eq!(scene.state(), State::Drain, "nobody asked");
    scene.on(Event::Unspoken);
    assert_eq!((scene.state(), scene.weight()), (State::Up, 10));
    assert_eq!(scene.machine.status().judgement, None);
}

#[test]
fn where_nobody_judges_the_check_itself_decides_by_rise_and_fall() {
    let unjudged = |seen: Result<(), String>| Event::CheckJudged { said: Judgement::Nobody, seen };
    let mut scene = Scene::new(checked());
    scene.once(&Action::StartCheck, unjudged(Ok(())));
    assert_eq!(
        (scene.state(), scene.machine.status().judgement.as_deref()),
        (State::Up, Some("nobody judged"))
    );
    scene.once(&Action::StartCheck, unjudged(Err("status 503".into())));
    scene.once(&Action::StartCheck, unjudged(Err("status 503".into())));
    assert_eq!(scene.state(), State::Up);
    scene.once(&Action::StartCheck, unjudged(Err("status 503".into())));
    assert_eq!((scene.state(), scene.reason()), (State::Down, "check failed: status 503"));
}

#[test]
fn time_alone_can_run_a_verdict_out_but_is_no_first_opinion() {
    let tick = |line: &str| Event::TickJudged(Judgement::Verdict(report(line)));
    let mut scene = Scene::new(checked());
    scene.on(tick("up"));
    assert_eq!((scene.state(), scene.reason()), (State::Down, "no check has ended yet"));
    scene.pass();
    scene.on(tick("down # silent for a minute"));
    assert_eq!((scene.state(), scene.reason()), (State::Down, "check failed: silent for a minute"));
    scene.on(tick("up 50%"));
    scene.on(tick(""));
    assert_eq!((scene.state(), scene.weight()), (State::Up, 5));
    assert_eq!(scene.machine.status().judgement.as_deref(), Some("up 50%"), "silence is no word");
    for said in [Judgement::Nobody, Judgement::Failed("trapped".into()), Judgement::Passed] {
        assert_eq!(scene.on(Event::TickJudged(said)), []);
    }
    // Nothing is checked in maintenance, so this is how a judge takes its own word back.
    scene.on(tick("maint"));
    assert_eq!(scene.state(), State::Maint);
    scene.pending.clear();
    scene.on(tick("ready"));
    scene.pass();
    assert_eq!(scene.state(), State::Up);
}
