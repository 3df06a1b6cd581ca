//! Encodes the type of each world of `wit/` into a file, to be put into the plugins that export it.
//!
//! A module says which world it is of by a custom section. `wit-bindgen` writes one only for the world that it was run
//! for, and it can be run for one world in each crate; the bindings of this crate are of all worlds together.

use std::{env, error::Error, fs, path::Path};

use wit_component::{StringEncoding, metadata};
use wit_parser::Resolve;

const WORLDS: [&str; 4] = ["scheduler", "scheduler-with-feedback", "agent-check", "dns-answers"];

fn main() -> Result<(), Box<dyn Error>> {
    let wit = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../wit");
    println!("cargo::rerun-if-changed={}", wit.display());
    let out = env::var("OUT_DIR")?;
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(&wit)?;
    for name in WORLDS {
        let world = resolve.select_world(&[package], Some(name))?;
        let section = metadata::encode(&resolve, world, StringEncoding::UTF8, None)?;
        fs::write(Path::new(&out).join(format!("{name}.bin")), section)?;
    }
    Ok(())
}
