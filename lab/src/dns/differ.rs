//! `cargo lab differ`: the same questions about the same zones to Weir, NSD, Knot and BIND. Where one of them answers otherwise
//! than Weir, a sentence of an RFC says why it may, or the run fails.
//!
//! Zones and questions are made by chance that repeats: a seed and a number of cases say which. What is compared is what a
//! resolver goes by, not bytes: see [`Essence`].
//!
//! | module | is |
//! |---|---|
//! | [`zones`] | zones, with all that can stand in one |
//! | [`cases`] | questions about them |
//! | [`essence`] | what an answer says |
//! | [`explained`] | the differences that are known, each with its reason |
//! | [`rivals`] | the other servers |

mod cases;
mod essence;
mod explained;
mod rivals;
mod zones;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::clients::dice::Dice;
use crate::fleet::{Dns, Fleet};
use crate::node::Node;
use crate::{build, install, paths};

use super::answer::Answer;
use super::exchange::{Client, PATIENCE};
use super::query::{Query, ask, kind};
use cases::{CHAOS, Case};
use essence::Essence;
use explained::{EXPLAINED, Explained};
use zones::Zone;

/// Questions about each zone, about.
const CASES_PER_ZONE: usize = 150;
/// Questions that are on their way at once: their answers fit the buffer of a socket.
const AT_ONCE: usize = 40;
/// Differences that are shown of each kind.
const SHOWN: usize = 3;

/// How much is compared.
#[derive(Debug, clap::Args)]
pub(crate) struct Wish {
    /// Number of questions
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) cases: usize,
    /// What zones and questions are made from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Take what is built already
    #[arg(long)]
    pub(crate) built: bool,
}

/// `cargo lab differ`.
pub(crate) fn command(wish: &Wish) -> Result<()> {
    if !wish.built {
        install::for_building()?;
        build::weir(&paths::log("build"))?;
    }
    let folder = paths::lab("differ");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let compared = run(wish, &folder)?;
    println!("  {}", compared.text);
    for (explained, count) in compared.explained {
        println!(
            "\n  {count} times, {}: {}\n    {}",
            explained.servers.join(", "),
            explained.what,
            explained.rfc
        );
    }
    Ok(())
}

/// What a comparison found.
pub(crate) struct Compared {
    /// In a sentence.
    pub(crate) text: String,
    /// Each explanation, and how often it was needed.
    explained: Vec<(&'static Explained, usize)>,
}

/// Compares in a folder.
///
/// # Errors
/// Differences that nothing explains, and explanations that nothing needs.
pub(crate) fn run(wish: &Wish, folder: &Path) -> Result<Compared> {
    let folder = folder.join("differ");
    std::fs::create_dir_all(&folder)?;
    let count = wish.cases.div_ceil(CASES_PER_ZONE).max(4);
    let zones: Vec<Zone> = (0..count).flat_map(|number| Zone::family(wish.seed, number)).collect();
    let dns = Dns::new(&folder)?;
    for zone in &zones {
        dns.zone(&zone.origin, &zone.text())?;
    }
    let server = dns.server();
    let node = Node::start(&Fleet::new(&folder)?.answering(dns), &folder)?;
    let rivals = rivals::start(&folder, &zones)?;
    let mut ours = Client::of(server)?;
    let mut theirs =
        rivals.iter().map(|rival| Ok((rival, Client::of(rival.server)?))).collect::<Result<Vec<_>>>()?;
    let mut dice = Dice::new(wish.seed, 0);
    let mut found = Findings::default();
    let last = last(&zones);
    while found.compared < wish.cases {
        let count = AT_ONCE.min(wish.cases - found.compared);
        let cases: Vec<Case> =
            (0..count).map(|more| Case::new(&mut dice, &zones).numbered(found.compared + more)).collect();
        let own = essences(&mut ours, &cases, &last).context("Weir")?;
        for (rival, client) in &mut theirs {
            let its = essences(client, &cases, &last).with_context(|| rival.name)?;
            for ((case, own), its) in cases.iter().zip(&own).zip(&its) {
                found.compare(case, rival.name, own, its);
            }
        }
        found.compared += count;
    }
    let ended = node.stop()?;
    ensure!(ended.success(), "the node ended with {ended}");
    found.verdict(&zones, wish)
}

/// What is asked behind other questions, and answered behind them.
fn last(zones: &[Zone]) -> Query {
    let known = zones.first().map_or("", |zone| zone.origin.as_str());
    ask(known, kind::SOA).numbered(u16::MAX)
}

/// What a server says to these questions.
fn essences(client: &mut Client, cases: &[Case], last: &Query) -> Result<Vec<Essence>> {
    let queries: Vec<&Query> = cases.iter().map(|case| &case.query).collect();
    let may_lack = |number: usize| cases.get(number).is_some_and(|case| case.class == CHAOS);
    let answers = client.exchange_all(&queries, last, may_lack, PATIENCE)?;
    let read = |case: &Case, bytes: Option<&Vec<u8>>| -> Result<Essence> {
        let Some(bytes) = bytes else { return Ok(Essence::nothing()) };
        case.query.is_repeated_in(bytes)?;
        Ok(Essence::of(&Answer::read(bytes)?, case))
    };
    let read = cases
        .iter()
        .zip(&answers)
        .map(|(case, bytes)| read(case, bytes.as_ref()).with_context(|| format!("the answer to {case}")));
    read.collect()
}

/// What has been seen.
#[derive(Default)]
struct Findings {
    compared: usize,
    /// By the number of the explanation.
    explained: BTreeMap<usize, usize>,
    /// By server and what differs: how often, and some of them.
    unexplained: BTreeMap<(&'static str, String), (usize, Vec<String>)>,
}

impl Findings {
    fn compare(&mut self, case: &Case, server: &'static str, ours: &Essence, theirs: &Essence) {
        if ours == theirs {
            return;
        }
        let is_it = |each: &Explained| each.servers.contains(&server) && (each.fits)(case, ours, theirs);
        if let Some(number) = EXPLAINED.iter().position(is_it) {
            *self.explained.entry(number).or_default() += 1;
            return;
        }
        let (count, some) = self.unexplained.entry((server, ours.difference(theirs))).or_default();
        *count += 1;
        if some.len() < SHOWN {
            some.push(format!("{case}\n      Weir   {ours}\n      {server:<6} {theirs}"));
        }
    }

    fn verdict(&self, zones: &[Zone], wish: &Wish) -> Result<Compared> {
        let mut faults = String::new();
        for ((server, what), (count, some)) in &self.unexplained {
            faults += &format!("\n  {server}, {count} times: {what}\n    {}", some.join("\n    "));
        }
        for (number, each) in EXPLAINED.iter().enumerate() {
            if !self.explained.contains_key(&number) {
                faults += &format!("\n  nothing needs the explanation \"{}\": take it out", each.what);
            }
        }
        if !faults.is_empty() {
            bail!("seed {}, {} cases:{faults}", wish.seed, wish.cases);
        }
        let differ: usize = self.explained.values().sum();
        let text = format!(
            "{} questions about {} zones, as NSD, Knot and BIND answer them but for {differ} answers of {} kinds that RFCs allow",
            self.compared,
            zones.len(),
            EXPLAINED.len()
        );
        let count = |number| self.explained.get(&number).copied().unwrap_or_default();
        let explained = EXPLAINED.iter().enumerate().map(|(number, each)| (each, count(number))).collect();
        Ok(Compared { text, explained })
    }
}
