//! Class CHAOS: which server is this, and which program (RFC 4892).

use super::Settings;
use crate::dns::record::Type;
use crate::dns::wire::Question;

/// The TXT data that answers this question; `None` refuses it.
pub(super) fn text(settings: &Settings, question: &Question<'_>) -> Option<Vec<u8>> {
    if !matches!(question.kind, Type::TXT | Type::ANY) {
        return None;
    }
    let text = match question.name.to_ascii_lowercase().as_slice() {
        b"\x07version\x04bind\0" | b"\x07version\x06server\0" => settings.version.as_ref(),
        b"\x02id\x06server\0" | b"\x08hostname\x04bind\0" => settings.identity.as_ref(),
        _ => None,
    }?;
    let text = text.as_bytes();
    let text = text.get(..usize::from(u8::MAX)).unwrap_or(text);
    let mut data = vec![u8::try_from(text.len()).ok()?];
    data.extend_from_slice(text);
    Some(data)
}
