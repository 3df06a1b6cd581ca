//! Tests of the whole: text in, fleet or errors out.

mod changes;
mod defaults;
mod faults;
mod hostile;
mod reference;
mod tier;

use super::*;

/// The least that a file with a service has to say.
const SMALL: &str = "\
version = 1
[nodes.here]
roles = [\"l7\"]
[pools.web]
servers = [{ name = \"a\", address = \"192.0.2.1:80\" }]
[services.www]
port = 80
pool = \"web\"
";

#[track_caller]
fn good(text: &str) -> Fleet {
    parse("fleet.toml", text).unwrap_or_else(|errors| panic!("{errors}"))
}

/// The errors as `line:column: message` lines, without the lines of the file.
#[track_caller]
fn bad(text: &str) -> Vec<String> {
    let Err(errors) = parse("fleet.toml", text) else { panic!("accepted:\n{text}") };
    errors.faults().iter().map(|f| format!("{}:{}: {}", f.line, f.column, f.message)).collect()
}

#[test]
fn a_node_that_is_not_in_the_file_is_answered_with_those_that_are() {
    let fleet = good(EXAMPLE);
    assert!(fleet.node("web1").is_ok_and(|node| node.roles == [Role::Agent]));
    assert_eq!(
        fleet.node("web9").map_err(|e| e.to_string()),
        Err("the fleet file has no [nodes.web9]; it has `dns-1`, `l4-1`, `l7-1` and `web1`. Start with --node NAME, or add the section".to_owned())
    );
}
