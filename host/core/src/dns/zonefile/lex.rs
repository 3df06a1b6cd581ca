//! Lines to entries: comments, quotes, and parentheses that join lines.

/// One word or one quoted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'t> {
    /// As in the file, escapes and all; without the quotes around a quoted text.
    pub(super) text: &'t [u8],
    pub(super) quoted: bool,
}

/// What belongs together: a record or a directive.
#[derive(Debug, Default)]
pub(super) struct Entry<'t> {
    /// The line it starts at.
    pub(super) line: u32,
    /// It starts with a blank: the owner is that of the record before.
    pub(super) blank: bool,
    pub(super) tokens: Vec<Token<'t>>,
}

#[derive(Debug)]
pub(super) struct Lexer<'t> {
    rest: &'t [u8],
    line: u32,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        // Some editors write a mark at the start.
        Self { rest: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text), line: 1 }
    }

    /// The next entry in `entry`; false at the end. After an error the line is skipped and reading can go on.
    pub(super) fn next(&mut self, entry: &mut Entry<'t>) -> Result<bool, String> {
        loop {
            if self.rest.is_empty() {
                return Ok(false);
            }
            entry.tokens.clear();
            entry.line = self.line;
            entry.blank = matches!(self.rest, [b' ' | b'\t', ..]);
            if let Err(message) = self.entry(entry) {
                let skip = self.rest.iter().position(|b| *b == b'\n').unwrap_or(self.rest.len());
                self.rest = self.rest.get(skip..).unwrap_or_default();
                return Err(message);
            }
            if !entry.tokens.is_empty() {
                return Ok(true);
            }
        }
    }

    fn entry(&mut self, entry: &mut Entry<'t>) -> Result<(), String> {
        let mut open: Option<u32> = None;
        while let Some((&byte, behind)) = self.rest.split_first() {
            match byte {
                b'\n' => {
                    self.rest = behind;
                    self.line = self.line.saturating_add(1);
                    if open.is_none() {
                        return Ok(());
                    }
                }
                b' ' | b'\t' | b'\r' => self.rest = behind,
                b';' => {
                    let end = self.rest.iter().position(|b| *b == b'\n').unwrap_or(self.rest.len());
                    self.rest = self.rest.get(end..).unwrap_or_default();
                }
                b'(' => {
                    self.rest = behind;
                    if let Some(line) = open.replace(self.line) {
                        return Err(format!(
                            "the parenthesis of line {line} is still open: they do not nest"
                        ));
                    }
                }
                b')' => {
                    self.rest = behind;
                    open.take().ok_or("a parenthesis is closed here that was not opened")?;
                }
                b'"' => {
                    let length = quoted(behind).ok_or("the quoted text has no end: close it on this line")?;
                    let (text, behind) = behind.split_at(length);
                    entry.tokens.push(Token { text, quoted: true });
                    self.rest = behind.get(1..).unwrap_or_default();
                }
                _ => {
                    let length =
                        word(self.rest).ok_or("the quoted text has no end: close it on this line")?;
                    let (text, behind) = self.rest.split_at(length);
                    entry.tokens.push(Token { text, quoted: false });
                    self.rest = behind;
                }
            }
        }
        match open {
            None => Ok(()),
            Some(line) => Err(format!("the parenthesis of line {line} is never closed")),
        }
    }
}

/// How long a quoted text is, without the quote at its end.
fn quoted(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\n' => return None,
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at),
            _ => {}
        }
    }
    None
}

/// How long a word is: to a blank or to what means something by itself. A quote within it, as in `alpn="h2"`, belongs to it.
fn word(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            // A backslash at the end of a line escapes nothing.
            b'\\' if !matches!(text.get(at + 1), None | Some(b'\n')) => at += 2,
            b'"' => at += quoted(text.get(at + 1..)?)? + 2,
            b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' => break,
            _ => at += 1,
        }
    }
    Some(at)
}

/// What a text means: escapes replaced by the bytes they stand for.
pub(super) fn unescape(text: &[u8]) -> Result<Vec<u8>, String> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        let (byte, behind) = crate::dns::name::unescape(rest)
            .ok_or("a backslash wants a character or three digits (000 to 255) behind it")?;
        plain.push(byte);
        rest = behind;
    }
    Ok(plain)
}
