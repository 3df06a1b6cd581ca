//! The time line drawn: what was open, what broke, what failed to begin, with the marks across. One file, no script, no
//! font of its own; readable on white and on dark.

use std::fmt::Write;

use super::timeline::{Second, Timeline};
use super::{Counts, Outcome};

const WIDTH: f64 = 1200.0;
const LEFT: f64 = 72.0;
const RIGHT: f64 = 24.0;
const PLOT: f64 = WIDTH - LEFT - RIGHT;
/// Between two panels, for the title of the lower one.
const GAP: f64 = 44.0;
/// A row of mark labels.
const LABEL_ROW: f64 = 16.0;
/// About the width of a letter of a label.
const LETTER: f64 = 6.4;
const STYLE: &str = "svg{font:12px system-ui,sans-serif;background:#fff;fill:#24292f}\
.title{font-size:13px;font-weight:600}.soft{fill:#6e7781}.grid{stroke:#d8dee4;stroke-width:1}\
.mark{stroke:#8250df;stroke-width:1.2;stroke-dasharray:4 3}.label{fill:#8250df}\
.open{fill:#2da44e;fill-opacity:.35;stroke:#2da44e}.silent{fill:#d4a72c}.fine{fill:#2da44e;fill-opacity:.3}\
@media(prefers-color-scheme:dark){svg{background:#0d1117;fill:#e6edf3}.soft{fill:#8b949e}.grid{stroke:#30363d}\
.mark{stroke:#bc8cff}.label{fill:#bc8cff}}";

const fn colour(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "#2da44e",
        Outcome::Reset => "#cf222e",
        Outcome::Stalled => "#d4a72c",
        Outcome::Refused => "#fb8f44",
        Outcome::ConnectTimeout => "#0969da",
        Outcome::Unreachable => "#1b7c83",
        Outcome::WrongContent => "#bf3989",
        Outcome::ClosedEarly => "#8250df",
        Outcome::WrongStatus => "#953800",
        Outcome::Local => "#6e7781",
    }
}

/// The drawing.
pub(super) fn drawn(timeline: &Timeline) -> String {
    let mut drawing = Drawing::new(timeline);
    drawing.panel(
        "Established connections (yellow: silent for more than 2 s)",
        170.0,
        |second| second.open,
        Drawing::area,
    );
    drawing.panel("Broke, by second", 130.0, Second::broke, |drawing, panel| {
        drawing.bars(panel, |second| &second.broken, |_| 0);
    });
    drawing.panel(
        "New connections, by second (pale: established; strong: failed)",
        130.0,
        |second| second.failed() + second.new_ok,
        |drawing, panel| drawing.bars(panel, |second| &second.new_failed, |second| second.new_ok),
    );
    drawing.finished()
}

struct Panel {
    bottom: f64,
    height: f64,
    most: f64,
}

impl Panel {
    fn tall(&self, value: u64) -> f64 {
        value as f64 / self.most * self.height
    }
}

struct Drawing<'a> {
    timeline: &'a Timeline,
    text: String,
    /// Where the next panel begins.
    top: f64,
    /// Where the first one does.
    first_top: f64,
    seconds: f64,
}

impl<'a> Drawing<'a> {
    fn new(timeline: &'a Timeline) -> Self {
        let seconds = timeline.seconds.len().max(1) as f64;
        let mut drawing = Self { timeline, text: String::new(), top: 0.0, first_top: 0.0, seconds };
        drawing.head();
        drawing
    }

    fn add(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
        self.text.push('\n');
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + seconds / self.seconds * PLOT
    }

    /// Summary, legend, and the marks' labels, in as many rows as they need.
    fn head(&mut self) {
        let all = self.timeline;
        let broke: u64 = all.seconds.iter().map(Second::broke).sum();
        let failed: u64 = all.seconds.iter().map(Second::failed).sum();
        self.add(format_args!(
            "<text class='title' x='{LEFT}' y='24'>{} connections, {:.0} s: {broke} broke, {failed} failed to begin, {} ended well</text>",
            all.plan.connections,
            all.lasted_ms as f64 / 1000.0,
            all.outcomes.get(&Outcome::Ok).copied().unwrap_or_default(),
        ));
        let mut x = LEFT;
        for outcome in Outcome::FAILURES {
            let Some(count) = all.outcomes.get(&outcome) else { continue };
            let label = format!("{outcome} {count}");
            self.add(format_args!(
                "<rect x='{x:.1}' y='36' width='10' height='10' fill='{}'/><text x='{:.1}' y='45'>{label}</text>",
                colour(outcome),
                x + 14.0
            ));
            x += label.chars().count() as f64 * LETTER + 34.0;
        }
        let mut ends: Vec<f64> = Vec::new();
        for mark in &all.marks {
            let wide = mark.label.chars().count() as f64 * LETTER + 12.0;
            let at = self.x(mark.at_ms as f64 / 1000.0);
            // A label that would leave at the right ends at its line instead of beginning there.
            let turned = at + wide > WIDTH;
            let begin = if turned { at - wide } else { at };
            let row = ends.iter().position(|end| *end < begin).unwrap_or(ends.len());
            let end = begin + wide;
            match ends.get_mut(row) {
                Some(last) => *last = end,
                None => ends.push(end),
            }
            let y = 68.0 + row as f64 * LABEL_ROW;
            let (anchor, shift) = if turned { ("end", -4.0) } else { ("start", 4.0) };
            self.add(format_args!(
                "<text class='label' x='{:.1}' y='{y:.0}' text-anchor='{anchor}'>{}</text>",
                at + shift,
                escaped(&mark.label)
            ));
        }
        self.first_top = 76.0 + ends.len() as f64 * LABEL_ROW;
        self.top = self.first_top;
    }

    fn panel(
        &mut self,
        title: &str,
        height: f64,
        value: impl Fn(&Second) -> u64,
        inside: impl Fn(&mut Self, &Panel),
    ) {
        let top = self.top + 20.0;
        let most = rounded_up(self.timeline.seconds.iter().map(value).max().unwrap_or(0));
        let panel = Panel { bottom: top + height, height, most: most as f64 };
        self.add(format_args!("<text class='title' x='{LEFT}' y='{:.1}'>{title}</text>", top - 8.0));
        for quarter in 0..=2 {
            let number = most * quarter / 2;
            let y = panel.bottom - panel.tall(number);
            self.add(format_args!(
                "<line class='grid' x1='{LEFT}' x2='{:.0}' y1='{y:.1}' y2='{y:.1}'/>\
                 <text class='soft' x='{:.0}' y='{:.1}' text-anchor='end'>{number}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0
            ));
        }
        inside(self, &panel);
        self.top = top + height + GAP - 20.0;
    }

    fn area(&mut self, panel: &Panel) {
        let mut points = format!("{LEFT:.1},{:.1}", panel.bottom);
        for second in &self.timeline.seconds {
            let y = panel.bottom - panel.tall(second.open);
            let (from, to) = (self.x(second.at as f64), self.x(second.at as f64 + 1.0));
            let _ = write!(points, " {from:.1},{y:.1} {to:.1},{y:.1}");
        }
        let end = self.x(self.timeline.seconds.len() as f64);
        self.add(format_args!("<polygon class='open' points='{points} {end:.1},{:.1}'/>", panel.bottom));
        for second in self.timeline.seconds.iter().filter(|second| second.silent > 0) {
            let tall = panel.tall(second.silent);
            self.column(
                "class='silent'",
                second.at,
                panel.bottom - tall,
                tall,
                &format!("{} silent", second.silent),
            );
        }
    }

    fn bars(&mut self, panel: &Panel, bad: impl Fn(&Second) -> &Counts, good: impl Fn(&Second) -> u64) {
        for second in &self.timeline.seconds {
            let mut y = panel.bottom;
            for (outcome, count) in bad(second) {
                let tall = panel.tall(*count);
                y -= tall;
                let fill = format!("fill='{}'", colour(*outcome));
                self.column(&fill, second.at, y, tall, &format!("{count} {outcome}"));
            }
            let fine = good(second);
            if fine > 0 {
                let tall = panel.tall(fine);
                self.column("class='fine'", second.at, y - tall, tall, &format!("{fine} established"));
            }
        }
    }

    /// One column with what it says when pointed at.
    fn column(&mut self, look: &str, second: u64, y: f64, tall: f64, says: &str) {
        let (from, to) = (self.x(second as f64), self.x(second as f64 + 1.0));
        let wide = (to - from - 0.6).max(0.6);
        self.add(format_args!(
            "<rect {look} x='{from:.1}' y='{y:.1}' width='{wide:.1}' height='{tall:.1}'><title>{second} s: {says}</title></rect>"
        ));
    }

    fn finished(mut self) -> String {
        let bottom = self.top - GAP + 20.0;
        let step = rounded_up((self.seconds / 12.0).ceil() as u64).max(1);
        let mut at = 0;
        while at as f64 <= self.seconds {
            let x = self.x(at as f64);
            self.add(format_args!(
                "<text class='soft' x='{x:.1}' y='{:.1}' text-anchor='middle'>{at}</text>",
                bottom + 18.0
            ));
            at += step;
        }
        self.add(format_args!(
            "<text class='soft' x='{:.0}' y='{:.1}' text-anchor='end'>seconds since the clients began</text>",
            WIDTH - RIGHT,
            bottom + 36.0
        ));
        for mark in &self.timeline.marks {
            let x = self.x(mark.at_ms as f64 / 1000.0);
            let top = self.first_top - 8.0;
            self.add(format_args!(
                "<line class='mark' x1='{x:.1}' x2='{x:.1}' y1='{top:.1}' y2='{bottom:.1}'><title>{:.1} s: {}</title></line>",
                mark.at_ms as f64 / 1000.0,
                escaped(&mark.label)
            ));
        }
        let height = bottom + 48.0;
        format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH:.0} {height:.0}' width='{WIDTH:.0}' height='{height:.0}' role='img'>\n\
             <title>What happened to the connections</title>\n<style>{STYLE}</style>\n{}</svg>\n",
            self.text
        )
    }
}

/// The next of 1, 2, 5, 10, 20, 50, ... that is not less; even where half of it is shown.
fn rounded_up(value: u64) -> u64 {
    let mut unit = 1;
    loop {
        for times in [1, 2, 5] {
            if unit * times >= value {
                return (unit * times).max(2);
            }
        }
        unit *= 10;
    }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '\'' => safe.push_str("&#39;"),
            '"' => safe.push_str("&quot;"),
            // Not allowed in XML at all.
            control if control.is_control() => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::super::timeline::tests::example;
    use super::*;

    /// Checks that tags close in order and returns how many elements there are.
    fn well_formed(text: &str) -> Result<usize, String> {
        let (mut open, mut elements) = (Vec::new(), 0);
        for part in text.split('<').skip(1) {
            let (tag, rest) = part.split_once('>').ok_or_else(|| format!("no end: {part}"))?;
            if rest.replace("&lt;", "").replace("&gt;", "").replace("&amp;", "").contains(['&', '>']) {
                return Err(format!("bare letter: {rest}"));
            }
            if let Some(name) = tag.strip_prefix('/') {
                if open.pop() != Some(name) {
                    return Err(format!("</{name}> closes nothing"));
                }
                continue;
            }
            if tag.matches('\'').count() % 2 != 0 {
                return Err(format!("odd quotes: {tag}"));
            }
            elements += 1;
            if !tag.ends_with('/') {
                open.push(tag.split_whitespace().next().unwrap_or_default());
            }
        }
        if open.is_empty() { Ok(elements) } else { Err(format!("left open: {open:?}")) }
    }

    #[test]
    fn a_drawing_is_well_formed_and_labels_are_escaped() {
        let mut timeline = example();
        timeline.seconds[3].broken = [(Outcome::Reset, 4)].into();
        timeline.seconds[3].new_failed = [(Outcome::Refused, 4)].into();
        timeline.seconds[4].silent = 7;
        let text = drawn(&timeline);
        assert!(well_formed(&text).unwrap() > 30);
        assert!(text.contains("l4-1 &lt;killed&gt; &amp; gone"));
        for said in ["3 s: 4 reset", "3 s: 4 refused", "4 s: 7 silent"] {
            assert!(text.contains(said), "{said}");
        }
        assert_eq!(text.matches("class='mark'").count(), 2);
    }

    #[test]
    fn a_run_without_a_second_can_be_drawn() {
        let text = drawn(&Timeline::default());
        well_formed(&text).unwrap();
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }

    #[test]
    fn what_is_not_well_formed_is_seen() {
        assert!(well_formed("<a><b></a></b>").is_err());
        assert!(well_formed("<a>").is_err());
        assert!(well_formed("<a>x & y</a>").is_err());
    }

    #[test]
    fn axes_end_at_round_numbers() {
        for (value, end) in [(0, 2), (1, 2), (3, 5), (11, 20), (200, 200), (201, 500)] {
            assert_eq!(rounded_up(value), end);
        }
    }
}
