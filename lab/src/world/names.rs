//! What the DNS server answers, asked by a user.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::World;
use crate::lookup::{Found, Lookup};
use crate::stack::names::{NAMES, STATE_FILE, ZONE, addresses, state_file};
use crate::topology::address::{DNS, beside};

/// The port of DNS.
const PORT: u16 = 53;

impl World {
    /// Waits until each name has all its addresses, asked for over both families.
    pub(super) fn await_names(&self, within: Duration) -> Result<()> {
        for (name, _) in NAMES {
            for (kind, v6) in [("A", false), ("AAAA", true)] {
                let has: Vec<IpAddr> =
                    addresses(name).into_iter().filter(|address| address.is_ipv6() == v6).collect();
                for server in [IpAddr::V4(DNS), beside(DNS).into()] {
                    self.look_up(&Lookup {
                        server: SocketAddr::new(server, PORT),
                        name: format!("{name}.{ZONE}"),
                        kind: kind.into(),
                        has: has.clone(),
                        lacks: Vec::new(),
                        within: within.as_secs(),
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Asks as a user until the answer is as wished.
    ///
    /// # Errors
    /// Where it never is, or where a query got no answer.
    pub(crate) fn look_up(&self, wish: &Lookup) -> Result<Found> {
        let lab = self.lab.display().to_string();
        let arguments = wish.arguments();
        let argv: Vec<&str> =
            std::iter::once(lab.as_str()).chain(arguments.iter().map(String::as_str)).collect();
        let text = self.fabric.run("users", &argv)?;
        let found: Found = serde_json::from_str(&text).with_context(|| format!("not an answer: {text}"))?;
        if let Some(failure) = &found.failure {
            let mut lines = vec![format!("{} {} of {}: {failure}", wish.name, wish.kind, wish.server)];
            lines.push(format!("answers in their order: {:?}", found.seen));
            lines.extend(self.lacking());
            bail!("{}", lines.join("\n  "));
        }
        Ok(found)
    }

    /// The addresses that `dig` prints for names and types, in its order, asked by a user.
    pub(crate) fn dig(&self, server: IpAddr, questions: &[(String, &str)]) -> Result<Vec<IpAddr>> {
        let at = format!("@{server}");
        let mut argv = vec!["dig", "+short", "+tries=1", &at];
        argv.extend(questions.iter().flat_map(|(name, kind)| [name.as_str(), *kind]));
        let text = self.fabric.run("users", &argv)?;
        text.lines()
            .map(|line| line.parse().with_context(|| format!("`{}` prints {line}", argv.join(" "))))
            .collect()
    }

    /// The state file of the DNS server says that these addresses are down, and all others are up.
    pub(crate) fn write_state_file(&self, down: &[IpAddr]) -> Result<()> {
        self.fabric.write("dns", STATE_FILE, &state_file(down))
    }
}
