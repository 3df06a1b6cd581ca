//! Plugins that judge checks: obeyed by an L4 node and by a pool, replaced while they work, and done without when they fail.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::servers::state;
use crate::fleet::{Fleet, Pool, free_address, replace};
use crate::node::Node;

/// The L4 node, and two L7 nodes.
const L4: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 4));
const L7: [Ipv4Addr; 2] = [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3)];

const SOON: Duration = Duration::from_secs(20);

pub(super) fn run(folder: &Path) -> Result<()> {
    of_a_pool(&folder.join("pool")).context("of a pool")?;
    of_l7_nodes(&folder.join("l4")).context("of the L7 nodes that an L4 node checks")
}

/// What the agents of a pool's servers say, and their pages.
fn of_a_pool(folder: &Path) -> Result<()> {
    let page = Page::at(SocketAddr::from((L7[0], 0)), "queue 10")?;
    let mut fleet = Fleet::new(folder)?;
    install(&fleet, "queue-depth.wasm", "judge.wasm")?;
    fleet.plugin("queue", "judge.wasm", "full = 50");
    let mut pool = Pool::of(&[page.address]).checked();
    pool.judge = Some("queue".into());
    fleet.service("web", pool)?;
    let node = Node::start(&fleet, folder)?;
    for (says, judge, expected) in [
        ("queue 30", "up 50%", "up"),
        ("queue 50", "down # a queue of 50", "down"),
        ("queue 0", "up 100%", "up"),
    ] {
        page.says(says);
        node.until(&format!("a page of `{says}` is judged"), SOON, |status| {
            let said = status["pools"][0]["servers"][0]["judgement"].as_str();
            said == Some(judge) && state(status, "web", "s0") == Some(expected)
        })?;
    }
    Ok(())
}

fn of_l7_nodes(folder: &Path) -> Result<()> {
    let port = free_address()?.port();
    let page = |ip: Ipv4Addr| Page::at(SocketAddr::from((ip, port)), "queue 0");
    let (first, second) = (page(L7[0])?, page(L7[1])?);
    let mut fleet = Fleet::balancing(folder, L4, &L7.map(IpAddr::V4), port, "queue")?;
    install(&fleet, "queue-depth.wasm", "judge.wasm")?;
    fleet.plugin("queue", "judge.wasm", "");
    let node = Node::start_host(&fleet, folder)?;
    is(&node, "up 100%", "up", true)?;

    // Its word holds, at once and for this node alone.
    first.says("queue 60");
    is(&node, "up 50%", "up", true)?;
    first.says("queue 300");
    let status = is(&node, "down # a queue of 300", "down", false)?;
    let other = &status["l4"]["nodes"][1]["checks"][0];
    ensure!(other["taking"] == true, "the other node was taken out with it: {other:#}");
    ensure!(
        check(&status)["why"] == "check failed: a queue of 300" && check(&status)["through"] == "node",
        "the status does not say why: {:#}",
        check(&status)
    );

    // Another version is put to use while checks go on, and finds fit whatever it sees.
    install(&fleet, "misjudge.wasm", "judge.wasm")?;
    is(&node, "up", "up", true)?;
    // At its end it costs a check, of which it takes three: the others are decided by their status until it is back.
    for (word, kind) in [("trap", "trap"), ("spin", "deadline")] {
        let before = counts(&node.status()?);
        first.says(word);
        let status = node.until(&format!("a judge of a page `{word}` is done without"), SOON, |status| {
            let (failed, nobody) = counts(status);
            failed > before.0 && nobody > before.1
        })?;
        ensure!(check(&status)["taking"] == true, "a judge that fails has taken a node out: {status:#}");
        first.says("well");
        is(&node, "up", "up", true)?;
        let label = format!("kind=\"{kind}\"");
        let counted = super::metric(&node.metrics()?, "weir_plugin_failures_total", &["queue@nodes", &label]);
        ensure!(counted > 0.0, "no metric counts that the judge failed: {kind}");
    }
    let nobody = super::metric(&node.metrics()?, "weir_judgements_total", &["of=\"nodes\"", "nobody"]);
    ensure!(nobody > 0.0, "no metric counts what was decided without the judge");
    ensure!(node.log_text().contains("queue@nodes"), "no line of the log names the plugin");
    drop(second);
    Ok(())
}

/// Puts a plugin as it was built under a name that the node watches.
fn install(fleet: &Fleet, plugin: &str, file: &str) -> Result<()> {
    let content =
        std::fs::read(super::built(plugin)).with_context(|| format!("the plugin {plugin} was not built"))?;
    replace(&fleet.paths.plugins.join(file), &content)
}

/// The check of the first L7 node.
fn check(status: &Value) -> &Value {
    &status["l4"]["nodes"][0]["checks"][0]
}

/// How often the judge failed, and how often nobody judged.
fn counts(status: &Value) -> (u64, u64) {
    let count = |name: &str| status["l4_judge"][name].as_u64().unwrap_or_default();
    (count("failed"), count("nobody"))
}

/// Waits until the judge has said this of the first L7 node, and the node is in this state.
fn is(node: &Node, judge: &str, state: &str, taking: bool) -> Result<Value> {
    node.until(&format!("the judge says `{judge}`, the node is {state}"), SOON, |status| {
        let check = check(status);
        check["judge"] == judge && check["state"] == state && check["taking"] == taking
    })
}

/// A page that answers 200 and says what it is told to. Its thread ends with the process.
struct Page {
    address: SocketAddr,
    text: Arc<Mutex<&'static str>>,
}

impl Page {
    fn at(address: SocketAddr, text: &'static str) -> Result<Self> {
        let listener = TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        let text = Arc::new(Mutex::new(text));
        let said = Arc::clone(&text);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let text = *said.lock().unwrap_or_else(PoisonError::into_inner);
                // Who hangs up early misses the page.
                drop(answer(stream, text));
            }
        });
        Ok(Self { address, text })
    }

    fn says(&self, text: &'static str) {
        *self.text.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }
}

fn answer(mut stream: TcpStream, text: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    // The request is one small packet; closing with it unread would reset the connection.
    let mut request = [0; 4096];
    if stream.read(&mut request)? == 0 {
        return Ok(());
    }
    let length = text.len();
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}")
}
