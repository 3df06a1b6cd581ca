//! A run as a person sees it while it goes on: one line, one braille bar a second, as the original's client draws it.

use std::collections::VecDeque;
use std::io::Write;

use super::Outcome;
use super::line::Line;
use super::timeline::{Second, Timeline};
use crate::say;

/// Bars that are shown; older ones leave at the left.
const BARS: usize = 60;
const GREEN: &str = "\x1b[1;32m";
const RED: &str = "\x1b[1;31m";
const PLAIN: &str = "\x1b[0m";

/// The line.
#[derive(Debug, Default)]
pub(super) struct Picture {
    bars: VecDeque<String>,
}

impl Picture {
    /// Draws the line anew, or writes a mark above it.
    pub(super) fn show(&mut self, out: &mut dyn Write, line: &Line) -> std::io::Result<()> {
        match line {
            Line::Started(connections) => writeln!(out, "{connections} connections; Ctrl-C ends")?,
            Line::Second(second) => {
                if self.bars.len() == BARS {
                    self.bars.pop_front();
                }
                self.bars.push_back(bar(second));
                write!(out, "\r\x1b[K{}", self.line(second))?;
            }
            Line::Marked(mark) => {
                writeln!(out, "\r\x1b[K{:>5.1} s  {}", mark.at_ms as f64 / 1000.0, mark.label)?;
            }
            Line::Ended(_) => {}
        }
        out.flush()
    }

    fn line(&self, second: &Second) -> String {
        let bars: String = self.bars.iter().map(String::as_str).collect();
        format!(
            "{:>4} s  {:>4} open  {bars}  {} broken now, {} silent",
            second.at + 1,
            second.open,
            second.broken_now,
            second.silent
        )
    }
}

/// A full green bar where nothing failed; a red one that shrinks by an eighth for each eighth of the places that are
/// broken or silent; a red line where none works. What broke in this second shows even where it is mended already.
fn bar(second: &Second) -> String {
    let bad = (second.broken_now + second.silent).max(second.broke() + second.failed());
    let all = (second.open + second.broken_now).max(bad);
    if bad == 0 {
        return format!("{GREEN}⣿{PLAIN}");
    }
    if bad >= all {
        return format!("{RED}_{PLAIN}");
    }
    let eighths = (bad * 8).div_ceil(all).min(7);
    // Without `eighths` dots, taken away from the top: 1, 4, 2, 5, 3, 6, 7.
    let taken = [0x01, 0x08, 0x02, 0x10, 0x04, 0x20, 0x40].iter().take(eighths as usize).sum::<u32>();
    let dots = char::from_u32(0x28ff - taken).unwrap_or('?');
    format!("{RED}{dots}{PLAIN}")
}

/// The end of a run in a few lines.
pub(super) fn summary(timeline: &Timeline) -> String {
    let count = |outcome| timeline.outcomes.get(&outcome).copied().unwrap_or_default();
    let broken: u64 = timeline.seconds.iter().map(Second::broke).sum();
    let failed: u64 = timeline.seconds.iter().map(Second::failed).sum();
    let mut text = format!(
        "{:.1} s: {} connections ended well, {} went on at the end, {broken} broke, {failed} failed to begin\n",
        timeline.lasted_ms as f64 / 1000.0,
        count(Outcome::Ok),
        timeline.unfinished,
    );
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    text.push_str(&format!(
        "{:.1} MB came, {:.1} MB went, each byte checked\n",
        megabytes(timeline.bytes_down),
        megabytes(timeline.bytes_up)
    ));
    let failures: Vec<Outcome> =
        Outcome::FAILURES.into_iter().filter(|outcome| count(*outcome) > 0).collect();
    let names: Vec<String> = failures.iter().map(ToString::to_string).collect();
    let header: Vec<&str> =
        ["destination", "ok"].into_iter().chain(names.iter().map(String::as_str)).collect();
    let rows: Vec<Vec<String>> = timeline
        .by_destination
        .iter()
        .map(|(destination, counts)| {
            let number = |outcome| counts.get(outcome).copied().unwrap_or_default().to_string();
            let cells = std::iter::once(&Outcome::Ok).chain(&failures).map(number);
            std::iter::once(destination.clone()).chain(cells).collect()
        })
        .collect();
    text.push_str(&say::table(&header, &rows));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(open: u64, broken_now: u64) -> String {
        bar(&Second { open, broken_now, ..Second::default() })
    }

    #[test]
    fn a_bar_is_green_red_or_a_line() {
        assert_eq!(shown(8, 0), format!("{GREEN}⣿{PLAIN}"));
        assert_eq!(shown(199, 1), format!("{RED}⣾{PLAIN}"));
        assert_eq!(shown(1, 7), format!("{RED}⢀{PLAIN}").replace('⢀', "\u{2880}"));
        assert_eq!(shown(0, 8), format!("{RED}_{PLAIN}"));
    }

    #[test]
    fn what_broke_and_was_mended_within_a_second_is_red_all_the_same() {
        let broken = [(Outcome::Reset, 3)].into();
        assert!(bar(&Second { open: 8, broken, ..Second::default() }).starts_with(RED));
    }

    #[test]
    fn the_line_does_not_grow_for_ever() {
        let mut picture = Picture::default();
        for at in 0..100 {
            picture
                .show(&mut Vec::new(), &Line::Second(Second { at, open: 1, ..Second::default() }))
                .unwrap();
        }
        assert_eq!(picture.bars.len(), BARS);
    }
}
