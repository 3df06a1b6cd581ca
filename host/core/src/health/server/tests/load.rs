use super::*;

#[test]
fn a_load_comes_with_the_end_of_its_check_and_is_one_change_with_it() {
    let mut scene = Scene::new(checked());
    scene.pass();
    scene.once(&Action::StartCheck, Event::LoadSaid(Load::parse(b"0.5")));
    assert_eq!(scene.load(), None, "its check has not ended");
    let actions = scene.on(Event::CheckPassed);
    assert!(
        matches!(actions.as_slice(), [Action::Changed(status)] if status.load == Load::parse(b"0.5").ok())
    );
    scene.once(&Action::StartCheck, Event::LoadSaid(Load::parse(b"0.51")));
    assert_eq!(scene.on(Event::CheckPassed), [], "the same step is no news");
}

#[test]
fn a_load_that_fall_answers_did_not_say_again_is_forgotten() {
    let mut scene = Scene::new(checked());
    scene.pass_with("25%");
    scene.pass();
    scene.fail();
    assert_eq!(scene.load(), Some(0.25));
    scene.pass();
    assert_eq!((scene.state(), scene.load()), (State::Up, None));
}

#[test]
fn what_is_no_load_is_shown_and_changes_nothing_else() {
    let mut scene = Scene::new(checked());
    scene.pass_with("0.75");
    scene.pass_with("much");
    let status = scene.machine.status();
    assert_eq!((status.load.map(Load::as_f32), &status.note, status.state), (Some(0.75), &None, State::Up));
    assert_eq!(status.load_fault.as_deref(), Some("says the load `much`: write 0.42 or 42%"));
    scene.pass_with("0.75");
    assert_eq!(scene.machine.status().load_fault, None);
}

#[test]
fn a_server_that_is_down_has_no_load_and_comes_back_with_the_one_that_it_says_then() {
    let mut scene = Scene::new(checked());
    scene.pass_with("1");
    // It answers, and its answers say a load; but they are none that is expected.
    for _ in 0..3 {
        scene.once(&Action::StartCheck, Event::LoadSaid(Load::parse(b"1")));
        scene.on(Event::CheckFailed("status 503".into()));
    }
    assert_eq!((scene.state(), scene.load()), (State::Down, None));
    scene.pass_with("0");
    assert_eq!(scene.load(), None);
    scene.pass_with("0");
    assert_eq!((scene.state(), scene.load()), (State::Up, Some(0.0)));
}

#[test]
fn a_load_is_not_kept_where_nobody_asks_for_it_any_more() {
    let mut scene = Scene::new(checked());
    scene.pass_with("0.5");
    scene.on(admin(Admin::Drain));
    assert_eq!(scene.load(), Some(0.5), "a drained server is asked");
    scene.on(admin(Admin::Maint));
    scene.on(admin(Admin::Ready));
    scene.pass();
    assert_eq!((scene.state(), scene.load()), (State::Up, None), "after maintenance nothing is known");

    scene.pass_with("0.5");
    scene.on(Event::Moved);
    assert_eq!((scene.state(), scene.load()), (State::Up, None), "another place, another server");

    scene.pass_with("0.5");
    scene.on(Event::Retimed(HealthSpec { check: None, ..checked() }));
    assert_eq!((scene.state(), scene.load()), (State::Up, None));
}

#[test]
fn a_load_without_a_check_is_of_one_that_no_longer_counts() {
    let mut scene = Scene::new(checked());
    scene.pass();
    scene.pending.clear();
    scene.on(Event::LoadSaid(Load::parse(b"0.5")));
    scene.pass();
    assert_eq!(scene.load(), None);
}

#[test]
fn a_judged_check_says_its_load_like_any_other() {
    let mut scene = Scene::new(checked());
    scene.once(&Action::StartCheck, Event::LoadSaid(Load::parse(b"0.5")));
    scene.on(Event::CheckJudged { said: Judgement::Passed, seen: Ok(()) });
    assert_eq!((scene.state(), scene.load()), (State::Up, Some(0.5)));
}
