//! Rules of labels, wherever they stand.

use std::collections::BTreeMap;

use super::Rules;
use crate::config::source::Step;
use crate::config::{MAX_LABEL_BYTES, MAX_LABELS};

/// `whose` is what has them: "a server".
pub(super) fn check(
    path: &[Step<'_>],
    labels: &BTreeMap<String, String>,
    whose: &str,
    rules: &mut Rules<'_, '_, '_>,
) {
    let count = labels.len();
    if count > MAX_LABELS {
        rules.key(path, format!("{count} labels: {whose} has at most {MAX_LABELS}"));
    }
    for (label, value) in labels {
        let label_path: Vec<Step<'_>> = path.iter().copied().chain([Step::from(label.as_str())]).collect();
        if label.is_empty() {
            rules.key(&label_path, "a label has a name".to_owned());
        }
        if label.len().max(value.len()) > MAX_LABEL_BYTES {
            let message = format!("a label's name and value have at most {MAX_LABEL_BYTES} bytes each");
            rules.key(&label_path, message);
        }
    }
}
