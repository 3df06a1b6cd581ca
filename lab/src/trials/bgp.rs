//! The speaker with the speakers that it will meet: BIRD 2, GoBGP, FRR and ExaBGP, each from Debian, on one segment.
//!
//! Four of Weir's sidecars talk to all of them at once. What a neighbor has is asked of the neighbor, what the sidecar knows is read
//! from its socket, and neither is believed for the other.
//!
//! | node | AS | over | is for |
//! |---|---|---|---|
//! | `outer` | its own | IPv4 | eBGP with TCP-MD5, GTSM and BFD |
//! | `inner` | the neighbors' | IPv6 | iBGP, where the neighbors connect; BFD |
//! | `misled` | its own | IPv4 | a key that the neighbors do not have: no session, and it says so |
//! | `far` | its own | IPv4 | asks for GTSM of neighbors that do not do it: the same |

mod bird;
mod brand;
mod exabgp;
mod frr;
mod gobgp;
mod route;
mod sidecar;
mod wish;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::fabric::Fabric;
use crate::inside::{Job, Orders};
use crate::{build, kernel, paths, say};

use brand::{ALL, Brand, Running};
use route::Seen;
use sidecar::Sidecar;
use wish::{FAR, INNER, MISLED, OUTER, Speaker, Wish};

/// Far longer than anything takes; only a failure is that slow.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at somebody who tells nothing by himself.
const LOOK_AGAIN: Duration = Duration::from_millis(150);
/// How long the first drain fades. Each further one takes twice as long, so that even a machine that is held up sees one.
const FADE: Duration = Duration::from_secs(2);
const DRAINS: u32 = 5;
/// What operators of neighbors read.
const REASON: &str = "rack 7 moves at noon";

pub(super) fn run(_: &Path) -> Result<()> {
    build::weir(&paths::log("build"))?;
    let wish = kernel::Wish { memory: 1024, limit: Duration::from_secs(420), ..kernel::Wish::named("bgp") };
    kernel::start(&wish, Job::TrialBgp)?.follow(|line| say::line(line)).map(drop)
}

/// Inside.
pub(crate) fn inside(out: &Path, _: &Orders) -> Result<()> {
    let fabric = Fabric::new(out)?;
    wire(&fabric)?;
    let mut scene = Scene::start(&fabric)?;
    scene.sessions()?;
    scene.attributes()?;
    scene.ends_of_table()?;
    scene.withdrawal()?;
    scene.nothing_is_installed()?;
    scene.refresh()?;
    scene.silence()?;
    scene.restart_here()?;
    scene.restart_there()?;
    scene.drain()?;
    scene.stop()?;
    scene.strangers()?;
    scene.kernel_is_untouched()
}

/// All on one segment, each with an address of either family.
fn wire(fabric: &Fabric) -> Result<()> {
    let speakers = wish::SPEAKERS.iter().map(|speaker| (speaker.node, speaker.number));
    let nodes: Vec<(String, u8)> = speakers
        .chain(ALL.iter().map(|brand| (brand.node(), brand.number())))
        .map(|(node, number)| (node.to_owned(), number))
        .collect();
    let names: Vec<String> = nodes.iter().map(|(node, _)| node.clone()).collect();
    fabric.add_nodes(&names)?;
    let members: Vec<(String, String)> = names.iter().map(|node| (node.clone(), "eth0".to_owned())).collect();
    fabric.segment("lan", &members)?;
    for (node, number) in &nodes {
        fabric.ip(
            node,
            &format!("addr add 10.99.0.{number}/24 dev eth0\naddr add fd99::{number}/64 dev eth0 nodad\n"),
        )?;
    }
    Ok(())
}

struct Scene<'a> {
    fabric: &'a Fabric,
    neighbors: Vec<Running>,
    sidecars: BTreeMap<&'static str, Sidecar>,
    wishes: BTreeMap<&'static str, Wish>,
    /// The routing tables of Weir's nodes before anybody spoke.
    tables: BTreeMap<&'static str, String>,
}

impl<'a> Scene<'a> {
    fn start(fabric: &'a Fabric) -> Result<Self> {
        let mut scene = Self {
            fabric,
            neighbors: Vec::new(),
            sidecars: BTreeMap::new(),
            wishes: wish::SPEAKERS.iter().map(|speaker| (speaker.node, Wish::of(speaker))).collect(),
            tables: BTreeMap::new(),
        };
        for speaker in &wish::SPEAKERS {
            scene.tables.insert(speaker.node, routing_table(fabric, speaker)?);
        }
        for brand in ALL {
            scene.neighbors.push(Running::start(fabric, brand)?);
        }
        for speaker in &wish::SPEAKERS {
            scene.sidecars.insert(speaker.node, Sidecar::start(fabric, speaker.node)?);
            scene.say_again(speaker)?;
        }
        for brand in ALL {
            scene.until(brand, "start", || brand.originate(fabric).map(|()| None))?;
        }
        Ok(scene)
    }

    /// Tells a sidecar all that it shall do, as the scene has it now.
    fn say_again(&mut self, speaker: &Speaker) -> Result<()> {
        let wish = self.wishes.get(speaker.node).context("a speaker without a wish")?;
        let (addresses, told) = (wish.addresses(), wish.speaker());
        self.sidecar(speaker)?.set(&addresses, &told)
    }

    fn sidecar(&mut self, speaker: &Speaker) -> Result<&mut Sidecar> {
        self.sidecars.get_mut(speaker.node).context("a speaker without a sidecar")
    }

    fn wish(&mut self, speaker: &Speaker) -> Result<&mut Wish> {
        self.wishes.get_mut(speaker.node).context("a speaker without a wish")
    }

    /// What a sidecar says of a neighbor.
    fn status(&self, speaker: &Speaker, brand: Brand) -> Result<Value> {
        self.sidecars.get(speaker.node).context("a speaker without a sidecar")?.neighbor(brand.node())
    }

    /// Waits until `look` finds nothing missing any more. What it cannot see is missing.
    fn until(
        &self,
        brand: Brand,
        property: &str,
        mut look: impl FnMut() -> Result<Option<String>>,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let missing = match look() {
                Ok(None) => return Ok(()),
                Ok(Some(missing)) => missing,
                Err(error) => format!("{error:#}"),
            };
            if began.elapsed() > PATIENCE {
                let out = self.fabric.logs(brand.node());
                let beside = self.fabric.logs(OUTER.node);
                bail!(
                    "{}: {property}: not within {}: {missing}\n  its logs: {}; Weir's: {} and those beside it",
                    brand.node(),
                    say::elapsed(PATIENCE),
                    paths::short(&out),
                    paths::short(&beside)
                );
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Waits until both ends of a neighbor's two sessions say that they are up.
    fn until_up(&self, brand: Brand, property: &str) -> Result<()> {
        for speaker in [&OUTER, &INNER] {
            self.until(brand, property, || {
                let status = self.status(speaker, brand)?;
                Ok((status["state"] != "established").then(|| format!("{} has {status}", speaker.node)))
            })?;
            self.until(brand, property, || {
                let up = brand.is_up(self.fabric, speaker)?;
                Ok((!up).then(|| format!("it has no session with {}", speaker.node)))
            })?;
        }
        Ok(())
    }

    /// Waits until a neighbor has all that it is to have of both speakers, and nothing else of theirs.
    fn until_routes(&self, brand: Brand, property: &str) -> Result<()> {
        self.until(brand, property, || {
            let seen = brand.routes(self.fabric)?;
            for speaker in [&OUTER, &INNER] {
                let wish = self.wishes.get(speaker.node).context("a speaker without a wish")?;
                for (prefix, expected) in wish.expected() {
                    let what = match (seen.get(&prefix), expected) {
                        (None, Some(_)) => format!("{prefix} is not there"),
                        (Some(_), None) => format!("{prefix} is still there"),
                        (Some(seen), Some(expected)) if !expected.fits(seen, brand.shows_what_came()) => {
                            format!("{prefix} has {seen:?}, expected {expected:?}")
                        }
                        _ => continue,
                    };
                    return Ok(Some(what));
                }
            }
            Ok(None)
        })
    }

    fn sessions(&mut self) -> Result<()> {
        for brand in ALL {
            self.until_up(brand, "session")?;
            for speaker in [&OUTER, &INNER] {
                let status = self.status(speaker, brand)?;
                let session = &status["session"];
                ensure!(
                    session["four_octet_as"] == true
                        && session["families"].as_array().is_some_and(|all| all.len() == 2),
                    "{}: session: both families and AS numbers of four bytes are expected, {} has {status}",
                    brand.node(),
                    speaker.node
                );
            }
            let (outer, inner) = (self.status(&OUTER, brand)?, self.status(&INNER, brand)?);
            ensure!(
                inner["session"]["incoming"] == true,
                "{}: inner waits, and it was not called",
                brand.node()
            );
            tell(
                brand,
                "session",
                &format!(
                    "eBGP over IPv4 with MD5 and GTSM, hold {} s; iBGP over IPv6, called by it; both families, AS numbers of 4 bytes",
                    outer["session"]["hold"]["secs"]
                ),
            );
        }
        Ok(())
    }

    fn attributes(&mut self) -> Result<()> {
        for brand in ALL {
            self.until_routes(brand, "attributes")?;
            let preference = if brand.shows_what_came() { " and on eBGP none" } else { "" };
            tell(
                brand,
                "attributes",
                &format!(
                    "next hop of each family, AS path with prepending, MED, communities, large communities; local preference on iBGP{preference}"
                ),
            );
        }
        Ok(())
    }

    fn ends_of_table(&mut self) -> Result<()> {
        for brand in ALL {
            self.until(brand, "end of table", || {
                let missing = brand.ends_of_table().iter().find(|text| !brand.has_said(self.fabric, text));
                Ok(missing.map(|text| format!("no {text:?} in its logs")))
            })?;
            tell(brand, "end of table", "End-of-RIB of both families is understood");
        }
        Ok(())
    }

    /// One prefix of each family goes, all others stay; it comes back.
    fn withdrawal(&mut self) -> Result<()> {
        let before = self.counted("ups")?;
        for hidden in [true, false] {
            for speaker in [&OUTER, &INNER] {
                self.wish(speaker)?.hide_second = hidden;
                self.say_again(speaker)?;
            }
            for brand in ALL {
                self.until_routes(brand, "withdrawal")?;
            }
        }
        let after = self.counted("ups")?;
        for (brand, (before, after)) in ALL.into_iter().zip(before.iter().zip(&after)) {
            ensure!(before == after, "{}: withdrawal: a session did not stay", brand.node());
            tell(brand, "withdrawal", "of one prefix of each family; the others stay, it comes back");
        }
        Ok(())
    }

    /// A number that `outer` and `inner` count of each neighbor.
    fn counted(&self, what: &str) -> Result<Vec<[u64; 2]>> {
        let count = |speaker, brand| -> Result<u64> {
            self.until(brand, what, || self.status(speaker, brand).map(|_| None))?;
            self.status(speaker, brand)?[what].as_u64().with_context(|| format!("no number of {what}"))
        };
        ALL.into_iter().map(|brand| Ok([count(&OUTER, brand)?, count(&INNER, brand)?])).collect()
    }

    /// What neighbors announce is counted, and the kernel is told nothing of it.
    fn nothing_is_installed(&mut self) -> Result<()> {
        for brand in ALL {
            self.until(brand, "received", || {
                let status = self.status(&OUTER, brand)?;
                let announced = status["received"]["announced"].as_u64().unwrap_or(0);
                let running = status["state"] == "established";
                Ok((running && announced < 2).then(|| format!("of its two prefixes {status} are counted")))
            })?;
        }
        self.kernel_is_untouched()?;
        let counted = |brand: Brand| -> Result<u64> {
            Ok(self.status(&OUTER, brand)?["received"]["announced"].as_u64().unwrap_or(0))
        };
        for brand in ALL {
            tell(
                brand,
                "received",
                &format!("{} prefixes counted, none in the kernel's tables", counted(brand)?),
            );
        }
        Ok(())
    }

    /// Weir's nodes route as they did before anybody spoke.
    fn kernel_is_untouched(&self) -> Result<()> {
        for speaker in &wish::SPEAKERS {
            let (before, now) = (&self.tables[speaker.node], routing_table(self.fabric, speaker)?);
            ensure!(
                *before == now,
                "{}: the kernel's routes are not what they were before anybody spoke:\n{before}\nnow:\n{now}",
                speaker.node
            );
        }
        Ok(())
    }

    fn refresh(&mut self) -> Result<()> {
        for brand in ALL {
            if !brand.asks_again() {
                tell(brand, "refresh", "- (has no command for it)");
                continue;
            }
            let before = brand.updates(self.fabric)?;
            brand.ask_again(self.fabric)?;
            self.until(brand, "refresh", || {
                let now = brand.updates(self.fabric)?;
                Ok((now <= before).then(|| format!("{before} updates before it asked, {now} after")))
            })?;
            self.until_routes(brand, "refresh")?;
            tell(brand, "refresh", "asked to say it again, Weir does");
        }
        Ok(())
    }

    /// The switch drops everything: BFD tells, and where there is none the hold timer.
    fn silence(&mut self) -> Result<()> {
        for brand in ALL {
            for speaker in [&OUTER, &INNER].into_iter().filter(|speaker| brand.watches(speaker)) {
                self.until(brand, "BFD", || {
                    let status = self.status(speaker, brand)?;
                    Ok((status["bfd"]["state"] != "up").then(|| format!("{} has {status}", speaker.node)))
                })?;
                self.until(brand, "BFD", || {
                    let up = brand.bfd_is_up(self.fabric, speaker)?;
                    Ok((!up).then(|| format!("it has no BFD session with {}", speaker.node)))
                })?;
            }
        }
        let ends_by = |brand: Brand, speaker: &Speaker| {
            if brand.watches(speaker) { "BFD down (6/10)" } else { "hold timer expired (4/0)" }
        };
        let before = self.counted("downs")?;
        for brand in ALL {
            self.fabric.cut_off(brand.node())?;
        }
        for (brand, before) in ALL.into_iter().zip(before) {
            for (speaker, before) in [&OUTER, &INNER].into_iter().zip(before) {
                self.until(brand, "silence", || {
                    let (status, why) = (self.status(speaker, brand)?, ends_by(brand, speaker));
                    // In its log: the status has the reason of the newest failure, and there is one with each try by now.
                    let told = self.has_told(speaker, brand, why)?;
                    let ended = status["downs"].as_u64() > Some(before);
                    Ok((!ended || !told)
                        .then(|| format!("not ended by {why}: {} has {status}", speaker.node)))
                })?;
            }
        }
        for brand in ALL {
            self.fabric.reconnect(brand.node())?;
        }
        for brand in ALL {
            self.until_up(brand, "silence")?;
            self.until_routes(brand, "silence")?;
            let [outer, inner] = [&OUTER, &INNER].map(|speaker| ends_by(brand, speaker));
            let what = format!("ends eBGP by {outer}, iBGP by {inner}; all is back with the link");
            tell(brand, "silence", &what);
        }
        Ok(())
    }

    /// Whether a sidecar has logged this about a neighbor.
    fn has_told(&self, speaker: &Speaker, brand: Brand, text: &str) -> Result<bool> {
        let log = std::fs::read_to_string(self.fabric.logs(speaker.node).join("weir.log"))?;
        let neighbor = format!("neighbor=\"{}\"", brand.node());
        Ok(log.lines().any(|line| line.contains(&neighbor) && line.contains(text)))
    }

    fn restart_here(&mut self) -> Result<()> {
        // SIGKILL: nobody is told anything.
        for speaker in [&OUTER, &INNER] {
            drop(self.sidecars.remove(speaker.node));
        }
        for brand in ALL {
            self.until(brand, "restart here", || {
                let seen = brand.routes(self.fabric)?;
                let still = seen.keys().find(|prefix| wish::is_weirs(prefix));
                Ok(still.map(|prefix| format!("{prefix} is still there though Weir is dead")))
            })?;
        }
        for speaker in [&OUTER, &INNER] {
            self.sidecars.insert(speaker.node, Sidecar::start(self.fabric, speaker.node)?);
            self.say_again(speaker)?;
        }
        for brand in ALL {
            self.until_up(brand, "restart here")?;
            self.until_routes(brand, "restart here")?;
            tell(brand, "restart here", "Weir killed: routes gone; started: sessions and routes back");
        }
        Ok(())
    }

    fn restart_there(&mut self) -> Result<()> {
        let mut before = BTreeMap::new();
        for brand in ALL {
            before.insert(brand.node(), self.status(&OUTER, brand)?);
        }
        for neighbor in &self.neighbors {
            neighbor.kill()?;
        }
        for brand in ALL {
            self.until(brand, "restart there", || {
                let status = self.status(&OUTER, brand)?;
                Ok((status["state"] == "established").then(|| format!("it is dead, and {status}")))
            })?;
        }
        for neighbor in &mut self.neighbors {
            neighbor.start_again(self.fabric)?;
        }
        for brand in ALL {
            self.until(brand, "restart there", || brand.originate(self.fabric).map(|()| None))?;
            self.until_up(brand, "restart there")?;
            self.until_routes(brand, "restart there")?;
            let (before, now) = (&before[brand.node()], self.status(&OUTER, brand)?);
            let grown = |field: &str| now[field].as_u64() > before[field].as_u64();
            ensure!(grown("ups") && grown("downs"), "{}: restart there: {before}, then {now}", brand.node());
            tell(brand, "restart there", "it was killed and started: sessions and routes back");
        }
        Ok(())
    }

    /// The community of RFC 8326 and no preference come before the withdrawal; sessions stay, and it can be taken back.
    fn drain(&mut self) -> Result<()> {
        let before = self.counted("ups")?;
        let mut faded = false;
        for attempt in 0..DRAINS {
            for speaker in [&OUTER, &INNER] {
                let wish = self.wish(speaker)?;
                wish.fade = FADE * 2_u32.pow(attempt);
                wish.leaves = true;
                self.say_again(speaker)?;
            }
            // One thread for each: the time of one neighbor's commands is not that of the others.
            let scene: &Self = self;
            let saw: Vec<bool> = std::thread::scope(|scope| {
                let watching = ALL.map(|brand| scope.spawn(move || scene.fades_then_goes(brand)));
                watching
                    .map(|one| one.join().unwrap_or_else(|_| bail!("a watcher ended early")))
                    .into_iter()
                    .collect::<Result<_>>()
            })?;
            faded = saw.iter().all(|saw| *saw);
            ensure!(self.counted("ups")? == before, "drain: a session ended");
            for brand in ALL {
                self.until_up(brand, "drain")?;
            }
            for speaker in [&OUTER, &INNER] {
                self.wish(speaker)?.leaves = false;
                self.say_again(speaker)?;
            }
            for brand in ALL {
                self.until_routes(brand, "drain")?;
            }
            if faded {
                break;
            }
        }
        ensure!(faded, "drain: not every neighbor saw the community 65535:0 before the withdrawal");
        for brand in ALL {
            tell(
                brand,
                "drain",
                "65535:0, and local preference 0 on iBGP, then withdrawn; sessions stay; taken back",
            );
        }
        Ok(())
    }

    /// Whether a neighbor was seen to have all routes faded before it had none of them.
    fn fades_then_goes(&self, brand: Brand) -> Result<bool> {
        let mut faded = false;
        self.until(brand, "drain", || {
            let seen = brand.routes(self.fabric)?;
            let ours: Vec<(&String, &Seen)> =
                seen.iter().filter(|(prefix, _)| wish::is_weirs(prefix)).collect();
            let inner = |prefix: &str| wish::is_of(&INNER, prefix);
            faded |= ours.len() == wish::ROUTES * 2
                && ours
                    .iter()
                    .all(|(prefix, route)| route.fades() && (!inner(prefix) || route.preference == Some(0)));
            Ok((!ours.is_empty()).then(|| format!("{} routes are still there", ours.len())))
        })?;
        Ok(faded)
    }

    /// The end, with words for the operators of the other end.
    fn stop(&mut self) -> Result<()> {
        for speaker in [&OUTER, &INNER] {
            let wish = self.wish(speaker)?;
            (wish.fade, wish.stops) = (Duration::from_millis(300), true);
            self.say_again(speaker)?;
        }
        for brand in ALL {
            let reads = brand.reads_reasons();
            self.until(brand, "stop", || {
                Ok((reads && !brand.has_said(self.fabric, REASON))
                    .then(|| format!("no {REASON:?} in its logs")))
            })?;
            for speaker in [&OUTER, &INNER] {
                self.until(brand, "stop", || {
                    let up = brand.is_up(self.fabric, speaker)?;
                    Ok(up.then(|| format!("it still has a session with {}", speaker.node)))
                })?;
            }
            let what = "the session ends, and it reads why in the words of who stopped it (RFC 9003)";
            tell(brand, "stop", if reads { what } else { "the session ends (it fails to read RFC 9003)" });
        }
        Ok(())
    }

    /// Those that must not come up did not, all the time, and say what may be wrong.
    fn strangers(&mut self) -> Result<()> {
        for (speaker, property, what) in [
            (&MISLED, "wrong key", "no session with another key of TCP-MD5, and the status names it"),
            (
                &FAR,
                "GTSM refused",
                "no session where its packets do not have 255 hops left, and the status names it",
            ),
        ] {
            let word = if speaker.node == MISLED.node { "TCP-MD5" } else { "GTSM" };
            for brand in ALL {
                self.until(brand, property, || {
                    let status = self.status(speaker, brand)?;
                    let why = status["last_error"].as_str().unwrap_or_default();
                    Ok((!why.contains(word)).then(|| format!("nothing of {word} in {status}")))
                })?;
                let status = self.status(speaker, brand)?;
                ensure!(
                    status["ups"] == 0 && !brand.is_up(self.fabric, speaker)?,
                    "{}: {property}: there is or was a session with {}: {status}",
                    brand.node(),
                    speaker.node
                );
                tell(brand, property, what);
            }
        }
        Ok(())
    }
}

fn tell(brand: Brand, property: &str, what: &str) {
    println!("  {:<8}  {property:<13} {what}", brand.node());
}

/// All routes of a node, of both families and all tables.
/// All but what leads to the service addresses, which are Weir's to make.
fn routing_table(fabric: &Fabric, speaker: &Speaker) -> Result<String> {
    let mut all = String::new();
    for family in ["-4", "-6"] {
        let text = fabric.run(speaker.node, &["ip", family, "route", "show", "table", "all"])?;
        let own = |line: &&str| line.contains("dev weir-vip ");
        let mut lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !own(line)).collect();
        lines.sort_unstable();
        all.extend(lines.iter().flat_map(|line| [*line, "\n"]));
    }
    Ok(all)
}
