//! Packets that get a second chance, marked by rules of the kernel's packet filter.
//!
//! The rules are written with `iptables-restore`, which the kernels of both worlds know: with tables of the old kind, as the lab's kernel
//! has them, and with nftables below. They are in a chain of their own, [`CHAIN`]; of the machine's chains only the jumps to it are touched.
//!
//! The `socket` match cannot see a connection of which the kernel keeps nothing but a cookie. So nothing is marked while the kernel
//! answers with SYN cookies: in a flood new connections come before old ones. That is looked for several times a second
//! ([`Redirects::flood_changes`]); what begins in between is lost.

mod flood;
mod rules;

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, configure_capability_in_ambient_set, set_capabilities,
};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use weir_core::desired::{Part, Redirect};

use super::{Cause, Looked};
use flood::Flood;
use rules::{CHAIN, Side, of_chain, script};

/// Where programs are looked for, whatever the sidecar was started with.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin";

/// Between two looks at rules that nobody wants otherwise. Each starts a program for each family, where
/// a look at the rest asks over a socket that is open.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// How long a program may take. They take milliseconds, and two seconds where they wait for each other.
const PATIENCE: Duration = Duration::from_secs(5);

/// The kernel's counters of TCP, and whether it answers with cookies (1: where its queues are full, 2: always).
const COUNTERS: &str = "/proc/thread-self/net/netstat";
const COOKIES: &str = "/proc/sys/net/ipv4/tcp_syncookies";

/// The rules of both families.
#[derive(Debug)]
pub(super) struct Redirects {
    sides: [(Side, Known); 2],
    flood: Flood,
    /// Programs that are started were given what they need.
    is_handed_on: bool,
}

/// What is known of one family.
#[derive(Debug, Default)]
struct Known {
    /// The name before `-save` and `-restore` of the programs that the kernel understands.
    program: Option<String>,
    /// What was wanted when it was written, and the rules as the kernel told them right after.
    agreed: Option<(Vec<Redirect>, Vec<String>)>,
    /// The last look: when, and what was wanted.
    looked: Option<(Instant, Vec<Redirect>)>,
    /// What was otherwise then, and still is.
    difference: Option<String>,
}

impl Redirects {
    pub(super) fn new() -> Self {
        let sides = [Side::V4, Side::V6].map(|side| (side, Known::default()));
        let mut redirects = Self { sides, flood: Flood::default(), is_handed_on: false };
        // Two readings tell whether there is a flood.
        redirects.flood_changes();
        redirects
    }

    /// Looks whether a flood of connections has begun or ended, which the rules have to follow at once.
    pub(super) fn flood_changes(&mut self) -> bool {
        let was_on = self.flood.is_on();
        let read = |file| std::fs::read_to_string(file).unwrap_or_default();
        self.flood.see(&read(COUNTERS), &read(COOKIES), Instant::now());
        self.flood.is_on() != was_on
    }

    /// Whether there are rules, or were when this process looked.
    pub(super) fn are_there(&self) -> bool {
        self.sides.iter().any(|(_, known)| known.agreed.as_ref().is_some_and(|(_, rules)| !rules.is_empty()))
    }

    /// Compares the rules with `wanted` and makes them so.
    pub(super) async fn look(
        &mut self,
        wanted: &[Redirect],
        cause: Cause,
        observe_only: bool,
        looked: &mut Looked,
    ) {
        if !wanted.is_empty() {
            self.flood_changes();
        }
        let wanted = if self.flood.is_on() && !wanted.is_empty() {
            looked.differs(
                Part::Redirect,
                "second chance is suspended: the kernel answers with SYN cookies, and who comes back with one has no connection yet",
            );
            &[]
        } else {
            wanted
        };
        for (side, known) in &mut self.sides {
            let of_side: Vec<Redirect> =
                wanted.iter().filter(|one| one.from.is_ipv6() == side.is_ipv6()).copied().collect();
            if known.is_due(&of_side, cause, Instant::now()) {
                if !self.is_handed_on {
                    hand_on();
                    self.is_handed_on = true;
                }
                known.look(*side, of_side, cause, observe_only, looked).await;
            }
            if let Some(difference) = &known.difference {
                looked.differs(Part::Redirect, difference);
            }
        }
    }
}

/// What came of one look at one family.
enum Made {
    Nothing,
    /// They differ, and were only to be observed.
    Differs,
    /// So many rules are there now.
    Changed(usize),
}

/// Why rules were not written.
#[derive(Debug, thiserror::Error)]
#[error(
    "no {programs} writes rules (package iptables; the kernel needs xt_socket and the mangle table): {first}"
)]
struct RuleError {
    programs: &'static str,
    /// What the first of them said.
    first: String,
}

impl Known {
    /// Whether the rules are to be looked at, where these are wanted.
    fn is_due(&self, wanted: &[Redirect], cause: Cause, now: Instant) -> bool {
        let is_as_left = self.agreed.as_ref().is_some_and(|(agreed, _)| agreed == wanted);
        let is_new = self.looked.as_ref().is_none_or(|(_, before)| before != wanted);
        let is_old = self.looked.as_ref().is_none_or(|(at, _)| now.duration_since(*at) >= BETWEEN_LOOKS);
        match cause {
            // What this process did is known.
            Cause::Wanted => !is_as_left && (is_new || is_old),
            Cause::Looked => (is_new || is_old) && !(is_as_left && wanted.is_empty()),
        }
    }

    /// Looks at the rules, and makes them what is wanted.
    async fn look(
        &mut self,
        side: Side,
        wanted: Vec<Redirect>,
        cause: Cause,
        observe_only: bool,
        looked: &mut Looked,
    ) {
        self.looked = Some((Instant::now(), wanted.clone()));
        self.difference = None;
        let (family, chain) = (side.word(), CHAIN);
        match self.make(side, wanted, observe_only).await {
            Ok(Made::Nothing) => {}
            Ok(Made::Differs) => self.difference = Some(format!("the rules of {chain} ({family}) differ")),
            Ok(Made::Changed(rules)) => {
                looked.done += 1;
                match cause {
                    Cause::Wanted => tracing::info!(part = "redirect", family, chain, rules, "changed"),
                    Cause::Looked => tracing::warn!(
                        part = "redirect",
                        family,
                        chain,
                        rules,
                        "somebody else's change undone"
                    ),
                }
            }
            Err(error) => {
                looked.refused += 1;
                self.difference = Some(format!("no second chance ({family}): {error}"));
            }
        }
    }

    /// Makes the rules of one family what is wanted, with the first program that can: with which tables the kernel was built, and
    /// whether the sidecar may lock them, is found out by trying.
    async fn make(
        &mut self,
        side: Side,
        wanted: Vec<Redirect>,
        observe_only: bool,
    ) -> Result<Made, RuleError> {
        let candidates = match self.program.take() {
            Some(program) => vec![program],
            None => ["", "-legacy", "-nft"].map(|kind| format!("{}{kind}", side.program())).into(),
        };
        let mut first = None;
        for program in candidates {
            match self.make_with(&program, &wanted, observe_only).await {
                Ok((made, rules)) => {
                    self.program = Some(program);
                    if let Some(rules) = rules {
                        self.agreed = Some((wanted, rules));
                    }
                    return Ok(made);
                }
                Err(error) => drop(first.get_or_insert(error)),
            }
        }
        // Who wants none does not mind that there are none to be had.
        if wanted.is_empty() {
            self.agreed = Some((wanted, Vec::new()));
            return Ok(Made::Nothing);
        }
        Err(RuleError { programs: side.program(), first: first.unwrap_or_default() })
    }

    /// The same with one program. Beside what came of it: the rules that are there, where they are as wanted and were not known.
    async fn make_with(
        &self,
        program: &str,
        wanted: &[Redirect],
        observe_only: bool,
    ) -> Result<(Made, Option<Vec<String>>), String> {
        let (save, restore) = (format!("{program}-save"), format!("{program}-restore"));
        let there = of_chain(&run(&save, &["-t", "mangle"], "").await?);
        if self.agreed.as_ref().is_some_and(|(agreed, rules)| *agreed == wanted && *rules == there) {
            return Ok((Made::Nothing, None));
        }
        if wanted.is_empty() && there.is_empty() {
            return Ok((Made::Nothing, Some(there)));
        }
        if observe_only {
            return Ok((Made::Differs, None));
        }
        run(&restore, &["--noflush", "--wait", "2"], &script(wanted, &there)).await?;
        let there = of_chain(&run(&save, &["-t", "mangle"], "").await?);
        Ok((Made::Changed(there.len()), Some(there)))
    }
}

/// Runs a program of the packet filter to its end. What it says on its standard output, or why it failed.
async fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let stdin = child.stdin.take();
    let work = async {
        if let Some(mut stdin) = stdin {
            // Whoever takes no input ends with an error, and says why.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = match tokio::time::timeout(PATIENCE, work).await {
        Ok(output) => output.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("{program} did not end within {PATIENCE:?} and was killed")),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}", said.lines().next().unwrap_or("it failed and did not say why")))
}

/// Lets programs that this thread starts have what the packet filter takes, where the sidecar is not the superuser. It starts no others.
fn hand_on() {
    let needs = CapabilitySet::NET_ADMIN | CapabilitySet::NET_RAW;
    let outcome = capabilities(None).and_then(|now| {
        set_capabilities(None, CapabilitySets { inheritable: now.permitted.intersection(needs), ..now })?;
        [CapabilitySet::NET_ADMIN, CapabilitySet::NET_RAW]
            .into_iter()
            .try_for_each(|one| configure_capability_in_ambient_set(one, true))
    });
    if let Err(error) = outcome {
        tracing::debug!(%error, "programs of the packet filter have no capabilities of this process");
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use weir_core::desired::TunnelKind;

    use super::*;

    #[test]
    fn rules_are_looked_at_when_they_shall_be_others_and_else_every_few_seconds() {
        let some = [Redirect { from: TunnelKind::Ipip, port: 80, mark: NonZeroU32::MIN }];
        let now = Instant::now();
        let fresh = Known::default();
        assert!(fresh.is_due(&some, Cause::Wanted, now));
        assert!(fresh.is_due(&[], Cause::Looked, now), "an earlier process may have left some");

        let agreed = Some((some.to_vec(), Vec::new()));
        let left = Known { agreed, looked: Some((now, some.to_vec())), ..Known::default() };
        assert!(left.is_due(&[], Cause::Wanted, now));
        assert!(
            !left.is_due(&some, Cause::Wanted, now + BETWEEN_LOOKS),
            "nobody asked whether others changed them"
        );
        assert!(!left.is_due(&some, Cause::Looked, now + BETWEEN_LOOKS / 2));
        assert!(left.is_due(&some, Cause::Looked, now + BETWEEN_LOOKS));

        let refused = Known { looked: Some((now, some.to_vec())), ..Known::default() };
        assert!(!refused.is_due(&some, Cause::Wanted, now), "the same would be refused again");
        assert!(refused.is_due(&some, Cause::Wanted, now + BETWEEN_LOOKS));

        let none =
            Known { agreed: Some(Default::default()), looked: Some((now, Vec::new())), ..Known::default() };
        assert!(
            !none.is_due(&[], Cause::Looked, now + BETWEEN_LOOKS),
            "no programs on nodes that want no rules"
        );
    }
}
