//! What happens to a request where nothing goes wrong.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use weir_core::model::State;
use weir_core::schedule::{Plan, View};
use weir_proxy::{Key, Options, Pool, PoolSettings, Service, ServiceTable};

use crate::site::{Client, Origin, Plans, Reply, Site, eventually, ok, servers};

#[test]
fn connections_are_kept_alive_on_both_sides() {
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    for _ in 0..20 {
        let answer = client.get("/");
        assert_eq!((answer.status, &*answer.body), (200, "a"));
    }
    assert_eq!((origin.seen().len(), origin.connections()), (20, 1));
    assert_eq!(site.shards.stats().accepted, 1);
}

#[test]
fn what_a_server_closes_while_nobody_uses_it_is_closed_here_too() {
    let closed = Arc::new(AtomicUsize::new(0));
    let count = closed.clone();
    let origin = Origin::start(move |_| {
        let closed = count.clone();
        Reply::Take(Box::new(move |mut tcp| {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").unwrap();
            tcp.shutdown(Shutdown::Write).unwrap();
            assert_eq!(tcp.read(&mut [0]).unwrap(), 0);
            closed.fetch_add(1, Ordering::SeqCst);
        }))
    });
    let site = Site::of(&[&origin]);
    assert_eq!(site.client().get("/").status, 200);
    eventually("it is closed", || closed.load(Ordering::SeqCst) == 1);
}

#[test]
fn a_connection_on_which_a_server_says_what_nobody_asked_for_is_not_used_again() {
    let (said, is_said) = std::sync::mpsc::channel();
    let said = Mutex::new(said);
    let origin = Origin::start(move |seen| {
        if seen.connection > 0 {
            return ok("b");
        }
        let said = said.lock().unwrap().clone();
        Reply::Take(Box::new(move |mut tcp| {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").unwrap();
            said.send(tcp.try_clone().unwrap()).unwrap();
            let _ = tcp.read(&mut [0]);
        }))
    });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    assert_eq!(client.get("/").body, "a");
    is_said.recv().unwrap().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nz").unwrap();
    assert_eq!(client.get("/").body, "b");
}

#[test]
fn weights_are_exact() {
    let origins = [(); 3].map(|()| Origin::saying("a"));
    let list: Vec<_> = origins.iter().zip([5, 3, 1]).map(|(o, w)| (o.address, w)).collect();
    let site = Site::new(servers(&list), Plans::default());
    let mut client = site.client();
    for _ in 0..10_000 {
        assert_eq!(client.get("/").status, 200);
    }
    assert_eq!(origins.each_ref().map(|o| o.seen().len()), [5556, 3333, 1111]);
    eventually("the last answer is counted", || {
        site.pool.stats().servers.iter().map(|s| s.answers[2]).sum::<u64>() == 10_000
    });
    let stats = site.pool.stats();
    assert_eq!(stats.servers.iter().map(|s| s.answers[2]).collect::<Vec<_>>(), [5556, 3333, 1111]);
    assert_eq!(stats.decisions, [0, 0, 0, 10_000, 0, 0, 0]);
    assert_eq!(stats.latency.iter().sum::<u64>(), 10_000);
}

#[test]
fn the_server_learns_who_asked() {
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    client.get("/");
    client.get_with(
        "/",
        "X-Forwarded-For: 192.0.2.1\r\nx-forwarded-for: 192.0.2.2\r\nX-Forwarded-Proto: gopher\r\n",
    );
    client.get_with("/", "X-Request-Id: mine-1\r\n");
    client.get_with("/", "X-Request-Id: \"><script>\r\n");
    let seen = origin.seen();
    assert_eq!(seen[0].header("x-forwarded-for").unwrap(), "127.0.0.1");
    assert_eq!(seen[1].header("x-forwarded-for").unwrap(), "192.0.2.1, 192.0.2.2, 127.0.0.1");
    assert_eq!(seen[1].header("x-forwarded-proto").unwrap(), "http");
    assert_eq!(seen[1].head.to_lowercase().matches("x-forwarded").count(), 2);
    assert_eq!(seen[0].header("x-request-id").unwrap().len(), 32);
    assert_ne!(seen[0].header("x-request-id"), seen[1].header("x-request-id"));
    assert_eq!(seen[2].header("x-request-id").unwrap(), "mine-1");
    assert_eq!(seen[3].header("x-request-id").unwrap().len(), 32);
}

#[test]
fn a_connection_to_another_local_address_is_closed_at_once() {
    let site = Site::of(&[&Origin::saying("a")]);
    let mut stranger = Client::connect(SocketAddr::from(([127, 0, 0, 2], site.port)));
    assert!(stranger.is_over());
    assert_eq!(site.client().get("/").status, 200);
    assert_eq!(site.shards.stats().misdirected, 1);
}

#[test]
fn the_health_check_says_whether_clients_may_come() {
    let origin = Origin::saying("a");
    let list = servers(&[(origin.address, 1)]);
    let site = Site::new(list.clone(), Plans::default());
    let mut client = site.client();
    let answer = client.get("/healthcheck");
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "<html><body><h1>200 OK</h1>\nService ready.\n</body></html>\n");
    site.shards.set_agent_up(false);
    assert_eq!(client.get("/healthcheck").status, 503);
    site.shards.set_agent_up(true);
    let mut down = list.to_vec();
    down[0].state = State::Down;
    site.pool.set_view(View::new(2, 2, down.into(), Plan::Fallback));
    assert_eq!(client.get("/healthcheck").status, 503);
    site.pool.set_view(View::new(3, 3, list, Plan::Fallback));
    assert_eq!(client.get("/healthcheck").status, 200);
    // Not this path, so not ours.
    assert_eq!(client.get("/healthcheck?a").body, "a");
    assert_eq!(client.get("/HealthCheck").body, "a");
    assert_eq!(origin.seen().len(), 2);
}

#[test]
fn the_proxy_line_names_the_client_and_no_two_clients_share_a_connection() {
    let origin = Origin::saying("a");
    let settings = PoolSettings { send_proxy: true, ..PoolSettings::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { settings, ..Plans::default() });
    let mut clients = [site.client(), site.client()];
    for _ in 0..3 {
        for client in &mut clients {
            assert_eq!(client.get("/").status, 200);
        }
    }
    let seen = origin.seen();
    assert_eq!((seen.len(), origin.connections()), (6, 2));
    for (at, client) in clients.iter().enumerate() {
        let port = client.0.get_ref().local_addr().unwrap().port();
        let line = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}", site.port);
        for request in seen.iter().skip(at).step_by(2) {
            assert_eq!(request.proxy_line.as_deref(), Some(&*line));
        }
    }
}

#[test]
fn what_a_server_says_of_its_own_connection_is_not_passed_on() {
    let origin = Origin::start(|_| {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive, X-Mine\r\nconnection: content-length\r\n\
                    Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nX-Mine: 1\r\nX-Yours: 2\r\n\r\na";
        Reply::Send(head.into())
    });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    for _ in 0..2 {
        let answer = client.get("/");
        for name in ["keep-alive", "proxy-connection", "x-mine"] {
            assert_eq!(answer.header(name), None, "{name}");
        }
        assert!(!answer.head.to_lowercase().contains("x-mine"), "{}", answer.head);
        assert_eq!((answer.header("x-yours").as_deref(), &*answer.body), (Some("2"), "a"));
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_server_always_has_a_host() {
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    for (host, want) in [("", origin.address.to_string()), ("Host: mine\r\n", "mine".to_owned())] {
        let mut client = site.client();
        client.send(format!("GET / HTTP/1.0\r\n{host}\r\n"));
        assert_eq!(client.answer().unwrap().status, 200);
        assert_eq!(origin.seen().last().unwrap().header("host"), Some(want));
    }
}

#[test]
fn connections_with_a_proxy_line_do_not_outlive_their_client() {
    let open = Arc::new(AtomicUsize::new(0));
    let count = open.clone();
    let origin = Origin::start(move |_| {
        let open = count.clone();
        Reply::Take(Box::new(move |mut tcp| {
            open.fetch_add(1, Ordering::SeqCst);
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").unwrap();
            let _ = tcp.read(&mut [0]);
            open.fetch_sub(1, Ordering::SeqCst);
        }))
    });
    let settings = PoolSettings { send_proxy: true, ..PoolSettings::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { settings, ..Plans::default() });
    for _ in 0..10 {
        assert_eq!(site.client().get("/").status, 200);
    }
    assert_eq!(origin.connections(), 10);
    eventually("all are closed", || open.load(Ordering::SeqCst) == 0);
}

#[test]
fn what_is_closed_unused_leaves_nothing_behind_here() {
    let (say, said) = std::sync::mpsc::channel();
    let say = Mutex::new(say);
    let origin = Origin::start(move |_| {
        let say = say.lock().unwrap().clone();
        Reply::Take(Box::new(move |mut tcp| {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na").unwrap();
            say.send(tcp.read(&mut [0]).map_err(|e| e.kind())).unwrap();
        }))
    });
    let settings = PoolSettings { send_proxy: true, ..PoolSettings::default() };
    let site = Site::new(servers(&[(origin.address, 1)]), Plans { settings, ..Plans::default() });
    assert_eq!(site.client().get("/").status, 200);
    // A port that waits for late packets (TIME_WAIT) would be the price of an orderly end.
    assert_eq!(said.recv().unwrap(), Err(ErrorKind::ConnectionReset));
}

#[test]
fn a_client_of_http_1_0_is_sent_no_chunks() {
    let origin = Origin::start(|seen| match seen.head.split(' ').nth(1).unwrap() {
        "/chunks" => {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
            Reply::Send(head.into())
        }
        "/to-the-end" => Reply::SendAndClose(b"HTTP/1.1 200 OK\r\n\r\nabc".to_vec()),
        _ => ok("abc"),
    });
    let site = Site::of(&[&origin]);
    let ask = |path: &str| format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    for path in ["/chunks", "/to-the-end"] {
        let mut client = site.client();
        client.send(ask(path));
        let answer = client.answer().unwrap();
        assert_eq!(answer.header("transfer-encoding"), None, "{path}");
        assert_eq!(answer.header("connection").as_deref(), Some("close"), "{path}");
        let mut body = String::new();
        client.0.read_to_string(&mut body).unwrap();
        assert_eq!(body, "abc", "{path}");
    }
    // A length needs no end of the connection.
    let mut client = site.client();
    for _ in 0..2 {
        client.send(ask("/length"));
        assert_eq!(client.answer().unwrap().body, "abc");
    }
    // Nor does anybody else.
    let mut client = site.client();
    client.send("GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer().unwrap().header("transfer-encoding").as_deref(), Some("chunked"));
}

#[test]
fn requests_that_are_sent_before_the_answer_are_answered_in_order() {
    let origin = Origin::start(|seen| ok(seen.head.split(' ').nth(1).unwrap()));
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    let one = |n: u32| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n");
    client.send((0..10).map(one).collect::<String>());
    for n in 0..10 {
        assert_eq!(client.answer().unwrap().body, format!("/{n}"));
    }
}

#[test]
fn a_body_goes_through_both_ways_and_large_ones_too() {
    let origin = Origin::start(|seen| ok(&seen.body));
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    for size in [0usize, 1, 5_000, 70_000, 3_000_000] {
        let body: String = ('a'..='z').cycle().take(size).collect();
        client.send(format!("PUT /{size} HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"));
        client.send(&body);
        assert!(client.answer().unwrap().body == body, "{size} bytes came back different");
    }
}

#[test]
fn a_slow_answer_is_passed_on_as_it_comes() {
    let origin = Origin::start(|_| {
        Reply::Take(Box::new(|mut tcp| {
            tcp.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none").unwrap();
            // Goes on when the client has seen the first part.
            tcp.set_nonblocking(false).unwrap();
            let mut wait = [0; 1];
            let _ = tcp.read(&mut wait);
        }))
    });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut got = Vec::new();
    while !got.ends_with(b"one") {
        let mut byte = [0];
        assert_eq!(client.0.read(&mut byte).unwrap(), 1);
        got.push(byte[0]);
    }
}

/// How a client asks for one.
const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

#[test]
fn a_websocket_passes() {
    let origin = Origin::start(|_| {
        Reply::Take(Box::new(|mut tcp| {
            let head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            tcp.write_all(head.as_bytes()).unwrap();
            let mut bytes = [0; 4];
            tcp.read_exact(&mut bytes).unwrap();
            bytes.reverse();
            tcp.write_all(&bytes).unwrap();
        }))
    });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    assert_eq!(client.get_with("/", WEBSOCKET).status, 101);
    client.send("abcd");
    let mut bytes = [0; 4];
    client.0.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"dcba");
}

#[test]
fn a_websocket_whose_server_dies_is_told_nothing_that_the_server_did_not_say() {
    let origin = Origin::start(|_| {
        Reply::Take(Box::new(|mut tcp| {
            let head =
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
            tcp.write_all(head.as_bytes()).unwrap();
            // What is not read when it closes makes its kernel reset the connection.
            tcp.read_exact(&mut [0]).unwrap();
        }))
    });
    let site = Site::of(&[&origin]);
    let mut client = site.client();
    assert_eq!(client.get_with("/", WEBSOCKET).status, 101);
    client.send("abcd");
    let mut heard = Vec::new();
    // However it ends.
    let _ = client.0.read_to_end(&mut heard);
    assert_eq!(String::from_utf8_lossy(&heard), "");
}

#[test]
fn services_change_under_open_connections() {
    let (a, b) = (Origin::saying("a"), Origin::saying("b"));
    let site = Site::of(&[&a]);
    let mut client = site.client();
    assert_eq!(client.get("/").body, "a");
    let view = View::new(1, 1, servers(&[(b.address, 1)]), Plan::Fallback);
    let pool = Pool::new("other", 1, PoolSettings::default(), None, view);
    let address = SocketAddr::from(([127, 0, 0, 1], site.port));
    let service = Service { healthcheck: None, ..Service::new("web", vec![address], pool) };
    site.shards.set_services(ServiceTable::new(vec![service]).unwrap());
    assert_eq!(client.get("/").body, "b");
    assert_eq!(client.get("/healthcheck").body, "b");
    site.shards.set_services(ServiceTable::default());
    assert_eq!(client.get("/").status, 421);
    assert!(client.is_over());
}

#[test]
fn a_check_at_the_nodes_own_address_says_which_service_it_is_about() {
    let origin = Origin::saying("a");
    let site = Site::of(&[&origin]);
    let pool = |name: &str, servers| {
        Pool::new(name, 1, PoolSettings::default(), None, View::new(1, 1, servers, Plan::Fallback))
    };
    let at = |ip: [u8; 4]| vec![SocketAddr::from((ip, site.port))];
    let up = Service::new("up", at([127, 0, 0, 1]), pool("some", servers(&[(origin.address, 1)])));
    let down = Service::new("down", at([198, 51, 100, 1]), pool("none", Arc::new([])));
    let table = ServiceTable::new(vec![up, down]).unwrap().asked_at(&[[127, 0, 0, 1].into()], None);
    site.shards.set_services(table);
    let ask = |header: &str| site.client().get_with("/healthcheck", header).status;
    assert_eq!((ask(""), ask("Weir-Service: up\r\n")), (200, 200));
    assert_eq!((ask("Weir-Service: down\r\n"), ask("Weir-Service: unheard-of\r\n")), (503, 421));
    assert_eq!(site.client().get_with("/", "Weir-Service: down\r\n").status, 421);
}

#[test]
fn a_table_sends_a_key_to_its_row() {
    let origins = ["a", "b"].map(Origin::saying);
    let list = servers(&origins.each_ref().map(|o| (o.address, 1)));
    let settings = PoolSettings { key: Key::Header("x-user".parse().unwrap()), ..PoolSettings::default() };
    let plan = Some(Plan::table(vec![0, 1], 2).unwrap());
    let site = Site::new(list, Plans { settings, plan, ..Plans::default() });
    let mut client = site.client();
    for user in ["ann", "bob", "cid", "dora", "eve"] {
        let row = (weir_proxy::key_hash(user.as_bytes()) % 2) as usize;
        for _ in 0..3 {
            assert_eq!(client.get_with("/", &format!("X-User: {user}\r\n")).body, ["a", "b"][row]);
        }
    }
}

#[test]
fn shards_share_a_port_and_each_goes_round_by_itself() {
    let origins = ["a", "b"].map(Origin::saying);
    let list = servers(&origins.each_ref().map(|o| (o.address, 1)));
    let options = Options { workers: 3, pin_cores: true, ..Options::default() };
    let site = Site::new(list, Plans { options, ..Plans::default() });
    // The kernel spreads connections by a hash, so of so many every shard has some.
    for _ in 0..64 {
        let mut client = site.client();
        for _ in 0..2 {
            assert_eq!(client.get("/").status, 200);
        }
    }
    eventually("all answers are counted", || site.pool.stats().decisions[3] == 128);
    // Two requests on one connection are two steps of one shard, so both servers have the same number.
    assert_eq!(origins.each_ref().map(|o| o.seen().len()), [64, 64]);
    assert_eq!(site.shards.stats().accepted, 64);
    assert!(origins[0].connections() > 1, "one shard had everything");
}
