//! What the tests stand on: servers that answer as told, a proxy in front of them, and a plain client.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_core::model::{Load, Server, State};
use weir_core::schedule::{Plan, PolicySource, View};
use weir_proxy::{Options, Pool, PoolSettings, Service, ServiceTable, Shards};

/// Long enough for any machine; a test that waits for it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `true`.
pub(crate) fn eventually(what: &str, mut true_now: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !true_now() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::yield_now();
    }
}

/// A request as a server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) connection: usize,
    /// What came before the request line.
    pub(crate) proxy_line: Option<String>,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .filter_map(|l| l.split_once(':'))
        .find(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.trim().to_owned())
}

/// What a server does with a request.
pub(crate) enum Reply {
    Send(Vec<u8>),
    /// Closes without an answer.
    Close,
    /// Answers and closes without having said so.
    SendAndClose(Vec<u8>),
    /// Takes over the connection.
    Take(Box<dyn FnOnce(TcpStream) + Send>),
}

pub(crate) fn ok(body: &str) -> Reply {
    Reply::Send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes())
}

/// A server.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Origin {
    pub(crate) fn start(reply: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let (reply, log) = (Arc::new(reply), seen.clone());
        std::thread::spawn(move || {
            for (connection, tcp) in listener.incoming().enumerate() {
                let (reply, log) = (reply.clone(), log.clone());
                std::thread::spawn(move || answer(connection, tcp.unwrap(), &*reply, &log));
            }
        });
        Self { address, seen }
    }

    /// A server that answers with this word.
    pub(crate) fn saying(word: &'static str) -> Self {
        Self::start(move |_| ok(word))
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Connections that brought a request.
    pub(crate) fn connections(&self) -> usize {
        let mut all: Vec<_> = self.seen().iter().map(|s| s.connection).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }
}

fn answer(connection: usize, tcp: TcpStream, reply: &dyn Fn(&Seen) -> Reply, log: &Mutex<Vec<Seen>>) {
    tcp.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(tcp.try_clone().unwrap());
    let mut tcp = tcp;
    let mut proxy_line = None;
    while let Some(mut head) = read_head(&mut reader) {
        if head.starts_with("PROXY ") {
            let (line, rest) = head.split_once("\r\n").unwrap();
            proxy_line = Some(line.to_owned());
            head = rest.to_owned();
        }
        let length = header(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let body = String::from_utf8(body).unwrap();
        let seen = Seen { connection, proxy_line: proxy_line.clone(), head, body };
        log.lock().unwrap().push(seen.clone());
        match reply(&seen) {
            Reply::Send(bytes) => {
                if tcp.write_all(&bytes).is_err() {
                    return;
                }
            }
            Reply::Close => return,
            Reply::SendAndClose(bytes) => {
                let _ = tcp.write_all(&bytes);
                return;
            }
            Reply::Take(take) => return take(tcp),
        }
    }
}

/// A head with its empty line, or `None` at the end.
fn read_head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let before = head.len();
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
        if head.get(before..) == Some("\r\n") {
            return Some(head);
        }
    }
}

/// An address at which nobody listens, and where no other test will: it stays bound.
pub(crate) fn nobody() -> SocketAddr {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    address
}

pub(crate) fn servers(of: &[(SocketAddr, u16)]) -> Arc<[Server]> {
    (0u32..)
        .zip(of)
        .map(|(id, (address, weight))| Server {
            id,
            name: format!("s{id}").into(),
            address: *address,
            state: State::Up,
            weight: *weight,
            max_in_flight: None,
            labels: Arc::new([]),
            load: Load::new(1),
        })
        .collect()
}

/// One shard in front of some servers.
pub(crate) struct Site {
    pub(crate) shards: Shards,
    pub(crate) pool: Arc<Pool>,
    pub(crate) port: u16,
}

/// What is not as by default.
#[derive(Default)]
pub(crate) struct Plans {
    pub(crate) settings: PoolSettings,
    pub(crate) plan: Option<Plan>,
    pub(crate) source: Option<Arc<dyn PolicySource>>,
    pub(crate) options: Options,
}

impl Site {
    pub(crate) fn new(servers: Arc<[Server]>, plans: Plans) -> Self {
        let view = View::new(1, 1, servers, plans.plan.unwrap_or(Plan::Fallback));
        let pool = Pool::new("pool", plans.options.workers, plans.settings, plans.source, view);
        let options = Options { ports: vec![0], ..plans.options };
        let shards = Shards::start(options, ServiceTable::default()).unwrap();
        let port = shards.ports()[0];
        let local = vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)];
        shards.set_services(ServiceTable::new(vec![Service::new("web", local, pool.clone())]).unwrap());
        Self { shards, pool, port }
    }

    /// In front of these, with weight 1 each and nothing special.
    pub(crate) fn of(origins: &[&Origin]) -> Self {
        let list: Vec<_> = origins.iter().map(|o| (o.address, 1)).collect();
        Self::new(servers(&list), Plans::default())
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(([127, 0, 0, 1], self.port).into())
    }
}

/// A client that reads no more than it must.
pub(crate) struct Client(pub(crate) BufReader<TcpStream>);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        header(&self.head, name)
    }
}

impl Client {
    pub(crate) fn connect(to: SocketAddr) -> Self {
        let tcp = TcpStream::connect(to).unwrap();
        tcp.set_nodelay(true).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(tcp))
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The next answer, or `None` where the connection ends first.
    pub(crate) fn answer(&mut self) -> Option<Answer> {
        let head = read_head(&mut self.0)?;
        let length = header(&head, "content-length").map_or(0, |l| l.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some(Answer { status, head, body: String::from_utf8(body).unwrap() })
    }

    pub(crate) fn get_with(&mut self, path: &str, headers: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: example.org\r\n{headers}\r\n"));
        self.answer().expect("an answer")
    }

    pub(crate) fn get(&mut self, path: &str) -> Answer {
        self.get_with(path, "")
    }

    /// Whether the other side closes, before patience ends.
    pub(crate) fn is_over(&mut self) -> bool {
        match self.0.read(&mut [0]) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// What was written.
#[derive(Clone, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Kept {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}
