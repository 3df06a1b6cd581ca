//! BIRD 2.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::brand::{Brand, Outfit, Program};
use super::route::Seen;
use super::wish::{BFD_MULTIPLIER, FAR, INNER, KEY, MISLED, OUTER, Speaker, THEIRS};
use crate::fabric::Fabric;

const FILE: &str = "/etc/bird/bird.conf";
const CONTROL: &str = "/run/bird.ctl";
const BIRD: Brand = Brand::Bird;

/// It does not name the family; each session has two.
pub(super) const ENDS_OF_TABLE: &[&str] = &["outer: Got END-OF-RIB", "inner: Got END-OF-RIB"];

pub(super) fn outfit() -> Outfit {
    Outfit {
        files: vec![(FILE, configuration())],
        programs: vec![Program {
            name: "bird",
            argv: vec!["/usr/sbin/bird", "-f", "-c", FILE, "-s", CONTROL],
            after: None,
        }],
    }
}

fn configuration() -> String {
    let [v4, v6] = BIRD.own_prefixes();
    let mut text = format!(
        "log stderr all;
router id {};
protocol device {{ scan time 10; }}
protocol bfd {{ interface \"*\" {{ min rx interval 300 ms; min tx interval 300 ms; multiplier {BFD_MULTIPLIER}; }}; }}
protocol static {{ ipv4; route {v4} blackhole; }}
protocol static {{ ipv6; route {v6} blackhole; }}
template bgp weir {{
  debug {{ states, events, packets }};
  direct;
  ipv4 {{ import all; export where source = RTS_STATIC; }};
  ipv6 {{ import all; export where source = RTS_STATIC; }};
}}
",
        BIRD.v4()
    );
    let guarded = format!("password \"{KEY}\";");
    for (speaker, local, more) in [
        (&OUTER, BIRD.v4(), format!("{guarded} ttl security on; bfd on;")),
        (&INNER, BIRD.v6(), "bfd on;".to_owned()),
        (&MISLED, BIRD.v4(), guarded),
        (&FAR, BIRD.v4(), String::new()),
    ] {
        text.push_str(&format!(
            "protocol bgp {} from weir {{
  local {local} as {THEIRS};
  neighbor {} as {};
  connect delay time 1; connect retry time 2; error wait time 1, 2;
  {more}
}}
",
            speaker.node,
            speaker.address(),
            speaker.own_as
        ));
    }
    text
}

fn ask(fabric: &Fabric, words: &[&str]) -> Result<String> {
    fabric.run(BIRD.node(), &[&["/usr/sbin/birdc", "-s", CONTROL], words].concat())
}

pub(super) fn is_up(fabric: &Fabric, speaker: &Speaker) -> Result<bool> {
    let text = ask(fabric, &["show", "protocols", speaker.node])?;
    Ok(text.lines().any(|line| line.starts_with(speaker.node) && line.trim_end().ends_with("Established")))
}

pub(super) fn bfd_is_up(fabric: &Fabric, speaker: &Speaker) -> Result<bool> {
    let text = ask(fabric, &["show", "bfd", "sessions"])?;
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    Ok(lines.any(|words| words.first() == Some(&&*speaker.address()) && words.contains(&"Up")))
}

pub(super) fn updates(fabric: &Fabric) -> Result<u64> {
    let text = ask(fabric, &["show", "protocols", "all", OUTER.node])?;
    let counts = text.lines().filter_map(|line| line.trim().strip_prefix("Import updates:"));
    counts
        .map(|line| line.split_whitespace().next().and_then(|count| count.parse::<u64>().ok()))
        .try_fold(0, |all, one| Some(all + one?))
        .with_context(|| format!("no counts in {text}"))
}

pub(super) fn ask_again(fabric: &Fabric) -> Result<()> {
    ask(fabric, &["reload", "in", OUTER.node]).map(drop)
}

pub(super) fn routes(fabric: &Fabric) -> Result<BTreeMap<String, Seen>> {
    let mut all = BTreeMap::new();
    for speaker in [&OUTER, &INNER] {
        all.extend(read(&ask(fabric, &["show", "route", "all", "protocol", speaker.node])?));
    }
    Ok(all)
}

/// A line that begins with a prefix, then lines with its attributes.
fn read(text: &str) -> BTreeMap<String, Seen> {
    let mut all: BTreeMap<String, Seen> = BTreeMap::new();
    let mut at = None;
    for line in text.lines() {
        if let Some(prefix) = line
            .split_whitespace()
            .next()
            .filter(|word| !line.starts_with(char::is_whitespace) && word.contains('/'))
        {
            at = Some(prefix.to_owned());
            all.insert(prefix.to_owned(), Seen::default());
            continue;
        }
        let Some((seen, (name, value))) =
            at.as_ref().and_then(|at| all.get_mut(at)).zip(line.trim().split_once(": "))
        else {
            continue;
        };
        match name {
            // A link-local one may follow.
            "BGP.next_hop" => {
                seen.next_hop = value.split_whitespace().next().and_then(|hop| hop.parse().ok());
            }
            "BGP.as_path" => {
                seen.path = value.split_whitespace().filter_map(|one| one.parse().ok()).collect();
            }
            "BGP.med" => seen.med = value.parse().ok(),
            "BGP.local_pref" => seen.preference = value.parse().ok(),
            "BGP.community" => {
                seen.communities = tuples(value)
                    .filter_map(|t| Some((t.first()?.parse().ok()?, t.get(1)?.parse().ok()?)))
                    .collect();
            }
            "BGP.large_community" => {
                seen.large = tuples(value)
                    .filter_map(|t| {
                        Some((t.first()?.parse().ok()?, t.get(1)?.parse().ok()?, t.get(2)?.parse().ok()?))
                    })
                    .collect();
            }
            _ => {}
        }
    }
    all
}

/// `(65000,1) (65000,2)` or `(1, 2, 3)`.
fn tuples(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.split(['(', ')'])
        .filter(|part| part.contains(','))
        .map(|part| part.split(',').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn routes_are_read_as_they_are_shown() {
        let text = "BIRD 2.0.12 ready.
Table master4:
198.51.100.1/32      unicast [outer 09:31:37.123] * (100) [AS4200000001i]
\tvia 10.99.0.1 on eth0
\tType: BGP univ
\tBGP.origin: IGP
\tBGP.as_path: 4200000001 4200000001
\tBGP.next_hop: 10.99.0.1
\tBGP.med: 50
\tBGP.local_pref: 100
\tBGP.community: (64999,7) (65000,1)
\tBGP.large_community: (4200000001, 1, 1)
Table master6:
2001:db8:77::1/128   unicast [outer 09:31:37.123] * (100) [AS4200000001i]
\tBGP.as_path: 4200000001
\tBGP.next_hop: fd99::1 fe80::1
";
        let all = read(text);
        let first = Seen {
            next_hop: "10.99.0.1".parse().ok(),
            path: vec![4_200_000_001; 2],
            med: Some(50),
            preference: Some(100),
            communities: BTreeSet::from([(64999, 7), (65000, 1)]),
            large: BTreeSet::from([(4_200_000_001, 1, 1)]),
        };
        assert_eq!(all["198.51.100.1/32"], first);
        assert_eq!(all["2001:db8:77::1/128"].next_hop, "fd99::1".parse().ok());
        assert_eq!(all.len(), 2);
    }
}
