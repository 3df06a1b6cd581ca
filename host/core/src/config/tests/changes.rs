//! What a changed file costs.

use super::*;

/// The differences from [`SMALL`] to the text with some replacements, for the node `here`.
fn after(replacements: &[(&str, &str)]) -> Changes {
    let text = replacements.iter().fold(SMALL.to_owned(), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replace(from, to)
    });
    super::changes(&good(SMALL), &good(&text), "here")
}

#[track_caller]
fn assert_changes(changes: &Changes, live: &[&str], restart_needed: &[&str]) {
    assert_eq!(
        (changes.live.as_slice(), changes.restart_needed.as_slice()),
        (&owned(live)[..], &owned(restart_needed)[..])
    );
}

fn owned(lines: &[&str]) -> Vec<String> {
    lines.iter().map(|line| (*line).to_owned()).collect()
}

#[test]
fn a_file_differs_from_itself_in_nothing() {
    let fleet = good(EXAMPLE);
    assert!(super::changes(&fleet, &fleet, "l7-1").is_empty());
}

#[test]
fn a_comment_or_a_written_default_is_no_difference() {
    assert!(after(&[("version = 1", "version = 1 # one\nlog = { level = \"info\" }")]).is_empty());
}

#[test]
fn pools_servers_plugins_and_checks_change_live() {
    let more = after(&[
        (
            "version = 1",
            "version = 1\nlog.level = \"debug\"\nplugins.p.file = \"p.wasm\"\ndrain.grace = \"9s\"",
        ),
        ("[services.www]", "scheduler = \"p\"\nretries = 3\ncheck = { type = \"tcp\" }\n[services.www]"),
        ("192.0.2.1:80\" }", "192.0.2.1:80\", weight = 5 }, { name = \"b\", address = \"192.0.2.2:80\" }"),
    ]);
    let live = [
        "drain.grace: \"5s\" -> \"9s\"",
        "log.level: \"info\" -> \"debug\"",
        "plugins.p: added",
        "pools.web.check: added",
        "pools.web.retries: 2 -> 3",
        "pools.web.scheduler: absent -> \"p\"",
        "pools.web.servers.a.weight: 1 -> 5",
        "pools.web.servers.b: added",
    ];
    assert_changes(&more, &live, &[]);
}

#[test]
fn a_removed_server_and_another_order_are_seen() {
    let two = SMALL.replace("80\" }]", "80\" }, { name = \"b\", address = \"192.0.2.2:80\" }]");
    let swapped = two.replace("\"a\"", "\"x\"").replace("\"b\"", "\"a\"").replace("\"x\"", "\"b\"");
    let changes = super::changes(&good(&two), &good(&swapped), "here");
    let live = [
        "pools.web.servers: another order",
        "pools.web.servers.a.address: \"192.0.2.1:80\" -> \"192.0.2.2:80\"",
        "pools.web.servers.b.address: \"192.0.2.2:80\" -> \"192.0.2.1:80\"",
    ];
    assert_changes(&changes, &live, &[]);
    let changes = super::changes(&good(&two), &good(SMALL), "here");
    assert_changes(&changes, &["pools.web.servers.b: removed"], &[]);
}

#[test]
fn listeners_workers_and_paths_need_a_restart() {
    let changes = after(&[
        (
            "version = 1",
            "version = 1\npaths.run = \"/tmp/run\"\nmetrics.listen = \"127.0.0.1:9902\"\nlog.access = \"off\"",
        ),
        ("roles = [\"l7\"]", "roles = [\"l7\"]\nworkers = 2\n[agent]\nlisten = \"127.0.0.1:5556\""),
    ]);
    let restart = [
        "nodes.here.workers: 0 -> 2",
        "paths.run: \"/run/weir\" -> \"/tmp/run\"",
        "log.access: \"stdout\" -> \"off\"",
        "metrics.listen: \"127.0.0.1:9901\" -> \"127.0.0.1:9902\"",
        "agent.listen: \"[::]:5555\" -> \"127.0.0.1:5556\"",
    ];
    assert_changes(&changes, &[], &restart);
}

#[test]
fn a_service_on_a_port_that_is_listened_to_is_live_and_another_is_not() {
    let second = |port: u16| {
        let addresses = "port = 80\naddresses = [\"198.51.100.1\"]";
        let service = format!(
            "[services.b]\nport = {port}\naddresses = [\"198.51.100.2\"]\npool = \"web\"\n[services.www]"
        );
        after(&[("port = 80", addresses), ("[services.www]", &service)])
    };
    let narrowed = "services.www.addresses: [] -> [\"198.51.100.1\"]";
    assert_changes(&second(80), &["services.b: added", narrowed], &[]);
    assert_changes(&second(81), &[narrowed], &["port 81: a listener has to be opened", "services.b: added"]);

    let moved = after(&[("port = 80", "port = 81")]);
    let restart = [
        "port 81: a listener has to be opened",
        "port 80: the listener stays open until then",
        "services.www.port: 80 -> 81",
    ];
    assert_changes(&moved, &[], &restart);
}

#[test]
fn what_a_node_does_not_use_does_not_concern_it() {
    let text = SMALL.replace("[nodes.here]", "[nodes.there]\nroles = [\"agent\"]\n[nodes.here]");
    let (old, new) = (
        good(&text),
        good(&text.replace("port = 80", "port = 81").replace("[\"agent\"]", "[\"agent\", \"l7\"]")),
    );
    assert_eq!(super::changes(&old, &new, "here").restart_needed.len(), 3);
    let changes = super::changes(&old, &new, "there");
    assert_eq!(
        changes.restart_needed.first().map(String::as_str),
        Some("nodes.there.roles: [\"agent\"] -> [\"agent\",\"l7\"]")
    );
    let agent_only = super::changes(&good(&text), &good(&text.replace("port = 80", "port = 81")), "there");
    assert!(agent_only.is_empty(), "{agent_only:?}");
}

#[test]
fn a_node_that_is_gone_needs_a_restart() {
    let changes = after(&[("[nodes.here]", "[nodes.there]")]);
    assert_changes(&changes, &[], &["nodes.here: removed"]);
}

#[test]
fn the_first_l4_node_gives_others_a_network_side_and_that_needs_a_restart() {
    let here = SMALL
        .replace("[nodes.here]", "[nodes.here]\njoin = 1\naddresses = [\"192.0.2.7\"]")
        .replace("port = 80", "port = 80\naddresses = [\"198.51.100.1\"]");
    let l4 =
        |number: u8| format!("[nodes.l4-{number}]\nroles = [\"l4\"]\naddresses = [\"192.0.2.{number}\"]\n");
    let one = format!("{here}{}", l4(8));
    let two = format!("{one}{}", l4(9));
    let first = super::changes(&good(&here), &good(&one), "here");
    assert_changes(
        &first,
        &["nodes.l4-8: added"],
        &["the first l4 node of the fleet: tunnels and service addresses of this node"],
    );
    assert_changes(&super::changes(&good(&one), &good(&two), "here"), &["nodes.l4-9: added"], &[]);
    // It has all that it takes to take them away, and to make them again.
    assert_changes(&super::changes(&good(&one), &good(&here), "here"), &["nodes.l4-8: removed"], &[]);
}

#[test]
fn a_long_value_is_not_repeated() {
    let with = |text: &str| good(&format!("{SMALL}[plugins.p]\nfile = \"p.wasm\"\nconfig = \"{text}\"\n"));
    let changes = super::changes(&with("x"), &with(&"y".repeat(100)), "here");
    assert_changes(&changes, &["plugins.p.config: changed"], &[]);
}

#[test]
fn what_a_dns_node_serves_changes_live_and_where_it_listens_does_not() {
    let dns = |section: &str| good(&format!("{SMALL}{section}").replace("\"l7\"", "\"dns\""));
    let (old, new) = (
        dns("[dns]\nidentity = \"a\"\n"),
        dns(
            "[dns]\nidentity = \"b\"\nlisten = [\"[::]:54\"]\n[dns.policies.p]\naddresses = [{ address = \"192.0.2.1\" }]\n",
        ),
    );
    let changes = super::changes(&old, &new, "here");
    assert_changes(
        &changes,
        &["dns.identity: \"a\" -> \"b\"", "dns.policies.p: added"],
        &["dns.listen: [\"[::]:53\"] -> [\"[::]:54\"]"],
    );
}

#[test]
fn a_certificate_changes_live_and_the_ports_that_it_is_shown_on_do_not() {
    let dns = |lines: &str| good(&format!("{SMALL}{lines}").replace("\"l7\"", "\"dns\""));
    let with = |name: &str, rest: &str| {
        dns(&format!("[dns.tls]\ncertificate = \"/{name}.crt\"\nkey = \"/{name}.key\"\n{rest}"))
    };
    let changes = super::changes(&with("a", ""), &with("b", "https = [\"[::]:443\"]\n"), "here");
    assert_changes(
        &changes,
        &["dns.tls.certificate: \"/a.crt\" -> \"/b.crt\"", "dns.tls.key: \"/a.key\" -> \"/b.key\""],
        &["dns.tls.https: [] -> [\"[::]:443\"]"],
    );
    assert_changes(&super::changes(&dns(""), &with("a", ""), "here"), &[], &["dns.tls: added"]);
    assert_changes(&super::changes(&with("a", ""), &dns(""), "here"), &[], &["dns.tls: removed"]);
}
