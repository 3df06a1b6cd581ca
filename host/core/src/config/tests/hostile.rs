//! Texts that nobody would write: what comes back may be any error, but it comes back.

use super::*;

#[test]
fn a_text_that_ends_anywhere_is_an_error_or_a_fleet_but_never_a_panic() {
    for end in (0..=EXAMPLE.len()).filter(|end| EXAMPLE.is_char_boundary(*end)) {
        if let Err(errors) = parse("fleet.toml", &EXAMPLE[..end]) {
            assert!(!errors.to_string().is_empty());
        }
    }
}

#[test]
fn a_text_with_a_byte_too_many_or_too_few_is_never_a_panic() {
    for at in 0..EXAMPLE.len() {
        for put in ["", "\"", "[", "=", "\n", "é", "9"] {
            let text = format!("{}{put}{}", &EXAMPLE[..at], &EXAMPLE[at + 1..]);
            if let Err(errors) = parse("fleet.toml", &text) {
                let lines = text.lines().count().max(1);
                assert!(errors.faults().iter().all(|f| (1..=lines + 1).contains(&f.line) && f.column >= 1));
                assert!(!errors.to_string().is_empty());
            }
        }
    }
}

#[test]
fn of_very_many_faults_some_are_reported() {
    let text = format!("{SMALL}[paths]\n{}", (0..5000).map(|i| format!("x{i} = 1\n")).collect::<String>());
    let errors = parse("fleet.toml", &text).unwrap_err();
    assert_eq!(errors.faults().len(), 50);
    assert!(errors.to_string().ends_with("\nand perhaps more: mend these first"));
}

#[test]
fn a_text_that_is_too_long_is_not_read() {
    let text = format!("{SMALL}{}", "#".repeat(MAX_BYTES));
    let message = format!("1:1: the file has {} bytes; at most {MAX_BYTES} are read", text.len());
    assert_eq!(bad(&text), [message]);
}

#[test]
fn a_text_of_brackets_is_refused() {
    assert!(!bad(&format!("version = 1\nx = {}", "[".repeat(100_000))).is_empty());
    assert!(!bad(&format!("version = 1\n[{}]", "a.".repeat(100_000))).is_empty());
}

#[test]
fn too_many_entries_and_servers_are_refused() {
    let nodes: String = (0..=MAX_ENTRIES).map(|i| format!("[nodes.n{i}]\nroles = [\"l7\"]\n")).collect();
    let text = format!("version = 1\n{nodes}");
    assert_eq!(bad(&text), ["2:2: 1025 nodes: at most 1024 are allowed"]);

    let servers = crate::model::MAX_SERVERS + 1;
    let list: String =
        (0..servers).map(|i| format!("{{ name = \"s{i}\", address = \"192.0.2.1:80\" }},\n")).collect();
    let text = SMALL.replace("{ name = \"a\", address = \"192.0.2.1:80\" }", &list);
    assert_eq!(bad(&text), ["5:1: 4097 servers: a pool has at most 4096"]);
}
