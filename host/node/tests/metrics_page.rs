//! The page of metrics names what a running node serves: each family with its type, and none besides.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

#[path = "started/node.rs"]
mod node;

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use node::Node;

fn get(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: weir\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Name and type of each family in a scrape. A counter's samples end in `_total`, and that is the name people look for.
fn served(scrape: &str) -> BTreeSet<(String, String)> {
    let families = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let named = families.map(|(name, kind)| match kind {
        "counter" => (format!("{name}_total"), kind.to_owned()),
        kind => (name.to_owned(), kind.to_owned()),
    });
    named.collect()
}

/// Name and type of each row of the page's tables that is about a metric.
fn documented(page: &str) -> BTreeSet<(String, String)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `weir_"));
    let cells = rows.filter_map(|row| {
        let (name, rest) = row.split_once("` | ")?;
        let (kind, _) = rest.split_once(" |")?;
        Some((format!("weir_{name}"), kind.to_owned()))
    });
    // Rows of expressions have no type in their second column.
    cells.filter(|(_, kind)| ["gauge", "counter", "histogram"].contains(&kind.as_str())).collect()
}

#[test]
fn the_page_of_metrics_names_every_family_that_a_node_serves_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let below = |name: &str| folder.path().join(name).display().to_string();
    let (plugins, state, run) = (below("plugins"), below("state"), below("run"));
    let (zones, ext) = (below("zones"), below("ext"));
    fs::create_dir(&zones).unwrap();
    let text = format!(
        "version = 1\npaths = {{ plugins = {plugins:?}, state = {state:?}, run = {run:?} }}\n\
         metrics = {{ enabled = false }}\nlog = {{ access = \"off\" }}\n\
         nodes = {{ here = {{ roles = [\"l7\", \"dns\"], workers = 1 }} }}\n\
         dns = {{ listen = [\"127.0.0.1:0\"], zones = {zones:?}, state-file = {{ path = {ext:?} }} }}\n"
    );
    let fleet = folder.path().join("fleet.toml");
    fs::write(&fleet, text).unwrap();
    let (_node, _) = Node::start(&fleet).unwrap();

    let served = served(&get(&folder.path().join("run/admin.sock"), "/metrics"));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/operating/metrics.md");
    let documented = documented(&fs::read_to_string(page).unwrap());
    assert!(served.len() > 30, "{served:?}");
    assert_eq!(documented, served);
}
