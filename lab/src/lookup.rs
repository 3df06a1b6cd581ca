//! `weir-lab lookup`: asks a DNS server again and again until its answer has some addresses and lacks others, and says which
//! answers came on the way. It runs inside nodes.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::dns::answer::Answer;
use crate::dns::exchange::Client;
use crate::dns::query::{ask, kind};

/// Between two queries: nothing tells when an answer changes.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// An answer that takes so long is none.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// What is asked for, and until when.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub(crate) struct Lookup {
    /// Address and port of the server
    #[arg(long)]
    pub(crate) server: SocketAddr,
    /// The name
    #[arg(long)]
    pub(crate) name: String,
    /// A or AAAA
    #[arg(long = "type")]
    pub(crate) kind: String,
    /// Addresses that the answer must have
    #[arg(long, value_delimiter = ',')]
    pub(crate) has: Vec<IpAddr>,
    /// Addresses that it must not have
    #[arg(long, value_delimiter = ',')]
    pub(crate) lacks: Vec<IpAddr>,
    /// Seconds until it is given up
    #[arg(long, default_value_t = 10)]
    pub(crate) within: u64,
}

/// What came of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    /// Every answer that differs from the one before it, sorted.
    pub(crate) seen: Vec<Vec<IpAddr>>,
    /// The TTL of the last answer.
    pub(crate) ttl: Option<u32>,
    /// Queries without an answer, once there had been one.
    pub(crate) lost: u32,
    /// Why it was given up.
    pub(crate) failure: Option<String>,
}

impl Lookup {
    /// As the arguments of `weir-lab`.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let mut arguments: Vec<String> =
            ["lookup", "--server", &self.server.to_string(), "--name", &self.name]
                .map(str::to_owned)
                .to_vec();
        arguments.extend(["--type".into(), self.kind.clone(), "--within".into(), self.within.to_string()]);
        for (flag, addresses) in [("--has", &self.has), ("--lacks", &self.lacks)] {
            if !addresses.is_empty() {
                let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                arguments.extend([flag.into(), list.join(",")]);
            }
        }
        arguments
    }

    fn is_met_by(&self, addresses: &[IpAddr]) -> bool {
        self.has.iter().all(|each| addresses.contains(each))
            && !self.lacks.iter().any(|each| addresses.contains(each))
    }
}

/// Asks, and prints what came of it.
pub(crate) fn run(wish: &Lookup) -> Result<()> {
    let kind = match wish.kind.as_str() {
        "A" => kind::A,
        "AAAA" => kind::AAAA,
        other => bail!("`{other}` is neither A nor AAAA"),
    };
    let mut found = Found::default();
    let until = Instant::now() + Duration::from_secs(wish.within);
    let mut client = Client::of(wish.server)?;
    let mut number = 0_u16;
    loop {
        number = number.wrapping_add(1);
        // A refusal by the node, while nobody listens yet, is no answer either.
        let bytes =
            client.exchange(&ask(&wish.name, kind).numbered(number), ANSWER_WITHIN).unwrap_or_default();
        match bytes {
            Some(bytes) => {
                let answer = Answer::read(&bytes)?;
                let mut addresses = answer.addresses();
                addresses.sort_unstable();
                found.ttl = answer.sections.first().and_then(|lines| lines.first()).map(|line| line.ttl);
                let met = wish.is_met_by(&addresses);
                if found.seen.last() != Some(&addresses) {
                    found.seen.push(addresses);
                }
                if met {
                    break;
                }
            }
            None if !found.seen.is_empty() => found.lost += 1,
            None => {}
        }
        if Instant::now() >= until {
            found.failure = Some(format!("not within {} s", wish.within));
            break;
        }
        std::thread::sleep(AGAIN_AFTER);
    }
    writeln!(std::io::stdout(), "{}", serde_json::to_string(&found)?).context("nobody reads the answer")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Lookup(Lookup),
        }
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let wish = Lookup {
            server: "[2001:db8::1]:53".parse().unwrap(),
            name: "www.example.org".into(),
            kind: "AAAA".into(),
            has: vec![address("2001:db8::2"), address("2001:db8::3")],
            lacks: vec![address("2001:db8::4")],
            within: 3,
        };
        let line = std::iter::once("weir-lab".to_owned()).chain(wish.arguments());
        let Command::Lookup(read) = Line::parse_from(line).command;
        assert_eq!(read, wish);
        assert!(wish.is_met_by(&wish.has) && !wish.is_met_by(&wish.has[..1]));
        assert!(!wish.is_met_by(&[&wish.has[..], &wish.lacks].concat()));
    }
}
