//! What the DNS server answers while services die and operators speak: the promises of Weir in gdnsd's place.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::lookup::{Found, Lookup};
use crate::say;
use crate::stack::names::{NAMES, ZONE, addresses};
use crate::topology::address::{DNS, beside, service};
use crate::world::World;

/// How long a change may take until it is answered, on a CPU that all nodes share: far above what is promised, which is shown.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);
/// What gdnsd took in the same place, measured with the original's configuration.
const GDNSD: (&str, &str) = ("22 s", "98 s, or 2.1 s at best");

/// Asks through both families, kills a service, and writes into the state file.
pub(super) fn follow_health(world: &World) -> Result<()> {
    dig_finds_every_address(world)?;
    let (dead, other) = (IpAddr::V4(service(1)), IpAddr::V4(service(2)));
    let all = [dead, other];
    look(world, &all, &[])?;

    let began = Instant::now();
    world.fabric().ip("internet", &format!("route add blackhole {dead}/32\n"))?;
    let found = look(world, &[other], &[dead])?;
    let died = began.elapsed();
    only(&found, &[&all, &[other]])?;
    other_family_stays(world)?;
    world.fabric().ip("internet", &format!("route del blackhole {dead}/32\n"))?;
    only(&look(world, &all, &[])?, &[&[other], &all])?;

    let began = Instant::now();
    world.write_state_file(&[other])?;
    let found = look(world, &[dead], &[other])?;
    let told = began.elapsed();
    only(&found, &[&all, &[dead]])?;
    other_family_stays(world)?;
    // A policy has one word left: all of them rather than none.
    world.write_state_file(&all)?;
    only(&look(world, &all, &[])?, &[&[dead], &all])?;
    world.write_state_file(&[])?;
    look(world, &all, &[])?;
    println!(
        "  names     a dead service is out of the answers after {} (gdnsd: {}), one in the state file after {} ({})",
        say::elapsed(died),
        GDNSD.0,
        say::elapsed(told),
        GDNSD.1
    );
    Ok(())
}

/// The tool of every operator gets all addresses of all names, from both addresses of the server.
fn dig_finds_every_address(world: &World) -> Result<()> {
    let named = NAMES.iter().map(|(name, _)| format!("{name}.{ZONE}"));
    let questions: Vec<(String, &str)> =
        named.flat_map(|name| [(name.clone(), "A"), (name, "AAAA")]).collect();
    let mut expected: Vec<IpAddr> = NAMES.iter().flat_map(|(name, _)| addresses(name)).collect();
    expected.sort_unstable();
    for server in [IpAddr::V4(DNS), beside(DNS).into()] {
        let mut found = world.dig(server, &questions)?;
        found.sort_unstable();
        ensure!(found == expected, "dig @{server} finds {found:?}, which should be {expected:?}");
    }
    Ok(())
}

fn look(world: &World, has: &[IpAddr], lacks: &[IpAddr]) -> Result<Found> {
    world.look_up(&Lookup {
        server: SocketAddr::new(DNS.into(), 53),
        name: format!("www.{ZONE}"),
        kind: "A".into(),
        has: has.to_vec(),
        lacks: lacks.to_vec(),
        within: ANSWERED_WITHIN.as_secs(),
    })
}

/// Nothing but these answers came, in this order, and every query had one.
fn only(found: &Found, allowed: &[&[IpAddr]]) -> Result<()> {
    let mut next = allowed.iter();
    let in_order = found.seen.iter().all(|seen| next.any(|each| *each == seen.as_slice()));
    ensure!(in_order, "the answers were {:?}, and should have been of {allowed:?}", found.seen);
    ensure!(found.lost == 0, "{} queries had no answer", found.lost);
    Ok(())
}

/// What happens to IPv4 leaves the answers for IPv6 as they are.
fn other_family_stays(world: &World) -> Result<()> {
    let both: Vec<IpAddr> = [1, 2].map(|number| IpAddr::V6(beside(service(number)))).to_vec();
    let found = world.look_up(&Lookup {
        server: SocketAddr::new(beside(DNS).into(), 53),
        name: format!("www.{ZONE}"),
        kind: "AAAA".into(),
        has: both.clone(),
        lacks: Vec::new(),
        within: ANSWERED_WITHIN.as_secs(),
    })?;
    only(&found, &[&both])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_should_not_have_come_is_found_and_one_in_the_wrong_order_too() {
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let seen = |answers: &[&[IpAddr]], lost| Found {
            seen: answers.iter().map(|each| each.to_vec()).collect(),
            lost,
            ..Found::default()
        };
        let allowed: [&[IpAddr]; 2] = [&[a, b], &[b]];
        assert!(only(&seen(&[&[b]], 0), &allowed).is_ok());
        assert!(only(&seen(&[&[a, b], &[b]], 0), &allowed).is_ok());
        assert!(only(&seen(&[&[b], &[a, b]], 0), &allowed).is_err());
        assert!(only(&seen(&[&[a, b], &[], &[b]], 0), &allowed).is_err());
        assert!(only(&seen(&[&[b]], 1), &allowed).is_err());
    }
}
