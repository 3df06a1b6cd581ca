//! Names as people write them: `www.example.org.`, with `\.` for a dot in a label and `\DDD` for any byte.

use std::fmt;

use super::{MAX_LABEL, MAX_NAME, Name, NameError, wire_length};

impl Name {
    /// Reads a name that is complete, with or without the dot at its end.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::parse_below(text.as_bytes(), &Self::root())
    }

    /// Reads a name as a zone file has it: without a dot at its end it is below `origin`, and `@` is `origin`.
    pub fn parse_below(text: &[u8], origin: &Self) -> Result<Self, NameError> {
        match text {
            b"@" => return Ok(origin.clone()),
            b"." => return Ok(Self::root()),
            b"" => return Err(NameError::EmptyLabel),
            _ => {}
        }
        let mut wire = Vec::with_capacity(text.len() + 2);
        let mut label = Vec::with_capacity(MAX_LABEL);
        let mut rest = text;
        let mut complete = false;
        while let Some((&byte, behind)) = rest.split_first() {
            rest = behind;
            complete = byte == b'.';
            match byte {
                b'.' => close(&mut label, &mut wire)?,
                b'\\' => {
                    let (byte, behind) = unescape(rest).ok_or(NameError::Escape)?;
                    label.push(byte);
                    rest = behind;
                }
                0x80.. => return Err(NameError::NotAscii),
                _ => label.push(byte),
            }
        }
        if complete {
            wire.push(0);
        } else {
            close(&mut label, &mut wire)?;
            wire.extend_from_slice(origin.as_wire());
        }
        match wire_length(&wire) {
            Some(length) if length == wire.len() => Ok(Self(wire.into())),
            _ => Err(NameError::TooLong),
        }
    }
}

fn close(label: &mut Vec<u8>, wire: &mut Vec<u8>) -> Result<(), NameError> {
    if label.is_empty() {
        return Err(NameError::EmptyLabel);
    }
    if wire.len() > MAX_NAME {
        return Err(NameError::TooLong);
    }
    let length = u8::try_from(label.len()).ok().filter(|l| usize::from(*l) <= MAX_LABEL);
    wire.push(length.ok_or(NameError::LongLabel)?);
    wire.append(label);
    Ok(())
}

/// The byte that stands behind a backslash, and what follows; `None` where neither a character nor DDD does.
pub(in crate::dns) fn unescape(behind: &[u8]) -> Option<(u8, &[u8])> {
    let (&first, rest) = behind.split_first()?;
    if !first.is_ascii_digit() {
        return Some((first, rest));
    }
    let (digits, rest) = behind.split_at_checked(3)?;
    let mut value = 0u16;
    for digit in digits {
        value = value * 10 + u16::from(digit.checked_sub(b'0').filter(|d| *d < 10)?);
    }
    Some((u8::try_from(value).ok()?, rest))
}

/// Writes a wire form; what is not printable, and what would mean something else, is escaped.
pub(super) fn write(wire: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if wire == [0] {
        return f.write_str(".");
    }
    let mut rest = wire;
    while let Some((&length, behind)) = rest.split_first() {
        if length == 0 {
            break;
        }
        let Some((label, behind)) = behind.split_at_checked(usize::from(length)) else { break };
        for &byte in label {
            match byte {
                b'.' | b'\\' | b'"' | b';' | b'(' | b')' | b'@' | b'$' => {
                    write!(f, "\\{}", char::from(byte))?;
                }
                0x21..=0x7e => write!(f, "{}", char::from(byte))?,
                _ => write!(f, "\\{byte:03}")?,
            }
        }
        f.write_str(".")?;
        rest = behind;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_dot_at_its_end_is_below_the_origin() {
        let origin = Name::parse("example.org").unwrap();
        let below = |t: &str| Name::parse_below(t.as_bytes(), &origin).unwrap().to_string();
        assert_eq!(below("www"), "www.example.org.");
        assert_eq!(below("www."), "www.");
        assert_eq!((below("@"), below(".")), ("example.org.".into(), ".".into()));
        assert_eq!(below(r"a\.b"), r"a\.b.example.org.");
        assert_eq!(below(r"a\."), r"a\..example.org.");
        assert_eq!(below(r"\@"), r"\@.example.org.");
        assert_eq!(below(r"\009x\065"), r"\009xA.example.org.");
    }

    #[test]
    fn what_is_no_name_is_refused_with_its_reason() {
        let wrong = |t: &str| Name::parse(t).unwrap_err();
        assert_eq!(wrong(""), NameError::EmptyLabel);
        assert_eq!(wrong("a..b"), NameError::EmptyLabel);
        assert_eq!(wrong(".a"), NameError::EmptyLabel);
        assert_eq!(wrong("a\\"), NameError::Escape);
        assert_eq!(wrong("a\\25"), NameError::Escape);
        assert_eq!(wrong("a\\256"), NameError::Escape);
        assert_eq!(wrong("bücher.example"), NameError::NotAscii);
        assert_eq!(wrong(&"a".repeat(64)), NameError::LongLabel);
        assert_eq!(wrong(&"a.".repeat(128)), NameError::TooLong);
        assert!(Name::parse(&"a.".repeat(127)).is_ok());
    }
}
