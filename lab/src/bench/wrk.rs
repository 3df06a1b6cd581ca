//! wrk: a closed-loop generator that saturates, written in C, known to whoever measures proxies.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::install::Unpacked;

/// wrk's own output rounds and leaves out p99.9; its script interface gives the numbers.
const SCRIPT: &str = r#"done = function(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nresult {"requests":%d,"micros":%d,"p50":%d,"p99":%d,"p999":%d,"failed":%d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

/// wrk, ready to run.
pub(super) struct Wrk {
    wrk: Unpacked,
    script: PathBuf,
    core: usize,
}

/// One run. Times in microseconds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Run {
    /// Answers.
    pub(super) requests: u64,
    /// How long it took.
    pub(super) micros: u64,
    /// Half of the answers came within this.
    pub(super) p50: u64,
    /// 99 of 100.
    pub(super) p99: u64,
    /// 999 of 1000.
    pub(super) p999: u64,
    /// Errors and statuses of 400 or more.
    pub(super) failed: u64,
}

impl Wrk {
    /// Puts the script into `folder`; runs will be pinned to `core`.
    pub(super) fn new(wrk: Unpacked, folder: &Path, core: usize) -> Result<Self> {
        let script = folder.join("report.lua");
        std::fs::write(&script, SCRIPT)?;
        Ok(Self { wrk, script, core })
    }

    /// Saturates `address` over this many connections for this long.
    pub(super) fn run(&self, address: SocketAddr, connections: u32, duration: Duration) -> Result<Run> {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.core.to_string()]).arg(&self.wrk.program);
        command.args([
            "-t1",
            &format!("-c{connections}"),
            &format!("-d{}s", duration.as_secs().max(1)),
            "-s",
        ]);
        command.arg(&self.script).arg(format!("http://{address}/plain"));
        self.wrk.put_into(&mut command);
        let output = command.output().context("cannot start wrk")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let run =
            read(&text).with_context(|| format!("wrk: {text}{}", String::from_utf8_lossy(&output.stderr)))?;
        ensure!(run.requests > 0, "wrk got no answer from {address}: {text}");
        Ok(run)
    }
}

fn read(text: &str) -> Result<Run> {
    let line = text.lines().find_map(|line| line.strip_prefix("result ")).context("no result")?;
    Ok(serde_json::from_str(line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_the_script_is_found_among_what_wrk_prints() {
        let text = "Running 1s test\n\nresult {\"requests\":5,\"micros\":1000,\"p50\":1,\"p99\":2,\"p999\":3,\"failed\":0}\n";
        assert_eq!(read(text).unwrap().requests, 5);
        assert!(read("unable to connect").is_err());
    }
}
