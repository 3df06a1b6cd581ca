//! Text to sections, with one error for each field that is wrong.
//!
//! A reader made by serde stops at its first error. So it is asked again: what it complained of is reported
//! and taken out of the tree, and the rest is read anew, until nothing is left to complain of. What remains is
//! a fleet without the wrong parts; the rules between fields are checked on that.

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::fault::{Faults, nearest, one_of};
use super::source::{Pruned, Source, at};
use super::{Fleet, VERSION};

/// The fleet and its places, or `None` where there are faults after which nothing can be said about the rest.
pub(super) fn read<'t>(text: &'t str, faults: &mut Faults<'_>) -> Option<(Fleet, Source<'t>)> {
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        faults.add(error.span().unwrap_or_default(), sentence(error.message()));
    }
    if !errors.is_empty() {
        return None;
    }
    let mut source = Source::new(table);
    if !check_version(&source, faults) {
        return None;
    }
    let mut taken_out: Vec<(Pruned, Option<String>)> = Vec::new();
    loop {
        let error = match Fleet::deserialize(ValueDeserializer::from(source.root())) {
            Ok(fleet) => return Some((fleet, source)),
            Err(error) => error,
        };
        let span = error.span().unwrap_or_default();
        let message = error.message();
        // What a table lacks because it was wrong, or its name was, has been reported.
        let consequence = taken_out.iter().any(|(Pruned { parent, name }, meant)| {
            let is_lack = |lack: &str| name.as_deref() == Some(lack) || meant.as_deref() == Some(lack);
            *parent == span && quoted(message, "missing field ").is_none_or(is_lack)
        });
        if !consequence {
            faults.add(span.clone(), sentence(message));
        }
        if faults.is_full() {
            return None;
        }
        let meant = unknown(message, "unknown field ").and_then(|unknown| unknown.meant());
        taken_out.push((source.prune(&span)?, meant));
    }
}

/// The version comes first: what another version means by its fields is not known here.
fn check_version(source: &Source<'_>, faults: &mut Faults<'_>) -> bool {
    let path = at!["version"];
    let message = match source.get(path).map(|value| value.get_ref()) {
        Some(DeValue::Integer(number))
            if i64::from_str_radix(number.as_str(), number.radix())
                .is_ok_and(|n| n == i64::from(VERSION)) =>
        {
            return true;
        }
        Some(DeValue::Integer(number)) => format!(
            "version {number} is not known: this program reads version {VERSION}; \
             a newer file needs a newer weir"
        ),
        Some(_) => format!("the version is a number: write `version = {VERSION}`"),
        None => format!("the file does not say its version: begin it with `version = {VERSION}`"),
    };
    let place = if source.has(path) { source.value(path) } else { 0..0 };
    faults.add(place, message);
    false
}

/// A name that is not known, and those that would be.
struct Unknown<'m> {
    name: &'m str,
    known: Vec<&'m str>,
}

impl Unknown<'_> {
    fn meant(&self) -> Option<String> {
        nearest(self.name, self.known.iter().copied()).map(str::to_owned)
    }

    fn sentence(&self, what: &str) -> String {
        let Self { name, known } = self;
        match self.meant() {
            Some(near) => format!("unknown {what} `{name}`: did you mean `{near}`?"),
            None if known.is_empty() => format!("unknown {what} `{name}`; there are no {what}s here"),
            None => {
                format!("unknown {what} `{name}`; the {what}s here are {}", one_of(known.iter().copied()))
            }
        }
    }
}

/// serde's "unknown field `a`, expected one of `b`, `c`".
fn unknown<'m>(message: &'m str, start: &str) -> Option<Unknown<'m>> {
    let name = quoted(message, start)?;
    let list = message.split_once("`, ").map_or("", |(_, list)| list);
    Some(Unknown { name, known: list.split('`').skip(1).step_by(2).collect() })
}

/// What a reader says, in the words of an operator.
fn sentence(message: &str) -> String {
    if let Some(field) = unknown(message, "unknown field ") {
        return field.sentence("field");
    }
    if let Some(word) = unknown(message, "unknown variant ") {
        return word.sentence("word");
    }
    if message == "duplicate key" {
        return "the same name a second time".to_owned();
    }
    if let Some(name) = quoted(message, "missing field ") {
        return format!("`{name}` is missing");
    }
    if let Some((found, expected)) =
        message.strip_prefix("invalid type: ").and_then(|m| m.split_once(", expected "))
    {
        let expected = match expected {
            "a map" => "a table",
            "a sequence" => "a list `[...]`",
            "a boolean" => "`true` or `false`",
            "i64" => "a whole number",
            "a string" => "text in quotes",
            // A word out of a list; no such list here has words that are tables.
            "string or table" => "text in quotes",
            other if other.starts_with("struct ") => "a table",
            other => other,
        };
        let found = match found.split_once(' ') {
            _ if found == "map" => "a table".to_owned(),
            _ if found == "sequence" => "a list".to_owned(),
            Some(("string", text)) => format!("the text {text}"),
            Some((kind, value)) => format!("the {kind} {value}"),
            None => found.to_owned(),
        };
        return format!("expected {expected}, found {found}");
    }
    message.lines().collect::<Vec<_>>().join(", ")
}

/// The name in backticks that follows `start`.
fn quoted<'m>(message: &'m str, start: &str) -> Option<&'m str> {
    message.strip_prefix(start)?.strip_prefix('`')?.split('`').next()
}
