//! The sidecar between a host on a socket, a kernel and a speaker that only note what they are told.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;

use tokio::task::JoinHandle;
use weir_core::bgp::Prefix;
use weir_core::desired::speaker::{Listener, Route};
use weir_core::desired::{Difference, ServiceAddress, Sysctl};
use weir_core::ipvs::{Key, Service, Settings, Table};

use super::session::hello;
use super::*;
use crate::protocol::{self, Hello, MAX_FRAME, MAX_HELLO, Report};

type Told = Arc<Mutex<Vec<Config>>>;
/// The stage at which it was stopped.
type Stopped = Arc<Mutex<Option<Stage>>>;

struct Speaker(Told, Stopped);

impl Announcer for Speaker {
    fn set(&mut self, config: Config) {
        self.0.lock().unwrap().push(config);
    }

    fn status(&self) -> Status {
        let stage = match self.0.lock().unwrap().last() {
            Some(config) if config.wish == Wish::Stop => Stage::Done,
            _ => Stage::Announced,
        };
        // The address that another program has.
        let error = |address: &std::net::SocketAddr| (address.port() == 1).then(|| "taken".to_owned());
        let told = self.0.lock().unwrap();
        let listen = told.last().map(|config| config.listen.as_slice()).unwrap_or_default();
        let listeners = listen.iter().map(|address| Listener { address: *address, error: error(address) });
        Status { stage, listeners: listeners.collect(), ..Status::default() }
    }

    fn stop(self, _: &str) {
        *self.1.lock().unwrap() = Some(self.status().stage);
    }
}

/// A running sidecar and the far ends of everything that it holds.
struct Scene {
    dir: tempfile::TempDir,
    told: Told,
    stopped: Stopped,
    kernel: watch::Receiver<Option<Arc<Desired>>>,
    prepared: watch::Receiver<Option<Arc<Ways>>>,
    looked: mpsc::Sender<Looked>,
    stop: tokio::sync::oneshot::Sender<()>,
    running: JoinHandle<()>,
}

fn scene(allowed: &[u32]) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let (desired, kernel) = watch::channel(None);
    let (looked, results) = mpsc::channel(1);
    let (told, stopped) = (Told::default(), Stopped::default());
    let (stop, stops) = tokio::sync::oneshot::channel();
    let (ways, prepared) = watch::channel(None);
    let worker = Worker { desired, ways, looked: results, there: watch::channel(Arc::default()).1 };
    let sidecar = Sidecar::new(
        allowed.iter().copied(),
        false,
        worker,
        Speaker(Arc::clone(&told), Arc::clone(&stopped)),
    );
    let running = tokio::spawn(sidecar.serve(listener, async { drop(stops.await) }));
    Scene { dir, told, stopped, kernel, prepared, looked, stop, running }
}

/// A service for this mark.
fn way(mark: u32) -> Ways {
    let key = Key::Mark { family: weir_core::maglev::Family::V4, mark: mark.try_into().unwrap() };
    let service = Service { key, settings: Settings::maglev(), destinations: Vec::new() };
    Ways {
        services: Table::of([service]).unwrap(),
        sysctls: vec![Sysctl::new("net/ipv4/conf/all/accept_local", "1")],
    }
}

fn me() -> u32 {
    rustix::process::getuid().as_raw()
}

async fn connect(path: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(path.join("s")).await.unwrap();
    protocol::write(&mut stream, &Hello::ours()).await.unwrap();
    protocol::read::<Hello>(&mut stream, MAX_HELLO).await.unwrap().agree().unwrap();
    stream
}

fn prefix(text: &str) -> Prefix {
    let (address, length) = text.split_once('/').unwrap();
    Prefix::new(address.parse().unwrap(), length.parse().unwrap()).unwrap()
}

fn desired(generation: u64, prefixes: &[&str]) -> Desired {
    let routes = prefixes.iter().map(|p| Route::of(prefix(p))).collect();
    let speaker = Config { routes, ..Config::new(65_000, Ipv4Addr::new(192, 0, 2, 1)) };
    let addresses = prefixes.iter().map(|p| ServiceAddress(prefix(p).address())).collect();
    Desired { generation, addresses, speaker: Some(speaker), ..Desired::default() }
}

impl Scene {
    async fn order(&mut self, host: &mut UnixStream, desired: Desired) {
        let generation = desired.generation;
        protocol::write(host, &Order::Set(Box::new(desired))).await.unwrap();
        self.kernel.wait_for(|d| d.as_ref().is_some_and(|d| d.generation == generation)).await.unwrap();
    }

    async fn kernel_says(&self, generation: u64, differences: Vec<Difference>) {
        self.looked.send(Looked { generation, differences, done: 1, ..Looked::default() }).await.unwrap();
    }

    fn announced(&self) -> Vec<String> {
        let told = self.told.lock().unwrap();
        told.last().map(|c| c.routes.iter().map(|r| r.prefix.to_string()).collect()).unwrap_or_default()
    }

    fn wish(&self) -> Option<Wish> {
        self.told.lock().unwrap().last().map(|c| c.wish)
    }
}

/// A sidecar that announces these, as generation 1, and the host that wants it.
async fn announcing(prefixes: &[&str]) -> (Scene, UnixStream) {
    let mut scene = scene(&[me()]);
    let mut host = connect(scene.dir.path()).await;
    scene.order(&mut host, desired(1, prefixes)).await;
    scene.kernel_says(1, vec![]).await;
    report(&mut host, of_generation(1)).await;
    (scene, host)
}

/// What the sidecar reports next that satisfies `until`.
async fn report(host: &mut UnixStream, until: impl Fn(&Report) -> bool) -> Report {
    loop {
        let report = protocol::read::<Report>(host, MAX_FRAME).await.unwrap();
        if until(&report) {
            return report;
        }
    }
}

fn of_generation(generation: u64) -> impl Fn(&Report) -> bool {
    move |r| matches!(r, Report::Observed(o) if o.generation == generation)
}

#[tokio::test(start_paused = true)]
async fn what_is_new_is_announced_when_the_kernel_serves_it_and_what_is_old_is_withdrawn_before() {
    let mut scene = scene(&[me()]);
    let mut host = connect(scene.dir.path()).await;
    scene.order(&mut host, desired(1, &["198.51.100.1/32"])).await;
    assert_eq!(scene.announced(), Vec::<String>::new());
    scene.kernel_says(1, vec![]).await;
    report(&mut host, of_generation(1)).await;
    assert_eq!(scene.announced(), ["198.51.100.1/32"]);

    scene.order(&mut host, desired(2, &["198.51.100.2/32"])).await;
    assert_eq!(scene.announced(), Vec::<String>::new());
    let broken = Difference { part: Part::Ipvs, what: "no such scheduler".to_owned() };
    scene.kernel_says(2, vec![broken]).await;
    report(&mut host, of_generation(2)).await;
    assert_eq!(scene.announced(), Vec::<String>::new());
    // A setting that drifted is told, and stands in nobody's way.
    let drift = Difference { part: Part::Sysctl, what: "sloppy_tcp is 0".to_owned() };
    scene.kernel_says(2, vec![drift.clone()]).await;
    report(&mut host, |r| matches!(r, Report::Observed(o) if o.differences == [drift.clone()])).await;
    assert_eq!(scene.announced(), ["198.51.100.2/32"]);
}

#[tokio::test(start_paused = true)]
async fn ways_of_checks_are_prepared_and_nothing_else_is_taken_for_one() {
    let mut scene = scene(&[me()]);
    let mut host = connect(scene.dir.path()).await;
    protocol::write(&mut host, &Order::Prepare(Box::new(way(7)))).await.unwrap();
    report(&mut host, |r| matches!(r, Report::Refused(why) if why.contains("mark 7"))).await;
    assert_eq!(*scene.prepared.borrow(), None);
    let ways = way(weir_core::l4::MARKS.last);
    protocol::write(&mut host, &Order::Prepare(Box::new(ways.clone()))).await.unwrap();
    let prepared = scene.prepared.wait_for(Option::is_some).await.unwrap().clone();
    assert_eq!(prepared.as_deref(), Some(&ways));
    assert!(scene.kernel.borrow().is_none() && scene.announced().is_empty());

    // A host that comes after another one: what that one wanted stays, with the ways beside it, until the new one knows what it wants.
    scene.order(&mut host, desired(1, &["198.51.100.1/32"])).await;
    let mut host = connect(scene.dir.path()).await;
    protocol::write(&mut host, &Order::Prepare(Box::new(ways.clone()))).await.unwrap();
    let has_way = |desired: &Option<Arc<Desired>>| {
        desired
            .as_ref()
            .is_some_and(|d| d.ipvs.table.len() == 1 && d.sysctls == ways.sysctls && d.speaker.is_some())
    };
    scene.kernel.wait_for(has_way).await.unwrap();
    scene.order(&mut host, desired(2, &["198.51.100.1/32"])).await;
    assert_eq!(scene.kernel.borrow().as_ref().map(|d| d.ipvs.table.len()), Some(0));
}

#[tokio::test(start_paused = true)]
async fn a_silent_host_costs_the_announcements_after_the_hold_and_nothing_before() {
    let (scene, mut host) = announcing(&["198.51.100.1/32"]).await;
    let began = Instant::now();
    report(&mut host, |r| matches!(r, Report::Observed(o) if o.host_is_silent)).await;
    assert_eq!(began.elapsed().as_secs(), 10);
    assert_eq!(scene.wish(), Some(Wish::Leave));
    // The kernel is told nothing: connections go on.
    assert!(!scene.kernel.has_changed().unwrap());

    protocol::write(&mut host, &Order::Alive).await.unwrap();
    report(&mut host, |r| matches!(r, Report::Observed(o) if !o.host_is_silent)).await;
    assert_eq!(scene.wish(), Some(Wish::Announce));
    assert_eq!(scene.announced(), ["198.51.100.1/32"]);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_shorter_than_the_signs_of_life_are_apart_is_not_kept_to() {
    let mut scene = scene(&[me()]);
    let mut host = connect(scene.dir.path()).await;
    let short = Desired { hold: Duration::from_millis(300), ..desired(1, &["198.51.100.1/32"]) };
    scene.order(&mut host, short).await;
    for _ in 0..20 {
        tokio::time::sleep(ALIVE_EVERY).await;
        protocol::write(&mut host, &Order::Alive).await.unwrap();
    }
    let told = scene.told.lock().unwrap();
    assert!(told.iter().all(|config| config.wish == Wish::Announce), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_host_is_told_first_what_is_announced_by_the_word_of_the_one_before() {
    let of_address = |address: [u8; 4]| Report::Announced([address.into()].into());
    let (scene, host) = announcing(&["198.51.100.1/32"]).await;
    drop(host);
    let mut next = connect(scene.dir.path()).await;
    assert_eq!(protocol::read::<Report>(&mut next, MAX_FRAME).await.unwrap(), of_address([198, 51, 100, 1]));
    // Nobody decides for longer than the hold: then nothing is announced that could go on.
    drop(next);
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(scene.wish(), Some(Wish::Leave));
    let mut next = connect(scene.dir.path()).await;
    let first = protocol::read::<Report>(&mut next, MAX_FRAME).await.unwrap();
    assert_eq!(first, Report::Announced(BTreeSet::new()));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_died_and_came_back_within_the_hold_is_not_noticed_by_neighbors() {
    let (mut scene, host) = announcing(&["198.51.100.1/32"]).await;
    let told = scene.told.lock().unwrap().clone();
    drop(host);
    tokio::time::sleep(Duration::from_secs(9)).await;
    let mut host = connect(scene.dir.path()).await;
    scene.order(&mut host, desired(1, &["198.51.100.1/32"])).await;
    scene.kernel_says(1, vec![]).await;
    tokio::time::sleep(Duration::from_secs(9)).await;
    assert_eq!(*scene.told.lock().unwrap(), told);
}

#[tokio::test(start_paused = true)]
async fn a_desired_state_that_is_none_of_weirs_business_is_refused_whole() {
    let mut scene = scene(&[me()]);
    let mut host = connect(scene.dir.path()).await;
    scene.order(&mut host, desired(1, &[])).await;
    let mut bad = desired(2, &[]);
    bad.addresses.push(ServiceAddress(Ipv4Addr::LOCALHOST.into()));
    protocol::write(&mut host, &Order::Set(Box::new(bad))).await.unwrap();
    let refused = report(&mut host, |r| matches!(r, Report::Refused(_))).await;
    assert!(matches!(refused, Report::Refused(why) if why.contains("127.0.0.1")));
    assert_eq!(scene.kernel.borrow().as_ref().unwrap().generation, 1);
}

#[tokio::test(start_paused = true)]
async fn a_user_that_is_not_allowed_hears_nothing() {
    let scene = scene(&[me() + 1]);
    let mut stranger = UnixStream::connect(scene.dir.path().join("s")).await.unwrap();
    let heard = protocol::read::<Hello>(&mut stranger, MAX_HELLO).await;
    assert!(matches!(heard, Err(FrameError::Closed | FrameError::Io(_))), "{heard:?}");
}

#[tokio::test(start_paused = true)]
async fn the_newest_host_is_the_one_that_is_obeyed() {
    let mut scene = scene(&[me()]);
    let mut old = connect(scene.dir.path()).await;
    scene.order(&mut old, desired(1, &[])).await;
    let mut new = connect(scene.dir.path()).await;
    protocol::write(&mut old, &Order::Set(Box::new(desired(9, &[])))).await.unwrap();
    scene.order(&mut new, desired(2, &[])).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(scene.kernel.borrow().as_ref().unwrap().generation, 2);
    // The other one is told, and then hung up on.
    report(&mut old, |r| *r == Report::Replaced).await;
    let end = protocol::read::<Report>(&mut old, MAX_FRAME).await;
    assert!(matches!(end, Err(FrameError::Closed | FrameError::Io(_))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn who_only_looks_whether_somebody_listens_takes_no_hosts_place() {
    let mut scene = scene(&[me()]);
    let mut host = connect(scene.dir.path()).await;
    scene.order(&mut host, desired(1, &[])).await;
    drop(UnixStream::connect(scene.dir.path().join("s")).await.unwrap());
    let mut dumb = UnixStream::connect(scene.dir.path().join("s")).await.unwrap();
    // It is greeted, says nothing, and is let go.
    protocol::read::<Hello>(&mut dumb, MAX_HELLO).await.unwrap();
    let end = protocol::read::<Report>(&mut dumb, MAX_FRAME).await;
    assert!(matches!(end, Err(FrameError::Closed)), "{end:?}");
    scene.order(&mut host, desired(2, &[])).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_begun_anew_does_not_speak_for_its_predecessor() {
    let (mut scene, host) = announcing(&["198.51.100.1/32"]).await;
    drop(host);
    // One after the other lives, and dies before it has decided.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        let mut host = connect(scene.dir.path()).await;
        protocol::write(&mut host, &Order::Alive).await.unwrap();
        protocol::write(&mut host, &Order::Prepare(Box::default())).await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(scene.wish(), Some(Wish::Leave));
    // One that decides to leave announces nothing on the way to it.
    let told = scene.told.lock().unwrap().len();
    let mut leaving = desired(2, &["198.51.100.1/32"]);
    leaving.speaker.as_mut().unwrap().wish = Wish::Leave;
    let mut host = connect(scene.dir.path()).await;
    scene.order(&mut host, leaving).await;
    scene.kernel_says(2, vec![]).await;
    report(&mut host, of_generation(2)).await;
    assert!(scene.told.lock().unwrap()[told..].iter().all(|config| config.wish == Wish::Leave));
    // And one that goes on does so at once.
    scene.order(&mut host, desired(3, &["198.51.100.1/32"])).await;
    assert_eq!(scene.wish(), Some(Wish::Announce));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_goes_is_withdrawn_at_once_and_served_until_routers_know() {
    let (mut scene, mut host) = announcing(&["198.51.100.1/32", "198.51.100.2/32"]).await;
    let served = |scene: &Scene| scene.kernel.borrow().as_ref().unwrap().addresses.len();

    let began = Instant::now();
    scene.order(&mut host, desired(2, &["198.51.100.1/32"])).await;
    assert_eq!((scene.announced(), served(&scene)), (vec!["198.51.100.1/32".to_owned()], 2));
    // What comes in between keeps it as long as it was to be kept, and no longer.
    tokio::time::sleep(Duration::from_secs(1)).await;
    scene.order(&mut host, desired(3, &["198.51.100.1/32"])).await;
    assert_eq!(served(&scene), 2);
    scene.kernel.wait_for(|told| told.as_ref().is_some_and(|told| told.addresses.len() == 1)).await.unwrap();
    assert_eq!(began.elapsed().as_secs(), 4, "the pauses of fading and of draining");
    assert_eq!(scene.kernel.borrow().as_deref(), Some(&desired(3, &["198.51.100.1/32"])));

    // What a host that has begun anew needs for its checks outlives a departure.
    scene.order(&mut host, desired(3, &["198.51.100.1/32", "198.51.100.3/32"])).await;
    scene.kernel_says(3, vec![]).await;
    report(&mut host, of_generation(3)).await;
    scene.order(&mut host, desired(4, &["198.51.100.1/32"])).await;
    let mut host = connect(scene.dir.path()).await;
    protocol::write(&mut host, &Order::Prepare(Box::new(way(weir_core::l4::MARKS.first)))).await.unwrap();
    scene.kernel.wait_for(|told| told.as_ref().is_some_and(|told| told.ipvs.table.len() == 1)).await.unwrap();
    scene.kernel.wait_for(|told| told.as_ref().is_some_and(|told| told.addresses.len() == 1)).await.unwrap();
    assert_eq!(scene.kernel.borrow().as_ref().map(|told| told.ipvs.table.len()), Some(1));

    // One that comes back in time was never away.
    scene.order(&mut host, desired(5, &[])).await;
    assert_eq!(served(&scene), 1);
    scene.order(&mut host, desired(6, &["198.51.100.1/32"])).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(scene.kernel.borrow().as_deref(), Some(&desired(6, &["198.51.100.1/32"])));
}

#[tokio::test(start_paused = true)]
async fn a_listening_address_that_another_program_has_is_tried_again() {
    let mut scene = scene(&[me()]);
    let mut host = connect(scene.dir.path()).await;
    let mut listening = Desired { hold: Duration::from_secs(600), ..desired(1, &[]) };
    listening.speaker.as_mut().unwrap().listen = vec!["192.0.2.1:1".parse().unwrap()];
    scene.order(&mut host, listening.clone()).await;
    let told = scene.told.lock().unwrap().len();
    tokio::time::sleep(LISTEN_AGAIN * 3).await;
    assert!(scene.told.lock().unwrap().len() >= told + 2);
    // Another one is free.
    listening.generation = 2;
    listening.speaker.as_mut().unwrap().listen = vec!["192.0.2.1:2".parse().unwrap()];
    scene.order(&mut host, listening).await;
    let told = scene.told.lock().unwrap().len();
    tokio::time::sleep(LISTEN_AGAIN * 3).await;
    assert_eq!(scene.told.lock().unwrap().len(), told);
}

#[tokio::test(start_paused = true)]
async fn who_is_told_to_stop_ends_its_sessions_in_order() {
    let (scene, _host) = announcing(&["198.51.100.1/32"]).await;
    scene.stop.send(()).unwrap();
    scene.running.await.unwrap();
    let told = scene.told.lock().unwrap();
    assert_eq!(told.last().map(|c| (c.wish, c.routes.len())), Some((Wish::Stop, 1)));
    assert_eq!(*scene.stopped.lock().unwrap(), Some(Stage::Done), "its last words are waited for");
}

#[tokio::test(start_paused = true)]
async fn a_change_is_made_of_what_is_in_force_and_the_whole_is_asked_for_where_it_does_not_fit() {
    let mut scene = scene(&[me()]);
    let mut host = connect(scene.dir.path()).await;
    let (first, second, third) = (desired(1, &[]), desired(2, &["198.51.100.1/32"]), desired(3, &[]));
    // Never the first order of a connection.
    protocol::write(&mut host, &Order::from(Some(&first), &second)).await.unwrap();
    report(&mut host, |r| *r == Report::Again).await;
    assert!(scene.kernel.borrow().is_none());
    scene.order(&mut host, first.clone()).await;
    protocol::write(&mut host, &Order::from(Some(&first), &second)).await.unwrap();
    scene.kernel.wait_for(|d| d.as_ref().is_some_and(|d| d.generation == 2)).await.unwrap();
    assert_eq!(scene.kernel.borrow().as_deref(), Some(&second));
    // One was missed.
    protocol::write(&mut host, &Order::from(Some(&third), &desired(4, &[]))).await.unwrap();
    report(&mut host, |r| *r == Report::Again).await;
    assert_eq!(scene.kernel.borrow().as_deref(), Some(&second), "what was in force stays in force");
}

#[tokio::test(start_paused = true)]
async fn a_host_says_the_whole_once_then_what_differs_and_the_whole_again_when_it_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let (wanted, wants) = watch::channel(Some(Arc::new(desired(1, &[]))));
    let (ways, prepared) = watch::channel(Ways::default());
    let (link, _told) = watch::channel(crate::client::Link::default());
    tokio::spawn(crate::client::keep(dir.path().join("s"), wants, prepared, link));
    let (stream, _) = listener.accept().await.unwrap();
    let (mut from, mut to) = stream.into_split();
    hello(&mut from, &mut to).await.unwrap();
    let mut next = async || loop {
        match protocol::read::<Order>(&mut from, MAX_FRAME).await.unwrap() {
            Order::Alive => {}
            order => return order,
        }
    };
    assert!(matches!(next().await, Order::Set(whole) if *whole == desired(1, &[])));
    wanted.send_replace(Some(Arc::new(desired(2, &["198.51.100.1/32"]))));
    let Order::Change(delta) = next().await else { panic!("the whole again") };
    assert_eq!(delta.apply(&desired(1, &[])), Ok(desired(2, &["198.51.100.1/32"])));
    protocol::write(&mut to, &Report::Again).await.unwrap();
    assert!(matches!(next().await, Order::Set(whole) if whole.generation == 2));
    ways.send_replace(way(weir_core::l4::MARKS.first));
    assert_eq!(next().await, Order::Prepare(Box::new(way(weir_core::l4::MARKS.first))));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_forgotten_when_something_later_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s")).unwrap();
    let (wanted, wants) = watch::channel(Some(Arc::new(desired(1, &[]))));
    let (_ways, prepared) = watch::channel(Ways::default());
    let (link, mut told) = watch::channel(crate::client::Link::default());
    tokio::spawn(crate::client::keep(dir.path().join("s"), wants, prepared, link));
    let (stream, _) = listener.accept().await.unwrap();
    let (mut from, mut to) = stream.into_split();
    hello(&mut from, &mut to).await.unwrap();
    let saw = |generation| Report::Observed(Box::new(Observed { generation, ..Observed::default() }));
    protocol::write(&mut to, &saw(1)).await.unwrap();
    protocol::write(&mut to, &Report::Refused("a key of no bytes".to_owned())).await.unwrap();
    // The state that is still in force says nothing of the one that was refused.
    protocol::write(&mut to, &saw(1)).await.unwrap();
    told.wait_for(|link| link.refused.is_some()).await.unwrap();
    wanted.send_replace(Some(Arc::new(desired(3, &[]))));
    protocol::write(&mut to, &saw(3)).await.unwrap();
    let link =
        told.wait_for(|link| link.observed.as_ref().is_some_and(|saw| saw.generation == 3)).await.unwrap();
    assert_eq!(link.refused, None);
}
