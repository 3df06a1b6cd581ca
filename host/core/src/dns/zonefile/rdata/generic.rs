//! Data in the generic form `\# LENGTH HEX` (RFC 3597 §5), which is allowed for every type.

use super::fields::Fields;
use crate::dns::name::wire_length;
use crate::dns::record::{Type, compressible};

/// Reads what stands behind `\#`. A type whose data this server looks into is checked to be such data.
pub(super) fn read(kind: Type, mut f: Fields<'_>) -> Result<Box<[u8]>, String> {
    let length: usize = f.parse("the length behind `\\#`, bytes")?;
    if length > 0 {
        f.hex("data in hexadecimal")?;
    }
    let data = f.finish()?;
    if data.len() != length {
        return Err(format!("the length says {length} bytes, and there are {}", data.len()));
    }
    if fits(kind, &data) { Ok(data) } else { Err(format!("these bytes are no data of type {kind}")) }
}

/// Whether these bytes are data of this type, as far as an answer depends on it.
fn fits(kind: Type, data: &[u8]) -> bool {
    let names = match kind {
        Type::A => return data.len() == 4,
        Type::AAAA => return data.len() == 16,
        Type::TXT | Type::SPF => return are_strings(data),
        Type::DNAME => compressible(Type::NS),
        _ => compressible(kind),
    };
    if names.count == 0 {
        return true;
    }
    let Some(mut rest) = data.get(names.skip..) else { return false };
    for _ in 0..names.count {
        let Some(behind) = wire_length(rest).and_then(|l| rest.get(l..)) else { return false };
        rest = behind;
    }
    rest.len() == if kind == Type::SOA { 20 } else { 0 }
}

fn are_strings(data: &[u8]) -> bool {
    let mut rest = data;
    while let Some((length, behind)) = rest.split_first() {
        match behind.get(usize::from(*length)..) {
            Some(behind) => rest = behind,
            None => return false,
        }
    }
    !data.is_empty()
}
