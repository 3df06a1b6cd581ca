//! Where in the text a value stands.
//!
//! The sections are plain values without places in them, so that whoever uses a [`super::Fleet`] need not know
//! that it came from a text. A rule that finds a fault names the value by its path, and this module knows where
//! that path was written. The tree is the very one that the sections were read from, so that the two agree.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

/// A step from a value to one within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step<'p> {
    /// A field of a table.
    Field(&'p str),
    /// An element of a list.
    Element(usize),
}

impl<'p> From<&'p str> for Step<'p> {
    fn from(name: &'p str) -> Self {
        Self::Field(name)
    }
}

impl From<usize> for Step<'_> {
    fn from(index: usize) -> Self {
        Self::Element(index)
    }
}

/// A path of fields and elements, from the top of the file: `at!["pools", name, "servers", 3]`.
macro_rules! at {
    ($($step:expr),* $(,)?) => { &[$($crate::config::source::Step::from($step)),*][..] };
}
pub(super) use at;

/// The file as a tree with places.
pub(super) struct Source<'t> {
    root: Spanned<DeValue<'t>>,
    /// The names in each section, as they were in the file.
    names: BTreeMap<String, BTreeSet<String>>,
    /// The places of tables and lists from which something was taken out.
    thinned: Vec<Range<usize>>,
}

impl<'t> Source<'t> {
    pub(super) fn new(table: Spanned<DeTable<'t>>) -> Self {
        let names = |value: &DeValue<'_>| {
            value.as_table().into_iter().flat_map(|t| t.keys()).map(|key| key.get_ref().to_string()).collect()
        };
        let sections = table.get_ref().iter();
        let names =
            sections.map(|(key, value)| (key.get_ref().to_string(), names(value.get_ref()))).collect();
        let span = table.span();
        Self { root: Spanned::new(span, DeValue::Table(table.into_inner())), names, thinned: Vec::new() }
    }

    /// The tree, to read sections from.
    pub(super) fn root(&self) -> Spanned<DeValue<'t>> {
        self.root.clone()
    }

    /// Where the value of `path` stands; where it is not written, the nearest value around it that is.
    pub(super) fn value(&self, path: &[Step<'_>]) -> Range<usize> {
        let mut here = &self.root;
        for step in path {
            match child(here, *step) {
                Some((_, value)) => here = value,
                None => break,
            }
        }
        here.span()
    }

    /// Where the last name of `path` stands. Else as [`Source::value`].
    pub(super) fn key(&self, path: &[Step<'_>]) -> Range<usize> {
        let Some((last, parents)) = path.split_last() else { return self.root.span() };
        let parent = self.get(parents);
        match parent.and_then(|parent| child(parent, *last)) {
            Some((Some(key), _)) => key,
            _ => self.value(path),
        }
    }

    /// Whether `path` is written in the file.
    pub(super) fn has(&self, path: &[Step<'_>]) -> bool {
        self.get(path).is_some()
    }

    /// The names in a section, those too that were taken out since they were wrong: they exist.
    pub(super) fn names(&self, section: &str) -> impl Iterator<Item = &str> {
        self.names.get(section).into_iter().flatten().map(String::as_str)
    }

    /// Whether a section has this name.
    pub(super) fn has_name(&self, section: &str, name: &str) -> bool {
        self.names.get(section).is_some_and(|names| names.contains(name))
    }

    /// Whether something was taken out of the table or list at `path`, so that what it lacks may be a consequence.
    pub(super) fn is_thinned(&self, path: &[Step<'_>]) -> bool {
        self.get(path).is_some_and(|value| self.thinned.contains(&value.span()))
    }

    /// The value at `path`.
    pub(super) fn get(&self, path: &[Step<'_>]) -> Option<&Spanned<DeValue<'t>>> {
        path.iter().try_fold(&self.root, |here, step| child(here, *step).map(|(_, value)| value))
    }

    /// Takes out the part that a reader's error at `span` is about, so that the rest can be read; says what it was.
    /// `None`: it is the whole file.
    ///
    /// The places of tables do not nest (a table's place is its header), so the part is the deepest one with just
    /// this place, else the smallest one around it.
    pub(super) fn prune(&mut self, span: &Range<usize>) -> Option<Pruned> {
        let pruned = cut(&mut self.root, &|place| place == span)
            .or_else(|| cut(&mut self.root, &|place| place.start <= span.start && span.end <= place.end))?;
        self.thinned.push(pruned.parent.clone());
        Some(pruned)
    }
}

/// A part that was taken out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pruned {
    /// The place of the table or list that it was in.
    pub(super) parent: Range<usize>,
    /// Its name, if it was a field.
    pub(super) name: Option<String>,
}

fn cut(value: &mut Spanned<DeValue<'_>>, is_meant: &dyn Fn(&Range<usize>) -> bool) -> Option<Pruned> {
    let parent = value.span();
    match value.get_mut() {
        DeValue::Table(table) => {
            if let Some(pruned) = table.iter_mut().find_map(|(_, value)| cut(value, is_meant)) {
                return Some(pruned);
            }
            let meant = table.iter().find(|(key, value)| is_meant(&key.span()) || is_meant(&value.span()));
            let name = meant.map(|(key, _)| key.get_ref().clone().into_owned())?;
            table.remove(name.as_str());
            Some(Pruned { parent, name: Some(name) })
        }
        DeValue::Array(array) => {
            if let Some(pruned) = array.iter_mut().find_map(|value| cut(value, is_meant)) {
                return Some(pruned);
            }
            let meant = array.iter().position(|value| is_meant(&value.span()))?;
            let others = array.iter().enumerate().filter(|(i, _)| *i != meant);
            *array = others.map(|(_, value)| value.clone()).collect();
            Some(Pruned { parent, name: None })
        }
        _ => None,
    }
}

type Child<'a, 't> = (Option<Range<usize>>, &'a Spanned<DeValue<'t>>);

fn child<'a, 't>(value: &'a Spanned<DeValue<'t>>, step: Step<'_>) -> Option<Child<'a, 't>> {
    match (value.get_ref(), step) {
        (DeValue::Table(table), Step::Field(name)) => {
            table.get_key_value(name).map(|(key, value)| (Some(key.span()), value))
        }
        (DeValue::Array(array), Step::Element(index)) => array.get(index).map(|value| (None, value)),
        _ => None,
    }
}
