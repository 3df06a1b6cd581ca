//! The worked examples of the book are plugins of this checkout: what it prints is what is here.

use std::fs;
use std::path::Path;

/// Blocks of the page that a line `<!-- from FILE -->` stands before, with the name of that file.
fn quotes(page: &str) -> Vec<(&str, &str)> {
    let mut quotes = Vec::new();
    for part in page.split("<!-- from ").skip(1) {
        let (file, rest) = part.split_once(" -->\n```").expect("a quote is followed by its block");
        let (_language, rest) = rest.split_once('\n').expect("a block has a first line");
        let (block, _) = rest.split_once("\n```\n").expect("a block has an end");
        quotes.push((file, block));
    }
    quotes
}

#[test]
fn every_quote_in_the_book_is_in_the_file_that_it_names() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for page in ["writing-a-scheduler.md", "writing-a-judge.md", "writing-a-chooser.md"] {
        let text = fs::read_to_string(root.join("docs/src").join(page)).unwrap();
        let quotes = quotes(&text);
        assert!(quotes.len() >= 4, "{page} quotes {} times", quotes.len());
        for (file, block) in quotes {
            let text = fs::read_to_string(root.join(file)).unwrap();
            assert!(text.contains(block), "not in {file}, but in {page}:\n{block}");
        }
    }
}
