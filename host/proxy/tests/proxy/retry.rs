//! Servers that cannot be reached, do not answer, or break off.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use weir_core::schedule::Plan;
use weir_proxy::{AccessLog, ClientTimeouts, Options, PoolSettings, ServerTimeouts, Service, ServiceTable};

use crate::site::{Kept, Origin, Plans, Reply, Site, eventually, nobody, ok, servers};

#[test]
fn a_server_that_refuses_costs_no_request() {
    let origin = Origin::saying("a");
    let site = Site::new(servers(&[(nobody(), 1), (origin.address, 1)]), Plans::default());
    let mut client = site.client();
    for _ in 0..10 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert!(origin.seen().iter().all(|s| s.body == "abc"));
    let stats = site.pool.stats();
    assert_eq!((stats.servers[0].connect_failed, stats.servers[0].retries), (10, 10));
    eventually("the last answer is counted", || site.pool.stats().servers[1].answers[2] == 10);
}

#[test]
fn a_server_that_failed_a_request_is_not_asked_again_for_it() {
    // The plan says server 0 and nothing else, and still every server is tried, once.
    let list: Vec<_> = (0..4).map(|_| (nobody(), 1)).collect();
    let settings = PoolSettings { retries: 8, ..PoolSettings::default() };
    let plan = Some(Plan::cycle(vec![0], 4).unwrap());
    let site = Site::new(servers(&list), Plans { settings, plan, ..Plans::default() });
    let mut client = site.client();
    let answer = client.get("/");
    assert_eq!(answer.status, 503);
    let failed: Vec<_> = site.pool.stats().servers.iter().map(|s| s.connect_failed).collect();
    assert_eq!(failed, [1, 1, 1, 1]);
    assert_eq!(answer.header("connection").unwrap(), "close");
    assert!(client.is_over());
}

#[test]
fn no_more_servers_are_tried_than_the_pool_says() {
    let list: Vec<_> = (0..6).map(|_| (nobody(), 1)).collect();
    let settings = PoolSettings { retries: 2, ..PoolSettings::default() };
    let site = Site::new(servers(&list), Plans { settings, ..Plans::default() });
    assert_eq!(site.client().get("/").status, 503);
    let failed: u64 = site.pool.stats().servers.iter().map(|s| s.connect_failed).sum();
    assert_eq!(failed, 3);
}

#[test]
fn an_idle_connection_that_the_server_closed_costs_no_get_even_with_one_server() {
    // Closes every connection at its second request, as a server does whose idle limit has just passed.
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |seen| {
        let first = count.swap(seen.connection + 1, Ordering::SeqCst) != seen.connection + 1;
        if first { ok("a") } else { Reply::Close }
    });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    for _ in 0..10 {
        assert_eq!(client.get("/").status, 200);
    }
    // Nor is it held against the server.
    let stats = site.pool.stats();
    assert_eq!(stats.servers[0].broken, 0);
    assert!(stats.servers[0].retries > 0);
}

#[test]
fn a_request_that_may_have_had_an_effect_is_not_sent_twice() {
    let origin = Origin::start(|seen| if seen.head.starts_with("POST") { Reply::Close } else { ok("a") });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    assert_eq!(client.get("/").status, 200);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
    assert_eq!(client.answer().unwrap().status, 502);
    assert_eq!(origin.seen().iter().filter(|s| s.head.starts_with("POST")).count(), 1);
}

/// Answers the first request on each connection, and does this with a further one.
fn once_for_each_connection(then: impl Fn() -> Reply + Send + Sync + 'static) -> Origin {
    let met = Mutex::new(HashSet::new());
    Origin::start(move |seen| {
        let is_first = met.lock().unwrap().insert(seen.connection);
        if is_first { ok("a") } else { then() }
    })
}

#[test]
fn what_must_not_be_sent_twice_is_not_sent_first_over_a_connection_of_another_client() {
    // As a server does whose idle limit has just passed.
    let origin = once_for_each_connection(|| Reply::Close);
    let site = Site::of(&[&origin]);
    for _ in 0..3 {
        assert_eq!(site.client().get("/").status, 200);
        let mut client = site.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.answer().unwrap().status, 200);
    }
    // Of one client, all but the first are.
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    for _ in 0..5 {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");
        assert_eq!(client.answer().unwrap().status, 200);
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_get_whose_server_breaks_off_goes_to_another_and_with_no_other_is_a_502() {
    let (broken, other) = (Origin::start(|_| Reply::Close), Origin::saying("b"));
    let site = Site::of(&[&broken, &other]);
    let mut client = site.client();
    for _ in 0..10 {
        assert_eq!(client.get("/").body, "b");
    }
    let stats = site.pool.stats();
    // Each second step of the round robin was a second attempt.
    assert_eq!((stats.servers[0].broken, stats.servers[0].retries), (10, 10));
    let site = Site::of(&[&broken]);
    let before = broken.seen().len();
    assert_eq!(site.client().get("/").status, 502);
    assert_eq!(broken.seen().len(), before + 1);
}

#[test]
fn a_server_that_had_a_request_for_long_and_breaks_off_had_not_closed_an_idle_connection() {
    let origin = once_for_each_connection(|| {
        std::thread::sleep(Duration::from_millis(1_500));
        Reply::Close
    });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(client.get("/").status, 502);
    assert_eq!(site.pool.stats().servers[0].broken, 1);
}

#[test]
fn an_upload_that_a_server_never_takes_is_given_up() {
    // The kernel takes what fits into its buffers, and nobody takes it from there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let short = Duration::from_millis(200);
    let timeouts = ServerTimeouts { response: short, read: short, write: short, ..ServerTimeouts::default() };
    let settings = PoolSettings { timeouts, ..PoolSettings::default() };
    let list = servers(&[(listener.local_addr().unwrap(), 1)]);
    let site = Site::new(list, Plans { settings, ..Plans::default() });
    let client = ClientTimeouts { read: short, ..ClientTimeouts::default() };
    let address = ([127, 0, 0, 1], site.port).into();
    let service = Service { client, ..Service::new("web", vec![address], site.pool.clone()) };
    site.shards.set_services(ServiceTable::new(vec![service]).unwrap());
    let mut client = site.client();
    let length = 32 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    let mut tcp = client.0.get_ref().try_clone().unwrap();
    let upload = std::thread::spawn(move || tcp.write_all(&vec![b'x'; length]));
    assert_eq!(client.answer().unwrap().status, 504);
    eventually("nothing is in flight", || site.shards.stats().in_flight == 0);
    assert_eq!(site.pool.stats().servers[0].timed_out, 1);
    drop(client);
    let _ = upload.join();
}

#[test]
fn a_server_that_never_answers_is_a_504() {
    let origin = Origin::start(|_| {
        Reply::Take(Box::new(|mut tcp| {
            let _ = tcp.read(&mut [0]);
        }))
    });
    let kept = Kept::default();
    for response_first in [true, false] {
        let (short, long) = (Duration::from_millis(50), Duration::from_secs(600));
        let timeouts = if response_first {
            ServerTimeouts { response: short, read: long, ..ServerTimeouts::default() }
        } else {
            ServerTimeouts { response: short, read: short, ..ServerTimeouts::default() }
        };
        let settings = PoolSettings { timeouts, ..PoolSettings::default() };
        let access_log = Some(AccessLog::to_writer(kept.clone()).unwrap());
        let options = Options { access_log, ..Options::default() };
        let plans = Plans { settings, options, ..Plans::default() };
        let site = Site::new(servers(&[(origin.address, 1)]), plans);
        let mut client = site.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(client.answer().unwrap().status, 504);
        assert_eq!(site.client().get("/").status, 504);
        assert_eq!(site.pool.stats().servers[0].timed_out, 2);
        eventually("the lines are written", || kept.text().matches("server-timeout").count() >= 2);
        kept.0.lock().unwrap().clear();
    }
}

#[test]
fn a_client_that_sends_its_next_request_early_does_not_lengthen_the_limit_of_the_first() {
    let origin = Origin::start(|seen| {
        if seen.head.starts_with("GET /first") {
            Reply::Take(Box::new(|mut tcp| {
                let _ = tcp.read(&mut [0]);
            }))
        } else {
            ok("second")
        }
    });
    let timeouts = ServerTimeouts { response: Duration::from_millis(300), ..ServerTimeouts::default() };
    let settings = PoolSettings { timeouts, ..PoolSettings::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { settings, ..Plans::default() });
    let mut client = site.client();
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the server has the first", || origin.seen().len() == 1);
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 504);
}

#[test]
fn a_request_that_comes_while_another_is_served_is_answered_after_it() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |seen| {
        let path = seen.head.split(' ').nth(1).unwrap().to_owned();
        if path == "/first" {
            let _ = wait.lock().unwrap().recv();
        }
        ok(&path)
    });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the server has the first", || origin.seen().len() == 1);
    // In two parts, so that the second comes when something is held back already.
    client.send("PUT /second HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n");
    client.send("x".repeat(30_000));
    client.send("GET /third HTTP/1.1\r\nHost: a\r\n\r\n");
    go.send(()).unwrap();
    for path in ["/first", "/second", "/third"] {
        assert_eq!(client.answer().unwrap().body, path);
    }
    assert_eq!(origin.seen()[1].body.len(), 30_000);
}

/// An answer whose second part comes after this long.
fn in_two_parts(pause: Duration) -> Origin {
    Origin::start(move |_| {
        Reply::Take(Box::new(move |mut tcp| {
            let _ = tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none");
            std::thread::sleep(pause);
            let _ = tcp.write_all(b"two");
        }))
    })
}

#[test]
fn the_parts_of_an_answer_may_be_further_from_each_other_than_its_head_from_the_request() {
    let origin = in_two_parts(Duration::from_millis(400));
    let timeouts = ServerTimeouts {
        response: Duration::from_millis(200),
        read: Duration::from_secs(600),
        ..ServerTimeouts::default()
    };
    let settings = PoolSettings { timeouts, ..PoolSettings::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { settings, ..Plans::default() });
    assert_eq!(site.client().get("/").body, "onetwo");
}

#[test]
fn an_answer_that_stops_is_given_up_also_where_its_head_may_take_longer() {
    let origin = in_two_parts(Duration::from_secs(60));
    let timeouts = ServerTimeouts {
        response: Duration::from_secs(600),
        read: Duration::from_millis(100),
        ..ServerTimeouts::default()
    };
    let settings = PoolSettings { timeouts, ..PoolSettings::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { settings, ..Plans::default() });
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.answer().is_none());
    assert_eq!(site.pool.stats().servers[0].timed_out, 1);
}

#[test]
fn an_answer_that_is_none_is_a_502_and_one_that_breaks_off_ends_the_connection() {
    let origin = Origin::start(|seen| {
        if seen.head.starts_with("GET /nonsense") {
            Reply::SendAndClose(b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec())
        } else {
            Reply::SendAndClose(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".to_vec())
        }
    });
    let site = Site::of(&[&origin]);
    assert_eq!(site.client().get("/nonsense").status, 502);
    let mut client = site.client();
    client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.answer().is_none(), "an answer that is not whole must not look whole");
}
