//! dnsperf: DNS-OARC's generator, known to whoever measures DNS servers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::super::contender::{OTHER_CORE, pinned};
use crate::install::{Unpacked, unpacked};

/// dnsperf, ready to run.
pub(in crate::bench) struct Dnsperf(Unpacked);

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(in crate::bench) struct Run {
    /// Answers.
    pub(in crate::bench) completed: u64,
    /// Queries without one.
    pub(in crate::bench) lost: u64,
    /// How long it took.
    pub(in crate::bench) seconds: f64,
    /// Answers by response code.
    pub(in crate::bench) codes: BTreeMap<String, u64>,
}

impl Dnsperf {
    pub(in crate::bench) fn new() -> Result<Self> {
        let programs = unpacked(&[("dnsperf", "dnsperf")])?;
        Ok(Self(programs.into_iter().next().context("one program was asked for")?))
    }

    /// Asks these again and again for this long, as fast as answers come: four sockets, 200 queries on their way.
    pub(in crate::bench) fn run(
        &self,
        server: SocketAddr,
        queries: &Path,
        duration: Duration,
    ) -> Result<Run> {
        self.paced(server, queries, duration, &["-q", "200"])
    }

    /// The same with other limits.
    pub(in crate::bench) fn paced(
        &self,
        server: SocketAddr,
        queries: &Path,
        duration: Duration,
        limits: &[&str],
    ) -> Result<Run> {
        let mut command = pinned(OTHER_CORE, &self.0.program);
        command.args(["-s", &server.ip().to_string(), "-p", &server.port().to_string()]);
        command.args(["-c", "4", "-T", "1", "-l", &duration.as_secs().to_string()]).args(limits);
        command.arg("-d").arg(queries);
        self.0.put_into(&mut command);
        let output = command.output().context("cannot run dnsperf")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            bail!("dnsperf ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Run::read(&text).with_context(|| format!("dnsperf prints\n{text}"))
    }
}

impl Run {
    /// What dnsperf prints at its end.
    fn read(text: &str) -> Option<Self> {
        let line = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim);
        let number = |name: &str| line(name)?.split_ascii_whitespace().next()?.parse().ok();
        // `NOERROR 1234 (99.00%), NXDOMAIN 12 (1.00%)`
        let codes = line("Response codes:")?
            .split(", ")
            .filter_map(|part| {
                let mut words = part.split_ascii_whitespace();
                Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
            })
            .collect();
        Some(Self {
            completed: number("Queries completed:")?,
            lost: number("Queries lost:")?,
            seconds: line("Run time (s):")?.parse().ok()?,
            codes,
        })
    }

    /// How many answers had this code.
    pub(in crate::bench) fn code(&self, code: &str) -> u64 {
        self.codes.get(code).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dnsperf_prints_is_read() {
        let text = "\
[Status] Command line: dnsperf -s 127.0.0.1
Statistics:

  Queries sent:         1400
  Queries completed:    1390 (99.29%)
  Queries lost:         10 (0.71%)

  Response codes:       NOERROR 1234 (88.78%), NXDOMAIN 156 (11.22%)
  Average packet size:  request 33, response 65
  Run time (s):         2.000123
  Queries per second:   695.000000
";
        let run = Run::read(text).unwrap();
        assert_eq!((run.completed, run.lost, run.seconds), (1390, 10, 2.000_123));
        assert_eq!((run.code("NOERROR"), run.code("NXDOMAIN"), run.code("SERVFAIL")), (1234, 156, 0));
        assert_eq!(Run::read("nothing"), None);
    }
}
