//! What the clients are to do. Everything that chance decides hangs on `seed`.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::server::size_of;

/// Places and probes fit in the part of an epoll token that is theirs.
const MOST_CONNECTIONS: usize = 10_000;

/// What the clients are to do. As a file: JSON; what is left out is as in [`Plan::default`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Plan {
    /// Addresses of this machine or namespace to connect from.
    pub(crate) sources: Vec<IpAddr>,
    /// Where to. Each needs a source of its family.
    pub(crate) destinations: Vec<SocketAddr>,
    /// Connections kept up at the same time, not counting probes.
    pub(crate) connections: usize,
    /// The first connections begin spread over so long, milliseconds. Nobody's clients all come at the same moment, unless something has
    /// broken; where one CPU carries every node, that would be the first thing to break.
    pub(crate) ramp_ms: u64,
    /// Share that uploads, 0 to 1; the rest downloads.
    pub(crate) uploads_share: f64,
    /// Whether clients upload over IPv6 as well. In the original large packets of an upload do not pass its IPv6 tunnels and nobody
    /// is told, so every such upload hangs; that would drown whatever else is to be seen.
    pub(crate) ipv6_uploads: bool,
    /// Share of downloads that go on to their last byte and so live for minutes, 0 to 1.
    pub(crate) steady_share: f64,
    /// Same seed, same choices.
    pub(crate) seed: u64,
    /// Bytes of a download.
    pub(crate) body_bytes: u64,
    /// Bytes read or written at a time, at most.
    pub(crate) piece_bytes: usize,
    /// Longest pause between two reads or writes, milliseconds.
    pub(crate) interval_ms: u64,
    /// Chance that a client has enough after a read or write, 0 to 1.
    pub(crate) end_chance: f64,
    /// A new short connection to the next destination in turn this often, milliseconds; 0 for none. They show when
    /// new connections fail even while all others hang.
    pub(crate) probe_every_ms: u64,
    /// Patience with a connect, and with a probe as a whole, milliseconds.
    pub(crate) connect_ms: u64,
    /// A connection on which no byte moves for this long has stalled, milliseconds.
    pub(crate) stall_ms: u64,
    /// End after this long, milliseconds.
    pub(crate) for_ms: Option<u64>,
    /// End after so many ends of connections, probes among them.
    pub(crate) ends_after: Option<u64>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            destinations: Vec::new(),
            connections: 200,
            ramp_ms: 0,
            uploads_share: 0.25,
            ipv6_uploads: true,
            steady_share: 0.25,
            seed: 1,
            body_bytes: 10 << 20,
            piece_bytes: 8 << 10,
            interval_ms: 500,
            end_chance: 0.05,
            probe_every_ms: 100,
            connect_ms: 2000,
            stall_ms: 11_000,
            for_ms: None,
            ends_after: None,
        }
    }
}

impl Plan {
    /// Checks that the plan can be carried out.
    ///
    /// # Errors
    /// Says which field is wrong and what it may be.
    pub(crate) fn check(&self) -> Result<()> {
        if self.destinations.is_empty() {
            bail!("clients: no destination is given (--destination ADDRESS:PORT)");
        }
        if let Some(alone) = self.destinations.iter().find(|to| self.sources_for(to).is_empty()) {
            bail!("clients: no source address has the family of destination {alone} (--source ADDRESS)");
        }
        if self.connections > MOST_CONNECTIONS {
            bail!("clients: {} connections are more than {MOST_CONNECTIONS}", self.connections);
        }
        for (name, share) in [
            ("uploads_share", self.uploads_share),
            ("steady_share", self.steady_share),
            ("end_chance", self.end_chance),
        ] {
            if !(0.0..=1.0).contains(&share) {
                bail!("clients: {name} is {share}, not between 0 and 1");
            }
        }
        if size_of(&self.body_bytes.to_string()).is_none_or(|size| size == 0) {
            bail!("clients: body_bytes is {}, not between 1 and 1 GiB", self.body_bytes);
        }
        if !(1..=1 << 20).contains(&self.piece_bytes) {
            bail!("clients: piece_bytes is {}, not between 1 and 1 MiB", self.piece_bytes);
        }
        if self.connect_ms == 0 || self.stall_ms == 0 {
            bail!("clients: connect_ms and stall_ms are at least 1");
        }
        Ok(())
    }

    /// Sources that can reach this destination.
    pub(super) fn sources_for(&self, destination: &SocketAddr) -> Vec<IpAddr> {
        self.sources.iter().copied().filter(|source| source.is_ipv4() == destination.is_ipv4()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_needs_only_sources_and_destinations() {
        let plan: Plan =
            serde_json::from_str(r#"{"sources": ["::1"], "destinations": ["[::1]:80"]}"#).unwrap();
        plan.check().unwrap();
        assert_eq!((plan.connections, plan.stall_ms), (200, 11_000));
    }

    #[test]
    fn a_destination_without_a_source_of_its_family_is_named() {
        let plan = Plan {
            sources: vec!["127.0.0.1".parse().unwrap()],
            destinations: vec!["127.0.0.1:80".parse().unwrap(), "[::1]:80".parse().unwrap()],
            ..Plan::default()
        };
        assert!(plan.check().unwrap_err().to_string().contains("[::1]:80"));
    }

    #[test]
    fn a_field_that_is_unknown_or_out_of_range_is_refused() {
        assert!(serde_json::from_str::<Plan>(r#"{"source": ["::1"]}"#).is_err());
        let fine = Plan {
            sources: vec!["::1".parse().unwrap()],
            destinations: vec!["[::1]:80".parse().unwrap()],
            ..Plan::default()
        };
        for wrong in [
            Plan { uploads_share: 1.5, ..fine.clone() },
            Plan { piece_bytes: 0, ..fine.clone() },
            Plan { body_bytes: 0, ..fine.clone() },
            Plan { connections: 10_001, ..fine.clone() },
            Plan { stall_ms: 0, ..fine.clone() },
        ] {
            assert!(wrong.check().is_err(), "{wrong:?}");
        }
        fine.check().unwrap();
    }
}
