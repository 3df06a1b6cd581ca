//! What must hold between fields. That a single value is in range is its own affair (`value`).

use super::Fleet;
use super::fault::{Faults, nearest, one_of};
use super::source::{Source, at};

/// Adds a fault for every rule that is broken.
pub(super) fn check(fleet: &Fleet, source: &Source<'_>, faults: &mut Faults<'_>) {
    for (name, pool) in &fleet.pools {
        if let Some(scheduler) = &pool.scheduler {
            refers(source, faults, at!["pools", name.as_str(), "scheduler"], scheduler, "plugins");
        }
    }
    for (name, service) in &fleet.services {
        refers(source, faults, at!["services", name.as_str(), "pool"], &service.pool, "pools");
    }
}

/// The name at `path` must be one of `section`.
fn refers(
    source: &Source<'_>,
    faults: &mut Faults<'_>,
    path: &[super::source::Step<'_>],
    name: &str,
    section: &str,
) {
    if source.has(at![section, name]) {
        return;
    }
    let hint = match nearest(name, source.names(at![section])) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", one_of(source.names(at![section]))),
    };
    faults.add(source.value(path), format!("there is no [{section}.{name}]: {hint}"));
}
