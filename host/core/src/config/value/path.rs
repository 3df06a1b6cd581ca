//! Names of files, of their content, and of what is asked for in a URL.

use std::fmt;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::written_as_text;

/// A path from the root, so that it means the same wherever the process was started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsolutePath(PathBuf);

impl AbsolutePath {
    /// A path of ours, for defaults.
    pub(in crate::config) fn fixed(path: &'static str) -> Self {
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
    pub(in crate::config) fn fixed(path: &'static str) -> Self {
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
    pub(in crate::config) const fn at(path: UrlPath) -> Self {
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
