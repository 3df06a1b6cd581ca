//! The sidecar's end in a thread, the host's end as it is. A mark takes a privilege, so what needs one is skipped without.

use std::io::Write;

use super::*;

struct Scene {
    dir: tempfile::TempDir,
    ways: watch::Sender<Arc<BTreeSet<Key>>>,
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
}

fn me() -> u32 {
    rustix::process::getuid().as_raw()
}

fn wanted() -> MarkedSocket {
    MarkedSocket::new(NonZeroU32::new(7).unwrap(), [127, 0, 0, 1].into())
}

fn may_mark() -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_mark(7).is_ok()
}

#[tokio::test]
async fn a_socket_is_given_once_its_way_is_there_and_has_the_mark_and_the_address() {
    let scene = scene(&[me()]);
    let refused = scene.refusal(wanted()).await;
    assert_eq!(refused, "the balancer has no service for mark 7 yet");
    scene.ways.send_replace(Arc::new([wanted().key()].into()));
    if !may_mark() {
        let refused = scene.refusal(wanted()).await;
        assert!(refused.contains("no socket with mark 7"), "{refused}");
        return;
    }
    let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..3 {
        let socket = ask(&scene.path(), wanted()).await.unwrap();
        assert_eq!(socket2::SockRef::from(&socket).mark().unwrap(), 7);
        let stream = socket.connect(server.local_addr().unwrap()).await.unwrap();
        let (_, peer) = server.accept().await.unwrap();
        assert_eq!(stream.local_addr().unwrap(), peer);
    }
    // Of the other family there is no way.
    let six = MarkedSocket { from: "::1".parse().unwrap(), ..wanted() };
    assert!(scene.refusal(six).await.contains("(IPv6)"));
}

#[tokio::test]
async fn another_user_and_another_protocol_get_none() {
    let of_others = scene(&[me() + 1]);
    of_others.ways.send_replace(Arc::new([wanted().key()].into()));
    assert!(ask(&of_others.path(), wanted()).await.is_err());
    let ours = scene(&[me()]);
    ours.ways.send_replace(Arc::new([wanted().key()].into()));
    let old = MarkedSocket { protocol: PROTOCOL - 1, ..wanted() };
    assert!(ours.refusal(old).await.contains("restart the older process"));
}

#[tokio::test]
async fn garbage_and_silence_cost_nobody_else_an_answer() {
    let scene = scene(&[me()]);
    let silent = UnixStream::connect(scene.path()).unwrap();
    for garbage in [&b"\xff\xff\xff\xff"[..], b"\0\0\0\x02{}", b"\0\0\0\x04\xff\xfe\0\0", b"\0\0\0\0"] {
        let mut stream = UnixStream::connect(scene.path()).unwrap();
        stream.write_all(garbage).unwrap();
        let mut end = Vec::new();
        let _ = stream.read_to_end(&mut end);
        assert!(end.is_empty(), "{garbage:?} is answered");
    }
    assert!(scene.refusal(wanted()).await.contains("no service"));
    drop(silent);
}
