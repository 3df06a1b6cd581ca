//! Which world a component is for, and whether this host has what it wants. Done once for each content, before any of it runs.

use wasmtime::component::{Component, InstancePre, types::ComponentItem};
use wasmtime::{Engine, Store};

use crate::bindings::{PACKAGE, Scheduler, SchedulerPre, VERSION};
use crate::imports::{self, Host};
use crate::instance;
use crate::status::Kind;

/// A compiled component that is a scheduler of this contract, with its imports resolved.
#[derive(Clone)]
pub struct Checked {
    pre: InstancePre<Host>,
}

impl std::fmt::Debug for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Checked")
    }
}

/// Why a component is refused. The plugin's author is at fault, or whoever put the file there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A good component, for something else.
    #[error(
        "this is a plugin of world `{}`, which this host does not run yet; a pool wants one of world `{}`",
        found.as_str(),
        wanted.as_str()
    )]
    WrongWorld {
        /// What it is for.
        found: Kind,
        /// What was asked for.
        wanted: Kind,
    },
    /// A contract that this host does not speak.
    #[error("this plugin was built for {found}, and this host speaks {PACKAGE}@{}.{}", VERSION.0, VERSION.1)]
    WrongVersion {
        /// The export that says so.
        found: String,
    },
    /// Exports nothing of the contract.
    #[error(
        "this is no plugin: it exports {exports}, and a scheduler exports `{PACKAGE}/scheduling@{}.{}.0`",
        VERSION.0, VERSION.1
    )]
    NoWorld {
        /// What it exports, in words.
        exports: String,
    },
    /// Wants to call what is not offered.
    #[error(
        "it imports `{name}`, which this host does not offer: a {} may import log, metrics, env and load \
         of {PACKAGE} (no files, no sockets, no WASI)", wanted.as_str()
    )]
    ForeignImport {
        /// The import.
        name: String,
        /// What it was taken for.
        wanted: Kind,
    },
    /// The right names with the wrong types.
    #[error("its types are not those of the contract: {0}")]
    Types(String),
}

/// Interfaces that a scheduler may import; `types` has no functions.
const OFFERED: [&str; 5] = ["types", "log", "metrics", "env", "load"];

/// Checks that this is a scheduler and resolves its imports.
///
/// # Errors
/// In words that say what was found and what is wanted.
pub fn check(engine: &Engine, component: &Component) -> Result<Checked, CheckError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let kind = kind_of(&exports)?;
    if kind != Kind::Scheduler {
        return Err(CheckError::WrongWorld { found: kind, wanted: Kind::Scheduler });
    }
    for (name, item) in ty.imports(engine) {
        // Types alone can be imported from anywhere: nothing can be called.
        let only_types = matches!(&item.ty, ComponentItem::Type(_));
        if !only_types && !offered(name) {
            return Err(CheckError::ForeignImport { name: instance::brief(name), wanted: Kind::Scheduler });
        }
    }
    let types = |e: wasmtime::Error| CheckError::Types(instance::brief(&format!("{e:#}")));
    let linker = imports::linker(engine).map_err(types)?;
    let pre = linker.instantiate_pre(component).map_err(types)?;
    // Looks up every export; their types are compared when the first instance is made, before anything is called.
    SchedulerPre::new(pre.clone()).map_err(types)?;
    Ok(Checked { pre })
}

impl Checked {
    /// Makes an instance in this Store, with `on-result` where it has one.
    pub(crate) fn instantiate(
        &self,
        store: &mut Store<Host>,
    ) -> wasmtime::Result<(Scheduler, Option<instance::OnResult>)> {
        let made = self.pre.instantiate(&mut *store)?;
        let guest = Scheduler::new(&mut *store, &made)?;
        Ok((guest, instance::feedback(store, &made)?))
    }
}

/// The kind of a component with these exports.
fn kind_of(exports: &[&str]) -> Result<Kind, CheckError> {
    const OF: [(&str, Kind); 3] =
        [("scheduling", Kind::Scheduler), ("checking", Kind::AgentCheck), ("answering", Kind::DnsAnswers)];
    for export in exports {
        let Some((interface, version)) = of_package(export) else { continue };
        let Some((_, kind)) = OF.iter().find(|(name, _)| *name == interface) else { continue };
        if !speaks(version) {
            return Err(CheckError::WrongVersion { found: instance::brief(export) });
        }
        return Ok(*kind);
    }
    let exports = match exports {
        [] => "nothing".to_owned(),
        some => {
            some.iter().take(8).map(|e| format!("`{}`", instance::brief(e))).collect::<Vec<_>>().join(", ")
        }
    };
    Err(CheckError::NoWorld { exports })
}

fn offered(import: &str) -> bool {
    of_package(import).is_some_and(|(interface, version)| OFFERED.contains(&interface) && speaks(version))
}

/// Interface and version of a name such as `weir:policy/load@0.1.0`.
fn of_package(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(PACKAGE)?.strip_prefix('/')?.split_once('@')
}

/// Only major and minor count: canonical names without the patch (`@0.1`) are coming.
fn speaks(version: &str) -> bool {
    if version.contains('-') {
        return false;
    }
    let mut parts = version.split('.').map(str::parse::<u64>);
    matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) == VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_in_the_exports() {
        assert_eq!(
            kind_of(&["weir:policy/lifecycle@0.1.0", "weir:policy/scheduling@0.1.3"]),
            Ok(Kind::Scheduler)
        );
        assert_eq!(kind_of(&["weir:policy/answering@0.1"]), Ok(Kind::DnsAnswers));
        assert_eq!(
            kind_of(&["weir:policy/scheduling@0.2.0"]).unwrap_err().to_string(),
            "this plugin was built for weir:policy/scheduling@0.2.0, and this host speaks weir:policy@0.1"
        );
        let none = kind_of(&["run", "weir:policies/scheduling@0.1.0"]).unwrap_err().to_string();
        assert!(none.starts_with("this is no plugin: it exports `run`, `weir:policies/"), "{none}");
    }

    #[test]
    fn only_the_contract_is_offered() {
        assert!(offered("weir:policy/load@0.1.0"));
        assert!(!offered("weir:policy/load@1.0.0"));
        assert!(!offered("weir:policy/load@0.1.0-rc1"));
        assert!(!offered("weir:policy/files@0.1.0"));
        assert!(!offered("wasi:cli/stdout@0.2.0"));
    }
}
