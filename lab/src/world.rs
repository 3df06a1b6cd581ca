//! The topology, built on a fabric, with its stacks running: brought up, looked at, disturbed, and put back.
//!
//! | module | is |
//! |---|---|
//! | [`look`] | what nodes say of themselves: IPVS, routes, sockets, servers |
//! | [`lacking`] | how the world differs from one that is whole, and where to look |
//! | [`names`] | what the DNS server answers |
//! | [`step`] | what can be done to it |
//! | [`parts`] | a process of a node killed |
//! | [`sessions`] | sessions that routers and reflectors lost |

mod lacking;
pub(crate) mod look;
mod names;
pub(crate) mod parts;
pub(crate) mod sessions;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::ask::{Asked, Questions};
use crate::fabric::{Daemon, Fabric};
use crate::stack::{Choice, Outfit, Program, Stack, Turn};
use crate::topology::{Kind, Size, Topology, address, sysctl};
use crate::{paths, say};

/// How long L7 nodes may take until they say that they are healthy.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);
/// How long the services may take until they answer, from then on.
const ANSWERS_WITHIN: Duration = Duration::from_secs(90);
/// Between two looks at something that has no event.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// A world that runs.
pub(crate) struct World {
    // Daemons end before the nodes that they run in: fields are dropped in this order.
    running: BTreeMap<String, Vec<Daemon>>,
    fabric: Fabric,
    topology: Topology,
    choice: Choice,
    lab: PathBuf,
    /// L7 nodes that the L4 nodes know.
    l7: u32,
    /// Nodes behind a dead switch.
    cut_off: BTreeSet<String>,
    /// Nodes with a maintenance file.
    maintained: BTreeSet<String>,
    /// How the routers hash, by number of shuffles.
    shuffles: usize,
}

impl World {
    /// Builds and starts everything. Returns when all eight service addresses answer from several users.
    ///
    /// # Errors
    /// Which node, which log, and what to look with.
    pub(crate) fn bring_up(
        fabric: Fabric,
        size: Size,
        choice: Choice,
        say: &mut dyn FnMut(&str),
    ) -> Result<Self> {
        let topology = Topology::new(size)?;
        let lab = std::env::current_exe().context("cannot find this program")?;
        let mut world = Self {
            running: BTreeMap::new(),
            fabric,
            topology,
            choice,
            lab,
            l7: size.l7,
            cut_off: BTreeSet::new(),
            maintained: BTreeSet::new(),
            shuffles: 0,
        };
        let mut clock = Clock::new(say);
        world.wire()?;
        let nodes = world.topology.nodes.len();
        clock.tell("wired", &format!("{nodes} nodes, {} segments", world.topology.segments().len()));
        let outfits = world.furnish()?;
        clock.tell("furnished", "addresses, routes, settings, files");
        let started = world.start_all(&outfits, |turn| turn != Turn::AfterL7)?;
        clock.tell("started", &format!("{started} programs"));
        world.await_l7(1..=size.l7)?;
        clock.tell("healthy", &format!("{} L7 nodes, each over both families", size.l7));
        world.start_all(&outfits, |turn| turn == Turn::AfterL7)?;
        world.await_answers(ANSWERS_WITHIN)?;
        clock.tell("answers", "all 8 service addresses, from several users");
        // gdnsd answers when its own rounds are over, and nobody here asks it.
        if choice.dns == Stack::Weir {
            world.await_names(ANSWERS_WITHIN)?;
            clock.tell("names", "www, www1 and www2 have every address, over both families");
        }
        Ok(world)
    }

    /// What it was built from.
    pub(crate) fn topology(&self) -> &Topology {
        &self.topology
    }

    /// What it was built on.
    pub(crate) fn fabric(&self) -> &Fabric {
        &self.fabric
    }

    /// How many L7 nodes the L4 nodes know, the spare one among them where it was added.
    pub(crate) fn known_l7(&self) -> u32 {
        self.l7
    }

    /// Ends it all at once. Nobody connects any more, so nobody has to be let go.
    pub(crate) fn end(&mut self) {
        for daemon in self.running.values().flatten() {
            // Whoever has ended by itself is gone as well.
            drop(daemon.kill());
        }
        self.running.clear();
    }

    fn wire(&self) -> Result<()> {
        let names: Vec<String> = self.topology.nodes.iter().map(|node| node.name.clone()).collect();
        self.fabric.add_nodes(&names)?;
        for segment in self.topology.segments() {
            self.fabric.segment(segment.name, &segment.members)?;
        }
        Ok(())
    }

    /// Settings first: a node forwards before its neighbours have a route to it.
    fn furnish(&self) -> Result<BTreeMap<String, Outfit>> {
        let mut outfits = BTreeMap::new();
        let threads = 4;
        let chunk = self.topology.nodes.len().div_ceil(threads).max(1);
        let chunks = self.topology.nodes.chunks(chunk);
        std::thread::scope(|scope| {
            let working: Vec<_> = chunks
                .map(|nodes| {
                    scope.spawn(move || -> Result<Vec<(String, Outfit)>> {
                        let mut made = Vec::new();
                        for node in nodes {
                            let own = self.choice.makes_its_own(node.kind);
                            self.fabric.sysctl(&node.name, &sysctl::of(node.kind, own))?;
                            self.fabric.ip(&node.name, &self.topology.commands(node, own))?;
                            let outfit =
                                Outfit::of(&self.topology, self.choice, node, &self.lab, &paths::weir());
                            for file in &outfit.files {
                                self.fabric.write(&node.name, file.path, &file.text)?;
                            }
                            for link in &outfit.links {
                                self.fabric.link(&node.name, link.path, &link.target)?;
                            }
                            made.push((node.name.clone(), outfit));
                        }
                        Ok(made)
                    })
                })
                .collect();
            for each in working {
                outfits.extend(each.join().ok().context("a thread that furnishes nodes ended early")??);
            }
            Ok(outfits)
        })
    }

    fn start_all(
        &mut self,
        outfits: &BTreeMap<String, Outfit>,
        wanted: impl Fn(Turn) -> bool,
    ) -> Result<usize> {
        let mut count = 0;
        let spare = self.topology.spare().map(|node| node.name.clone());
        for (node, outfit) in outfits {
            if Some(node) == spare.as_ref() {
                continue;
            }
            for program in outfit.programs.iter().filter(|program| wanted(program.turn)) {
                let daemon = self.start_program(node, program, true)?;
                self.running.entry(node.clone()).or_default().push(daemon);
                count += 1;
            }
        }
        Ok(count)
    }

    /// Starts a program; `in_turn` it waits for what it should be started after.
    fn start_program(&self, node: &str, program: &Program, in_turn: bool) -> Result<Daemon> {
        let argv: Vec<&str> = program.argv.iter().map(String::as_str).collect();
        match program.turn {
            Turn::After(files) if in_turn => {
                let lab = self.lab.display().to_string();
                let mut waiting = vec![lab.as_str(), "turn"];
                waiting.extend(files.iter().flat_map(|file| ["--after", file]));
                waiting.push("--");
                waiting.extend(argv);
                self.fabric.start(node, program.name, &waiting)
            }
            _ => self.fabric.start(node, program.name, &argv),
        }
    }

    /// Waits until L7 nodes say that they are healthy, as the L4 nodes will ask them: over both families.
    fn await_l7(&self, numbers: std::ops::RangeInclusive<u32>) -> Result<()> {
        let size = self.topology.size;
        let addresses = numbers.map(|number| address::l7(size, number));
        let to = addresses.flat_map(|v4| [(v4, 80).into(), (address::beside(v4), 80).into()]).collect();
        let wish = Questions {
            from: Vec::new(),
            to,
            path: "/healthcheck".into(),
            times: 1,
            within: HEALTHY_WITHIN.as_secs(),
        };
        let asked = self.ask("LB4-1", &wish)?;
        self.all_answered("L7 nodes", &asked)
    }

    /// Asks all services from the first, the last and a user in between.
    pub(crate) fn await_answers(&self, within: Duration) -> Result<()> {
        let users = self.topology.size.users;
        let some: BTreeSet<u32> = [1, users.div_ceil(2), users].into();
        let from = some.into_iter().map(address::user);
        let from = from.flat_map(|v4| [v4.into(), address::beside(v4).into()]).collect();
        let to = self.topology.services().into_iter().map(|each| (each, 80).into()).collect();
        let wish = Questions { from, to, path: "/".into(), times: 1, within: within.as_secs() };
        let asked = self.ask("users", &wish)?;
        self.all_answered("services", &asked)
    }

    /// Asks from within a node.
    pub(crate) fn ask(&self, node: &str, wish: &Questions) -> Result<Vec<Asked>> {
        let lab = self.lab.display().to_string();
        let arguments = wish.arguments();
        let mut argv = vec![lab.as_str()];
        argv.extend(arguments.iter().map(String::as_str));
        let text = self.fabric.run(node, &argv)?;
        text.lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("not an answer: {line}")))
            .collect()
    }

    fn all_answered(&self, whom: &str, asked: &[Asked]) -> Result<()> {
        let failed: Vec<&Asked> = asked.iter().filter(|each| each.failure.is_some()).collect();
        let Some(first) = failed.first() else { return Ok(()) };
        let from = first.from.map(|from| format!(" from {}", from.ip())).unwrap_or_default();
        let why = first.failure.as_deref().unwrap_or_default();
        let mut lines = vec![format!(
            "{} of {} questions to {whom} have no answer after {}; the first: {}{from}: {why}",
            failed.len(),
            asked.len(),
            say::elapsed(Duration::from_millis(first.millis)),
            first.to
        )];
        lines.extend(self.lacking());
        bail!("{}", lines.join("\n  "))
    }

    /// Waits for something that shows itself only to somebody who looks; `look` says what is still to come.
    pub(crate) fn await_that(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut() -> Result<Option<String>>,
    ) -> Result<()> {
        let until = Instant::now() + within;
        loop {
            let Some(missing) = look()? else { return Ok(()) };
            if Instant::now() >= until {
                let mut lines = vec![format!("{what}: not within {}: {missing}", say::elapsed(within))];
                lines.extend(self.lacking());
                bail!("{}", lines.join("\n  "));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    fn names(&self, kind: Kind) -> Vec<String> {
        self.topology.of(kind).map(|node| node.name.clone()).collect()
    }
}

/// Progress lines with the time that each part took.
struct Clock<'a> {
    say: &'a mut dyn FnMut(&str),
    began: Instant,
    last: Instant,
}

impl<'a> Clock<'a> {
    fn new(say: &'a mut dyn FnMut(&str)) -> Self {
        let now = Instant::now();
        Self { say, began: now, last: now }
    }

    fn tell(&mut self, what: &str, more: &str) {
        let now = Instant::now();
        let (part, all) = (say::elapsed(now - self.last), say::elapsed(now - self.began));
        self.last = now;
        (self.say)(&format!("  {what:<9} {more} in {part} (at {all})"));
    }
}
