//! Placeholder until the guests are there.
fn main() {}
