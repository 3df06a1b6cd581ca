//! Values that carry a rule. Each is written as text in the file and read by [`FromStr`]; the error of that
//! is the sentence that an operator gets, so it says what would be right.

use std::borrow::Borrow;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::{Deref, RangeInclusive};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use serde::de::{Deserialize, Error as _};

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

/// A length of time: a whole number and a unit of `us`, `ms`, `s`, `m`, `h`, `d`, such as `"500ms"`. At most 365 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

impl Period {
    /// No time at all.
    pub const ZERO: Self = Self(Duration::ZERO);
    const MAX: Duration = Duration::from_secs(365 * 86400);

    /// This many milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }

    /// As the standard library's type.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl Deref for Period {
    type Target = Duration;
    fn deref(&self) -> &Duration {
        &self.0
    }
}

/// The units of a [`Period`], largest first, in microseconds.
const TIME_UNITS: [(&str, u64); 6] = [
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1000),
    ("us", 1),
];

impl FromStr for Period {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is no time: write a whole number and us, ms, s, m, h or d, such as \"500ms\"")
        };
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let micros = TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        let time = number.checked_mul(micros).map(Duration::from_micros);
        time.filter(|t| *t <= Self::MAX).map(Self).ok_or_else(|| format!("`{text}` is longer than 365 days"))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        if micros == 0 {
            return f.write_str("0s");
        }
        let fits = TIME_UNITS.iter().find(|(_, unit)| micros % u128::from(*unit) == 0);
        let (name, unit) = fits.copied().unwrap_or(("us", 1));
        write!(f, "{}{name}", micros / u128::from(unit))
    }
}

written_as_text!(Period, "a time such as \"500ms\", \"2s\" or \"1m\"", "^[0-9]+(us|ms|s|m|h|d)$");

/// An amount of memory: a whole number and a unit of `B`, `KiB`, `MiB`, `GiB`, such as `"16MiB"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

impl Size {
    /// This many KiB.
    pub const fn from_kib(kib: u32) -> Self {
        Self((kib as u64) << 10)
    }

    /// This many MiB.
    pub const fn from_mib(mib: u32) -> Self {
        Self((mib as u64) << 20)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl FromStr for Size {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no size: write a whole number and B, KiB, MiB or GiB, such as \"16MiB\"");
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let bytes = SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?.1;
        number.checked_mul(bytes).map(Self).ok_or_else(|| format!("`{text}` is more than can be counted"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = SIZE_UNITS.iter().find(|(_, unit)| self.0 > 0 && self.0 % unit == 0);
        let (name, unit) = fits.copied().unwrap_or(("B", 1));
        write!(f, "{}{name}", self.0 / unit)
    }
}

written_as_text!(Size, "a size such as \"16MiB\"", "^[0-9]+(B|KiB|MiB|GiB)$");

/// Splits `"500ms"` into 500 and `ms`.
fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, unit))
}

/// A set of HTTP statuses: numbers and ranges from 100 to 599 with commas between, such as `"200,204,300-399"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Statuses(Vec<RangeInclusive<u16>>);

impl Statuses {
    /// The statuses from `first` to `last`.
    pub fn range(first: u16, last: u16) -> Self {
        Self(vec![first..=last])
    }

    /// Whether the set has this status.
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|range| range.contains(&status))
    }

    /// The ranges as they were written.
    pub fn ranges(&self) -> &[RangeInclusive<u16>] {
        &self.0
    }
}

impl FromStr for Statuses {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let status = |text: &str| {
            let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<u16>().ok().filter(|s| digits && (100..=599).contains(s))
        };
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (status(first.trim())?, status(last.trim())?);
            (first <= last).then_some(first..=last)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(|part| range(part.trim())).collect();
        ranges.map(Self).ok_or_else(|| {
            format!("`{text}` is no set of statuses: write numbers and ranges of 100 to 599, such as \"200,204,300-399\"")
        })
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, range) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{}", range.start())?;
            if range.start() != range.end() {
                write!(f, "-{}", range.end())?;
            }
        }
        Ok(())
    }
}

written_as_text!(
    Statuses,
    "a set of statuses such as \"200-399\"",
    "^ *[1-5][0-9]{2} *(- *[1-5][0-9]{2} *)?(, *[1-5][0-9]{2} *(- *[1-5][0-9]{2} *)?)*$"
);

/// A path from the root, so that it means the same wherever the process was started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsolutePath(PathBuf);

impl AbsolutePath {
    /// A path of ours, for defaults.
    pub(super) fn fixed(path: &'static str) -> Self {
        debug_assert!(path.starts_with('/'));
        Self(path.into())
    }
}

impl Deref for AbsolutePath {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for AbsolutePath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl FromStr for AbsolutePath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') && !text.contains('\0') {
            Ok(Self(text.into()))
        } else {
            Err(format!("`{text}` is no path from the root: begin it with `/`"))
        }
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

written_as_text!(AbsolutePath, "a path that begins with `/`", "^/");

/// The name of a plugin's file in the plugin directory: `NAME.wasm`, no folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PluginFile(String);

impl Deref for PluginFile {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromStr for PluginFile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('/') {
            return Err(format!("`{text}` has a folder: write the name of a file in paths.plugins"));
        }
        // A name that begins with a dot is what programs write before they rename.
        let fits = text.ends_with(".wasm") && !text.starts_with('.') && text.len() <= 255;
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is no plugin file: its name ends in `.wasm` and does not begin with a dot"))
        }
    }
}

impl fmt::Display for PluginFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

written_as_text!(PluginFile, "the name of a file such as \"two-choices.wasm\"", "^[^./][^/]*\\.wasm$");

/// The SHA-256 of a file, 64 hexadecimal digits as `sha256sum` prints them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256([u8; 32]);

impl Sha256 {
    /// The 32 bytes.
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Sha256 {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is no SHA-256: write the 64 hexadecimal digits that `sha256sum` prints");
        let digits: Option<Vec<u8>> =
            text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
        let digits = digits.filter(|d| d.len() == 64).ok_or_else(wrong)?;
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = pair.iter().fold(0, |high, low| high << 4 | low);
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

written_as_text!(Sha256, "64 hexadecimal digits", "^[0-9A-Fa-f]{64}$");

/// A path of a URL, as it stands in a request: begins with `/`, no space, no `#`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UrlPath(String);

impl UrlPath {
    /// The path of the first page.
    pub fn root() -> Self {
        Self::fixed("/")
    }

    /// A path of ours, for defaults.
    pub(super) fn fixed(path: &'static str) -> Self {
        debug_assert!(path.starts_with('/'));
        Self(path.to_owned())
    }
}

impl Deref for UrlPath {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl FromStr for UrlPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
        if text.starts_with('/') && plain && text.len() <= 1024 {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "`{text}` is no path of a URL: begin it with `/`, and escape what is not plain ASCII"
            ))
        }
    }
}

impl fmt::Display for UrlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

written_as_text!(UrlPath, "a path such as \"/\"", "^/[!-\"$-~]*$");

/// The path at which a service answers for the health of its node, or `"off"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HealthPath(Option<UrlPath>);

impl HealthPath {
    /// An answer at this path.
    pub(super) const fn at(path: UrlPath) -> Self {
        Self(Some(path))
    }

    /// The path, or `None` where the service has no such answer.
    pub fn path(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromStr for HealthPath {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            // HAProxy's `monitor-uri` compares the path without its query too.
            path if path.starts_with('/') && !path.contains('?') => path.parse().map(|path| Self(Some(path))),
            _ => Err(format!(
                "`{text}` is neither \"off\" nor a path without a query, such as \"/healthcheck\""
            )),
        }
    }
}

impl fmt::Display for HealthPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.path().unwrap_or("off"))
    }
}

written_as_text!(HealthPath, "\"off\" or a path such as \"/healthcheck\"", "^(off|/[!-\"$->@-~]*)$");

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
    let outside = |n: &dyn fmt::Display| D::Error::custom(format!("{n} is not within {MIN} and {MAX}"));
    let number = i64::deserialize(from)?;
    let fits = u64::try_from(number).ok().filter(|n| (MIN..=MAX).contains(n));
    fits.and_then(|n| T::try_from(n).ok()).ok_or_else(|| outside(&number))
}

/// Reads a port that may be absent, for `deserialize_with`.
pub(super) fn port<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<u16>, D::Error> {
    within::<_, _, 1, 65535>(from).map(Some)
}

/// An address with a port, as text.
pub(super) struct Endpoint(SocketAddr);

/// Reads an address with a port, for `deserialize_with`.
pub(super) fn endpoint<'de, D: serde::Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
    Endpoint::deserialize(from).map(|endpoint| endpoint.0)
}

impl FromStr for Endpoint {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse() {
            return Ok(Self(address));
        }
        if text.parse::<IpAddr>().is_ok() {
            let address = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
            return Err(format!("`{text}` has no port: write \"{address}:80\""));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() && port.parse::<u16>().is_ok() => {
                Err(format!("`{text}` is ambiguous: write \"[{host}]:{port}\""))
            }
            _ => Err(format!(
                "`{text}` is no address with a port such as \"192.0.2.1:80\" or \"[2001:db8::1]:80\"; names are not looked up"
            )),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

written_as_text!(Endpoint, "an address with a port such as \"192.0.2.1:80\"", ":[0-9]+$");

/// An address without a port, as text.
pub(super) struct Address(IpAddr);

/// Reads a list of addresses, for `deserialize_with`.
pub(super) fn addresses<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<IpAddr>, D::Error> {
    Ok(Vec::<Address>::deserialize(from)?.into_iter().map(|address| address.0).collect())
}

impl FromStr for Address {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.parse::<IpAddr>();
        match parsed {
            Ok(address) if address.to_canonical() != address => Err(format!(
                "`{text}` is an IPv4 address in IPv6 writing: write \"{}\"",
                address.to_canonical()
            )),
            Ok(address) if address.is_unspecified() => Err(format!(
                "`{text}` is no address that clients connect to: leave `addresses` out for any address"
            )),
            Ok(address) if address.is_multicast() => Err(format!("`{text}` is a multicast address")),
            Ok(address) => Ok(Self(address)),
            Err(_) if text.parse::<SocketAddr>().is_ok() => {
                Err(format!("`{text}` has a port: write the address alone, the port stands in `port`"))
            }
            Err(_) => Err(format!(
                "`{text}` is no address such as \"198.51.100.1\" or \"2001:db8::1\"; names are not looked up"
            )),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

written_as_text!(Address, "an address such as \"198.51.100.1\"", "^[0-9A-Fa-f:.]+$");
