//! Clients that mean ill or go away, and what is written of them.

use std::sync::{Mutex, mpsc};
use std::time::Duration;

use weir_proxy::{AccessLog, ClientTimeouts, Options, Service, ServiceTable};

use crate::site::{Kept, Origin, Plans, Site, eventually, ok, servers};

#[test]
fn a_request_with_two_lengths_is_refused() {
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    let smuggled = [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: chunked\r\ncontent-LENGTH: 5\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
        "GET / HTTP/1.1\r\n\r\n",
    ];
    for request in smuggled {
        let mut client = site.client();
        client.send(request);
        assert_eq!(client.answer().expect(request).status, 400, "{request}");
        assert!(client.is_over());
    }
    assert!(origin.seen().is_empty());
}

#[test]
fn an_encoding_that_is_not_known_is_refused() {
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    for encoding in ["gzip, chunked", "gzip\r\nTransfer-Encoding: chunked", "chunked, chunked"] {
        let mut client = site.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {encoding}\r\n\r\n0\r\n\r\n"));
        assert_eq!(client.answer().expect(encoding).status, 501, "{encoding}");
    }
    assert!(origin.seen().is_empty());
    let mut client = site.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n");
    eventually("the server has it", || !origin.seen().is_empty());
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let origin = Origin::saying("a");
    let options = Options { max_head: 8 * 1024, ..Options::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { options, ..Plans::default() });
    let mut client = site.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(9_000)));
    assert_eq!(client.answer().unwrap().status, 431);
    assert_eq!(site.client().get("/").status, 200);
}

#[test]
fn a_head_that_is_too_large_is_refused_before_it_ends() {
    let origin = Origin::saying("a");
    let options = Options { max_head: 8 * 1024, ..Options::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { options, ..Plans::default() });
    let mut client = site.client();
    // What was read before, a body included, is not of this head.
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n{}", "x".repeat(9_000)));
    assert_eq!(client.answer().unwrap().status, 200);
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(7_000)));
    client.send("\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(9_000)));
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.header("connection").as_deref()), (431, Some("close")));
    assert!(client.is_over());
    eventually("it is counted", || site.shards.stats().malformed == 1);
}

#[test]
fn a_client_that_goes_away_leaves_no_request_in_flight() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |_| {
        let _ = wait.lock().unwrap().recv();
        ok("late")
    });
    let list = servers(&[(origin.address, 1)]);
    let load = list[0].load.clone();
    let site = Site::new(list, Plans::default());
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the server has it", || origin.seen().len() == 1);
    assert_eq!(load.in_flight(), 1);
    drop(client);
    eventually("nothing is in flight", || load.in_flight() == 0 && site.shards.stats().in_flight == 0);
    assert_eq!(site.pool.stats().client_aborts, 1);
    drop(go);
}

#[test]
fn a_client_that_sends_nothing_or_never_ends_a_head_is_closed_and_a_slow_server_is_not_held_against_it() {
    let origin = Origin::start(|_| {
        std::thread::sleep(Duration::from_millis(300));
        ok("late")
    });
    let site = Site::of(&[&origin]);
    let client = ClientTimeouts { keep_alive: Duration::from_millis(100), ..ClientTimeouts::default() };
    let address = ([127, 0, 0, 1], site.port).into();
    let service = Service { client, ..Service::new("web", vec![address], site.pool.clone()) };
    site.shards.set_services(ServiceTable::new(vec![service]).unwrap());
    assert!(site.client().is_over());
    let mut trickle = site.client();
    trickle.send("GET / HTTP/1.1\r\nHost: ");
    assert!(trickle.is_over());
    let mut patient = site.client();
    assert_eq!(patient.get("/").body, "late");
    assert!(patient.is_over());
}

#[test]
fn a_server_takes_no_more_than_its_limit() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let origin = Origin::start(move |_| {
        let _ = wait.lock().unwrap().recv();
        ok("a")
    });
    let mut list = servers(&[(origin.address, 1)]).to_vec();
    list[0].max_in_flight = Some(1);
    let site = Site::new(list.into(), Plans::default());
    let mut first = site.client();
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("the server has it", || origin.seen().len() == 1);
    assert_eq!(site.client().get("/").status, 503);
    go.send(()).unwrap();
    assert_eq!(first.answer().unwrap().status, 200);
    go.send(()).unwrap();
    eventually("there is room again", || site.client().get("/").status == 200);
}

#[test]
fn what_is_no_request_is_counted_and_what_is_one_is_not() {
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    let none = [
        "\x16\x03\x01\x02\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        // Breaks off.
        "GET / HTTP/1.1\r\nHost: ",
        // After one that is served.
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    ];
    for (before, request) in (0..).zip(none) {
        let mut client = site.client();
        client.send(request);
        if !request.ends_with("\r\n\r\n") {
            client.0.get_ref().shutdown(std::net::Shutdown::Write).unwrap();
        }
        eventually(request, || site.shards.stats().malformed == before + 1);
    }
    // One whose body is left unread, one that is refused, one that is answered here, and none.
    let mut client = site.client();
    client.send("POST /healthcheck HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 200);
    let mut client = site.client();
    client.get("/");
    client.send("GET / HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().unwrap().status, 400);
    drop((client, site.client()));
    eventually("all are closed", || {
        site.shards.stats().accepted == 8 && site.shards.stats().connections == 0
    });
    assert_eq!(site.shards.stats().malformed, none.len() as u64);
}

#[test]
fn a_head_that_has_begun_must_come_to_its_end() {
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    let client = ClientTimeouts { read: Duration::from_millis(100), ..ClientTimeouts::default() };
    let address = ([127, 0, 0, 1], site.port).into();
    let service = Service { client, ..Service::new("web", vec![address], site.pool.clone()) };
    site.shards.set_services(ServiceTable::new(vec![service]).unwrap());
    let mut client = site.client();
    assert_eq!(client.get("/").status, 200);
    client.send("GET / HTTP/1.1\r\nHost: ");
    assert!(client.is_over());
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_given_up() {
    // More than the kernel keeps for a connection whose client does not read.
    let origin = Origin::start(|_| ok(&"x".repeat(32 << 20)));
    let kept = Kept::default();
    let access_log = Some(AccessLog::to_writer(kept.clone()).unwrap());
    let options = Options { access_log, ..Options::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { options, ..Plans::default() });
    let client = ClientTimeouts { write: Duration::from_millis(100), ..ClientTimeouts::default() };
    let address = ([127, 0, 0, 1], site.port).into();
    let service = Service { client, ..Service::new("web", vec![address], site.pool.clone()) };
    site.shards.set_services(ServiceTable::new(vec![service]).unwrap());
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    eventually("it is given up", || kept.text().contains("client-timeout"));
    assert_eq!(site.shards.stats().in_flight, 0);
    drop(client);
}

#[test]
fn the_log_has_one_json_line_for_each_request_whatever_was_sent() {
    let kept = Kept::default();
    let origin = Origin::saying("abc");
    let access_log = Some(AccessLog::to_writer(kept.clone()).unwrap());
    let options = Options { access_log, ..Options::default() };
    let site = Site::new(
        servers(&[(crate::site::nobody(), 1), (origin.address, 1)]),
        Plans { options, ..Plans::default() },
    );
    let mut client = site.client();
    client.get("/healthcheck");
    client.get_with("/plain?x=1", "X-Request-Id: mine\r\n");
    client.send(b"GET /\xc3\xbc HTTP/1.1\r\nHost: a\"}\\\x7f\xff\r\n\r\n");
    let odd = client.answer().unwrap().status;
    drop(client);
    let mut client = site.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    );
    assert_eq!(client.answer().unwrap().status, 400);
    let text = || String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
    let expected = if odd == 400 { 2 } else { 3 };
    eventually("the lines are written", || text().lines().count() >= expected);
    let lines: Vec<serde_json::Value> = text().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), expected);
    let first = &lines[0];
    assert_eq!(first["path"], "/plain?x=1");
    assert_eq!(first["request_id"], "mine");
    assert_eq!((&first["status"], &first["bytes"]), (&200.into(), &3.into()));
    assert_eq!((&first["server"], &first["retries"]), (&"s1".into(), &1.into()));
    assert_eq!(first["tried"], serde_json::json!(["s0"]));
    assert_eq!((&first["by"], &first["term"]), (&"native".into(), &"ok".into()));
    assert!(first["client"].as_str().unwrap().starts_with("127.0.0.1:"));
    let last = lines.last().unwrap();
    assert_eq!((&last["status"], &last["term"]), (&400.into(), &"bad-request".into()));
}
