//! Going away without losing a request.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use weir_proxy::Options;

use crate::site::{Client, Origin, Plans, Site, eventually, ok, servers};

fn wait() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_drain_loses_no_request_of_clients_that_reconnect() {
    let origin = Origin::saying("a");
    let grace = Duration::from_millis(300);
    let options = Options::default();
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { options, ..Plans::default() });
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let address = ([127, 0, 0, 1], site.port).into();
    let clients: Vec<_> = (0..4)
        .map(|_| {
            let (stop, served) = (stop.clone(), served.clone());
            std::thread::spawn(move || {
                // A client goes on until the health check tells it to stay away, as a balancer in front would.
                while !stop.load(Ordering::SeqCst) {
                    let mut client = Client::connect(address);
                    loop {
                        let answer = client.get("/");
                        assert_eq!(answer.status, 200);
                        served.fetch_add(1, Ordering::SeqCst);
                        if answer.header("connection").as_deref() == Some("close")
                            || stop.load(Ordering::SeqCst)
                        {
                            break;
                        }
                    }
                }
            })
        })
        .collect();
    eventually("some requests were served", || served.load(Ordering::SeqCst) > 100);
    let watch = std::thread::spawn(move || {
        while Client::connect(address).get("/healthcheck").status == 200 {}
        stop.store(true, Ordering::SeqCst);
    });
    let drained = wait().block_on(site.shards.drain(grace, Duration::from_secs(10)));
    assert_eq!(drained.in_flight, 0);
    clients.into_iter().for_each(|c| c.join().unwrap());
    watch.join().unwrap();
    assert_eq!(origin.seen().len() as u64, served.load(Ordering::SeqCst));
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn a_drain_waits_for_a_request_that_is_under_way_and_no_longer_than_told() {
    let (go, wait_for_it) = mpsc::channel::<()>();
    let wait_for_it = std::sync::Mutex::new(wait_for_it);
    let origin = Origin::start(move |_| {
        let _ = wait_for_it.lock().unwrap().recv();
        ok("late")
    });
    let options = Options::default();
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { options, ..Plans::default() });
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the server has it", || origin.seen().len() == 1);
    let runtime = wait();
    assert_eq!(runtime.block_on(site.shards.drain(Duration::ZERO, Duration::from_millis(50))).in_flight, 1);
    go.send(()).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!(&*answer.body, "late");
    assert_eq!(answer.header("connection").unwrap(), "close");
    assert_eq!(runtime.block_on(site.shards.drain(Duration::ZERO, Duration::from_secs(10))).in_flight, 0);
}

#[test]
fn connections_that_wait_for_nothing_are_closed() {
    let origin = Origin::saying("a");
    let options = Options::default();
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { options, ..Plans::default() });
    let mut client = site.client();
    client.get("/");
    wait().block_on(site.shards.drain(Duration::ZERO, Duration::from_secs(10)));
    assert!(client.is_over());
    assert_eq!(site.shards.stats().connections, 0);
}
