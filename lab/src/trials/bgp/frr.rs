//! FRR: `zebra`, which knows the interfaces, `bfdd` and `bgpd`, each started by hand with sockets in the node's own `/run`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

use super::brand::{Brand, Outfit, Program};
use super::route::Seen;
use super::wish::{self, BFD_MULTIPLIER, FAR, INNER, KEY, MISLED, OUTER, Speaker, THEIRS};
use crate::fabric::Fabric;

const ZEBRA: &str = "/etc/frr/zebra.conf";
const BFDD: &str = "/etc/frr/bfdd.conf";
const BGPD: &str = "/etc/frr/bgpd.conf";
const SOCKETS: &str = "/run/frr";
/// Where zebra listens, and bfdd.
const ROUTES: &str = "/run/frr/zserv.api";
const WATCHED: &str = "/run/frr/bfdd.sock";
const FRR: Brand = Brand::Frr;

pub(super) const ENDS_OF_TABLE: &[&str] = &[
    "rcvd End-of-RIB for IPv4 Unicast from 10.99.0.1",
    "rcvd End-of-RIB for IPv6 Unicast from 10.99.0.1",
    "rcvd End-of-RIB for IPv4 Unicast from fd99::2",
    "rcvd End-of-RIB for IPv6 Unicast from fd99::2",
];

pub(super) fn outfit() -> Outfit {
    // As root: the user that its package would have made may not write where the node's sockets are. And one after the other: a bgpd that
    // does not find zebra at once never tells bfdd whom it wants to be watched.
    let daemon = |name, program, file, pid, after| Program {
        name,
        argv: vec![
            program,
            "-f",
            file,
            "-i",
            pid,
            "-z",
            ROUTES,
            "--vty_socket",
            SOCKETS,
            "-u",
            "root",
            "-g",
            "frrvty",
            "--log",
            "stdout",
            "--log-level",
            "debug",
        ],
        after,
    };
    let zebra = daemon("zebra", "/usr/lib/frr/zebra", ZEBRA, "/run/frr/zebra.pid", None);
    let mut bfdd = daemon("bfdd", "/usr/lib/frr/bfdd", BFDD, "/run/frr/bfdd.pid", Some(ROUTES));
    bfdd.argv.extend(["--bfdctl", WATCHED]);
    let bgpd = daemon("bgpd", "/usr/lib/frr/bgpd", BGPD, "/run/frr/bgpd.pid", Some(WATCHED));
    let profile = format!(
        "bfd\n profile weir\n  receive-interval 300\n  transmit-interval 300\n  detect-multiplier {BFD_MULTIPLIER}\n"
    );
    Outfit {
        files: vec![
            (ZEBRA, "hostname frr\n".to_owned()),
            (BFDD, profile),
            (BGPD, configuration()),
            ("/run/frr/made", String::new()),
        ],
        programs: vec![zebra, bfdd, bgpd],
    }
}

fn configuration() -> String {
    let mut text = format!(
        "debug bgp neighbor-events
router bgp {THEIRS}
 bgp router-id {}
 bgp log-neighbor-changes
 no bgp ebgp-requires-policy
 no bgp network import-check
",
        FRR.v4()
    );
    let key = format!("password {KEY}");
    for (speaker, settings) in [
        (&OUTER, vec![key.as_str(), "ttl-security hops 1"]),
        (&INNER, vec!["bfd profile weir"]),
        (&MISLED, vec![key.as_str()]),
        (&FAR, vec![]),
    ] {
        let address = speaker.address();
        // Writing to a String cannot fail.
        let _ = writeln!(text, " neighbor {address} remote-as {}", speaker.own_as);
        let _ = writeln!(text, " neighbor {address} timers connect 1");
        for setting in settings {
            let _ = writeln!(text, " neighbor {address} {setting}");
        }
    }
    for (family, prefix) in ["ipv4", "ipv6"].into_iter().zip(FRR.own_prefixes()) {
        let _ = writeln!(text, " address-family {family} unicast\n  network {prefix}");
        for speaker in &wish::SPEAKERS {
            let _ = writeln!(text, "  neighbor {} activate", speaker.address());
        }
        text.push_str(" exit-address-family\n");
    }
    text
}

fn ask(fabric: &Fabric, commands: &[String]) -> Result<String> {
    let mut argv = vec!["/usr/bin/vtysh", "--vty_socket", SOCKETS];
    for command in commands {
        argv.extend(["-c", command]);
    }
    fabric.run(FRR.node(), &argv)
}

/// What it knows of a neighbor.
fn neighbor(fabric: &Fabric, speaker: &Speaker) -> Result<Value> {
    let address = speaker.address();
    let text = ask(fabric, &[format!("show bgp neighbors {address} json")])?;
    let mut value: Value = serde_json::from_str(&text).with_context(|| format!("vtysh says {text}"))?;
    Ok(value[&address].take())
}

pub(super) fn is_up(fabric: &Fabric, speaker: &Speaker) -> Result<bool> {
    Ok(neighbor(fabric, speaker)?["bgpState"] == "Established")
}

pub(super) fn bfd_is_up(fabric: &Fabric, speaker: &Speaker) -> Result<bool> {
    let text = ask(fabric, &["show bfd peers json".to_owned()])?;
    let value: Value = serde_json::from_str(&text).with_context(|| format!("vtysh says {text}"))?;
    let address = speaker.address();
    let mut peers = value.as_array().into_iter().flatten();
    Ok(peers.any(|peer| peer["peer"] == address.as_str() && peer["status"] == "up"))
}

pub(super) fn updates(fabric: &Fabric) -> Result<u64> {
    let neighbor = neighbor(fabric, &OUTER)?;
    neighbor["messageStats"]["updatesRecv"]
        .as_u64()
        .with_context(|| format!("no count of updates in {neighbor}"))
}

pub(super) fn ask_again(fabric: &Fabric) -> Result<()> {
    ask(fabric, &[format!("clear bgp ipv4 unicast {} in", OUTER.address())]).map(drop)
}

pub(super) fn routes(fabric: &Fabric) -> Result<BTreeMap<String, Seen>> {
    let prefixes: Vec<String> = [&OUTER, &INNER].into_iter().flat_map(|speaker| speaker.prefixes()).collect();
    let commands: Vec<String> = prefixes
        .iter()
        .map(|prefix| {
            let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
            format!("show bgp {family} unicast {prefix} json")
        })
        .collect();
    read(&ask(fabric, &commands)?)
}

/// An object for each prefix, one after the other; an empty one where it has no route.
fn read(text: &str) -> Result<BTreeMap<String, Seen>> {
    let mut all = BTreeMap::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.with_context(|| format!("vtysh says {text}"))?;
        let path = value["paths"].as_array().and_then(|paths| paths.first());
        if let (Some(prefix), Some(path)) = (value["prefix"].as_str(), path) {
            all.insert(prefix.to_owned(), seen(path));
        }
    }
    Ok(all)
}

fn seen(path: &Value) -> Seen {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let segments = path["aspath"]["segments"].as_array().into_iter().flatten();
    let numbers = segments.flat_map(|one| one["list"].as_array().into_iter().flatten());
    // A link-local one may follow the global one.
    let hop = path["nexthops"].as_array().and_then(|hops| hops.first()).map(|hop| &hop["ip"]);
    Seen {
        next_hop: hop.and_then(Value::as_str).and_then(|hop| hop.parse().ok()),
        path: numbers.filter_map(number).collect(),
        med: number(&path["med"]).or_else(|| number(&path["metric"])),
        preference: number(&path["locPrf"]),
        communities: tuples(&path["community"])
            .filter_map(|t| match t.as_slice() {
                [high, low] => Some((u16::try_from(*high).ok()?, u16::try_from(*low).ok()?)),
                _ => None,
            })
            .collect(),
        large: tuples(&path["largeCommunity"])
            .filter_map(|t| match *t.as_slice() {
                [a, b, c] => Some((a, b, c)),
                _ => None,
            })
            .collect(),
    }
}

/// Communities, in words where there are some for them.
fn tuples(value: &Value) -> impl Iterator<Item = Vec<u32>> {
    let words: BTreeSet<String> =
        value["string"].as_str().unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    words.into_iter().map(|word| match word.as_str() {
        "graceful-shutdown" => vec![65535, 0],
        word => word.split(':').filter_map(|part| part.parse().ok()).collect(),
    })
}
