//! Sessions of routers and reflectors with L4 nodes, as these write of them in their logs: a loss that an L4 node does not notice is
//! one nevertheless.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::World;
use crate::stack::{Stack, bird};
use crate::topology::{Kind, address};

/// Between two looks at the logs.
const LOOK: Duration = Duration::from_millis(20);

/// What was lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// A BGP session was up and is not any more.
    Bgp,
    /// A BFD session was up and is not any more.
    Bfd,
    /// The L4 node itself heard nothing of a neighbor for too long. Where both ends say so, it was neither of them that stood still.
    Silence,
}

/// A session that was lost.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Lost {
    /// The router or reflector.
    pub(crate) by: String,
    /// The L4 node.
    pub(crate) of: String,
    pub(crate) what: What,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            What::Bgp => "BGP",
            What::Bfd => "BFD",
            What::Silence => return write!(f, "{} heard nothing of a neighbor", self.by),
        };
        write!(f, "{} lost its {what} session with {}", self.by, self.of)
    }
}

/// A reader of the logs, from where it began.
pub(crate) struct Sessions {
    logs: Vec<Log>,
    /// L4 nodes by what logs call them: addresses, and BIRD's names of its sessions with them.
    nodes: BTreeMap<String, String>,
}

struct Log {
    node: String,
    path: PathBuf,
    at: u64,
    /// What came after the last end of a line.
    rest: String,
}

impl Sessions {
    /// From now on.
    pub(crate) fn new(world: &World) -> Result<Self> {
        let mut logs = Vec::new();
        let own = (Kind::L4, "weir");
        let all = [(Kind::Router, "bird"), (Kind::Reflector, "gobgpd")].into_iter();
        for (kind, program) in all.chain((world.choice.l4 == Stack::Weir).then_some(own)) {
            for node in world.names(kind) {
                let path = world.fabric.logs(&node).join(format!("{program}.log"));
                let at =
                    std::fs::metadata(&path).with_context(|| format!("no log {}", path.display()))?.len();
                logs.push(Log { node, path, at, rest: String::new() });
            }
        }
        let size = world.topology.size;
        let nodes = world.topology.of(Kind::L4).flat_map(|node| {
            let v4 = address::l4(size, node.number);
            let addresses = [v4.to_string(), address::beside(v4).to_string()];
            let sessions = [4, 6].map(|version| bird::session(node.number, version));
            addresses.into_iter().chain(sessions).map(|called| (called, node.name.clone()))
        });
        Ok(Self { logs, nodes: nodes.collect() })
    }

    /// What was lost since the last look.
    pub(crate) fn lost(&mut self) -> Result<Vec<Lost>> {
        let mut all = Vec::new();
        for log in &mut self.logs {
            for line in log.news()?.lines() {
                if is_silence(line) {
                    all.push(Lost { by: log.node.clone(), of: log.node.clone(), what: What::Silence });
                }
                let Some((called, what)) = lost(line) else { continue };
                if let Some(of) = self.nodes.get(called) {
                    all.push(Lost { by: log.node.clone(), of: of.clone(), what });
                }
            }
        }
        Ok(all)
    }

    /// Waits until each of these has lost its session with a node; how long that took for each, where it came in time.
    pub(crate) fn await_loss(
        &mut self,
        by: &BTreeSet<String>,
        of: &str,
        within: Duration,
    ) -> Result<BTreeMap<String, Duration>> {
        let began = Instant::now();
        let mut found = BTreeMap::new();
        while found.len() < by.len() && began.elapsed() < within {
            for lost in self.lost()?.into_iter().filter(|lost| lost.of == of && lost.what == What::Bgp) {
                if by.contains(&lost.by) {
                    found.entry(lost.by).or_insert_with(|| began.elapsed());
                }
            }
            // A log has no event for whoever reads it over the machine's file system.
            std::thread::sleep(LOOK);
        }
        Ok(found)
    }
}

impl Log {
    fn news(&mut self) -> Result<String> {
        let read = |path: &Path, at: u64| -> std::io::Result<String> {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(at))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        let news =
            read(&self.path, self.at).with_context(|| format!("cannot read {}", self.path.display()))?;
        self.at += news.len() as u64;
        let text = std::mem::take(&mut self.rest) + &news;
        let (whole, rest) = text.rsplit_once('\n').unwrap_or(("", &text));
        self.rest = rest.to_owned();
        Ok(whole.to_owned())
    }
}

/// Whether Weir says that BFD heard nothing for too long: `... WARN BFD down neighbor="R1-v4" diagnostic=1` (RFC 5880 §4.1).
fn is_silence(line: &str) -> bool {
    line.contains(" BFD down ") && line.trim_end().ends_with("diagnostic=1")
}

/// Whose session was lost by a line of BIRD's or GoBGP's log.
fn lost(line: &str) -> Option<(&str, What)> {
    // BIRD: `... <TRACE> watched: Session to 192.0.2.132 changed state from Up to Down`
    if let Some((_, rest)) = line.split_once("Session to ") {
        let (address, rest) = rest.split_once(' ')?;
        return rest.contains("from Up to ").then_some((address, What::Bfd));
    }
    // BIRD: `... <TRACE> L4n1v4: BGP session closed`
    if let Some(before) = line.strip_suffix(": BGP session closed") {
        return Some((before.rsplit(' ').next()?, What::Bgp));
    }
    // GoBGP: `time="..." level=info msg="Peer Down" Key=192.0.2.132 Reason=... State=BGP_FSM_ESTABLISHED Topic=Peer`
    if line.contains("\"Peer Down\"") {
        let (_, rest) = line.split_once("Key=")?;
        let address = rest.split_ascii_whitespace().next()?.trim_matches('"');
        return Some((address, What::Bgp));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_read_in_the_words_of_either_program_and_nothing_else_is_one() {
        let bird = "2026-11-29 14:07:58.573 <TRACE> ";
        let down = format!("{bird}watched: Session to 2001:db8::c000:284 changed state from Up to Down");
        assert_eq!(lost(&down), Some(("2001:db8::c000:284", What::Bfd)));
        let closed = format!("{bird}L4n1v4: BGP session closed");
        assert_eq!(lost(&closed), Some(("L4n1v4", What::Bgp)));
        let gobgp =
            "level=info msg=\"Peer Down\" Key=192.0.2.132 Reason=x State=BGP_FSM_ESTABLISHED Topic=Peer";
        assert_eq!(lost(gobgp), Some(("192.0.2.132", What::Bgp)));
        assert!(is_silence("2026-11-29T17:38:09.897728Z  WARN BFD down neighbor=\"R1-v4\" diagnostic=1"));
        assert!(!is_silence("2026-11-29T17:38:09.897728Z  WARN BFD down neighbor=\"R1-v4\" diagnostic=3"));
        for other in
            ["watched: Session to 192.0.2.132 changed state from Init to Up", "L4n1v4: Connection closed", ""]
        {
            assert_eq!(lost(other), None, "{other}");
        }
    }
}
