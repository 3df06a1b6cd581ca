//! How the health of servers is known: by checks, and by asking agents.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default;
use super::value::{Period, Statuses, UrlPath};
use crate::health::CheckTiming;

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Check {
    /// What is tried.
    #[serde(rename = "type")]
    pub kind: CheckType,
    /// Path that is asked for. Only for `"http"`.
    #[serde(default = "UrlPath::root")]
    pub path: UrlPath,
    /// The `Host` header. Only for `"http"`. Absent: the address of the server.
    pub host: Option<String>,
    /// Statuses that mean success, such as `"200,204,300-399"`. Only for `"http"`.
    #[serde(default = "expect")]
    pub expect: Statuses,
    /// From the start of a check to that of the next.
    #[serde(default = "check_interval")]
    pub interval: Period,
    /// The same while a server is between states: it failed or passed, but not often enough yet. Absent: `interval`.
    pub fast_interval: Option<Period>,
    /// How long a check may take, no longer than `interval`. Absent: `"1s"`, or `interval` where that is shorter.
    pub timeout: Option<Period>,
    /// How many checks in a row must pass until a server is up.
    #[serde(default = "rise", deserialize_with = "super::value::within::<_, _, 1, 255>")]
    #[schemars(range(min = 1))]
    pub rise: u8,
    /// How many checks in a row must fail until a server is down.
    #[serde(default = "fall", deserialize_with = "super::value::within::<_, _, 1, 255>")]
    #[schemars(range(min = 1))]
    pub fall: u8,
    /// Port that is checked. Absent: the port of the server.
    #[serde(default, deserialize_with = "super::value::port")]
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

impl Check {
    /// When a server is checked, and how many results it takes.
    pub fn timing(&self) -> CheckTiming {
        CheckTiming {
            interval: self.interval.get(),
            fast_interval: self.fast_interval.unwrap_or(self.interval).get(),
            timeout: self.timeout.unwrap_or(default::CHECK_TIMEOUT.min(self.interval)).get(),
            rise: u32::from(self.rise),
            fall: u32::from(self.fall),
        }
    }
}

/// How a server is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CheckType {
    /// A connection that is accepted is success.
    Tcp,
    /// A `GET` that is answered with an expected status is success.
    Http,
}

fn expect() -> Statuses {
    let (first, last) = default::CHECK_EXPECT;
    Statuses::range(first, last)
}

fn check_interval() -> Period {
    default::CHECK_INTERVAL
}

fn rise() -> u8 {
    default::CHECK_RISE
}

fn fall() -> u8 {
    default::CHECK_FALL
}

/// A question to an agent, which answers with one line such as `up`, `drain` or `50%`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AgentCheck {
    /// Port of the agent, at the address of the server.
    #[serde(default = "agent_port", deserialize_with = "super::value::within::<_, _, 1, 65535>")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// From the start of a question to that of the next; also how long one may take.
    #[serde(default = "agent_interval")]
    pub interval: Period,
    /// Text that is sent first, as it is. Empty: none.
    #[serde(default)]
    pub send: String,
}

fn agent_port() -> u16 {
    default::AGENT_LISTEN.port()
}

fn agent_interval() -> Period {
    default::AGENT_INTERVAL
}
