//! The sidecar's end in a thread, the host's end as it is. A mark takes a privilege, so what needs one is skipped without.

use std::io::Write;

use super::*;

struct Scene {
    dir: tempfile::TempDir,
    ways: watch::Sender<Arc<Ways>>,
}

fn scene(allowed: &[u32]) -> Scene {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("s.checks")).unwrap();
    let (ways, there) = watch::channel(Arc::default());
    start(listener, allowed.iter().copied().collect(), there).unwrap();
    Scene { dir, ways }
}

impl Scene {
    fn path(&self) -> PathBuf {
        beside(&self.dir.path().join("s.sock"))
    }

    async fn refusal(&self, wanted: MarkedSocket) -> String {
        ask(&self.path(), wanted).await.unwrap_err().to_string()
    }

    /// The mark leads there.
    fn leads_to(&self, end: [u8; 4]) {
        self.ways.send_replace(Arc::new([(wanted().key(), IpAddr::from(end))].into()));
    }
}

const END: [u8; 4] = [192, 0, 2, 11];

fn me() -> u32 {
    rustix::process::getuid().as_raw()
}

fn wanted() -> MarkedSocket {
    MarkedSocket::new(NonZeroU32::new(7).unwrap(), END.into(), [127, 0, 0, 1].into())
}

fn may_mark() -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_mark(7).is_ok()
}

#[tokio::test]
async fn a_socket_is_given_once_its_way_is_there_and_has_the_mark_and_the_address() {
    let scene = scene(&[me()]);
    let refused = scene.refusal(wanted()).await;
    assert!(refused.ends_with("the balancer has no service for mark 7 yet"), "{refused}");
    assert!(refused.starts_with(&format!("sidecar at {}", scene.path().display())), "{refused}");
    // The node had another address.
    scene.leads_to([192, 0, 2, 99]);
    let refused = scene.refusal(wanted()).await;
    assert!(refused.ends_with("mark 7 still leads to 192.0.2.99, not to 192.0.2.11"), "{refused}");
    scene.leads_to(END);
    if !may_mark() {
        let refused = scene.refusal(wanted()).await;
        assert!(refused.contains("no socket with mark 7"), "{refused}");
        return;
    }
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut ports = BTreeSet::new();
    for _ in 0..3 {
        let socket = ask(&scene.path(), wanted()).await.unwrap();
        assert_eq!(socket2::SockRef::from(&socket).mark().unwrap(), 7);
        let stream = socket.connect(server.local_addr().unwrap()).await.unwrap();
        let (_, peer) = server.accept().await.unwrap();
        assert_eq!(stream.local_addr().unwrap(), peer);
        ports.insert(peer.port());
    }
    assert_eq!(ports.len(), 3, "{ports:?}");
    // Of the other family there is no way.
    let six = MarkedSocket { from: "::1".parse().unwrap(), ..wanted() };
    assert!(scene.refusal(six).await.contains("(IPv6)"));
}

#[tokio::test]
async fn another_user_and_another_protocol_get_none_and_are_told_so() {
    let of_others = scene(&[me() + 1]);
    of_others.leads_to(END);
    assert!(of_others.refusal(wanted()).await.contains("may not have sockets"));
    let ours = scene(&[me()]);
    ours.leads_to(END);
    let old = MarkedSocket { protocol: PROTOCOL - 1, ..wanted() };
    assert!(ours.refusal(old).await.contains("restart the older process"));
}

#[test]
fn ports_are_given_one_after_the_other_and_those_that_are_taken_are_passed_over() {
    let mut ports = Ports(60997);
    let mut held = Vec::new();
    let mut given = || {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        ports.bind(&socket, [127, 0, 0, 1].into()).unwrap();
        let port = socket.local_addr().unwrap().as_socket().unwrap().port();
        held.push(socket);
        port
    };
    let first: Vec<u16> = (0..4).map(|_| given()).collect();
    assert!(first.iter().all(|port| Ports::ALL.contains(port)), "{first:?}");
    assert!(first.contains(&60998) || first[0] == 60999 || first[0] < 40000, "{first:?}");
    let again: BTreeSet<u16> = (0..200).map(|_| given()).chain(first).collect();
    assert_eq!(again.len(), 204, "none twice");
}

#[tokio::test]
async fn garbage_and_silence_cost_nobody_else_an_answer() {
    let scene = scene(&[me()]);
    let silent = UnixStream::connect(scene.path()).unwrap();
    for garbage in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{}", b"\0\0\0\x04\xff\xfe\0\0", b"\0\0\0\0"] {
        let mut stream = UnixStream::connect(scene.path()).unwrap();
        stream.write_all(garbage).unwrap();
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        assert!(said.contains("a question"), "{garbage:?}: {said}");
    }
    assert!(scene.refusal(wanted()).await.contains("no service"));
    drop(silent);
}
