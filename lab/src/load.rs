//! The load generator. Open loop: requests are due at a constant rate whatever the answers do, and a latency counts
//! from when the request was *due*. A proxy that stalls for 100 ms shows it in every request that fell due meanwhile;
//! a generator that waits for answers before it asks again would hide it ("coordinated omission").

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Barrier, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use hdrhistogram::Histogram;

use crate::http::{self, Connection, Failure};

/// Latencies up to a minute, microseconds, three digits.
const LONGEST: u64 = 60_000_000;
/// Different values of `x-user`, so that a policy with a key has something to tell apart.
const USERS: u64 = 97;

/// What to send.
#[derive(Debug, Clone)]
pub(crate) struct Load {
    /// Where to.
    pub(crate) address: SocketAddr,
    /// The path of every request.
    pub(crate) path: String,
    /// When requests are due.
    pub(crate) pace: Pace,
    /// Keep-alive connections, a thread each.
    pub(crate) connections: u32,
}

/// When requests are due.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// This many each second, all connections together.
    Rate(f64),
    /// Each connection asks as soon as it has its answer: finds saturation, says nothing of latency.
    Saturate,
    /// As `Saturate`, and over after this many.
    Count(u64),
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Report {
    /// Requests that were due.
    pub(crate) sent: u64,
    /// How long it took.
    pub(crate) elapsed: Duration,
    /// Failed requests by cause. A status of 500 or more is a failure.
    pub(crate) failures: BTreeMap<Failure, u64>,
    /// Requests sent a second time, as every client does, because a kept connection was closed before any byte of
    /// an answer. Not failures.
    pub(crate) resent: u64,
    /// Answers by the server that gave them.
    pub(crate) by_server: BTreeMap<String, u64>,
    /// From due to answered, microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Report {
    fn new() -> Result<Self> {
        let latency = Histogram::new_with_bounds(1, LONGEST, 3)?;
        Ok(Self {
            sent: 0,
            elapsed: Duration::ZERO,
            failures: BTreeMap::new(),
            resent: 0,
            by_server: BTreeMap::new(),
            latency,
        })
    }

    fn absorb(&mut self, other: Self) -> Result<()> {
        self.sent += other.sent;
        self.resent += other.resent;
        self.elapsed = self.elapsed.max(other.elapsed);
        for (failure, count) in other.failures {
            *self.failures.entry(failure).or_default() += count;
        }
        for (server, count) in other.by_server {
            *self.by_server.entry(server).or_default() += count;
        }
        self.latency.add(other.latency)?;
        Ok(())
    }

    /// Requests that got no answer, or one that blames the server.
    pub(crate) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Requests each second, failed ones too.
    pub(crate) fn rate(&self) -> f64 {
        self.sent as f64 / self.elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The latency below which this share of the requests stayed, milliseconds.
    pub(crate) fn quantile_millis(&self, share: f64) -> f64 {
        self.latency.value_at_quantile(share) as f64 / 1000.0
    }

    /// One line for people.
    pub(crate) fn summary(&self) -> String {
        let failures: Vec<String> =
            self.failures.iter().map(|(failure, count)| format!("{failure}: {count}")).collect();
        format!(
            "{} requests, {:.0}/s, {} failed{}{}, p50 {:.2} ms, p99 {:.2} ms",
            self.sent,
            self.rate(),
            self.failed(),
            if failures.is_empty() { String::new() } else { format!(" ({})", failures.join(", ")) },
            if self.resent == 0 { String::new() } else { format!(", {} resent", self.resent) },
            self.quantile_millis(0.5),
            self.quantile_millis(0.99),
        )
    }

    /// The report as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        let failures: BTreeMap<String, u64> =
            self.failures.iter().map(|(failure, count)| (failure.to_string(), *count)).collect();
        serde_json::json!({
            "sent": self.sent, "rate": self.rate(), "failed": self.failed(), "failures": failures,
            "resent": self.resent, "by_server": self.by_server,
            "p50_ms": self.quantile_millis(0.5), "p99_ms": self.quantile_millis(0.99),
            "p999_ms": self.quantile_millis(0.999), "max_ms": self.latency.max() as f64 / 1000.0,
        })
    }
}

/// A load that runs until it is stopped.
pub(crate) struct Running {
    threads: Vec<JoinHandle<Result<Report>>>,
    plan: Arc<Plan>,
}

struct Plan {
    load: Load,
    next: AtomicU64,
    stop: AtomicBool,
    /// Set by the first thread once all are connected: nobody's request is due before.
    start: OnceLock<Instant>,
    together: Barrier,
}

impl Load {
    /// Starts; the caller goes on doing what the load is to survive.
    pub(crate) fn start(self) -> Running {
        let connections = self.connections.max(1);
        let plan = Arc::new(Plan {
            next: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            start: OnceLock::new(),
            together: Barrier::new(connections as usize),
            load: self,
        });
        let threads = (0..connections)
            .map(|_| {
                let plan = Arc::clone(&plan);
                std::thread::spawn(move || plan.run())
            })
            .collect();
        Running { threads, plan }
    }

    /// Runs for this long.
    pub(crate) fn run_for(self, duration: Duration) -> Result<Report> {
        let running = self.start();
        std::thread::sleep(duration);
        running.stop()
    }
}

impl Running {
    /// Ends the load after the requests that are due, and says what came of it.
    pub(crate) fn stop(self) -> Result<Report> {
        self.plan.stop.store(true, Ordering::Relaxed);
        self.join()
    }

    /// Waits until a counted load is through.
    pub(crate) fn join(self) -> Result<Report> {
        let mut report = Report::new()?;
        for thread in self.threads {
            report.absorb(thread.join().map_err(|_| anyhow!("a thread of the load generator panicked"))??)?;
        }
        Ok(report)
    }
}

impl Plan {
    fn run(&self) -> Result<Report> {
        let mut report = Report::new()?;
        let mut connection = Connection::tcp(self.load.address).ok();
        self.together.wait();
        let start = *self.start.get_or_init(Instant::now);
        while !self.stop.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = match self.load.pace {
                Pace::Rate(rate) => start + Duration::from_secs_f64(number as f64 / rate),
                Pace::Count(count) if number >= count => break,
                Pace::Saturate | Pace::Count(_) => Instant::now(),
            };
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            report.sent += 1;
            self.one(number, &mut connection, &mut report);
            let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(LONGEST);
            report.latency.saturating_record(micros.clamp(1, LONGEST));
        }
        report.elapsed = start.elapsed();
        Ok(report)
    }

    fn one(&self, number: u64, connection: &mut Option<Connection<TcpStream>>, report: &mut Report) {
        let user = format!("user-{}", number % USERS);
        let request = http::request(&self.load.path, &[("x-user", &user)]);
        let kept = connection.is_some();
        let mut outcome = self.attempt(connection, &request);
        let closed = matches!(outcome, Err(Failure::ClosedBeforeAnswer | Failure::Reset));
        if kept && closed {
            report.resent += 1;
            outcome = self.attempt(connection, &request);
        }
        match outcome {
            Ok(answer) => {
                if let Some(server) = answer.server {
                    *report.by_server.entry(server).or_default() += 1;
                }
                if answer.status >= 500 {
                    *report.failures.entry(Failure::Status(answer.status)).or_default() += 1;
                }
            }
            Err(failure) => *report.failures.entry(failure).or_default() += 1,
        }
    }

    /// One try, on the kept connection where there is one. A connection survives only a whole answer.
    fn attempt(
        &self,
        kept: &mut Option<Connection<TcpStream>>,
        request: &[u8],
    ) -> Result<http::Answer, Failure> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::tcp(self.load.address)?,
        };
        let answer = connection.exchange(request)?;
        if answer.keep_alive {
            *kept = Some(connection);
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::DemoServer;

    fn load(address: SocketAddr, path: &str, pace: Pace) -> Load {
        Load { address, path: path.into(), pace, connections: 2 }
    }

    #[test]
    fn a_counted_load_sends_exactly_as_many_and_names_who_answered() {
        let server = DemoServer::start("a").unwrap();
        let report = load(server.address, "/plain", Pace::Count(500)).start().join().unwrap();
        assert_eq!((report.sent, report.failed()), (500, 0));
        assert_eq!(report.by_server, BTreeMap::from([("a".to_owned(), 500)]));
    }

    #[test]
    fn a_stall_shows_in_the_requests_that_fell_due_meanwhile() {
        let server = DemoServer::start("a").unwrap();
        // Two connections and answers of 100 ms carry 20/s; 200/s are due, so the queue grows and latency must show it.
        let slow = load(server.address, "/slow?ms=100", Pace::Rate(200.0));
        let report = slow.run_for(Duration::from_millis(600)).unwrap();
        assert!(report.quantile_millis(1.0) > 300.0, "{}", report.summary());
    }

    #[test]
    fn failures_are_counted_by_cause() {
        let server = DemoServer::start("a").unwrap();
        let report = load(server.address, "/status/503", Pace::Count(10)).start().join().unwrap();
        assert_eq!(report.failures, BTreeMap::from([(Failure::Status(503), 10)]));
        let address = server.address;
        drop(server);
        let report = load(address, "/plain", Pace::Count(10)).start().join().unwrap();
        assert_eq!(report.failed(), 10, "{}", report.summary());
    }
}
