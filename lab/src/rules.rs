//! What the compiler does not check: who may depend on whom, and how the tree is laid out.
//!
//! The one sentence behind it: *decisions are pure, and each outside world has one crate*. A dependency that creeps in
//! breaks it without a word; so it is a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::{command, paths};

/// What may lie at the top of the checkout. A newcomer reads these names first.
const TOP_LEVEL: [&str; 21] = [
    ".cargo",
    ".ci",
    ".git",
    ".github",
    ".gitignore",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "clippy.toml",
    "docs",
    "host",
    "lab",
    "plugins",
    "rustfmt.toml",
    "target",
    "wit",
];

/// Outside worlds and the crates that may depend on them directly.
const WORLDS: [(&str, &[&str]); 4] = [
    ("wasmtime", &["weir-wasm"]),
    ("wit-component", &["weir-wasm"]),
    ("pingora", &["weir-proxy", "weir-baseline"]),
    ("axum", &["weir"]),
];

/// What the pure crate must not reach, over however many steps: clocks, sockets, system calls.
const IMPURE: [&str; 8] = ["tokio", "libc", "rustix", "socket2", "mio", "wasmtime", "pingora-core", "notify"];

/// Crates that do; they meet in `weir` and nowhere else.
const DOERS: [&str; 3] = ["weir-wasm", "weir-proxy", "weir-probe"];

/// Past this a file is read by nobody: time to look for a second noun.
const MAX_LINES: usize = 700;

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 9] =
    ["util", "utils", "helper", "helpers", "manager", "common", "misc", "shared", "mod"];

/// Checks all rules; the error lists every breach.
pub(crate) fn run() -> Result<()> {
    let mut metadata = command::cargo(&["metadata", "--format-version", "1"]);
    let output = metadata.output().context("cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let graph = Graph::read(&serde_json::from_slice(&output.stdout)?);
    let mut breaches = dependencies(&graph);
    breaches.extend(layout(paths::root())?);
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("{}", breaches.join("\n"))
}

/// Packages and what they need at run time.
#[derive(Debug, Default)]
struct Graph {
    /// Members of this workspace.
    members: BTreeSet<String>,
    /// Package name -> names of the packages that it links. Two versions of a package count as one.
    links: BTreeMap<String, BTreeSet<String>>,
    /// Package name -> features that are on.
    features: BTreeMap<String, BTreeSet<String>>,
}

impl Graph {
    fn read(metadata: &Value) -> Self {
        let items = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let names: BTreeMap<String, String> = items(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let name = |id: &Value| names.get(id.as_str().unwrap_or_default()).cloned().unwrap_or_default();
        let mut graph = Self {
            members: items(&metadata["workspace_members"]).iter().map(name).collect(),
            ..Self::default()
        };
        for node in items(&metadata["resolve"]["nodes"]) {
            let normal = |dependency: &Value| {
                items(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
            };
            let dependencies = items(&node["deps"]);
            let linked = dependencies
                .iter()
                .filter(|dependency| normal(dependency))
                .map(|dependency| name(&dependency["pkg"]));
            graph.links.entry(name(&node["id"])).or_default().extend(linked);
            graph
                .features
                .entry(name(&node["id"]))
                .or_default()
                .extend(items(&node["features"]).iter().map(text));
        }
        graph
    }

    fn links(&self, package: &str) -> impl Iterator<Item = &String> {
        self.links.get(package).into_iter().flatten()
    }

    /// Everything that a package links, over any number of steps.
    fn reach(&self, package: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut next = vec![package.to_owned()];
        while let Some(package) = next.pop() {
            for linked in self.links(&package) {
                if reached.insert(linked.clone()) {
                    next.push(linked.clone());
                }
            }
        }
        reached
    }
}

fn dependencies(graph: &Graph) -> Vec<String> {
    let mut breaches = Vec::new();
    for member in &graph.members {
        for linked in graph.links(member) {
            for (world, allowed) in WORLDS {
                // A world is a family: pingora is pingora-core and pingora-proxy as well.
                let family = linked == world || linked.starts_with(&format!("{world}-"));
                if family && !allowed.contains(&member.as_str()) && !graph.members.contains(linked) {
                    breaches
                        .push(format!("{member} depends on {linked}; only {} may", allowed.join(" and ")));
                }
            }
            if DOERS.contains(&member.as_str()) && DOERS.contains(&linked.as_str()) {
                breaches.push(format!(
                    "{member} depends on {linked}; they meet in the crate weir and nowhere else"
                ));
            }
        }
    }
    for impure in graph.reach("weir-core").intersection(&IMPURE.map(String::from).into()) {
        breaches.push(format!("weir-core reaches {impure}; decisions are pure"));
    }
    let wasmtime = graph.features.get("wasmtime");
    if wasmtime.is_some_and(|features| features.contains("component-model-async")) {
        breaches
            .push("wasmtime is built with component-model-async: a call costs 485 ns instead of 130".into());
    }
    breaches
}

fn layout(root: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for entry in std::fs::read_dir(root)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !TOP_LEVEL.contains(&name.as_str()) {
            breaches.push(format!(
                "{name} lies at the top of the checkout; the agreed names are {}",
                TOP_LEVEL.join(" ")
            ));
        }
    }
    for folder in ["host", "lab", "plugins"] {
        for file in rust_files(&root.join(folder))? {
            let short = file.strip_prefix(root).unwrap_or(&file).display().to_string();
            let lines = std::fs::read_to_string(&file)?.lines().count();
            if lines > MAX_LINES {
                breaches.push(format!(
                    "{short} has {lines} lines, more than {MAX_LINES}: look for a second noun"
                ));
            }
            if let Some(name) =
                short.trim_end_matches(".rs").split('/').find(|part| EMPTY_NAMES.contains(part))
            {
                breaches.push(format!("{short}: `{name}` says nothing about what is inside"));
            }
        }
    }
    Ok(breaches)
}

fn rust_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|kind| kind == "rs") {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(links: &[(&str, &str)]) -> Graph {
        let mut graph = Graph::default();
        for (from, to) in links {
            graph.links.entry((*from).into()).or_default().insert((*to).into());
            for name in [from, to].into_iter().filter(|name| name.starts_with("weir")) {
                graph.members.insert((*name).to_owned());
            }
        }
        graph
    }

    #[test]
    fn the_agreed_graph_breaks_no_rule() {
        let agreed = [
            ("weir", "weir-wasm"),
            ("weir", "weir-proxy"),
            ("weir-wasm", "wasmtime"),
            ("weir-wasm", "weir-core"),
            ("weir-proxy", "pingora-core"),
            ("weir-core", "serde"),
        ];
        assert_eq!(dependencies(&graph(&agreed)), Vec::<String>::new());
    }

    #[test]
    fn every_rule_names_the_crate_that_breaks_it() {
        for (links, expected) in [
            (vec![("weir-proxy", "wasmtime")], "weir-proxy depends on wasmtime; only weir-wasm may"),
            (
                vec![("weir", "pingora-proxy")],
                "weir depends on pingora-proxy; only weir-proxy and weir-baseline may",
            ),
            (
                vec![("weir-probe", "weir-wasm")],
                "weir-probe depends on weir-wasm; they meet in the crate weir and nowhere else",
            ),
            (vec![("weir-core", "serde"), ("serde", "libc")], "weir-core reaches libc; decisions are pure"),
        ] {
            assert_eq!(dependencies(&graph(&links)), vec![expected.to_owned()]);
        }
    }

    #[test]
    fn only_what_is_linked_counts_and_features_are_read() {
        let metadata = serde_json::json!({
            "packages": [{"id": "1", "name": "weir-core"}, {"id": "2", "name": "tokio"}, {"id": "3", "name": "wasmtime"}],
            "workspace_members": ["1"],
            "resolve": {"nodes": [
                {"id": "1", "features": [], "deps": [{"pkg": "2", "dep_kinds": [{"kind": "dev"}]}]},
                {"id": "3", "features": ["component-model-async"], "deps": []},
            ]},
        });
        let breaches = dependencies(&Graph::read(&metadata));
        assert_eq!(breaches.len(), 1);
        assert!(breaches[0].contains("component-model-async"));
    }
}
