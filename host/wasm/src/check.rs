//! Which world a component is for, and whether this host has what it wants. Done once for each content, before any of it runs.

use wasmtime::component::{Component, Instance, InstancePre, types::ComponentItem};
use wasmtime::{Engine, Store};

use crate::bindings::{AgentCheckPre, DnsAnswersPre, PACKAGE, SchedulerPre, VERSION};
use crate::imports::{self, Host};
use crate::instance;
use crate::status::Kind;

/// A compiled component that is a plugin of this contract, with its imports resolved.
#[derive(Clone)]
pub struct Checked {
    kind: Kind,
    pre: InstancePre<Host>,
}

impl std::fmt::Debug for Checked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checked").field("kind", &self.kind).finish_non_exhaustive()
    }
}

/// Why a component is refused. The plugin's author is at fault, or whoever put the file there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckError {
    /// A good component, for something else.
    #[error("this is a plugin of world `{}`, and where it is named one of world `{}` is wanted", found.as_str(), wanted.as_str())]
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
        "this is no plugin: it exports {exports}, and a plugin exports `scheduling`, `checking` or `answering` of \
         `{PACKAGE}@{}.{}`", VERSION.0, VERSION.1
    )]
    NoWorld {
        /// What it exports, in words.
        exports: String,
    },
    /// Wants to call what is not offered.
    #[error(
        "it imports `{name}`, which this host does not offer: a plugin of world `{}` may import {} of {PACKAGE} \
         (no files, no sockets, no WASI)", wanted.as_str(), imports_of(*wanted)
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

/// Interfaces that a plugin of any world may import; `types` has no functions.
const OFFERED: [&str; 4] = ["types", "log", "metrics", "env"];
/// What only a scheduler may import.
const LOAD: &str = "load";

const fn imports_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Scheduler => "log, metrics, env and load",
        Kind::AgentCheck | Kind::DnsAnswers => "log, metrics and env",
    }
}

/// Finds out which world this is for, and resolves its imports.
///
/// # Errors
/// In words that say what was found and what is wanted.
pub fn check(engine: &Engine, component: &Component) -> Result<Checked, CheckError> {
    let ty = component.component_type();
    let exports: Vec<&str> = ty.exports(engine).map(|(name, _)| name).collect();
    let kind = kind_of(&exports)?;
    for (name, item) in ty.imports(engine) {
        // Types alone can be imported from anywhere: nothing can be called.
        let only_types = matches!(&item.ty, ComponentItem::Type(_));
        if !only_types && !offered(kind, name) {
            return Err(CheckError::ForeignImport { name: instance::brief(name), wanted: kind });
        }
    }
    let types = |e: wasmtime::Error| CheckError::Types(instance::brief(&format!("{e:#}")));
    let linker = imports::linker(engine, kind).map_err(types)?;
    let pre = linker.instantiate_pre(component).map_err(types)?;
    // Looks up every export; their types are compared when the first instance is made, before anything is called.
    match kind {
        Kind::Scheduler => drop(SchedulerPre::new(pre.clone()).map_err(types)?),
        Kind::AgentCheck => drop(AgentCheckPre::new(pre.clone()).map_err(types)?),
        Kind::DnsAnswers => drop(DnsAnswersPre::new(pre.clone()).map_err(types)?),
    }
    Ok(Checked { kind, pre })
}

impl Checked {
    /// The world that it is for.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same where it is for this world.
    ///
    /// # Errors
    /// [`CheckError::WrongWorld`] where it is not.
    pub fn of(self, wanted: Kind) -> Result<Self, CheckError> {
        if self.kind == wanted { Ok(self) } else { Err(CheckError::WrongWorld { found: self.kind, wanted }) }
    }

    /// Makes an instance in this Store.
    pub(crate) fn instantiate(&self, store: &mut Store<Host>) -> wasmtime::Result<Instance> {
        self.pre.instantiate(store)
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

fn offered(kind: Kind, import: &str) -> bool {
    of_package(import).is_some_and(|(interface, version)| {
        let named = OFFERED.contains(&interface) || (interface == LOAD && kind == Kind::Scheduler);
        named && speaks(version)
    })
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
        let offered = |import| offered(Kind::Scheduler, import);
        assert!(offered("weir:policy/load@0.1.0"));
        assert!(!offered("weir:policy/load@1.0.0"));
        assert!(!offered("weir:policy/load@0.1.0-rc1"));
        assert!(!offered("weir:policy/files@0.1.0"));
        assert!(!offered("wasi:cli/stdout@0.2.0"));
        for kind in [Kind::AgentCheck, Kind::DnsAnswers] {
            assert!(super::offered(kind, "weir:policy/log@0.1.0"));
            assert!(!super::offered(kind, "weir:policy/load@0.1.0"), "loads are a scheduler's");
        }
    }
}
