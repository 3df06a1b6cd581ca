//! What the lab tells a person. Progress goes to standard error, results to standard output, so that
//! `--json` output can be piped while somebody still watches.

use std::time::Duration;

/// A line of progress.
pub(crate) fn line(text: impl AsRef<str>) {
    eprintln!("{}", text.as_ref());
}

/// Seconds with one decimal, minutes where there are any.
pub(crate) fn elapsed(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 60.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

/// Rows under a header, columns as wide as their widest cell, cells that are numbers to the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(column, title)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([title.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::from(" ");
        for (cell, width) in cells.zip(&widths) {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let number = cell.starts_with(|c: char| c.is_ascii_digit());
            text.push(' ');
            text.push_str(&if number { format!("{pad}{cell}") } else { format!("{cell}{pad}") });
            text.push(' ');
        }
        format!("{}\n", text.trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    text.push_str(&line(&mut rule.iter().map(String::as_str)));
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_numbers_end_at_the_right() {
        let text = table(&["name", "n"], &[vec!["a".into(), "5".into()], vec!["longer".into(), "12".into()]]);
        assert_eq!(text, "  name    n\n  ------  --\n  a        5\n  longer  12\n");
    }

    #[test]
    fn a_long_time_is_in_minutes() {
        assert_eq!(elapsed(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(elapsed(Duration::from_secs(125)), "2 min 05 s");
    }
}
