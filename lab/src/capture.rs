//! `cargo lab capture NODE`: the packets of a node of a lab that runs in another terminal, as a file.

use anyhow::{Result, bail};

use crate::kernel::control::{Answer, Visit, visit};
use crate::{paths, say};

/// Traces all interfaces of the node for so many seconds and says where the file is.
pub(crate) fn run(node: &str, seconds: u64, run: Option<&str>) -> Result<()> {
    say::line(format!("  capture   all interfaces of {node} for {seconds} s"));
    let visitor = visit(run, &Visit::Capture { node: node.to_owned(), seconds })?;
    let Answer::File(file) = visitor.answer else {
        bail!("the run answers something else: {:?}", visitor.answer)
    };
    println!("{}", paths::short(&visitor.out.join(file)));
    Ok(())
}
