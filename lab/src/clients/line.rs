//! Lines between the clients and who drives them: JSON out, words in.

use serde::{Deserialize, Serialize};

use super::timeline::{Mark, Second};

/// A line that the clients print.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    /// First: so many connections begin.
    Started(usize),
    /// A second is over.
    Second(Second),
    /// A mark was taken.
    Marked(Mark),
    /// Last: the run lasted so many milliseconds. The time line is written.
    Ended(u64),
}

/// A line that the clients take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    /// Set a mark.
    Mark(String),
    /// End.
    Stop,
}

impl Order {
    /// `mark LABEL` or `stop`; `None` for anything else.
    pub(super) fn read(line: &str) -> Option<Self> {
        match line.trim().split_once(' ').unwrap_or((line.trim(), "")) {
            ("mark", label) if !label.trim().is_empty() => Some(Self::Mark(label.trim().to_owned())),
            ("stop", "") => Some(Self::Stop),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_are_words() {
        assert_eq!(Order::read("mark kill l4-1\n"), Some(Order::Mark("kill l4-1".into())));
        assert_eq!(Order::read("stop\n"), Some(Order::Stop));
        for other in ["", "mark", "mark ", "stop now", "go"] {
            assert_eq!(Order::read(other), None, "{other}");
        }
    }

    #[test]
    fn a_second_is_one_line() {
        let text = serde_json::to_string(&Line::Second(Second::default())).unwrap();
        assert!(text.starts_with(r#"{"second":{"at":0,"#) && !text.contains('\n'), "{text}");
    }
}
