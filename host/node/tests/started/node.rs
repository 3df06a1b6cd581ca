//! A node that a test starts.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// It ends with the test, however that ends.
pub(crate) struct Node(Child);

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Node {
    /// Starts the node `here` of this fleet file and waits until it is ready. What it said by then; as an error where it ended.
    pub(crate) fn start(fleet: &Path) -> Result<(Self, String), String> {
        let mut weir = Command::new(env!("CARGO_BIN_EXE_weir"));
        weir.env_clear().args(["run", "--node", "here", "--fleet"]).arg(fleet).stderr(Stdio::piped());
        let mut node = Self(weir.spawn().unwrap());
        let mut said = String::new();
        for line in BufReader::new(node.0.stderr.take().unwrap()).lines().map_while(Result::ok) {
            said.push_str(&line);
            said.push('\n');
            if line.contains(" ready ") {
                return Ok((node, said));
            }
        }
        Err(said)
    }
}
