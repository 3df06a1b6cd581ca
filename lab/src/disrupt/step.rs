//! The steps of the matrix. Each is a name, what it stands for, and what is done to the world in one phase after the other.
//!
//! A step leaves the world as it found it or nearly so: what is left is put right before the next one, outside what is
//! measured.

use std::time::Duration;

use anyhow::{Context, Result};

use super::scene::Scene;
use crate::server::pattern::word;
use crate::topology::Kind;
use crate::world::World;

/// A disruption that can be repeated.
pub(crate) struct Step {
    /// A word for the command line and for the table.
    pub(crate) name: &'static str,
    /// What it stands for.
    pub(crate) about: &'static str,
    /// Whether clients upload over IPv6: see [`crate::clients::Plan::ipv6_uploads`].
    pub(super) ipv6_uploads: bool,
    pub(super) phases: fn(&mut Scene<'_>) -> Result<()>,
}

impl Step {
    /// Of the clients' choices, in a run with this one. Another step has other clients, since a balancer may remember those of the last
    /// one; every stack has the same.
    pub(super) fn seed(&self, run: u64) -> u64 {
        self.name.bytes().fold(run, |seed, byte| word(seed, byte.into()))
    }
}

/// Every step, in the order in which they are done.
pub(crate) const ALL: &[Step] = &[
    step("nothing", "nothing is done: what breaks here breaks by itself", nothing),
    Step {
        ipv6_uploads: true,
        ..step("ipv6-uploads", "nothing is done, but clients upload over IPv6 as well", nothing)
    },
    step("router-stop", "the BGP daemon of a router is stopped and started", |s| stop(s, Kind::Router)),
    step("router-kill", "the BGP daemon of a router is killed and started", |s| kill(s, Kind::Router)),
    step("router-cut", "no packet reaches a router, then they do again", |s| cut(s, Kind::Router)),
    step("reflector-stop", "a route reflector is stopped and started", |s| stop(s, Kind::Reflector)),
    step("reflector-kill", "a route reflector is killed and started", |s| kill(s, Kind::Reflector)),
    step("reflector-cut", "no packet reaches a route reflector, then they do", |s| cut(s, Kind::Reflector)),
    step("l4-maintenance", "an L4 node is taken out for maintenance and comes back", |s| {
        maintain(s, Kind::L4)
    }),
    step("l4-stop", "the programs of an L4 node are stopped and started", |s| stop(s, Kind::L4)),
    step("l4-kill", "the programs of an L4 node are killed and started", |s| kill(s, Kind::L4)),
    step("l4-cut", "no packet reaches an L4 node, then they do again", |s| cut(s, Kind::L4)),
    step("l7-maintenance", "an L7 node is drained for maintenance and comes back", |s| maintain(s, Kind::L7)),
    step("l7-stop", "the programs of an L7 node are stopped and started", |s| stop(s, Kind::L7)),
    step("l7-kill", "the programs of an L7 node are killed and started", |s| kill(s, Kind::L7)),
    step("l7-cut", "no packet reaches an L7 node, then they do again", |s| cut(s, Kind::L7)),
    step("l7-flap", "the health of an L7 node changes twice in a short time", flap),
    step("l7-return-then-move", "a failed L7 node returns, then ECMP moves connections", return_then_move),
    step("server-maintenance", "a server is drained and comes back", |s| maintain(s, Kind::Server)),
    step("server-stop", "the programs of a server are stopped and started", |s| stop(s, Kind::Server)),
    step("server-kill", "the programs of a server are killed and started", |s| kill(s, Kind::Server)),
    step("server-cut", "no packet reaches a server, then they do again", |s| cut(s, Kind::Server)),
    step("ecmp-shuffle", "the routers spread connections in another way", shuffle),
    step("ecmp-move", "all connections of one L4 node move to the others", move_only),
    step("l7-add", "an L7 node is added to the fleet and taken out again", add),
    step("l7-add-then-move", "an L7 node is added, then ECMP moves connections", add_then_move),
    step("small-mtu", "a link to the users takes smaller packets, which ICMP tells the senders", small_mtu),
];

const fn step(name: &'static str, about: &'static str, phases: fn(&mut Scene<'_>) -> Result<()>) -> Step {
    Step { name, about, ipv6_uploads: false, phases }
}

/// The node of a kind that is disturbed, and the L7 node among the disturbed ones, which takes no connections then.
fn victim(scene: &Scene<'_>, kind: Kind) -> Result<(String, Vec<String>)> {
    let node = scene.world().topology().of(kind).next().context("no node of that kind")?.name.clone();
    let idle = if kind == Kind::L7 { vec![node.clone()] } else { Vec::new() };
    Ok((node, idle))
}

fn nothing(scene: &mut Scene<'_>) -> Result<()> {
    scene.phase("nothing", "-", &[], |_| Ok(()))
}

/// What is done to a node, in a word and in deed.
type Deed = (&'static str, fn(&mut World, &str) -> Result<()>);

/// Something is done to the first node of a kind, and undone.
fn there_and_back(scene: &mut Scene<'_>, kind: Kind, there: Deed, back: Deed) -> Result<()> {
    let (node, idle) = victim(scene, kind)?;
    scene.phase(there.0, &node, &idle, |world| there.1(world, &node))?;
    scene.phase(back.0, &node, &[], |world| back.1(world, &node))
}

fn stop(scene: &mut Scene<'_>, kind: Kind) -> Result<()> {
    there_and_back(scene, kind, ("stopped", World::stop), ("started", World::start))
}

fn kill(scene: &mut Scene<'_>, kind: Kind) -> Result<()> {
    there_and_back(scene, kind, ("killed", World::kill), ("started", World::start))
}

fn cut(scene: &mut Scene<'_>, kind: Kind) -> Result<()> {
    let (node, idle) = victim(scene, kind)?;
    // What comes back finds connections that wait for it: no more where a stack was quick to go on without it.
    scene.phase_before("cut off", &node, &idle, |world| world.cut_off(&node))?;
    scene.phase("reconnected", &node, &[], |world| world.reconnect(&node))
}

fn maintain(scene: &mut Scene<'_>, kind: Kind) -> Result<()> {
    let (out, back): (Deed, Deed) = (
        ("taken out", |world, node| world.maintenance(node, true)),
        ("back", |world, node| world.maintenance(node, false)),
    );
    there_and_back(scene, kind, out, back)
}

/// Long enough for every L4 node to see each state, by its checks every ten seconds.
const FLAP: Duration = Duration::from_secs(25);

fn flap(scene: &mut Scene<'_>) -> Result<()> {
    let (node, _) = victim(scene, Kind::L7)?;
    scene.phase("flapped", &node, &[], |world| {
        for on in [true, false, true] {
            world.maintenance(&node, on)?;
            // The time that a state lasts is what this step is made of.
            std::thread::sleep(FLAP);
        }
        world.maintenance(&node, false)
    })
}

fn return_then_move(scene: &mut Scene<'_>) -> Result<()> {
    let (node, idle) = victim(scene, Kind::L7)?;
    scene.phase("killed", &node, &idle, |world| world.kill(&node))?;
    scene.phase_before("started", &node, &[], |world| world.start(&node))?;
    scene.phase("ECMP moved", "routers", &[], |world| world.move_ecmp().map(drop))
}

fn shuffle(scene: &mut Scene<'_>) -> Result<()> {
    scene.phase("shuffled", "routers", &[], |world| world.shuffle_ecmp())?;
    scene.phase("shuffled again", "routers", &[], |world| world.shuffle_ecmp())
}

fn move_only(scene: &mut Scene<'_>) -> Result<()> {
    scene.phase("ECMP moved", "routers", &[], |world| world.move_ecmp().map(drop))
}

fn add(scene: &mut Scene<'_>) -> Result<()> {
    let spare = scene.spare()?;
    scene.phase_before("added", &spare, &[], |world| world.add_l7().map(drop))?;
    let idle = [spare.clone()];
    scene.phase("removed", &spare, &idle, |world| world.remove_l7())
}

fn add_then_move(scene: &mut Scene<'_>) -> Result<()> {
    let spare = scene.spare()?;
    scene.phase_before("added", &spare, &[], |world| world.add_l7().map(drop))?;
    scene.phase("ECMP moved", "routers", &[], |world| world.move_ecmp().map(drop))
}

/// Above the least that IPv6 asks of a link.
const SMALL: &str = " mtu lock 1300";

/// A router on the way refuses packets that are too large for its next link, and says so to whoever sent them: to a service
/// address, and so to some L4 node. The route has the limit and not the link, which would drop what users send as well.
fn small_mtu(scene: &mut Scene<'_>) -> Result<()> {
    let way = |limit: &'static str| {
        move |world: &mut World| {
            let routes =
                [("203.0.113.0/24", "192.0.2.2"), ("2001:db8::203.0.113.0/120", "2001:db8::192.0.2.2")];
            let lines = routes.map(|(to, via)| format!("route replace {to} via {via}{limit}\n"));
            world.fabric().ip("internet", &lines.concat())
        }
    };
    scene.phase("made small", "internet", &[], way(SMALL))?;
    scene.phase("made normal", "internet", &[], way(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_steps_have_one_name() {
        let mut names: Vec<_> = ALL.iter().map(|step| step.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
    }
}
