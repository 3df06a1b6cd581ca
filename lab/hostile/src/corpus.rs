//! Real input, kept as text that can be read and reviewed: hexadecimal digits, one input a line. A line that begins with `#` says
//! where the next ones come from; blanks between digits mean nothing.

/// The inputs of a file.
///
/// # Panics
/// At a line that is something else, with its number. A corpus is part of the test.
pub fn hexadecimal(text: &str) -> Vec<Vec<u8>> {
    let lines =
        text.lines().enumerate().filter(|(_, line)| !line.starts_with('#') && !line.trim().is_empty());
    lines.map(|(at, line)| bytes(line).unwrap_or_else(|| lost(at + 1, line))).collect()
}

#[allow(clippy::panic, reason = "it is called by tests only")]
fn lost(number: usize, line: &str) -> Vec<u8> {
    panic!("line {number} of a corpus is no bytes in hexadecimal digits: {line}")
}

fn bytes(line: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> =
        line.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let pair = |pair: &[u32]| match *pair {
        [high, low] => u8::try_from(high << 4 | low).ok(),
        _ => None,
    };
    digits.chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_digits_are_inputs() {
        let text = "# BIRD: a keepalive\nffff 0013\n\n04\n";
        assert_eq!(hexadecimal(text), [vec![0xff, 0xff, 0, 0x13], vec![4]]);
        assert_eq!(bytes("123"), None);
        assert_eq!(bytes("0g"), None);
    }
}
