//! socat that answers an agent check with a file, as brittle as in the original.

use super::{AGENT_FILE, Outfit, Turn};
use crate::topology::AGENT_PORT;

/// Who may ask.
pub(super) enum Listens {
    /// The node itself.
    Loopback,
    /// Anybody.
    Everywhere,
}

pub(super) fn outfit(outfit: &mut Outfit, listens: Listens) {
    let listener = match listens {
        Listens::Loopback => format!("TCP-LISTEN:{AGENT_PORT},bind=127.0.0.1,reuseaddr,fork"),
        Listens::Everywhere => format!("TCP6-LISTEN:{AGENT_PORT},ipv6only=0,reuseaddr,fork"),
    };
    outfit.program(
        "socat",
        Turn::First,
        &["/usr/bin/socat", &listener, &format!("OPEN:{AGENT_FILE},rdonly")],
    );
}
