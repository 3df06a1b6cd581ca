use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use weir_core::health::{Admin, AgentTiming, Cause, CheckHealth, CheckTiming, Weight};

use super::*;
use crate::check::{MakeSocket, Making, Method, Sockets};

mod judged;

const SECOND: Duration = Duration::from_secs(1);

fn timing() -> CheckTiming {
    CheckTiming { interval: SECOND, fast_interval: SECOND / 5, timeout: SECOND, rise: 2, fall: 3 }
}

/// A server with a TCP check at this address.
fn tcp(name: &str, address: SocketAddr) -> Watched {
    Watched {
        name: name.into(),
        spec: HealthSpec { weight: 10, check: Some(timing()), ..HealthSpec::default() },
        check: Some(Check { address, proxy_line: false, sockets: Sockets::Any, method: Method::Tcp }),
        agent: None,
        judge: None,
        operator: Operator::default(),
    }
}

/// A server with an agent at this address.
fn with_agent(name: &str, address: SocketAddr) -> Watched {
    Watched {
        spec: HealthSpec {
            weight: 10,
            agent: Some(AgentTiming { interval: SECOND }),
            ..HealthSpec::default()
        },
        check: None,
        agent: Some(Question { address, send: String::new() }),
        ..tcp(name, address)
    }
}

type Changes = UnboundedReceiver<(Arc<str>, Status)>;

fn watch() -> (Watch, Changes) {
    let (told, changes) = mpsc::unbounded_channel();
    let on_change = move |name: &Arc<str>, status: &Status| {
        let _ = told.send((Arc::clone(name), status.clone()));
    };
    (Watch::start(Clock::start(), 1, on_change), changes)
}

/// Waits until this server is in this state. An hour of paused time is a moment of anybody's, and then it never will be.
async fn until(changes: &mut Changes, name: &str, state: State) -> Status {
    let wait = async {
        loop {
            let (who, status) = changes.recv().await.expect("the watch runs");
            if &*who == name && status.state == state {
                return status;
            }
        }
    };
    let Ok(status) = tokio::time::timeout(SECOND * 3600, wait).await else {
        panic!("{name} is never {state:?}")
    };
    status
}

/// A server that accepts and counts, until it is aborted.
fn accepting(listener: TcpListener) -> (JoinHandle<()>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let task = tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    (task, count)
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address that nobody listens at.
async fn closed() -> SocketAddr {
    listener().await.1
}

async fn state_of(watch: &Watch, name: &str) -> Status {
    let snapshot = watch.snapshot().await;
    snapshot.into_iter().find(|(known, _)| &**known == name).expect("it is watched").1
}

fn listener_at(address: SocketAddr) -> TcpListener {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket.listen(64).unwrap()
}

/// An agent that says whatever it is told to.
async fn agent(line: &'static str) -> (SocketAddr, Arc<std::sync::Mutex<&'static str>>) {
    let (listener, address) = listener().await;
    let line = Arc::new(std::sync::Mutex::new(line));
    let says = Arc::clone(&line);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let line = *says.lock().unwrap();
            let _ = stream.write_all(line.as_bytes()).await;
        }
    });
    (address, line)
}

#[tokio::test(start_paused = true)]
async fn a_server_is_followed_down_and_up_again() {
    let (listening, address) = listener().await;
    let (server, _) = accepting(listening);
    let (watch, mut changes) = watch();
    watch.set(vec![tcp("a", address)]);
    let first = changes.recv().await.unwrap();
    assert_eq!((&*first.0, first.1.state), ("a", State::Down), "told of at once, unknown yet");
    until(&mut changes, "a", State::Up).await;

    server.abort();
    let _ = server.await;
    let down = until(&mut changes, "a", State::Down).await;
    assert!(down.reason.contains("Connection refused"), "{}", down.reason);

    accepting(listener_at(address));
    until(&mut changes, "a", State::Up).await;
}

#[tokio::test(start_paused = true)]
async fn an_agent_is_obeyed_and_its_silence_is_not() {
    let (address, line) = agent("drain 50%\n").await;
    let (watch, mut changes) = watch();
    watch.set(vec![with_agent("a", address)]);
    let status = until(&mut changes, "a", State::Drain).await;
    assert_eq!(status.weight, 5);
    *line.lock().unwrap() = "";
    while until(&mut changes, "a", State::Drain).await.note.is_none() {}
    *line.lock().unwrap() = "ready down # full\n";
    assert_eq!(until(&mut changes, "a", State::Down).await.reason, "down by its agent: full");
    *line.lock().unwrap() = "up\n";
    until(&mut changes, "a", State::Up).await;
}

#[tokio::test(start_paused = true)]
async fn the_load_in_the_answer_to_a_check_is_known_of_its_server_until_answers_say_none() {
    let (listener, address) = listener().await;
    let header = Arc::new(std::sync::Mutex::new("X-Load: 75%\r\n"));
    let says = Arc::clone(&header);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = format!("HTTP/1.1 204 No Content\r\n{}\r\n", says.lock().unwrap());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    let http = crate::check::HttpCheck::new("h", "/", vec![200..=299]).unwrap().saying_load_in("x-load");
    let check = Check { address, proxy_line: false, sockets: Sockets::Any, method: Method::Http(http) };
    let (watch, mut changes) = watch();
    watch.set(vec![Watched { check: Some(check), ..tcp("a", address) }]);
    let up = until(&mut changes, "a", State::Up).await;
    assert_eq!(up.load.map(|load| load.to_string()).as_deref(), Some("75%"));
    *header.lock().unwrap() = "X-Load: high\r\n";
    let odd = until(&mut changes, "a", State::Up).await;
    assert_eq!(odd.load_fault.as_deref(), Some("says the load `high`: write 0.42 or 42%"));
    assert_eq!(odd.load, up.load);
    *header.lock().unwrap() = "";
    while until(&mut changes, "a", State::Up).await.load.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_delays_no_other() {
    let (full, hanging) = listener().await; // accepts nothing; connects all the same, so give it an HTTP check
    let mut slow = tcp("slow", hanging);
    slow.spec.check = Some(CheckTiming { timeout: SECOND * 3600, ..timing() });
    slow.check = Some(Check {
        method: Method::Http(crate::check::HttpCheck::new("h", "/", vec![200..=200]).unwrap()),
        ..slow.check.unwrap()
    });
    let (listening, address) = listener().await;
    let (server, _) = accepting(listening);
    let (watch, mut changes) = watch();
    watch.set(vec![slow, tcp("a", address)]);
    until(&mut changes, "a", State::Up).await;
    server.abort();
    until(&mut changes, "a", State::Down).await;
    let snapshot = watch.snapshot().await;
    let slow = snapshot.iter().find(|(name, _)| &**name == "slow").unwrap();
    assert_eq!(slow.1.reason, "no check has ended yet");
    drop(full);
}

#[tokio::test(start_paused = true)]
async fn commands_are_answered_with_what_they_led_to() {
    let (address, _) = agent("up\n").await;
    let (watch, _changes) = watch();
    watch.set(vec![with_agent("a", address)]);
    let status = watch.operator("a", OperatorCommand::Admin(Admin::Maint)).await.unwrap();
    assert_eq!((status.state, status.cause), (State::Maint, Cause::Operator));
    let status = watch.operator("a", OperatorCommand::Weight(Some(Weight::Absolute(3)))).await.unwrap();
    assert_eq!((status.weight, status.bits.operator.admin), (3, Admin::Maint));
    assert_eq!(
        watch.operator("b", OperatorCommand::Admin(Admin::Ready)).await,
        Err(UnknownServer("b".into()))
    );
    watch.inherit("a", State::Down);
    watch.operator("a", OperatorCommand::Admin(Admin::Ready)).await.unwrap();
    let snapshot = watch.snapshot().await;
    let [(_, status)] = snapshot.as_slice() else { panic!("one server") };
    assert_eq!((status.state, status.cause, status.weight), (State::Down, Cause::Inherited, 3));
}

#[tokio::test(start_paused = true)]
async fn a_server_keeps_its_machine_while_others_come_and_go() {
    let (listening, address) = listener().await;
    let (_server, count) = accepting(listening);
    let (watch, mut changes) = watch();
    watch.set(vec![tcp("a", address), tcp("b", address)]);
    until(&mut changes, "a", State::Up).await;
    watch.operator("a", OperatorCommand::Admin(Admin::Drain)).await.unwrap();
    let since = watch.snapshot().await[0].1.since;

    let mut heavier = tcp("a", address);
    heavier.spec.weight = 20;
    // What an earlier process knew is older than what this one was told.
    heavier.operator = Operator { admin: Admin::Maint, weight: None };
    watch.set(vec![heavier, tcp("c", address)]);
    let snapshot = watch.snapshot().await;
    let names: Vec<&str> = snapshot.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["a", "c"]);
    let a = &snapshot[0].1;
    assert_eq!((a.state, a.weight, a.since), (State::Drain, 20, since), "known, drained, and heavier");

    watch.set(Vec::new());
    assert_eq!(watch.snapshot().await, []);
    let checks = count.load(Ordering::Relaxed);
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(count.load(Ordering::Relaxed), checks, "nobody is checked any more");
}

#[tokio::test(start_paused = true)]
async fn a_check_port_that_changes_takes_nobody_out() {
    let [(old_a, from_a), (old_b, from_b)] = [listener().await, listener().await];
    let [(new_a, to_a), (new_b, to_b)] = [listener().await, listener().await];
    accepting(old_a);
    accepting(old_b);
    let (watch, mut changes) = watch();
    watch.set(vec![tcp("a", from_a), tcp("b", from_b)]);
    until(&mut changes, "a", State::Up).await;
    while watch.snapshot().await.iter().any(|(_, status)| status.state != State::Up) {
        changes.recv().await.unwrap();
    }
    while changes.try_recv().is_ok() {}

    watch.set(vec![tcp("a", to_a), tcp("b", to_b)]);
    for (name, status) in watch.snapshot().await {
        assert_eq!(status.state, State::Up, "{name} was in use, and no check of the new port has ended");
    }
    let [(_, count_a), (_, count_b)] = [accepting(new_a), accepting(new_b)];
    tokio::time::sleep(SECOND * 10).await;
    assert!(
        count_a.load(Ordering::Relaxed) > 5 && count_b.load(Ordering::Relaxed) > 5,
        "the new port is checked"
    );
    drop(watch);
    while let Some((name, status)) = changes.recv().await {
        assert_eq!(status.state, State::Up, "{name}: {}", status.reason);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_moved_keeps_its_standing_and_its_orders_until_checks_say_otherwise() {
    let (listening, address) = listener().await;
    accepting(listening);
    let (watch, mut changes) = watch();
    let [nowhere, nowhere_else] = [closed().await, closed().await];
    watch.set(vec![tcp("up", address), tcp("down", nowhere)]);
    until(&mut changes, "down", State::Down).await;
    until(&mut changes, "up", State::Up).await;
    watch.operator("up", OperatorCommand::Admin(Admin::Drain)).await.unwrap();
    until(&mut changes, "up", State::Drain).await;
    while state_of(&watch, "down").await.bits.check != Some(CheckHealth::Down) {
        changes.recv().await.unwrap();
    }

    watch.set(vec![tcp("up", nowhere_else), tcp("down", address)]);
    assert_eq!(state_of(&watch, "up").await.state, State::Drain, "in use, and still ordered to drain");
    assert_eq!(state_of(&watch, "down").await.state, State::Down, "nothing was seen of it there");
    // Both get there by as many results as ever: two passes, three failures.
    let mut notes = Vec::new();
    loop {
        let (name, status) = changes.recv().await.unwrap();
        notes
            .extend(status.note.map(|note| format!("{name} {}", note.split(':').next().unwrap_or_default())));
        if &*name == "up" && status.state == State::Down {
            break;
        }
    }
    for note in ["down 1 of 2 passed checks", "up 1 of 3 failed checks", "up 2 of 3 failed checks"] {
        assert!(notes.iter().any(|known| known == note), "{note}: {notes:?}");
    }
    while state_of(&watch, "down").await.state != State::Up {
        changes.recv().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn another_kind_of_check_or_a_new_one_takes_nobody_out() {
    let (listening, address) = listener().await;
    accepting(listening);
    let (watch, mut changes) = watch();
    watch.set(vec![tcp("a", address), Watched { check: None, ..tcp("b", address) }]);
    until(&mut changes, "a", State::Up).await;
    let http = Method::Http(crate::check::HttpCheck::new("h", "/", vec![200..=200]).unwrap());
    let check = |name| Watched {
        check: Some(Check { address, proxy_line: false, sockets: Sockets::Any, method: http.clone() }),
        ..tcp(name, address)
    };
    watch.set(vec![check("a"), check("b")]);
    for (name, status) in watch.snapshot().await {
        assert_eq!(status.state, State::Up, "{name} was in use, and no check of the new kind has ended");
    }
    // The new kind does count: this server does not speak HTTP.
    let reason = until(&mut changes, "a", State::Down).await.reason;
    assert!(reason.contains("closed the connection before it answered"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_said_is_forgotten_with_its_address() {
    let (old, _) = agent("drain 50%\n").await;
    let (new, _) = agent("up\n").await;
    let (watch, mut changes) = watch();
    watch.set(vec![with_agent("a", old)]);
    until(&mut changes, "a", State::Drain).await;
    watch.set(vec![with_agent("a", new)]);
    assert_eq!(until(&mut changes, "a", State::Up).await.weight, 10);
    while until(&mut changes, "a", State::Up).await.bits.agent_health.is_none() {}
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_ordered_before_a_restart_holds_from_the_start() {
    let (address, _) = agent("up ready\n").await;
    let (watch, mut changes) = watch();
    let operator = Operator { admin: Admin::Drain, weight: Some(Weight::Absolute(7)) };
    watch.set(vec![Watched { operator, ..with_agent("a", address) }]);
    let (_, first) = changes.recv().await.unwrap();
    assert_eq!((first.state, first.weight), (State::Drain, 7));
}

#[tokio::test(start_paused = true)]
async fn maintenance_ends_with_a_check_at_once() {
    let (listening, address) = listener().await;
    let (_server, count) = accepting(listening);
    let (watch, mut changes) = watch();
    watch.set(vec![tcp("a", address)]);
    until(&mut changes, "a", State::Up).await;
    watch.operator("a", OperatorCommand::Admin(Admin::Maint)).await.unwrap();
    let checks = count.load(Ordering::Relaxed);
    tokio::time::sleep(SECOND * 30).await;
    assert_eq!(count.load(Ordering::Relaxed), checks, "not checked in maintenance");
    watch.operator("a", OperatorCommand::Admin(Admin::Ready)).await.unwrap();
    let asked = tokio::time::Instant::now();
    until(&mut changes, "a", State::Up).await;
    assert!(asked.elapsed() < SECOND / 2, "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_watch_ends_checks_and_callbacks() {
    let (listening, address) = listener().await;
    let (_server, count) = accepting(listening);
    let (watch, mut changes) = watch();
    watch.set(vec![tcp("a", address)]);
    until(&mut changes, "a", State::Up).await;
    drop(watch);
    while changes.recv().await.is_some() {}
    let checks = count.load(Ordering::Relaxed);
    tokio::time::sleep(SECOND * 10).await;
    assert_eq!(count.load(Ordering::Relaxed), checks);
}

#[tokio::test(start_paused = true)]
async fn many_servers_are_known_within_a_round_and_not_checked_all_at_once() {
    let (listening, address) = listener().await;
    let (_server, count) = accepting(listening);
    let (watch, mut changes) = watch();
    let servers = 300;
    watch.set((0..servers).map(|i| tcp(&format!("s{i:03}"), address)).collect());
    let mut up = 0;
    while up < servers {
        let (_, status) = changes.recv().await.unwrap();
        if status.state == State::Up {
            up += 1;
        }
    }
    // One more interval: every server once more, give or take those at the edges.
    let before = count.load(Ordering::Relaxed);
    let mut busiest = 0;
    let mut last = before;
    for _ in 0..20 {
        tokio::time::sleep(SECOND / 20).await;
        let now = count.load(Ordering::Relaxed);
        busiest = busiest.max(now - last);
        last = now;
    }
    assert!(busiest < servers / 4, "{busiest} of {servers} checks in a twentieth of the interval");
    let round = last - before;
    assert!(round > servers / 2 && round < servers * 2, "{round}");
    for (_, status) in watch.snapshot().await {
        assert_eq!(status.state, State::Up);
    }
}

/// Gives no socket until it is told to.
#[derive(Debug, Default)]
struct Maker(std::sync::atomic::AtomicBool);

impl MakeSocket for Maker {
    fn make(&self) -> Making<'_> {
        Box::pin(async {
            match self.0.load(std::sync::atomic::Ordering::Relaxed) {
                true => tokio::net::TcpSocket::new_v4(),
                false => Err(std::io::Error::other("no way there yet")),
            }
        })
    }
}

/// Gives sockets; while it is told to, from a port that has a connection to the server already.
#[derive(Debug)]
struct Taken {
    from: SocketAddr,
    is_taken: std::sync::atomic::AtomicBool,
}

impl MakeSocket for Taken {
    fn make(&self) -> Making<'_> {
        Box::pin(async {
            let socket = TcpSocket::new_v4()?;
            if self.is_taken.load(Ordering::Relaxed) {
                socket.set_reuseaddr(true)?;
                socket.bind(self.from)?;
            }
            Ok(socket)
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_for_which_this_node_has_no_port_says_nothing_of_the_server() {
    let (listening, address) = listener().await;
    accepting(listening);
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let from = socket.local_addr().unwrap();
    let _taken = socket.connect(address).await.unwrap();
    let maker = Arc::new(Taken { from, is_taken: false.into() });
    let (watch, mut changes) = watch();
    let mut server = tcp("a", address);
    server.check = server.check.map(|check| Check { sockets: Sockets::Of(Arc::clone(&maker) as _), ..check });
    watch.set(vec![server]);
    until(&mut changes, "a", State::Up).await;
    maker.is_taken.store(true, Ordering::Relaxed);
    let status = changes.recv().await.unwrap().1;
    assert!(status.untried.as_deref().is_some_and(|why| why.contains("this node cannot")), "{status:?}");
    tokio::time::sleep(SECOND * 60).await;
    assert_eq!(state_of(&watch, "a").await.state, State::Up);
}

#[tokio::test(start_paused = true)]
async fn a_check_without_a_socket_says_nothing_of_the_server() {
    let (listening, address) = listener().await;
    let (server, _) = accepting(listening);
    let maker = Arc::new(Maker::default());
    let (watch, mut changes) = watch();
    let mut server_a = tcp("a", address);
    server_a.check =
        server_a.check.map(|check| Check { sockets: Sockets::Of(Arc::clone(&maker) as _), ..check });
    watch.set(vec![server_a]);
    let untried =
        |status: &Status| status.untried.as_deref().is_some_and(|why| why.contains("no way there yet"));
    let status = loop {
        let (_, status) = changes.recv().await.unwrap();
        if untried(&status) {
            break status;
        }
    };
    assert_eq!(status.reason, "no check has ended yet");
    maker.0.store(true, std::sync::atomic::Ordering::Relaxed);
    until(&mut changes, "a", State::Up).await;
    maker.0.store(false, std::sync::atomic::Ordering::Relaxed);
    server.abort();
    // It is gone, and nobody could look: what was known stays known.
    while !untried(&changes.recv().await.unwrap().1) {}
    tokio::time::sleep(SECOND * 60).await;
    assert_eq!(watch.snapshot().await[0].1.state, State::Up);
    maker.0.store(true, std::sync::atomic::Ordering::Relaxed);
    until(&mut changes, "a", State::Down).await;
}
