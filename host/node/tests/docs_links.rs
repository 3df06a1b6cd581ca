//! Every link of the book leads somewhere: to a page that is in the summary, to a heading that is on it, to a file of the checkout.

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

/// Files that the book names in code spans, as `host/core/src/pool.rs`: a page that speaks of a file which was renamed is wrong.
#[test]
fn every_file_that_the_book_names_is_there() {
    const FOLDERS: [&str; 6] = ["host/", "lab/", "plugins/", "wit/", "docs/", ".ci/"];
    let root = root();
    let mut missing = Vec::new();
    for page in pages(&root.join("docs/src")) {
        let text = fs::read_to_string(&page).unwrap();
        for (number, line) in prose(&text) {
            let spans = line.split('`').skip(1).step_by(2);
            for span in spans.filter(|span| FOLDERS.iter().any(|folder| span.starts_with(folder))) {
                let is_path = !span.contains([' ', '*', '{', '<']) && !span.chars().any(char::is_uppercase);
                // `file.rs::test` names something in a file.
                let (file, within) = span.split_once("::").unwrap_or((span, ""));
                let there = fs::read_to_string(root.join(file)).is_ok_and(|text| text.contains(within))
                    || (within.is_empty() && root.join(file).is_dir());
                if is_path && !there {
                    missing.push(format!("{}:{number}: {span}", page.display()));
                }
            }
        }
    }
    assert!(missing.is_empty(), "not there:\n{}", missing.join("\n"));
}
