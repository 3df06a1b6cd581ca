//! The rules as text.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use weir_core::desired::Redirect;

/// The chain that is Weir's.
pub(super) const CHAIN: &str = "WEIR-SECOND-CHANCE";

/// One of the two families, which have rules of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    V4,
    V6,
}

impl Side {
    pub(super) const fn is_ipv6(self) -> bool {
        matches!(self, Self::V6)
    }

    /// How the names of its programs begin.
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// The rules of the chain and the jumps to it, out of all that a program tells.
pub(super) fn of_chain(saved: &str) -> Vec<String> {
    let is_ours = |line: &&str| {
        line.starts_with("-A ") && line.split_ascii_whitespace().any(|word| word == CHAIN)
            || line.strip_prefix(':').is_some_and(|rest| rest.split(' ').next() == Some(CHAIN))
    };
    // Behind the name of a chain are counters.
    let plain = |line: &str| line.split('[').next().unwrap_or(line).trim_end().to_owned();
    saved.lines().filter(is_ours).map(plain).collect()
}

/// What makes `there` what is wanted, in one step of the kernel.
pub(super) fn script(wanted: &[Redirect], there: &[String]) -> String {
    let mut script = String::from("*mangle\n");
    let mut line = |text: std::fmt::Arguments<'_>| {
        // To a text.
        let _ = writeln!(script, "{text}");
    };
    let is_known = there.iter().any(|line| line.starts_with(':'));
    // Made where it is not there, and emptied where it is.
    if is_known || !wanted.is_empty() {
        line(format_args!(":{CHAIN} - [0:0]"));
    }
    for jump in there.iter().filter_map(|line| line.strip_prefix("-A PREROUTING ")) {
        line(format_args!("-D PREROUTING {jump}"));
    }
    if wanted.is_empty() {
        if is_known {
            line(format_args!("-X {CHAIN}"));
        }
    } else {
        // What begins a connection is for this node, and so is what the kernel's balancer takes for nothing.
        line(format_args!("-A {CHAIN} -p tcp -m tcp ! --tcp-flags SYN,RST NONE -j RETURN"));
        // A connection of this node, also one that has just begun or ended. A listener is at no address, and does not count.
        line(format_args!("-A {CHAIN} -m socket -j RETURN"));
        for Redirect { port, mark, .. } in wanted {
            line(format_args!("-A {CHAIN} -p tcp -m tcp --dport {port} -j MARK --set-mark {mark:#x}"));
        }
        let tunnels: BTreeSet<_> = wanted.iter().map(|one| one.from.prefix()).collect();
        for prefix in tunnels {
            line(format_args!("-A PREROUTING -i {prefix}+ -p tcp -j {CHAIN}"));
        }
    }
    script.push_str("COMMIT\n");
    script
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use weir_core::desired::TunnelKind;

    use super::*;

    const SAVED: &str = "\
# Generated
*mangle
:PREROUTING ACCEPT [12:3400]
:WEIR-SECOND-CHANCE - [0:0]
:OTHER - [0:0]
-A PREROUTING -i eth0 -j OTHER
-A PREROUTING -i weir-4+ -p tcp -j WEIR-SECOND-CHANCE
-A OTHER -m comment --comment \"not WEIR-SECOND-CHANCES\" -j ACCEPT
-A WEIR-SECOND-CHANCE -m socket -j RETURN
COMMIT
";

    fn redirect(port: u16) -> Redirect {
        Redirect {
            from: TunnelKind::Ipip,
            port,
            mark: NonZeroU32::new(0x5746_0000 + u32::from(port)).unwrap(),
        }
    }

    #[test]
    fn only_the_own_chain_and_the_jumps_to_it_are_seen() {
        assert_eq!(
            of_chain(SAVED),
            [
                ":WEIR-SECOND-CHANCE -",
                "-A PREROUTING -i weir-4+ -p tcp -j WEIR-SECOND-CHANCE",
                "-A WEIR-SECOND-CHANCE -m socket -j RETURN",
            ]
        );
    }

    #[test]
    fn the_rules_that_were_there_are_replaced_whole_and_nobody_elses_are_touched() {
        assert_eq!(
            script(&[redirect(80), redirect(443)], &of_chain(SAVED)),
            "*mangle
:WEIR-SECOND-CHANCE - [0:0]
-D PREROUTING -i weir-4+ -p tcp -j WEIR-SECOND-CHANCE
-A WEIR-SECOND-CHANCE -p tcp -m tcp ! --tcp-flags SYN,RST NONE -j RETURN
-A WEIR-SECOND-CHANCE -m socket -j RETURN
-A WEIR-SECOND-CHANCE -p tcp -m tcp --dport 80 -j MARK --set-mark 0x57460050
-A WEIR-SECOND-CHANCE -p tcp -m tcp --dport 443 -j MARK --set-mark 0x574601bb
-A PREROUTING -i weir-4+ -p tcp -j WEIR-SECOND-CHANCE
COMMIT
"
        );
    }

    #[test]
    fn where_none_is_wanted_the_chain_goes_and_where_there_was_none_nothing_does() {
        assert_eq!(
            script(&[], &of_chain(SAVED)),
            "*mangle
:WEIR-SECOND-CHANCE - [0:0]
-D PREROUTING -i weir-4+ -p tcp -j WEIR-SECOND-CHANCE
-X WEIR-SECOND-CHANCE
COMMIT
"
        );
        assert_eq!(script(&[], &[]), "*mangle\nCOMMIT\n");
    }
}
