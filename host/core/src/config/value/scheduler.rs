//! Names of the kernel's schedulers.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use super::written_as_text;

/// The longest name that the kernel takes, bytes.
const MAX_NAME: usize = 15;

/// The name of an IPVS scheduler, such as `"mh"`: the kernel has a module `ip_vs_NAME`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KernelScheduler(String);

impl KernelScheduler {
    /// A name of ours, for defaults.
    pub(in crate::config) fn fixed(name: &'static str) -> Self {
        Self(name.to_owned())
    }
}

impl Deref for KernelScheduler {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromStr for KernelScheduler {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        if (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is no scheduler of the kernel: write \"mh\", or the NAME of a module ip_vs_NAME"
            ))
        }
    }
}

impl fmt::Display for KernelScheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

written_as_text!(
    KernelScheduler,
    "the name of a scheduler of the kernel such as \"mh\"",
    "^[a-z0-9_]{1,15}$"
);
