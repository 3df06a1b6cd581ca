//! Every fault with its place and its sentence, as an operator reads them.

use super::*;

/// What is changed in [`SMALL`], and what is said of it.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

#[test]
fn each_fault_is_named_with_its_place_and_what_would_be_right() {
    for (changes, expected) in CASES {
        let text = changes.iter().fold(SMALL.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        assert_eq!(bad(&text), *expected, "{text}");
    }
}

#[test]
fn errors_are_printed_as_a_compiler_does() {
    let text = SMALL.replace("port = 80", "\tport = 99999 # é\nhealthchek = \"off\"");
    let errors = parse("/etc/weir/fleet.toml", &text).unwrap_err();
    let expected = "\
/etc/weir/fleet.toml:7:9: 99999 is out of range: write 1 to 65535
  7 | \tport = 99999 # é
    | \t       ^^^^^
/etc/weir/fleet.toml:8:1: unknown field `healthchek`: did you mean `healthcheck`?
  8 | healthchek = \"off\"
    | ^^^^^^^^^^";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn columns_count_characters_and_a_long_line_is_shown_around_the_fault() {
    let long = "é".repeat(300);
    let text = SMALL.replace(
        "{ name = \"a\", address = \"192.0.2.1:80\" }",
        &format!(
            "{{ name = \"a\", address = \"192.0.2.1:80\", labels = {{ x = \"{}\" }}, weight = 999 }}",
            &long[..200]
        ),
    );
    let errors = parse("f", &text).unwrap_err();
    let fault = &errors.faults()[0];
    assert_eq!((fault.line, fault.column, fault.width), (5, 182, 3));
    let printed = errors.to_string();
    let lines: Vec<&str> = printed.lines().collect();
    let mark = lines[2].chars().position(|c| c == '^').unwrap();
    assert_eq!(lines[1].chars().skip(mark).take(3).collect::<String>(), "999");
}

#[test]
fn windows_line_ends_and_a_byte_order_mark_move_nothing() {
    let text = format!("\u{feff}{}", SMALL.replace('\n', "\r\n").replace("port = 80", "port = 0"));
    assert_eq!(bad(&text), ["7:8: 0 is out of range: write 1 to 65535"]);
}

#[test]
fn labels_are_bounded() {
    let with = |labels: &str| SMALL.replace("80\" }", &format!("80\", labels = {{ {labels} }} }}"));
    let long = "x".repeat(MAX_LABEL_BYTES + 1);
    let said = ["5:63: a label's name and value have at most 256 bytes each"];
    assert_eq!(bad(&with(&format!("a = \"{long}\""))), said);
    let many: Vec<String> = (0..=MAX_LABELS).map(|i| format!("l{i} = \"\"")).collect();
    assert_eq!(bad(&with(&many.join(", "))), ["5:52: 33 labels: a server has at most 32"]);
}

const CASES: &[Case] = &[
    // A version of tomorrow.
    (
        &[("version = 1", "version = 2")],
        &["1:11: version 2 is not known: this program reads version 1; a newer file needs a newer weir"],
    ),
    // No version.
    (&[("version = 1\n", "")], &["1:1: the file does not say its version: begin it with `version = 1`"]),
    // A version that is text.
    (&[("version = 1", r#"version = "1""#)], &["1:11: the version is a number: write `version = 1`"]),
    // TOML's own grammar, every line of it.
    (
        &[("port = 80", "port = "), (r#"pool = "web""#, "pool = web")],
        &[
            "7:8: string values must be quoted, expected literal string",
            "8:8: string values must be quoted, expected literal string",
        ],
    ),
    // A name that is written twice.
    (&[("port = 80", "port = 80\nport = 81")], &["8:1: the same name a second time"]),
    // An unknown section.
    (&[("[nodes.here]", "[node.here]")], &["2:2: unknown field `node`: did you mean `nodes`?"]),
    // An unknown field with a near name.
    (
        &[("port = 80", "port = 80\nhealthchek = \"off\"")],
        &["8:1: unknown field `healthchek`: did you mean `healthcheck`?"],
    ),
    // An unknown field without one.
    (
        &[(r#"roles = ["l7"]"#, "roles = [\"l7\"]\nbackend = 1")],
        &[
            "4:1: unknown field `backend`; the fields here are `roles`, `workers`, `addresses`, `join`, `weight` and `router-id`",
        ],
    ),
    // A field that belongs elsewhere.
    (
        &[(
            r#"{ name = "a", address = "192.0.2.1:80" }"#,
            r#"{ name = "a", address = "192.0.2.1:80", port = 80 }"#,
        )],
        &[
            "5:52: unknown field `port`; the fields here are `name`, `address`, `weight`, `max-in-flight` and `labels`",
        ],
    ),
    // A missing field.
    (
        &[(r#"{ name = "a", address = "192.0.2.1:80" }"#, r#"{ name = "a" }"#)],
        &["5:12: `address` is missing"],
    ),
    // A section without what it needs.
    (&[("port = 80\npool = \"web\"\n", "")], &["6:1: `port` is missing"]),
    // A wrong type.
    (&[("port = 80", r#"port = "80""#)], &[r#"7:8: expected a whole number, found the text "80""#]),
    // A list that is not one.
    (&[(r#"roles = ["l7"]"#, r#"roles = "l7""#)], &[r#"3:9: expected a list `[...]`, found the text "l7""#]),
    // A table that is not one.
    (
        &[("[services.www]", "[paths]\nrun = {}\n[services.www]")],
        &["7:7: expected a path that begins with `/`, found a table"],
    ),
    // A section that is not one.
    (&[("version = 1", "version = 1\nlog = \"info\"")], &[r#"2:7: expected a table, found the text "info""#]),
    // A word that is not known.
    (
        &[("version = 1", "version = 1\nlog.level = \"verbose\"")],
        &["2:13: unknown word `verbose`; the words here are `error`, `warn`, `info`, `debug` and `trace`"],
    ),
    // A word that is nearly known.
    (
        &[("version = 1", "version = 1\nlog.level = \"inof\"")],
        &["2:13: unknown word `inof`: did you mean `info`?"],
    ),
    // An unknown role.
    (
        &[(r#"["l7"]"#, r#"["l8"]"#)],
        &["3:10: unknown word `l8`; the words here are `agent`, `dns`, `l4` and `l7`"],
    ),
    // No role.
    (
        &[(r#"["l7"]"#, "[]")],
        &[r#"3:9: a node without a role does nothing: write "l4", "l7", "dns" or "agent""#],
    ),
    // A role twice.
    (&[(r#"["l7"]"#, r#"["l7", "agent", "l7"]"#)], &[r#"3:25: the role "l7" is written twice"#]),
    // L4 with l7.
    (
        &[(r#"["l7"]"#, r#"["l7", "l4"]"#)],
        &[
            "2:1: the l7 node `here` has no join number, by which l4 nodes keep the same order: write `join = 1`",
            "3:9: a node cannot be l4 and l7: IPVS would schedule again what the tunnel has just delivered; use two nodes",
            "6:1: service `www` has no addresses: l4 nodes have to know what to announce; write `addresses`",
        ],
    ),
    // Too many workers.
    (&[(r#"["l7"]"#, "[\"l7\"]\nworkers = 4000")], &["4:11: 4000 is out of range: write 0 to 1024"]),
    // No node.
    (
        &[("[nodes.here]\nroles = [\"l7\"]\n", "")],
        &[r#"1:1: the file has no node: add a section such as [nodes.NAME] with `roles = ["l7"]`"#],
    ),
    // A name that cannot be one.
    (
        &[("[nodes.here]", r#"[nodes."my host"]"#)],
        &[
            "2:8: `my host` is no name: 1 to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit",
        ],
    ),
    // An unknown plugin.
    (
        &[(
            "[services",
            "scheduler = \"spraed\"\n[plugins.spread]\nfile = \"a.wasm\"\n[plugins.sticky]\nfile = \"b.wasm\"\n[services",
        )],
        &["6:13: there is no [plugins.spraed]: did you mean `spread`?"],
    ),
    // An unknown plugin far from any.
    (
        &[(
            "[services",
            "scheduler = \"x\"\n[plugins.spread]\nfile = \"a.wasm\"\n[plugins.sticky]\nfile = \"b.wasm\"\n[services",
        )],
        &["6:13: there is no [plugins.x]: the file has `spread` and `sticky`"],
    ),
    // A plugin where there are none.
    (
        &[("[services", "scheduler = \"spread\"\n[services")],
        &["6:13: there is no [plugins.spread]: the file has no plugins"],
    ),
    // An unknown pool.
    (&[(r#"pool = "web""#, r#"pool = "wbe""#)], &["8:8: there is no [pools.wbe]: did you mean `web`?"]),
    // No key at all.
    (
        &[("[services", "key = {}\n[services")],
        &[r#"6:7: the key is empty: write `{ header = "NAME" }`, `{ cookie = "NAME" }`, "path" or "source""#],
    ),
    // Two keys.
    (
        &[("[services", "key = { header = \"a\", cookie = \"b\" }\n[services")],
        &["6:7: a key is a header or a cookie, not both"],
    ),
    // A key that is no word.
    (
        &[("[services", "key = \"uri\"\n[services")],
        &[r#"6:7: `uri` is no key: write `{ header = "NAME" }`, `{ cookie = "NAME" }`, "path" or "source""#],
    ),
    // A header that is none.
    (
        &[("[services", "key = { header = \"x user\" }\n[services")],
        &["6:18: `x user` cannot be the name of a header or cookie"],
    ),
    // A server twice.
    (
        &[(
            r#"{ name = "a", address = "192.0.2.1:80" }"#,
            "{ name = \"a\", address = \"192.0.2.1:80\" },\n{ name = \"a\", address = \"192.0.2.2:80\" }",
        )],
        &["6:10: a second server `a` in this pool; the first is in line 5"],
    ),
    // A pool without servers.
    (
        &[(r#"{ name = "a", address = "192.0.2.1:80" }"#, "")],
        &["5:11: the pool has no server: add [[pools.web.servers]]"],
    ),
    // A weight out of range.
    (
        &[(
            r#"{ name = "a", address = "192.0.2.1:80" }"#,
            r#"{ name = "a", address = "192.0.2.1:80", weight = 257 }"#,
        )],
        &["5:61: 257 is out of range: write 0 to 256"],
    ),
    // A negative weight.
    (
        &[(
            r#"{ name = "a", address = "192.0.2.1:80" }"#,
            r#"{ name = "a", address = "192.0.2.1:80", weight = -1 }"#,
        )],
        &["5:61: -1 is out of range: write 0 to 256"],
    ),
    // A host name for an address.
    (
        &[("192.0.2.1:80", "web1.example:80")],
        &[
            r#"5:36: `web1.example:80` is no address with a port such as "192.0.2.1:80" or "[2001:db8::1]:80"; names are not looked up"#,
        ],
    ),
    // An address without a port.
    (&[("192.0.2.1:80", "2001:db8::1")], &[r#"5:36: `2001:db8::1` has no port: write "[2001:db8::1]:80""#]),
    // An IPv6 address without brackets.
    (
        &[("192.0.2.1:80", "2001:db8:0:0:0:0:0:1:80")],
        &[r#"5:36: `2001:db8:0:0:0:0:0:1:80` is ambiguous: write "[2001:db8:0:0:0:0:0:1]:80""#],
    ),
    // Port 0.
    (&[("192.0.2.1:80", "192.0.2.1:0")], &["5:36: `192.0.2.1:0` has port 0, which nobody listens on"]),
    // An address of everybody.
    (&[("192.0.2.1:80", "0.0.0.0:80")], &["5:36: `0.0.0.0:80` is not the address of one server"]),
    // A time without a unit.
    (
        &[("[services", "slow-start = 5\n[services")],
        &[r#"6:14: expected a time such as "500ms", "2s" or "1m", found the integer `5`"#],
    ),
    // A time with an unknown unit.
    (
        &[("[services", "slow-start = \"5 s\"\n[services")],
        &[r#"6:14: `5 s` is no time: write a whole number and us, ms, s, m, h or d, such as "500ms""#],
    ),
    // A time without end.
    (&[("[services", "slow-start = \"9999999d\"\n[services")], &["6:14: `9999999d` is longer than 365 days"]),
    // A timeout of zero.
    (
        &[("[services", "timeouts = { connect = \"0s\" }\n[services")],
        &[r#"6:24: a connect timeout of zero fails every request: write a time such as "5s""#],
    ),
    // The same for clients.
    (
        &[("port = 80", "port = 80\nclient-timeouts = { request = \"0s\", idle = \"0s\" }")],
        &[
            r#"8:31: a request timeout of zero fails every request: write a time such as "50s""#,
            r#"8:44: an idle timeout of zero closes clients before they can ask: write a time such as "60s""#,
        ],
    ),
    // A check without a type.
    (&[("[services", "check = {}\n[services")], &["6:9: `type` is missing"]),
    // A timeout that is longer than the interval.
    (
        &[("[services", "check = { type = \"tcp\", timeout = \"3s\" }\n[services")],
        &[
            "6:35: the timeout, 3s, is longer than the interval, 2s: the next check would begin before this one ended",
        ],
    ),
    // A fast interval that is slower.
    (
        &[("[services", "check = { type = \"tcp\", fast-interval = \"3s\" }\n[services")],
        &["6:41: the fast interval, 3s, is longer than the interval, 2s"],
    ),
    // A check without a pause.
    (
        &[("[services", "check = { type = \"tcp\", interval = \"1ms\" }\n[services")],
        &["6:36: 1ms between checks is a load test: at least 10ms"],
    ),
    // A path for a connection.
    (
        &[("[services", "check = { type = \"tcp\", path = \"/\" }\n[services")],
        &[r#"6:25: `path` means nothing to a check of type "tcp": take it out, or write type = "http""#],
    ),
    // A status that is none.
    (
        &[("[services", "check = { type = \"http\", expect = \"200-999\" }\n[services")],
        &[
            r#"6:35: `200-999` is no set of statuses: write numbers and ranges of 100 to 599, such as "200,204,300-399""#,
        ],
    ),
    // Rise of zero.
    (
        &[("[services", "check = { type = \"http\", rise = 0 }\n[services")],
        &["6:33: 0 is out of range: write 1 to 255"],
    ),
    // Two services that want the same connections.
    (
        &[("pool = \"web\"\n", "pool = \"web\"\n[services.all]\nport = 80\npool = \"web\"\n")],
        &[
            "9:1: service `all` wants what `www` has on port 80: `www` takes every address; give them different addresses or ports",
        ],
    ),
    // Two services with one address.
    (
        &[
            ("port = 80", "port = 80\naddresses = [\"198.51.100.1\", \"198.51.100.2\"]"),
            (
                "pool = \"web\"\n",
                "pool = \"web\"\n[services.b]\nport = 80\naddresses = [\"198.51.100.2\"]\npool = \"web\"\n",
            ),
        ],
        &[
            "12:14: service `b` wants what `www` has on port 80: 198.51.100.2; give them different addresses or ports",
        ],
    ),
    // An address twice.
    (
        &[("port = 80", "port = 80\naddresses = [\"198.51.100.1\", \"198.51.100.1\"]")],
        &["8:30: 198.51.100.1 is written twice"],
    ),
    // An address of everybody for a service.
    (
        &[("port = 80", "port = 80\naddresses = [\"::\"]")],
        &["8:14: `::` is no address that clients connect to: leave `addresses` out for any address"],
    ),
    // An IPv4 address in IPv6 writing.
    (
        &[("port = 80", "port = 80\naddresses = [\"::ffff:198.51.100.1\"]")],
        &[r#"8:14: `::ffff:198.51.100.1` is an IPv4 address in IPv6 writing: write "198.51.100.1""#],
    ),
    // An address with a port for a service.
    (
        &[("port = 80", "port = 80\naddresses = [\"198.51.100.1:80\"]")],
        &["8:14: `198.51.100.1:80` has a port: write the address alone, the port stands in `port`"],
    ),
    // The port of the metrics.
    (
        &[("port = 80", "port = 9901")],
        &["7:8: port 9901 is that of metrics.listen, 127.0.0.1:9901: use another for one of them"],
    ),
    // Metrics and agent on one port.
    (
        &[("version = 1", "version = 1\nmetrics.listen = \"0.0.0.0:5555\"")],
        &["2:18: metrics.listen and agent.listen are both on port 5555"],
    ),
    // A port out of range.
    (&[("port = 80", "port = 65536")], &["7:8: 65536 is out of range: write 1 to 65535"]),
    // A health check that is no path.
    (
        &[("port = 80", "port = 80\nhealthcheck = \"health\"")],
        &[r#"8:15: `health` is neither "off" nor a path without a query, such as "/healthcheck""#],
    ),
    // A path that is not from the root.
    (
        &[("version = 1", "version = 1\npaths.state = \"state\"")],
        &["2:15: `state` is no path from the root: begin it with `/`"],
    ),
    // A log that goes nowhere.
    (
        &[("version = 1", "version = 1\nlog.access = \"stderr\"")],
        &[r#"2:14: `stderr` is neither "stdout" nor "off" nor a path that begins with `/`"#],
    ),
    // A plugin in a folder.
    (
        &[("[services", "[plugins.p]\nfile = \"/etc/p.wasm\"\n[services")],
        &["7:8: `/etc/p.wasm` has a folder: write the name of a file in paths.plugins"],
    ),
    // A plugin that is no component.
    (
        &[("[services", "[plugins.p]\nfile = \"p.so\"\n[services")],
        &["7:8: `p.so` is no plugin file: its name ends in `.wasm` and does not begin with a dot"],
    ),
    // A pin that is none.
    (
        &[("[services", "[plugins.p]\nfile = \"p.wasm\"\nsha256 = \"abc\"\n[services")],
        &["8:10: `abc` is no SHA-256: write the 64 hexadecimal digits that `sha256sum` prints"],
    ),
    // Memory without a unit.
    (
        &[("[services", "[plugins.p]\nfile = \"p.wasm\"\nmemory = \"16MB\"\n[services")],
        &[r#"8:10: `16MB` is no size: write a whole number and B, KiB, MiB or GiB, such as "16MiB""#],
    ),
    // Too little memory.
    (
        &[("[services", "[plugins.p]\nfile = \"p.wasm\"\nmemory = \"1KiB\"\n[services")],
        &["8:10: 1KiB of memory: a plugin may have 128KiB to 128MiB"],
    ),
    // Everything at once, and no fault that is only a consequence.
    (
        &[
            (r#"roles = ["l7"]"#, "roles = \"l7\"\nworker = 1"),
            (
                r#"{ name = "a", address = "192.0.2.1:80" }"#,
                r#"{ name = "a", adress = "192.0.2.1:80", weight = 300 }, { name = "b" }"#,
            ),
            ("port = 80", "port = 0\naddresses = [\"one\", \"198.51.100.1\"]"),
            (r#"pool = "web""#, r#"pool = "wbe""#),
        ],
        &[
            r#"3:9: expected a list `[...]`, found the text "l7""#,
            "4:1: unknown field `worker`: did you mean `workers`?",
            "6:26: unknown field `adress`: did you mean `address`?",
            "6:60: 300 is out of range: write 0 to 256",
            "6:67: `address` is missing",
            "8:8: 0 is out of range: write 1 to 65535",
            r#"9:14: `one` is no address such as "198.51.100.1" or "2001:db8::1"; names are not looked up"#,
        ],
    ),
    // DNS: a TTL that is none, an address twice, a plugin that is not there, a check without a port.
    (
        &[(
            "[services.www]",
            "[dns.policies.p]\nplugin = \"none\"\nmin-ttl = \"1500ms\"\nmax-ttl = \"1s\"\nall-down = \"fallback\"\ncheck = { type = \"tcp\" }\nload-header = \"x-load\"\n\
             addresses = [{ address = \"192.0.2.1\" }, { address = \"192.0.2.1\" }]\n[services.www]",
        )],
        &[
            "7:10: there is no [plugins.none]: the file has no plugins",
            "8:11: the lowest TTL, 1500ms, is above the highest, 1s",
            "8:11: 1500ms is no TTL: whole seconds are sent",
            "10:12: all-down = \"fallback\" wants addresses in `fallback`",
            "11:9: a check of type \"tcp\" wants a `port`: addresses have none",
            "12:1: `load-header` is one of the answer to a check of type \"http\": the policy has no such check",
            "13:53: 192.0.2.1 is there twice",
        ],
    ),
    // DNS: a policy that is a pool, without addresses.
    (
        &[(
            "[services.www]",
            "[dns.policies.web]\naddresses = []\nfallback = [\"192.0.2.9\"]\n[services.www]",
        )],
        &[
            "6:15: `web` is a pool and a policy: `weir drain web/...` could mean either, so name one of them otherwise",
            "7:13: the policy has no address: add [[dns.policies.web.addresses]]",
            "8:1: `fallback` is used with all-down = \"fallback\", or by a plugin",
        ],
    ),
    // DNS: listeners that are taken.
    (
        &[
            (r#"roles = ["l7"]"#, r#"roles = ["l7", "dns", "agent"]"#),
            (
                "[services.www]",
                "[dns]\nlisten = [\"[::]:53\", \"192.0.2.1:53\", \"127.0.0.1:9901\", \"127.0.0.1:5555\", \"[::1]:80\"]\n[services.www]",
            ),
        ],
        &[
            "7:22: 192.0.2.1:53 is taken by [::]:53 already",
            "7:38: 127.0.0.1:9901 is taken by metrics.listen, 127.0.0.1:9901",
            "7:56: 127.0.0.1:5555 is taken by agent.listen, [::]:5555",
            "7:74: port 80 is that of service `www`: use another for one of them",
        ],
    ),
    // DNS: a node that listens nowhere, for no time, with a long name.
    (
        &[
            (r#"roles = ["l7"]"#, r#"roles = ["dns"]"#),
            ("[services.www]", "[dns]\nlisten = []\ntcp = { idle = \"0s\" }\nudp-size = 100\n[services.www]"),
        ],
        &[
            "7:10: a DNS node listens somewhere: write \"[::]:53\"",
            "8:16: an idle time of zero closes connections before a query: write a time such as \"30s\"",
            "9:12: 100 is out of range: write 512 to 4096",
        ],
    ),
    // DNS over TLS: no file to read, nowhere to listen, a path that is none.
    (
        &[
            (r#"roles = ["l7"]"#, r#"roles = ["dns"]"#),
            (
                "[services.www]",
                "[dns.tls]\ncertificate = \"dns.crt\"\nlisten = [\"853\"]\nhttps-path = \"dns-query\"\n[services.www]",
            ),
        ],
        &[
            "7:15: `dns.crt` is no path from the root: begin it with `/`",
            r#"8:11: `853` is no address with a port such as "192.0.2.1:80" or "[2001:db8::1]:80"; names are not looked up"#,
            "9:14: `dns-query` is no path of a URL: begin it with `/`, and escape what is not plain ASCII",
        ],
    ),
    (
        &[
            (r#"roles = ["l7"]"#, r#"roles = ["dns"]"#),
            (
                "[services.www]",
                "[dns.tls]\ncertificate = \"/dns.crt\"\nkey = \"/dns.key\"\nlisten = []\nhttps-path = \"/q\"\n[services.www]",
            ),
        ],
        &[
            "9:10: the certificate is for nobody: write where to listen, in `listen`, `https` or `quic`, or leave the table out",
            "10:1: `https-path` is used with `https`",
        ],
    ),
    // DNS over TLS: listeners that are taken. QUIC is UDP: it has 853 beside TLS, and not 53.
    (
        &[
            (r#"roles = ["l7"]"#, r#"roles = ["l7", "dns"]"#),
            (
                "[services.www]",
                "[dns.tls]\ncertificate = \"/dns.crt\"\nkey = \"/dns.key\"\nhttps = [\"[::]:853\", \"[::]:80\", \"192.0.2.1:53\"]\n\
                 https-path = \"/q?x\"\nquic = [\"[::]:853\", \"192.0.2.1:853\", \"[::]:53\", \"[::]:80\"]\n[services.www]",
            ),
        ],
        &[
            "9:10: [::]:853 is taken by dns.tls.listen, [::]:853, already",
            "9:22: port 80 is that of service `www`: use another for one of them",
            "9:33: 192.0.2.1:53 is taken by dns.listen, [::]:53, already",
            "10:14: `/q?x` has a query: write the path alone, clients add `?dns=`",
            "11:21: 192.0.2.1:853 is taken by [::]:853 already",
            "11:38: [::]:53 is taken by dns.listen, [::]:53, already",
        ],
    ),
];
