//! Servers whose observations a judge is asked about.

use std::sync::Mutex;

use weir_core::health::{AgentReport, Answer, Judge, Judgement, Observation, Subject, parse_agent_line};

use super::*;

/// `None` keeps the question waiting.
type Says = dyn Fn(&Subject, &Observation) -> Option<Judgement> + Send;

/// Says whatever it is told to, and remembers what it was asked.
struct Fake {
    says: Mutex<Box<Says>>,
    asked: mpsc::UnboundedSender<(Subject, Observation)>,
    /// Questions that it was told to keep waiting.
    open: Mutex<Vec<Answer>>,
}

impl std::fmt::Debug for Fake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fake")
    }
}

impl Judge for Fake {
    fn judge(&self, subject: Subject, observation: Observation, answer: Answer) {
        let said = (self.says.lock().unwrap())(&subject, &observation);
        let _ = self.asked.send((subject, observation));
        match said {
            Some(said) => answer(said),
            None => self.open.lock().unwrap().push(answer),
        }
    }
}

impl Fake {
    fn now_says(&self, says: impl Fn(&Subject, &Observation) -> Option<Judgement> + Send + 'static) {
        *self.says.lock().unwrap() = Box::new(says);
    }
}

type Questions = UnboundedReceiver<(Subject, Observation)>;

fn fake(
    says: impl Fn(&Subject, &Observation) -> Option<Judgement> + Send + 'static,
) -> (Arc<Fake>, Questions) {
    let (asked, questions) = mpsc::unbounded_channel();
    (Arc::new(Fake { says: Mutex::new(Box::new(says)), asked, open: Mutex::default() }), questions)
}

fn verdict(line: &str) -> Option<Judgement> {
    let report: AgentReport = parse_agent_line(format!("{line}\n").as_bytes()).unwrap();
    Some(Judgement::Verdict(report))
}

fn judged(by: &Arc<Fake>, watched: Watched) -> Watched {
    let labels = Arc::from([("rack".to_owned(), "r7".to_owned())]);
    let judge = Judged { judge: Arc::clone(by) as _, name: Arc::clone(&watched.name), labels };
    Watched { judge: Some(judge), ..watched }
}

#[tokio::test(start_paused = true)]
async fn a_judge_is_told_what_a_check_saw_and_its_word_holds_at_once() {
    let (judge, mut questions) = fake(|_, _| verdict("up 50%"));
    let (watch, mut changes) = watch();
    // Nobody listens there; the judge finds it fit all the same.
    watch.set(vec![judged(&judge, tcp("a", closed().await))]);
    let status = until(&mut changes, "a", State::Up).await;
    assert_eq!((status.weight, status.judgement.as_deref()), (5, Some("up 50%")));
    judge.now_says(|_, _| verdict("down # no room"));
    assert_eq!(until(&mut changes, "a", State::Down).await.reason, "check failed: no room");

    let (first, seen) = questions.recv().await.unwrap();
    assert!(matches!(seen, Observation::Failed(why) if why.contains("Connection refused")));
    assert_eq!((&*first.name, first.current, first.streak), ("a", State::Down, 1));
    assert_eq!(first.labels[..], [("rack".to_owned(), "r7".to_owned())]);
    while let Some((subject, seen)) = questions.recv().await {
        if seen != Observation::Tick {
            assert_eq!((subject.id, subject.current, subject.streak), (first.id, State::Up, 2));
            break;
        }
    }
    assert!(watch.judgements().decided() >= 2 && watch.judgements().nobody() == 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_a_server_is_shown_to_the_judge_as_it_came() {
    let (listening, address) = listener().await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listening.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\nbusy").await;
        }
    });
    let (judge, mut questions) = fake(|_, _| verdict("up"));
    let (watch, mut changes) = watch();
    let http = crate::check::HttpCheck::new("h", "/", vec![200..=200]).unwrap();
    let check = Check { address, proxy_line: false, sockets: Sockets::Any, method: Method::Http(http) };
    watch.set(vec![judged(&judge, Watched { check: Some(check), ..tcp("a", address) })]);
    until(&mut changes, "a", State::Up).await;
    let (_, seen) = questions.recv().await.unwrap();
    let Observation::Http { status, body, .. } = seen else { panic!("{seen:?}") };
    assert_eq!((status, body.as_slice()), (503, &b"busy"[..]));

    // No judge any more: what the check expects counts again.
    judge.now_says(|_, _| Some(Judgement::Nobody));
    let down = until(&mut changes, "a", State::Down).await;
    assert!(down.reason.contains("answered with status 503, expected 200"), "{}", down.reason);
    assert_eq!(watch.judgements().nobody(), 3, "three failures in a row, as ever");
}

#[tokio::test(start_paused = true)]
async fn a_judge_that_takes_its_time_delays_no_other_server_and_its_own_is_not_checked_meanwhile() {
    let (listening, address) = listener().await;
    let (_server, _) = accepting(listening);
    let (slow_listening, slow_address) = listener().await;
    let (_slow_server, slow_checks) = accepting(slow_listening);
    let (judge, _questions) = fake(|subject, _| match &*subject.name {
        "slow" => None,
        _ => verdict("up"),
    });
    let (watch, mut changes) = watch();
    watch.set(vec![judged(&judge, tcp("slow", slow_address)), judged(&judge, tcp("a", address))]);
    until(&mut changes, "a", State::Up).await;
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(slow_checks.load(Ordering::Relaxed), 1);
    assert_eq!(state_of(&watch, "slow").await.reason, "no check has ended yet");
    assert_eq!(judge.open.lock().unwrap().len(), 1, "no tick overtakes it");
    // It ends without an answer, which is as if nobody had been asked.
    judge.open.lock().unwrap().clear();
    until(&mut changes, "slow", State::Up).await;
    assert_eq!(watch.judgements().nobody(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_second_without_an_observation_is_told_and_ends_the_judges_own_maintenance() {
    let (listening, address) = listener().await;
    let (_server, _) = accepting(listening);
    let (judge, mut questions) = fake(|_, seen| match seen {
        Observation::Tick => verdict(""),
        _ => verdict("maint up"),
    });
    let (watch, mut changes) = watch();
    let mut rare = tcp("a", address);
    rare.spec.check = Some(CheckTiming { interval: SECOND * 60, ..timing() });
    watch.set(vec![judged(&judge, rare)]);
    until(&mut changes, "a", State::Maint).await;
    assert!(matches!(questions.recv().await, Some((_, Observation::Tcp(_)))));
    for _ in 0..3 {
        let before = tokio::time::Instant::now();
        let (subject, seen) = questions.recv().await.unwrap();
        assert_eq!((seen, subject.current), (Observation::Tick, State::Maint));
        assert!(before.elapsed() <= SECOND + SECOND / 10, "{:?}", before.elapsed());
    }
    judge.now_says(|_, _| verdict("ready up"));
    until(&mut changes, "a", State::Up).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_judge_said_is_forgotten_with_the_judge_and_not_before() {
    let (listening, address) = listener().await;
    let (_server, _) = accepting(listening);
    let (drains, _of_drains) = fake(|_, _| verdict("up drain"));
    let (watch, mut changes) = watch();
    watch.set(vec![judged(&drains, tcp("a", address))]);
    assert_eq!(until(&mut changes, "a", State::Drain).await.reason, "drain by its judge");
    watch.set(vec![judged(&drains, tcp("a", address))]);
    assert_eq!(state_of(&watch, "a").await.state, State::Drain);
    let (says_nothing, mut asked) = fake(|_, _| verdict(""));
    watch.set(vec![judged(&says_nothing, tcp("a", address))]);
    assert_eq!(state_of(&watch, "a").await.state, State::Up);
    asked.recv().await.unwrap();
    // And without any judge no tick comes.
    watch.set(vec![tcp("a", address)]);
    watch.snapshot().await;
    while asked.try_recv().is_ok() {}
    tokio::time::sleep(SECOND * 10).await;
    assert!(asked.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_judge_reads_the_lines_of_agents_and_silence_is_not_shown_to_it() {
    let (address, line) = agent("sideways, please\n").await;
    let (judge, mut questions) = fake(|_, seen| match seen {
        Observation::Agent(line) if line == "sideways, please" => verdict("drain 50%"),
        Observation::Tick => verdict(""),
        _ => Some(Judgement::Failed("what?".into())),
    });
    let (watch, mut changes) = watch();
    watch.set(vec![judged(&judge, with_agent("a", address))]);
    let status = until(&mut changes, "a", State::Drain).await;
    assert_eq!((status.weight, status.reason.as_str()), (5, "drain by its judge"));
    *line.lock().unwrap() = "up\n";
    while until(&mut changes, "a", State::Drain).await.note.as_deref() != Some("what?") {}
    while questions.try_recv().is_ok() {}
    // No line end: that is no line, and the agent's fault.
    *line.lock().unwrap() = "up";
    let about = "has no line end";
    while !until(&mut changes, "a", State::Drain).await.note.is_some_and(|note| note.contains(about)) {}
    while let Ok((_, seen)) = questions.try_recv() {
        assert!(matches!(seen, Observation::Tick | Observation::Agent(_)), "{seen:?}");
    }
}
