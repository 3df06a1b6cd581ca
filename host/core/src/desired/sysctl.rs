//! Settings of the kernel that a node relies on.

use serde::{Deserialize, Serialize};

use super::Fault;

/// One setting and the value that the node relies on. It is written once, when it is declared; if somebody changes it later,
/// that is reported and not undone: two programs that restore each other's settings are worse than one wrong setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sysctl {
    /// Name with slashes, since names of devices have dots: `net/ipv4/vs/sloppy_tcp`.
    pub name: String,
    /// The value, a decimal number.
    pub value: String,
}

impl Sysctl {
    /// What may be asked for. `*` is the name of one network device, `all` or `default`.
    pub const ALLOWED: &[&str] = &[
        "net/ipv4/ip_forward",
        "net/ipv4/conf/*/accept_local",
        "net/ipv4/conf/*/arp_announce",
        "net/ipv4/conf/*/arp_ignore",
        "net/ipv4/conf/*/rp_filter",
        "net/ipv4/vs/conn_reuse_mode",
        "net/ipv4/vs/conntrack",
        "net/ipv4/vs/expire_nodest_conn",
        "net/ipv4/vs/expire_quiescent_template",
        "net/ipv4/vs/ignore_tunneled",
        "net/ipv4/vs/pmtu_disc",
        "net/ipv4/vs/run_estimation",
        "net/ipv4/vs/schedule_icmp",
        "net/ipv4/vs/sloppy_tcp",
        "net/ipv6/conf/*/forwarding",
    ];

    /// A setting and its value.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        let number = !self.value.is_empty()
            && self.value.len() <= 10
            && self.value.bytes().all(|b| b.is_ascii_digit());
        if number && Self::ALLOWED.iter().any(|allowed| fits(allowed, &self.name)) {
            return Ok(());
        }
        Err(Fault::Sysctl { name: self.name.clone(), value: self.value.clone() })
    }
}

/// Whether `name` is what `pattern` allows, segment by segment.
fn fits(pattern: &str, name: &str) -> bool {
    let mut names = name.split('/');
    let all = pattern.split('/').all(|want| match names.next() {
        Some(segment) if want == "*" => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@');
            !segment.is_empty()
                && segment.len() <= 15
                && !segment.starts_with('.')
                && segment.bytes().all(plain)
        }
        segment => segment == Some(want),
    });
    all && names.next().is_none()
}
