//! What makes two versions of a plugin the same.

use std::fmt;
use std::str::FromStr;

/// A SHA-256. Computed by whoever has the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// Why a text is not a [`Digest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sha256 is 64 hexadecimal digits")]
pub struct DigestError;

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let digits: Vec<u8> = text
            .chars()
            .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
            .collect::<Option<_>>()
            .ok_or(DigestError)?;
        let bytes: Vec<u8> =
            digits.chunks_exact(2).map(|pair| pair.iter().fold(0, |high, low| high << 4 | low)).collect();
        // An odd digit at the end would be lost above.
        let whole = digits.len() == 64;
        bytes.try_into().ok().filter(|_| whole).map(Self).ok_or(DigestError)
    }
}

/// Content and configuration: a change of either is another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version {
    /// Of the file.
    pub content: Digest,
    /// Of everything else that an instance is made with: the configuration text and the memory limit.
    pub config: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_written_and_read_as_64_digits() {
        let mut bytes = [0x5a; 32];
        bytes[0] = 0x01;
        let text = Digest(bytes).to_string();
        assert!(text.starts_with("015a") && text.len() == 64);
        assert_eq!(text.to_uppercase().parse(), Ok(Digest(bytes)));
        for wrong in ["", &text[1..], &format!("{text}0"), &text.replace('5', "x"), &format!("{text}00")] {
            assert_eq!(wrong.parse::<Digest>(), Err(DigestError), "{wrong}");
        }
    }
}
