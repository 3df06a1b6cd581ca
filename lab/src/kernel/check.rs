//! Whether the kernel and the fabric do what the lab builds on, tried.

use std::path::Path;

use anyhow::Result;

use crate::fabric::Fabric;
use crate::inside::{Job, Orders};
use crate::kernel::{self, Kernel, Wish};
use crate::say;

/// `cargo lab kernel`.
pub(crate) fn run(kernel: Option<Kernel>) -> Result<()> {
    let wish =
        Wish { kernel, memory: 1024, limit: std::time::Duration::from_secs(60), ..Wish::named("kernel") };
    kernel::start(&wish, Job::Check)?.follow(|line| say::line(format!("  {line}")))?;
    Ok(())
}

/// The part that runs inside.
pub(crate) fn inside(out: &Path, _orders: &Orders) -> Result<()> {
    let fabric = Fabric::new(out)?;
    fabric.add_nodes(&["a".to_owned(), "b".to_owned(), "c".to_owned()])?;
    println!("nodes {:?}", fabric.names());
    Ok(())
}
