//! Writes the C bindings of the world `scheduler` into this folder: `cargo run -p round-robin-c-bindings`.
//!
//! They are checked in so that a C author can read them, and so that building the plugin takes a C compiler and nothing
//! else. The test below says when `wit/` has moved on without them.

use std::path::Path;

use anyhow::{Context, Result};
use wit_bindgen_c::Opts;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

const FOLDER: &str = env!("CARGO_MANIFEST_DIR");

fn main() -> Result<()> {
    for (name, bytes) in bindings()?.iter() {
        let file = Path::new(FOLDER).join(name);
        std::fs::write(&file, bytes).with_context(|| format!("cannot write {}", file.display()))?;
        println!("{name}: {} bytes", bytes.len());
    }
    Ok(())
}

/// Header, source and the object with the type of the world, by file name.
fn bindings() -> Result<Files> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(FOLDER).join("../../../wit"))?;
    let world = resolve.select_world(&[package], Some("scheduler"))?;
    let mut files = Files::default();
    Opts::default().build().generate(&mut resolve, world, &mut files)?;
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checked_in_bindings_are_those_of_the_contract() {
        for (name, bytes) in bindings().unwrap().iter() {
            let file = Path::new(FOLDER).join(name);
            let same = std::fs::read(&file).is_ok_and(|old| old == bytes);
            assert!(same, "{name} is not what wit/ says; run: cargo run -p round-robin-c-bindings");
        }
    }
}
