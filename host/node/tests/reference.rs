//! The book against the binary: generated pages are what it prints (`WEIR_BLESS=1 cargo test -p weir --test reference` writes
//! them), and a file that is to be copied has no fault.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::fs;
use std::path::Path;
use std::process::Command;

/// What the binary prints, with nothing of the environment of whoever tests.
fn weir(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_weir")).env_clear().args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "weir {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Compares a page with what it should be, or writes it.
fn is_up_to_date(page: &str, wanted: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/reference").join(page);
    if std::env::var_os("WEIR_BLESS").is_some() {
        fs::write(&file, wanted).unwrap();
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/src/reference/{page} is not what the binary says; run: WEIR_BLESS=1 cargo test --release -p weir --test reference"
    );
}

#[test]
fn the_reference_of_the_fleet_file_is_the_one_that_the_binary_prints() {
    is_up_to_date("fleet-file.md", &weir(&["reference", "fleet"]));
}

#[test]
fn the_schema_of_the_fleet_file_is_the_one_that_the_binary_prints() {
    is_up_to_date("fleet.schema.json", &weir(&["reference", "schema"]));
}

#[test]
fn every_command_is_in_the_book_with_its_help() {
    let mut page = "# Command line\n\n\
        <!-- Generated from `weir help`. Change host/node/src/cli.rs and run:\n     \
        WEIR_BLESS=1 cargo test --release -p weir --test reference -->\n"
        .to_owned();
    let mut commands = vec![Vec::new()];
    while let Some(command) = commands.pop() {
        let mut arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        arguments.push("--help");
        let help = weir(&arguments);
        let below = subcommands(&help).map(|name| [command.clone(), vec![name]].concat());
        let below: Vec<_> = below.collect();
        let title = [vec!["weir".to_owned()], command].concat().join(" ");
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        page.push_str(&format!("\n## `{title}`\n\n```text\n{}\n```\n", help.join("\n")));
        commands.extend(below.into_iter().rev());
    }
    is_up_to_date("cli.md", &page);
}

/// The names below `Commands:`, without `help`, which says nothing new.
fn subcommands(help: &str) -> impl Iterator<Item = String> {
    let list = help.split_once("\nCommands:\n").map_or("", |(_, list)| list);
    let lines = list.lines().take_while(|line| !line.is_empty());
    // Where a description goes on in another line, that line is indented further.
    let names = lines.filter_map(|line| line.strip_prefix("  ").filter(|name| !name.starts_with(' ')));
    names.filter_map(|line| line.split(' ').next()).filter(|name| *name != "help").map(str::to_owned)
}

#[test]
fn the_fleet_file_that_a_newcomer_copies_has_no_fault() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/start-here.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, rest) = page.split_once("```toml\nversion = 1\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("fleet.toml");
    fs::write(&file, format!("version = 1\n{text}")).unwrap();
    let said = weir(&["check", &file.display().to_string(), "--node", "here"]);
    assert!(said.contains(": ok; 1 nodes, 1 services, 1 pools with 3 servers, 1 plugins"), "{said}");
}
