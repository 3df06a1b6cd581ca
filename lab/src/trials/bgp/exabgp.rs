//! ExaBGP. It keeps no table: what it has is what it told its helper process, in the order of its words.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use super::brand::{Brand, Outfit, Program};
use super::route::Seen;
use super::wish::{FAR, INNER, KEY, MISLED, OUTER, Speaker, THEIRS};
use crate::fabric::Fabric;

const FILE: &str = "/etc/exabgp/exabgp.conf";
/// The helper writes down what it is told, in a file that is seen from outside of the node. It keeps its output open, and empty: a closed
/// one is taken for its end.
const HELPER: &str = "/etc/exabgp/write-down";
const TOLD: &str = "told.json";
const EXABGP: Brand = Brand::ExaBgp;

pub(super) const ENDS_OF_TABLE: &[&str] =
    &[r#""eor": { "afi" : "ipv4", "safi" : "unicast" }"#, r#""eor": { "afi" : "ipv6", "safi" : "unicast" }"#];

pub(super) fn outfit() -> Outfit {
    let argv = vec![
        "/usr/bin/env",
        "exabgp.log.destination=stderr",
        "exabgp.log.level=INFO",
        "exabgp.api.cli=false",
        "exabgp.daemon.user=root",
        "/usr/bin/python3",
        "-m",
        "exabgp",
        FILE,
    ];
    Outfit {
        files: vec![(FILE, configuration()), (HELPER, format!("#!/bin/sh\ncat >/var/log/{TOLD}\n"))],
        programs: vec![Program { name: "exabgp", argv, after: None }],
    }
}

fn configuration() -> String {
    let (v4, v6) = (EXABGP.v4(), EXABGP.v6());
    let [prefix4, prefix6] = EXABGP.own_prefixes();
    let mut text = format!("process told {{\n  run {HELPER};\n  encoder json;\n}}\n");
    let key = format!("md5-password \"{KEY}\";");
    for (speaker, local, more) in [
        (&OUTER, &v4, format!("{key} outgoing-ttl 255; incoming-ttl 255;")),
        (&INNER, &v6, String::new()),
        (&MISLED, &v4, key),
        (&FAR, &v4, String::new()),
    ] {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "neighbor {} {{
  router-id {v4};
  local-address {local};
  local-as {THEIRS};
  peer-as {};
  hold-time 90;
  {more}
  family {{ ipv4 unicast; ipv6 unicast; }}
  api {{
    processes [ told ];
    neighbor-changes;
    receive {{ parsed; update; notification; }}
  }}
  static {{
    route {prefix4} next-hop {v4};
    route {prefix6} next-hop {v6};
  }}
}}
",
            speaker.address(),
            speaker.own_as
        );
    }
    text
}

/// All that the helper was told of a neighbor.
fn told(fabric: &Fabric, speaker: &Speaker) -> Vec<Value> {
    let text = std::fs::read_to_string(fabric.logs(EXABGP.node()).join(TOLD)).unwrap_or_default();
    let address = speaker.address();
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["neighbor"]["address"]["peer"] == address.as_str()).collect()
}

pub(super) fn is_up(fabric: &Fabric, speaker: &Speaker) -> Result<bool> {
    let told = told(fabric, speaker);
    let last = told.iter().rev().find(|line| line["type"] == "state");
    Ok(last.is_some_and(|line| line["neighbor"]["state"] == "up"))
}

pub(super) fn routes(fabric: &Fabric) -> Result<BTreeMap<String, Seen>> {
    Ok([&OUTER, &INNER].into_iter().flat_map(|speaker| read(&told(fabric, speaker))).collect())
}

/// What is left of all that came and went.
fn read(told: &[Value]) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    for line in told {
        if line["type"] == "state" && line["neighbor"]["state"] != "connected" {
            // A new session knows nothing, and of an ended one nothing is left.
            all.clear();
        }
        let update = &line["neighbor"]["message"]["update"];
        let families = |what: &str| update[what].as_object().into_iter().flat_map(|all| all.values());
        for prefixes in families("withdraw") {
            for prefix in prefixes.as_array().into_iter().flatten().filter_map(nlri) {
                all.remove(prefix);
            }
        }
        for hops in families("announce") {
            for (hop, prefixes) in hops.as_object().into_iter().flatten() {
                for prefix in prefixes.as_array().into_iter().flatten().filter_map(nlri) {
                    all.insert(prefix.to_owned(), seen(hop, &update["attribute"]));
                }
            }
        }
    }
    all
}

fn nlri(prefix: &Value) -> Option<&str> {
    prefix["nlri"].as_str().or_else(|| prefix.as_str())
}

fn seen(hop: &str, attributes: &Value) -> Seen {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let numbers =
        |value: &Value| -> Vec<u32> { value.as_array().into_iter().flatten().filter_map(number).collect() };
    let lists = |name: &str| attributes[name].as_array().into_iter().flatten().map(numbers);
    Seen {
        next_hop: hop.parse().ok(),
        path: numbers(&attributes["as-path"]),
        med: number(&attributes["med"]),
        preference: number(&attributes["local-preference"]),
        communities: lists("community")
            .filter_map(|one| match one.as_slice() {
                [high, low] => Some((u16::try_from(*high).ok()?, u16::try_from(*low).ok()?)),
                _ => None,
            })
            .collect(),
        large: lists("large-community")
            .filter_map(|one| match *one.as_slice() {
                [a, b, c] => Some((a, b, c)),
                _ => None,
            })
            .collect(),
    }
}
