//! Values that carry a rule. Each is written as text in the file and read by [`FromStr`]; the error of that
//! is the sentence that an operator gets, so it says what would be right.

mod address;
mod amount;
mod community;
mod path;
mod scheduler;
mod statuses;

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use std::sync::Arc;

use serde::de::{Deserialize, Error as _};

pub(super) use address::{Address, Endpoint, Host, address, addresses, endpoint, endpoints, host, hosts};
pub use amount::{Period, Size};
pub use community::{Community, LargeCommunity};
pub use path::{AbsolutePath, HealthPath, PluginFile, Sha256, UrlPath};
pub use scheduler::KernelScheduler;
pub use statuses::Statuses;

/// Reads, writes and describes a type that is text in the file. `$what` completes "expected ...".
macro_rules! written_as_text {
    ($type:ident, $what:literal, $pattern:literal) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                from.deserialize_str(Text)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "x-weir-type": $what })
            }
        }
    };
}

pub(super) use written_as_text;

/// The name of a node, plugin, pool, service or server: 1 to 64 letters, digits, `-`, `_` and `.`, beginning with
/// a letter or digit. So it can stand in a metric label, a file name and a command line as it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name, shared: what [`crate::model::Server::name`] holds.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for Name {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
            && text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if fits {
            Ok(Self(text.into()))
        } else {
            Err(format!(
                "`{text}` is no name: 1 to 64 letters, digits, `-`, `_` and `.`, beginning with a letter or digit"
            ))
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

written_as_text!(Name, "a name", "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$");

/// The name of a header or cookie: an HTTP token. Headers are compared without regard to case, cookies with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token(String);

impl Deref for Token {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Token {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if (1..=256).contains(&text.len()) && text.bytes().all(token) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` cannot be the name of a header or cookie"))
        }
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

written_as_text!(Token, "the name of a header or cookie", "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$");

/// Reads a whole number from `MIN` to `MAX`, for `deserialize_with`.
pub(super) fn within<'de, D, T, const MIN: u64, const MAX: u64>(from: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: TryFrom<u64>,
{
    let outside =
        |n: &dyn fmt::Display| D::Error::custom(format!("{n} is out of range: write {MIN} to {MAX}"));
    let number = i64::deserialize(from)?;
    let fits = u64::try_from(number).ok().filter(|n| (MIN..=MAX).contains(n));
    fits.and_then(|n| T::try_from(n).ok()).ok_or_else(|| outside(&number))
}

/// Reads a port that may be absent, for `deserialize_with`.
pub(super) fn port<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    within::<_, _, 1, 65535>(from).map(Some)
}
