//! A DNS node whose zones and plugin are replaced all the time, while clients ask and look at every answer.
//!
//! Both zones carry the number of their version. A client that has seen a number anywhere must never see a lower one again: a
//! reload takes all zones or none, and nobody goes back. The plugin's file is in turn a good one, another good one, and a broken
//! one; whichever it is, a name has its addresses.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};

use super::answer::Answer;
use super::query::{Query, ask, kind};
use super::steady::{Tally, ask_until};
use crate::build;
use crate::fleet::{Dns, Fleet, numbered, replace};
use crate::node::Node;

/// The zones.
const ZONES: [&str; 2] = ["one.test", "two.test"];
/// The addresses of the name that the plugin decides.
const ADDRESSES: [&str; 4] = ["198.51.100.1", "198.51.100.2", "2001:db8::1", "2001:db8::2"];
/// Clients that look at every answer.
const CLIENTS: usize = 2;

/// A node, with what is replaced.
pub(crate) struct Scene {
    node: Node,
    /// Where it answers.
    pub(crate) server: SocketAddr,
    dns: Dns,
    plugin: PathBuf,
    contents: [Vec<u8>; 3],
    /// The version that was taken in last.
    version: AtomicU64,
}

/// What was done and seen.
pub(crate) struct Seen {
    /// Replacements of everything.
    pub(crate) reloads: u64,
    /// What the clients saw.
    pub(crate) tally: Tally,
}

impl Scene {
    /// Starts the node in a folder.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let mut dns = Dns::new(folder)?;
        dns.policy("web", "web", &ADDRESSES.map(|text| text.parse().unwrap_or(IpAddr::from([0; 4]))));
        let mut fleet = Fleet::new(folder)?;
        let plugin = fleet.paths.plugins.join("web.wasm");
        let read = |name: &str| {
            std::fs::read(build::plugins_folder().join(name)).with_context(|| format!("{name} was not built"))
        };
        let good = read("multifo.wasm")?;
        let mut broken = good.clone();
        broken.truncate(good.len() / 2);
        let contents = [good, read("subset.wasm")?, broken];
        std::fs::write(&plugin, contents.first().map(Vec::as_slice).unwrap_or_default())?;
        fleet.plugin("web", "web.wasm", "");
        write_zones(&dns, 1)?;
        let server = dns.server();
        let node = Node::start(&fleet.answering(dns.clone()), folder)?;
        Ok(Self { node, server, dns, plugin, contents, version: AtomicU64::new(1) })
    }

    /// Replaces everything so often, while clients ask, until `during` returns.
    pub(crate) fn replace_during<T>(
        &self,
        every: Duration,
        during: impl FnOnce() -> Result<T>,
    ) -> Result<(Seen, T)> {
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| self.client(&stop))).collect();
            let (end, ended) = channel::<()>();
            let replacer = scope.spawn(move || -> Result<u64> {
                let mut reloads = 0;
                while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                    self.replace()?;
                    reloads += 1;
                }
                Ok(reloads)
            });
            let result = during();
            drop(end);
            let reloads = replacer.join().map_err(|_| anyhow!("the thread that replaces files panicked"));
            stop.store(true, Ordering::Relaxed);
            let mut tally = Tally::default();
            for client in clients {
                tally.add(client.join().map_err(|_| anyhow!("a client panicked"))??);
            }
            Ok((Seen { reloads: reloads??, tally }, result?))
        })
    }

    /// One replacement of zones and plugin, taken in when this returns.
    fn replace(&self) -> Result<()> {
        let version = self.version.fetch_add(1, Ordering::Relaxed) + 1;
        let which = usize::try_from(version % 3).unwrap_or_default();
        let content = self.contents.get(which).map(Vec::as_slice).unwrap_or_default();
        replace(&self.plugin, &numbered(content, version))?;
        write_zones(&self.dns, version)?;
        let (well, said) = self.node.reload()?;
        ensure!(well, "the node did not take in version {version}: {said}");
        Ok(())
    }

    fn client(&self, stop: &AtomicBool) -> Result<Tally> {
        let mut newest = 0;
        let questions = questions();
        let mut judge = |which: usize, answer: &Answer| match which % 4 {
            0 | 2 => {
                let version = version_of(answer)?;
                ensure!(version >= newest, "version {version} after {newest}");
                newest = version;
                Ok(())
            }
            1 => addresses_are_known(answer),
            _ => {
                ensure!(answer.code() == "NXDOMAIN", "{} for a name that is not there", answer.code());
                Ok(())
            }
        };
        ask_until(self.server, &questions, stop, &mut judge)
    }

    /// Ends the node, and says what its plugins came to.
    pub(crate) fn end(self) -> Result<serde_json::Value> {
        let plugins = self.node.status()?["plugins"].clone();
        let ended = self.node.stop()?;
        ensure!(ended.success(), "the node ended with {ended}");
        Ok(plugins)
    }
}

/// A version, the plugin's name, the other zone's version, nothing; and the same for IPv6.
fn questions() -> Vec<Query> {
    let [one, two] = ZONES;
    [kind::A, kind::AAAA]
        .into_iter()
        .flat_map(|family| {
            [
                ask(&format!("version.{one}"), kind::TXT),
                ask(&format!("www.{one}"), family),
                ask(&format!("version.{two}"), kind::TXT),
                ask(&format!("nothing.{two}"), family),
            ]
        })
        .collect()
}

/// Both zones with this number.
fn write_zones(dns: &Dns, version: u64) -> Result<()> {
    for zone in ZONES {
        dns.zone(
            zone,
            &format!(
                "$TTL 60\n@ SOA ns1 hostmaster {version} 7200 1800 259200 60\n@ NS ns1\nns1 A 192.0.2.1\n\
                 version TXT \"{version}\"\n_policy.www TXT \"web\"\n"
            ),
        )?;
    }
    Ok(())
}

fn version_of(answer: &Answer) -> Result<u64> {
    let [answers, ..] = &answer.sections;
    let text = answers.first().map(|line| line.data.trim_matches('"')).unwrap_or_default();
    text.parse().with_context(|| format!("no version, but {} {text:?}", answer.code()))
}

fn addresses_are_known(answer: &Answer) -> Result<()> {
    let addresses = answer.addresses();
    ensure!(!addresses.is_empty(), "no address, but {}", answer.code());
    let known = |address: &IpAddr| ADDRESSES.contains(&address.to_string().as_str());
    ensure!(addresses.iter().all(known), "{addresses:?} are not all those of the policy");
    Ok(())
}
