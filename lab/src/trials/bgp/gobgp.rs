//! GoBGP.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use super::brand::{Brand, Outfit, Program};
use super::route::{Seen, halves};
use super::wish::{FAR, INNER, KEY, MISLED, OUTER, Speaker, THEIRS};
use crate::fabric::Fabric;

const FILE: &str = "/etc/gobgp/gobgp.yaml";
const GOBGP: Brand = Brand::GoBgp;
const FAMILIES: [&str; 2] = ["ipv4", "ipv6"];

pub(super) const ENDS_OF_TABLE: &[&str] = &["EOR received"];

pub(super) fn outfit() -> Outfit {
    let argv = vec![
        "/usr/bin/gobgpd",
        "-t",
        "yaml",
        "-f",
        FILE,
        "--log-plain",
        "--log-level=debug",
        "--pprof-disable",
        "--api-hosts",
        "127.0.0.1:50051",
    ];
    Outfit {
        files: vec![(FILE, configuration())],
        programs: vec![Program { name: "gobgpd", argv, after: None }],
    }
}

fn configuration() -> String {
    let (v4, v6) = (GOBGP.v4(), GOBGP.v6());
    let mut text = format!(
        "global:
  config:
    as: {THEIRS}
    router-id: {v4}
    local-address-list:
      - {v4}
      - {v6}
neighbors:
"
    );
    let key = format!("      auth-password: {KEY}\n");
    let secured = "    ttl-security:\n      config:\n        enabled: true\n        ttl-min: 255\n";
    for (speaker, local, key, more) in [
        (&OUTER, &v4, key.as_str(), secured),
        (&INNER, &v6, "", ""),
        (&MISLED, &v4, key.as_str(), ""),
        (&FAR, &v4, "", ""),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  - config:
      neighbor-address: {}
      peer-as: {}
{key}    timers:
      config:
        connect-retry: 1
        idle-hold-time-after-reset: 1
        hold-time: 90
        keepalive-interval: 30
    transport:
      config:
        local-address: {local}
{more}    afi-safis:
      - config:
          afi-safi-name: ipv4-unicast
      - config:
          afi-safi-name: ipv6-unicast
",
            speaker.address(),
            speaker.own_as
        );
    }
    text
}

fn ask(fabric: &Fabric, words: &[&str]) -> Result<String> {
    fabric.run(GOBGP.node(), &[&["/usr/bin/gobgp"], words].concat())
}

fn ask_json(fabric: &Fabric, words: &[&str]) -> Result<Value> {
    let text = ask(fabric, &[&["--json"], words].concat())?;
    serde_json::from_str(&text).with_context(|| format!("gobgp {} says {text}", words.join(" ")))
}

pub(super) fn originate(fabric: &Fabric) -> Result<()> {
    for ((prefix, family), hop) in GOBGP.own_prefixes().iter().zip(FAMILIES).zip([GOBGP.v4(), GOBGP.v6()]) {
        ask(fabric, &["global", "rib", "add", prefix, "nexthop", &hop, "-a", family])?;
    }
    Ok(())
}

/// What it knows of a neighbor.
fn neighbor(fabric: &Fabric, speaker: &Speaker) -> Result<Value> {
    ask_json(fabric, &["neighbor", &speaker.address()])
}

pub(super) fn is_up(fabric: &Fabric, speaker: &Speaker) -> Result<bool> {
    // 6: established.
    Ok(neighbor(fabric, speaker)?["state"]["session_state"] == 6)
}

pub(super) fn routes(fabric: &Fabric) -> Result<BTreeMap<String, Seen>> {
    let mut all = BTreeMap::new();
    for speaker in [&OUTER, &INNER] {
        for family in FAMILIES {
            match ask(fabric, &["--json", "neighbor", &speaker.address(), "adj-in", "-a", family]) {
                Ok(text) => all.extend(read(&text)?),
                // Without a session there is no table.
                Err(error) if error.to_string().contains("session is not established") => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(all)
}

/// Prefixes with a list of paths each; of one neighbor there is one.
fn read(text: &str) -> Result<BTreeMap<String, Seen>> {
    // Without a route it says so in words.
    let Some(value) = text.find('{').and_then(|at| serde_json::from_str::<Value>(&text[at..]).ok()) else {
        return Ok(BTreeMap::new());
    };
    let destinations = value.as_object().with_context(|| format!("gobgp shows {text}"))?;
    let path = |paths: &Value| paths.as_array().and_then(|all| all.first()).map(seen);
    Ok(destinations.iter().filter_map(|(prefix, paths)| Some((prefix.clone(), path(paths)?))).collect())
}

/// Attributes by their numbers.
fn seen(path: &Value) -> Seen {
    let mut seen = Seen::default();
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    for attribute in path["attrs"].as_array().into_iter().flatten() {
        match attribute["type"].as_u64() {
            Some(2) => {
                let segments = attribute["as_paths"].as_array().into_iter().flatten();
                let numbers = segments.flat_map(|one| one["asns"].as_array().into_iter().flatten());
                seen.path = numbers.filter_map(number).collect();
            }
            Some(3 | 14) => {
                seen.next_hop = attribute["nexthop"].as_str().and_then(|hop| hop.parse().ok());
            }
            Some(4) => seen.med = number(&attribute["metric"]),
            Some(5) => seen.preference = number(&attribute["value"]),
            Some(8) => {
                let all = attribute["communities"].as_array().into_iter().flatten();
                seen.communities = all.filter_map(|one| halves(one.as_u64()?)).collect();
            }
            Some(32) => {
                let all = attribute["value"].as_array().into_iter().flatten();
                let part = |one: &Value, name: &str| number(&one[name]);
                seen.large = all
                    .filter_map(|one| {
                        Some((part(one, "ASN")?, part(one, "LocalData1")?, part(one, "LocalData2")?))
                    })
                    .collect();
            }
            _ => {}
        }
    }
    seen
}
