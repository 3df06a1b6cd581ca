//! What clients connect to.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default;
use super::value::{HealthPath, Name, Period, UrlPath};

/// A service: addresses and a port, and the pool that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// Port. Each worker has one listener for a port, on all addresses of both families.
    #[serde(deserialize_with = "super::value::within::<_, _, 1, 65535>")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The local addresses of the service, such as `"198.51.100.1"`. Services may share a port if their addresses differ; a connection to any
    /// other address is closed at once. Empty: any address.
    #[serde(default, deserialize_with = "super::value::addresses")]
    #[schemars(with = "Vec<super::value::Address>")]
    pub addresses: Vec<IpAddr>,
    /// The pool that answers.
    pub pool: Name,
    /// Path at which the service answers 200 while it can serve (503 when no server is up or this node's agent says
    /// down), or `"off"`.
    #[serde(default = "healthcheck")]
    pub healthcheck: HealthPath,
    /// How long clients are waited for.
    #[serde(default)]
    pub client_timeouts: ClientTimeouts,
}

fn healthcheck() -> HealthPath {
    HealthPath::at(UrlPath::fixed(default::HEALTHCHECK))
}

/// How long clients are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct ClientTimeouts {
    /// From the first byte of a request to the end of its head, and between two parts of its body or of the answer.
    pub request: Period,
    /// Between an answer and the next request on the same connection.
    pub idle: Period,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self { request: default::CLIENT_REQUEST, idle: default::CLIENT_IDLE }
    }
}
