//! Weir in gdnsd's place: the same names, the same plugin compiled to WebAssembly, the same state file.
//!
//! Checks are quicker than the original's: it takes 25 s to leave out a dead address, and Weir is to take less than two.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::Serialize;

use super::super::Outfit;
use super::super::names::{NAMES, POLICIES, STATE_FILE, of_policy};
use crate::build;

/// The plugin that equals gdnsd's.
const PLUGIN: &str = "multifo";
/// Where zones lie.
const ZONES: &str = "/etc/weir/zones";
/// The zone's file.
const ZONE_FILE: &str = "/etc/weir/zones/example.org";

/// Zone, plugin and state file of the DNS node.
pub(super) fn outfit(outfit: &mut Outfit) {
    outfit.file(ZONE_FILE, zone());
    outfit.file(STATE_FILE, super::super::names::state_file(&[]));
    outfit.link("/etc/weir/plugins/multifo.wasm", plugin_file());
}

/// The component as `cargo lab plugins` builds it.
fn plugin_file() -> PathBuf {
    build::plugins_folder().join(format!("{PLUGIN}.wasm"))
}

/// As the original's, but for the form of the lines that hand a name to a policy: any server reads this one.
fn zone() -> String {
    let mut text = String::from(
        "$TTL 86400\n@ SOA ns1 dns.example.org. 1 7200 1800 259200 900\n@ NS ns1.example.com.\n\n",
    );
    for (name, policy) in NAMES {
        let _ = writeln!(text, "_policy.{name} 60 TXT \"{policy}\"");
    }
    text
}

/// `[plugins]`
pub(super) fn plugins() -> BTreeMap<&'static str, Plugin> {
    BTreeMap::from([(PLUGIN, Plugin { file: "multifo.wasm" })])
}

/// `[dns]`
pub(super) fn section() -> Dns {
    let policy = |first: u32| Policy {
        plugin: PLUGIN,
        check: Check {
            kind: "http",
            path: "/healthcheck",
            expect: "200",
            interval: "500ms",
            timeout: "500ms",
            rise: 2,
            fall: 2,
        },
        addresses: of_policy(first).into_iter().map(|address| Address { address }).collect(),
    };
    Dns {
        zones: ZONES,
        // The original's `def_down`.
        state_file: StateFile { path: STATE_FILE, unlisted: "down" },
        policies: POLICIES.into_iter().map(|(name, first)| (name, policy(first))).collect(),
    }
}

#[derive(Serialize)]
pub(super) struct Plugin {
    file: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Dns {
    zones: &'static str,
    state_file: StateFile,
    policies: BTreeMap<&'static str, Policy>,
}

#[derive(Serialize)]
struct StateFile {
    path: &'static str,
    unlisted: &'static str,
}

#[derive(Serialize)]
struct Policy {
    plugin: &'static str,
    check: Check,
    addresses: Vec<Address>,
}

#[derive(Serialize)]
struct Check {
    #[serde(rename = "type")]
    kind: &'static str,
    path: &'static str,
    expect: &'static str,
    interval: &'static str,
    timeout: &'static str,
    rise: u8,
    fall: u8,
}

#[derive(Serialize)]
struct Address {
    address: IpAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_of_the_zone_is_handed_to_a_policy_that_there_is() {
        let (zone, section) = (zone(), section());
        for (name, policy) in NAMES {
            assert!(zone.contains(&format!("_policy.{name} 60 TXT \"{policy}\"\n")), "{zone}");
            assert_eq!(section.policies[policy].addresses.len(), 4);
        }
    }
}
