//! SVCB and HTTPS (RFC 9460 §2.1): priority, target, and parameters as `key=value`.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::lex::{Token, unescape};
use super::rdata::{Fields, base64, number};

const MANDATORY: u16 = 0;
const NO_DEFAULT_ALPN: u16 = 2;
const KEYS: [(&str, u16); 8] = [
    ("mandatory", MANDATORY),
    ("alpn", 1),
    ("no-default-alpn", NO_DEFAULT_ALPN),
    ("port", 3),
    ("ipv4hint", 4),
    ("ech", 5),
    ("ipv6hint", 6),
    ("dohpath", 7),
];

/// Reads the data. In wire form the parameters stand in the order of their numbers.
pub(super) fn read(f: &mut Fields<'_>) -> Result<(), String> {
    let priority = f.u16("a priority (0 to 65535)")?;
    f.name("a target: a name, or `.` for the owner")?;
    let mut parameters = BTreeMap::new();
    while !f.is_empty() {
        let token = f.next("a parameter")?;
        let (key, value) = parameter(token).map_err(|why| format!("`{}`: {why}", token.show()))?;
        if parameters.insert(key, value).is_some() {
            return Err(format!("`{}`: this key is there twice", token.show()));
        }
    }
    if priority == 0 && !parameters.is_empty() {
        return Err("priority 0 makes it an alias, which has no parameters".into());
    }
    if parameters.contains_key(&NO_DEFAULT_ALPN) && !parameters.contains_key(&1) {
        return Err("`no-default-alpn` wants an `alpn` beside it".into());
    }
    for key in parameters.get(&MANDATORY).into_iter().flat_map(|keys| keys.as_chunks::<2>().0) {
        if !parameters.contains_key(&u16::from_be_bytes(*key)) {
            return Err("`mandatory` names a key that is not there".into());
        }
    }
    for (key, value) in parameters {
        let length = u16::try_from(value.len()).map_err(|_| "a value has more than 65535 bytes")?;
        f.push(&key.to_be_bytes());
        f.push(&length.to_be_bytes());
        f.push(&value);
    }
    Ok(())
}

fn key_number(word: &str) -> Option<u16> {
    match KEYS.iter().find(|(w, _)| *w == word) {
        Some((_, number)) => Some(*number),
        None => word.strip_prefix("key").filter(|n| *n == "0" || !n.starts_with('0')).and_then(number),
    }
}

fn parameter(token: &Token<'_>) -> Result<(u16, Vec<u8>), String> {
    let split = token.text.iter().position(|b| *b == b'=');
    let (word, value) = match split.and_then(|at| token.text.split_at_checked(at)) {
        Some((word, value)) => (word, Some(value.get(1..).unwrap_or_default())),
        None => (token.text, None),
    };
    let key = std::str::from_utf8(word).ok().and_then(key_number);
    let key =
        key.ok_or("no such key: alpn, port, ipv4hint, ipv6hint, ech, mandatory, dohpath or key65000")?;
    let value = value.map(|v| v.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(v));
    let value = unescape(value.unwrap_or_default())?;
    if key == NO_DEFAULT_ALPN {
        return if value.is_empty() { Ok((key, value)) } else { Err("this key has no value".into()) };
    }
    if value.is_empty() && key < 8 {
        return Err("this key wants a value: `key=value`".into());
    }
    Ok((key, encode(key, &value)?))
}

fn encode(key: u16, value: &[u8]) -> Result<Vec<u8>, String> {
    let text = || std::str::from_utf8(value).map_err(|_| "the value is not ASCII".to_owned());
    match key {
        MANDATORY => {
            let mut keys = Vec::new();
            for word in text()?.split(',') {
                let key = key_number(word).filter(|k| *k != MANDATORY).ok_or("mandatory: no such key")?;
                keys.push(key);
            }
            keys.sort_unstable();
            if keys.windows(2).any(|w| w.first() == w.last()) {
                return Err("mandatory: a key is there twice".into());
            }
            Ok(keys.iter().flat_map(|k| k.to_be_bytes()).collect())
        }
        1 => protocols(value),
        3 => Ok(number::<u16>(text()?).ok_or("a port is 0 to 65535")?.to_be_bytes().to_vec()),
        4 => addresses::<Ipv4Addr, 4>(text()?, |a| a.octets()),
        5 => base64(value).ok_or_else(|| "the value is not base64".into()),
        6 => addresses::<Ipv6Addr, 16>(text()?, |a| a.octets()),
        _ => Ok(value.to_vec()),
    }
}

fn addresses<A: std::str::FromStr, const N: usize>(
    text: &str,
    octets: impl Fn(A) -> [u8; N],
) -> Result<Vec<u8>, String> {
    let mut wire = Vec::new();
    for word in text.split(',') {
        wire.extend(octets(word.parse().map_err(|_| format!("`{word}` is no address of this family"))?));
    }
    Ok(wire)
}

/// Protocol names with a comma between; `\,` is a comma and `\\` a backslash within one (RFC 9460 A.1).
fn protocols(value: &[u8]) -> Result<Vec<u8>, String> {
    let mut names = vec![Vec::new()];
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match (byte, names.last_mut()) {
            (b',', _) => names.push(Vec::new()),
            (b'\\', Some(name)) => name.push(*bytes.next().ok_or("a backslash has nothing behind it")?),
            (_, Some(name)) => name.push(*byte),
            _ => {}
        }
    }
    let mut wire = Vec::new();
    for name in names {
        let length = u8::try_from(name.len()).ok().filter(|l| *l > 0);
        wire.push(length.ok_or("a protocol has 1 to 255 bytes")?);
        wire.extend(name);
    }
    Ok(wire)
}
