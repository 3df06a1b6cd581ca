//! Every link of the book leads somewhere: to a page that is in the summary, to a heading that is on it, to a file of the checkout.

#![allow(clippy::unwrap_used, reason = "a test ends where something is missing")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    tidy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

/// Without `.` and `..`, which need not exist on disk for that.
fn tidy(path: &Path) -> PathBuf {
    let mut tidy = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(tidy.pop()),
            Component::CurDir => {}
            part => tidy.push(part),
        }
    }
    tidy
}

/// Every page below a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages.extend(self::pages(&path));
        } else if path.extension().is_some_and(|kind| kind == "md") {
            pages.push(path);
        }
    }
    pages.sort();
    pages
}

/// Lines outside of code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// Targets of `[text](target)` in a line, code spans left out.
fn links(line: &str) -> Vec<String> {
    let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("");
    let targets = outside.split("](").skip(1);
    targets.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned()).collect()
}

/// The anchor that mdBook gives a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| anchor(line.trim_start_matches('#'))).collect()
}

#[test]
fn every_link_leads_to_a_page_or_file_and_every_anchor_to_a_heading() {
    let book = root().join("docs/src");
    let texts: BTreeMap<PathBuf, String> =
        pages(&book).into_iter().map(|page| (page.clone(), fs::read_to_string(page).unwrap())).collect();
    let mut broken = Vec::new();
    for (page, text) in &texts {
        for (number, line) in prose(text) {
            for link in links(line).into_iter().filter(|link| !link.contains("://")) {
                let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
                let target = if path.is_empty() { page.clone() } else { tidy(&page.with_file_name(path)) };
                let there = match texts.get(&target) {
                    Some(other) => anchor.is_empty() || anchors(other).contains(anchor),
                    None => target.exists() && anchor.is_empty(),
                };
                if !there {
                    let page = page.strip_prefix(&book).unwrap_or(page);
                    broken.push(format!("docs/src/{}:{number}: {link}", page.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{} broken links:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn every_page_is_in_the_summary() {
    let book = root().join("docs/src");
    let summary = fs::read_to_string(book.join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<PathBuf> =
        prose(&summary).flat_map(|(_, line)| links(line)).map(|link| tidy(&book.join(link))).collect();
    let there: BTreeSet<PathBuf> =
        pages(&book).into_iter().filter(|page| !page.ends_with("SUMMARY.md")).collect();
    assert_eq!(listed, there);
}

/// Where the book names files of the checkout: code spans (`host/core/src/pool.rs`, `host/core/src/pool.rs::a_test`) and the
/// sources beside the boxes of its pictures. Each with the line that it stands in.
fn named_files(text: &str) -> Vec<(usize, &str)> {
    let spans = prose(text)
        .flat_map(|(number, line)| line.split('`').skip(1).step_by(2).map(move |span| (number, span)));
    let sources = (1..).zip(text.lines()).flat_map(|(number, line)| {
        let words = line.split([' ', ',']).filter(|word| word.ends_with(".rs"));
        words.map(move |word| (number, word))
    });
    const FOLDERS: [&str; 6] = ["host/", "lab/", "plugins/", "wit/", "docs/", ".ci/"];
    let named =
        spans.chain(sources).filter(|(_, name)| FOLDERS.iter().any(|folder| name.starts_with(folder)));
    named.filter(|(_, name)| !name.contains([' ', '*', '{', '<'])).collect()
}

/// A page that speaks of a file or a test that was renamed is wrong, and nobody would notice.
#[test]
fn every_file_and_every_test_that_the_book_names_is_there() {
    let root = root();
    let mut missing = Vec::new();
    for page in pages(&root.join("docs/src")) {
        let text = fs::read_to_string(&page).unwrap();
        for (number, name) in named_files(&text) {
            let (file, test) = name.split_once("::").unwrap_or((name, ""));
            let path = root.join(file);
            let there = match test {
                "" => path.exists(),
                test => fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("fn {test}("))),
            };
            if !there {
                missing.push(format!("{}:{number}: {name}", page.display()));
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}
