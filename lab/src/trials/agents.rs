//! Agents, as operators of HAProxy know them: the node's own file, and what a server's agent says of it.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::servers::{answering, state};
use crate::fleet::{AgentCheck, Fleet, Pool, replace};
use crate::http;
use crate::node::Node;
use crate::server::DemoServer;

/// Another loopback address.
const BEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

const SOON: Duration = Duration::from_secs(5);

pub(super) fn run(folder: &Path) -> Result<()> {
    // Ben has an address of his own, and an agent there. Nobody answers for anna: that is not held against her.
    let anna = DemoServer::start("anna")?;
    let ben = DemoServer::start_at("ben", SocketAddr::from((BEN, 0)))?;
    let (port, words) = agent("up")?;
    let mut fleet = Fleet::new(folder)?;
    let servers = [anna, ben];
    let mut pool = Pool::unchecked(&servers, &[1, 1]);
    pool.agent_check = Some(AgentCheck { port, interval: "100ms" });
    let address = fleet.service("web", pool)?;
    let node = Node::start(&fleet, folder)?;
    node_file(&node, &fleet, address)?;

    for (word, expected, servers) in [("drain", "drain", 1), ("up ready", "up", 2), ("down", "down", 1)] {
        say(&words, word);
        node.until(&format!("ben's agent says {word}"), SOON, |status| {
            state(status, "web", "ben") == Some(expected)
        })?;
        let answering = answering(address)?;
        ensure!(answering.len() == servers, "ben's agent says {word} and {answering:?} answer");
    }
    Ok(())
}

/// The agent file of the node decides over `/healthcheck`.
fn node_file(node: &Node, fleet: &Fleet, address: SocketAddr) -> Result<()> {
    let healthy = || Ok::<_, http::Failure>(http::get(address, "/healthcheck")?.status);
    ensure!(healthy()? == 200, "/healthcheck is {} without an agent file", healthy()?);
    for (word, expected) in [("down\n", 503), ("up\n", 200)] {
        replace(&fleet.agent.file, word.as_bytes())?;
        node.until("the agent file is read", SOON, |_| healthy() == Ok(expected))?;
    }
    Ok(())
}

/// An agent that says a word to whoever connects. Lives as long as the process: it holds one thread and one port.
fn agent(word: &'static str) -> Result<(u16, Arc<Mutex<&'static str>>)> {
    let listener = TcpListener::bind((BEN, 0))?;
    let port = listener.local_addr()?.port();
    let words = Arc::new(Mutex::new(word));
    let said = Arc::clone(&words);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let word = *said.lock().unwrap_or_else(PoisonError::into_inner);
            // Who hangs up early misses the word.
            drop(writeln!(stream, "{word}"));
        }
    });
    Ok((port, words))
}

fn say(words: &Mutex<&'static str>, word: &'static str) {
    *words.lock().unwrap_or_else(PoisonError::into_inner) = word;
}
