//! What answers an agent check with a file: socat, as brittle as in the original. On the servers of a large topology it
//! is a stand-in that does the same ([`crate::agent`]), because there socat forks more than one CPU can bear.

use std::path::Path;

use super::{AGENT_FILE, Outfit, Turn};
use crate::topology::{AGENT_PORT, Size};

/// L7 nodes times servers up to which there is socat: each pair is a fork every two seconds.
const PAIRS: u32 = 20;

/// On an L7 node, which asks itself.
pub(super) fn on_l7(outfit: &mut Outfit) {
    socat(outfit, &format!("TCP-LISTEN:{AGENT_PORT},bind=127.0.0.1,reuseaddr,fork"));
}

/// On a server, which every L7 node asks.
pub(super) fn on_server(outfit: &mut Outfit, size: Size, lab: &Path) {
    if size.l7 * size.servers <= PAIRS {
        return socat(outfit, &format!("TCP6-LISTEN:{AGENT_PORT},ipv6only=0,reuseaddr,fork"));
    }
    let lab = lab.display().to_string();
    outfit.program("agent", Turn::First, &[&lab, "agent", &format!("[::]:{AGENT_PORT}"), AGENT_FILE]);
}

fn socat(outfit: &mut Outfit, listener: &str) {
    outfit.program("socat", Turn::First, &["/usr/bin/socat", listener, &format!("OPEN:{AGENT_FILE},rdonly")]);
}
