//! Communities as operators write them: numbers with colons between.

use std::fmt;
use std::str::FromStr;

use super::written_as_text;
use crate::bgp;

/// A community of RFC 1997, such as `"65000:100"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Community(pub bgp::Community);

/// A large community of RFC 8092, such as `"4200000001:1:2"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LargeCommunity(pub bgp::LargeCommunity);

/// The numbers of `text`, if there are `N` of them and each is one of a community's: digits only.
fn numbers<const N: usize, T: FromStr + Copy>(text: &str) -> Option<[T; N]> {
    let number = |part: &str| {
        let plain = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        plain.then(|| part.parse().ok()).flatten()
    };
    let all: Option<Vec<T>> = text.split(':').map(number).collect();
    all?.try_into().ok()
}

impl FromStr for Community {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let [first, second] = numbers(text).ok_or_else(|| {
            format!("`{text}` is no community: write two numbers of 0 to 65535, such as \"65000:100\"")
        })?;
        Ok(Self(bgp::Community(first, second)))
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bgp::Community(first, second) = self.0;
        write!(f, "{first}:{second}")
    }
}

written_as_text!(Community, "a community such as \"65000:100\"", "^[0-9]{1,5}:[0-9]{1,5}$");

impl FromStr for LargeCommunity {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let [first, second, third] = numbers(text).ok_or_else(|| {
            format!("`{text}` is no large community: write three numbers, such as \"4200000001:1:2\"")
        })?;
        Ok(Self(bgp::LargeCommunity(first, second, third)))
    }
}

impl fmt::Display for LargeCommunity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bgp::LargeCommunity(first, second, third) = self.0;
        write!(f, "{first}:{second}:{third}")
    }
}

written_as_text!(
    LargeCommunity,
    "a large community such as \"4200000001:1:2\"",
    "^[0-9]{1,10}:[0-9]{1,10}:[0-9]{1,10}$"
);
