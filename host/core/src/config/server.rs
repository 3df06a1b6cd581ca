//! Servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default;
use super::value::Name;
use crate::model::MAX_WEIGHT;

/// The most labels of a server, as the plugin contract says.
pub const MAX_LABELS: usize = 32;

/// The longest name or value of a label, bytes, as the plugin contract says.
pub const MAX_LABEL_BYTES: usize = 256;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// Its name, unique in the pool. Keep it when the address changes: state and counters belong to the name.
    pub name: Name,
    /// Address and port, such as `"192.0.2.1:80"` or `"[2001:db8::1]:80"`. Names are not looked up.
    #[serde(deserialize_with = "super::value::endpoint")]
    #[schemars(with = "super::value::Endpoint")]
    pub address: SocketAddr,
    /// Its share of the requests, relative to the other servers of the pool. 0: no new requests.
    #[serde(default = "weight", deserialize_with = "super::value::within::<_, _, 0, { MAX_WEIGHT as u64 }>")]
    #[schemars(range(max = MAX_WEIGHT))]
    pub weight: u16,
    /// Requests of one node that may be in flight to it at a time. 0: no limit.
    #[serde(default, deserialize_with = "super::value::within::<_, _, 0, { u32::MAX as u64 }>")]
    pub max_in_flight: u32,
    /// Pairs that a scheduler may read, such as `site = "fra1"`: at most 32, each side at most 256 bytes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

impl Server {
    /// The limit as [`crate::model::Server::max_in_flight`] has it.
    pub fn limit(&self) -> Option<u32> {
        (self.max_in_flight > 0).then_some(self.max_in_flight)
    }
}

fn weight() -> u16 {
    default::WEIGHT
}
