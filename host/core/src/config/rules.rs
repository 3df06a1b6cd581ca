//! What must hold between fields, and across sections. That a single value is in range is its own affair (`value`).

mod bgp;
mod checks;
mod dns;
mod l4;
mod labels;
mod nodes;
mod pools;
mod services;

use super::fault::{Faults, nearest, one_of};
use super::plugin::{MAX_PLUGIN_CONFIG, PLUGIN_MEMORY_RANGE};
use super::source::{Source, Step, at};
use super::{Fleet, MAX_ENTRIES};

/// Adds a fault for every rule that is broken.
pub(super) fn check(fleet: &Fleet, source: &Source<'_>, faults: &mut Faults<'_>) {
    let mut rules = Rules { source, faults };
    for section in ["nodes", "plugins", "pools", "services"] {
        rules.is_bounded(section);
    }
    nodes::check(fleet, &mut rules);
    plugins(fleet, &mut rules);
    pools::check(fleet, &mut rules);
    services::check(fleet, &mut rules);
    l4::check(fleet, &mut rules);
    bgp::check(fleet, &mut rules);
    dns::check(fleet, &mut rules);
}

/// What a rule needs: where a value stands, and where to complain.
struct Rules<'r, 't, 'f> {
    source: &'r Source<'t>,
    faults: &'r mut Faults<'f>,
}

impl Rules<'_, '_, '_> {
    /// Complains of the value at `path`.
    fn value(&mut self, path: &[Step<'_>], message: String) {
        self.faults.add(self.source.value(path), message);
    }

    /// Complains of the name at the end of `path`, or of the nearest part around it that is written.
    fn key(&mut self, path: &[Step<'_>], message: String) {
        self.faults.add(self.source.key(path), message);
    }

    /// The line of the value at `path`.
    fn line(&self, path: &[Step<'_>]) -> usize {
        self.faults.line(self.source.value(path).start)
    }

    /// The name at `path` must be one of `section`.
    fn refers(&mut self, path: &[Step<'_>], name: &str, section: &str) {
        if self.source.has_name(section, name) {
            return;
        }
        let hint = match nearest(name, self.source.names(section)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.source.names(section).next().is_none() => format!("the file has no {section}"),
            None => format!("the file has {}", one_of(self.source.names(section))),
        };
        self.value(path, format!("there is no [{section}.{name}]: {hint}"));
    }

    fn is_bounded(&mut self, section: &str) {
        let count = self.source.names(section).count();
        if count > MAX_ENTRIES {
            self.key(at![section], format!("{count} {section}: at most {MAX_ENTRIES} are allowed"));
        }
    }
}

fn plugins(fleet: &Fleet, rules: &mut Rules<'_, '_, '_>) {
    let (least, most) = PLUGIN_MEMORY_RANGE;
    for (name, plugin) in &fleet.plugins {
        if !(least..=most).contains(&plugin.memory) {
            let message = format!("{} of memory: a plugin may have {least} to {most}", plugin.memory);
            rules.value(at!["plugins", name.as_str(), "memory"], message);
        }
        let length = plugin.config.len();
        if length > MAX_PLUGIN_CONFIG {
            let message = format!(
                "the configuration has {length} bytes; at most {MAX_PLUGIN_CONFIG} are given to a plugin"
            );
            rules.value(at!["plugins", name.as_str(), "config"], message);
        }
    }
}
