//! `weir-lab ask`: asks services from given source addresses, again and again until they answer, and says who did.
//!
//! It runs inside a node, where the addresses are; the lab outside reads one JSON line for each pair of addresses.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};

use crate::http::{self, Connection, Failure};

/// A connection attempt that takes longer has met a hole; another one is made.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// Between two attempts.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Whom to ask, from where.
#[derive(Debug, Clone, Args)]
pub(crate) struct Questions {
    /// Source addresses; none: what the system chooses
    #[arg(long = "from", value_delimiter = ',')]
    pub(crate) from: Vec<IpAddr>,
    /// Whom to ask, over each source address of the same family
    #[arg(long = "to", value_delimiter = ',', required = true)]
    pub(crate) to: Vec<SocketAddr>,
    /// What to ask for
    #[arg(long, default_value = "/")]
    pub(crate) path: String,
    /// How many requests one connection makes
    #[arg(long, default_value_t = 1)]
    pub(crate) times: u32,
    /// Seconds until it is given up
    #[arg(long, default_value_t = 10)]
    pub(crate) within: u64,
}

/// What came of asking one address from one other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The source, with the port that the last attempt had.
    pub(crate) from: Option<SocketAddr>,
    /// Who was asked.
    pub(crate) to: SocketAddr,
    /// The bodies of the answers: the demo servers say their name.
    pub(crate) answers: Vec<String>,
    /// Why there is none, where there is none.
    pub(crate) failure: Option<String>,
    /// From the first attempt to the end, in milliseconds.
    pub(crate) millis: u64,
}

impl Questions {
    /// As the arguments of `weir-lab`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["ask".to_owned(), "--path".into(), self.path.clone()];
        arguments.extend([
            "--times".into(),
            self.times.to_string(),
            "--within".into(),
            self.within.to_string(),
        ]);
        let list = |all: Vec<String>| all.join(",");
        if !self.from.is_empty() {
            arguments.extend(["--from".into(), list(self.from.iter().map(ToString::to_string).collect())]);
        }
        arguments.extend(["--to".into(), list(self.to.iter().map(ToString::to_string).collect())]);
        arguments
    }

    fn pairs(&self) -> Vec<(Option<IpAddr>, SocketAddr)> {
        let sources = |to: &SocketAddr| -> Vec<Option<IpAddr>> {
            if self.from.is_empty() {
                return vec![None];
            }
            self.from.iter().filter(|from| from.is_ipv4() == to.is_ipv4()).map(|from| Some(*from)).collect()
        };
        self.to.iter().flat_map(|to| sources(to).into_iter().map(|from| (from, *to))).collect()
    }
}

/// Asks for all pairs at the same time and prints what came of it.
pub(crate) fn run(questions: &Questions) -> Result<()> {
    let pairs = questions.pairs();
    if pairs.is_empty() {
        bail!("no source address has the family of an address that is asked");
    }
    let until = Instant::now() + Duration::from_secs(questions.within);
    std::thread::scope(|scope| {
        let asking: Vec<_> =
            pairs.iter().map(|&(from, to)| scope.spawn(move || ask(questions, from, to, until))).collect();
        for each in asking {
            let asked = each.join().ok().context("a thread that asks ended early")?;
            let mut out = std::io::stdout().lock();
            writeln!(out, "{}", serde_json::to_string(&asked)?)?;
        }
        Ok(())
    })
}

fn ask(questions: &Questions, from: Option<IpAddr>, to: SocketAddr, until: Instant) -> Asked {
    let began = Instant::now();
    let mut asked = Asked {
        from: from.map(|from| SocketAddr::new(from, 0)),
        to,
        answers: Vec::new(),
        failure: None,
        millis: 0,
    };
    loop {
        asked.answers.clear();
        asked.failure = once(questions, from, &mut asked).err().map(|failure| failure.to_string());
        if asked.failure.is_none() || Instant::now() >= until {
            asked.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            return asked;
        }
        std::thread::sleep(AGAIN_AFTER);
    }
}

fn once(questions: &Questions, from: Option<IpAddr>, asked: &mut Asked) -> Result<(), Failure> {
    let stream = connect(from, asked.to)?;
    asked.from = stream.local_addr().ok();
    let mut connection = Connection::over(stream)?;
    let request = http::request(&questions.path, &[]);
    for _ in 0..questions.times {
        let answer = connection.exchange(&request)?;
        if answer.status != 200 {
            return Err(Failure::Status(answer.status));
        }
        asked.answers.push(answer.text().trim().to_owned());
    }
    Ok(())
}

/// Connects from a source address of this node.
fn connect(from: Option<IpAddr>, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if let Some(from) = from {
        socket.bind(&SocketAddr::new(from, 0).into())?;
    }
    socket.connect_timeout(&to.into(), CONNECT_WITHIN)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::DemoServer;

    fn questions(from: &[&str], to: Vec<SocketAddr>) -> Questions {
        let from = from.iter().map(|text| text.parse().unwrap()).collect();
        Questions { from, to, path: "/plain".into(), times: 3, within: 0 }
    }

    #[test]
    fn only_addresses_of_one_family_are_paired() {
        let to = vec!["192.0.2.1:80".parse().unwrap(), "[2001:db8::1]:80".parse().unwrap()];
        let pairs = questions(&["127.0.0.1", "127.0.0.2", "::1"], to.clone()).pairs();
        assert_eq!(pairs.len(), 3);
        assert_eq!(questions(&[], to).pairs().len(), 2);
    }

    #[test]
    fn the_source_address_is_the_one_that_was_wished_for_and_all_requests_pass_one_connection() {
        let server = DemoServer::start("anna").unwrap();
        let wish = questions(&["127.0.0.9"], vec![server.address]);
        let asked = ask(&wish, Some(wish.from[0]), server.address, Instant::now());
        assert_eq!(asked.failure, None);
        assert_eq!(asked.answers, ["ok", "ok", "ok"]);
        assert_eq!(asked.from.unwrap().ip(), wish.from[0]);
    }

    #[test]
    fn nobody_there_is_a_failure_and_not_an_error() {
        let address = crate::fleet::free_address().unwrap();
        let asked = ask(&questions(&[], vec![address]), None, address, Instant::now());
        assert_eq!(asked.failure.as_deref(), Some("connection refused"));
    }

    #[test]
    fn arguments_are_what_the_command_line_reads() {
        use clap::Parser as _;
        #[derive(clap::Parser)]
        struct Line {
            #[command(subcommand)]
            command: Command,
        }
        #[derive(clap::Subcommand)]
        enum Command {
            Ask(Questions),
        }
        let wish = questions(&["203.0.113.1", "2001:db8::1"], vec!["[2001:db8::2]:80".parse().unwrap()]);
        let line = std::iter::once("weir-lab".to_owned()).chain(wish.arguments());
        let Command::Ask(read) = Line::parse_from(line).command;
        assert_eq!((read.from, read.to, read.times), (wish.from, wish.to, wish.times));
    }
}
