//! One server, and a plugin that judges it.

use crate::ConfigError;
use crate::agent_check::{Admin, AgentCheck, Health, HttpResponse, Node, Observation, Verdict};
use crate::harness::fake;
use crate::lifecycle::State;

/// One server that is checked. Its state follows what the plugin says, and its streak what was seen.
#[derive(Debug)]
pub struct Checked<C> {
    check: C,
    /// The server; to be changed at will between two observations.
    pub node: Node,
    health: Health,
    admin: Admin,
    /// How the last observation ended, and how many before it ended so.
    last: Option<(bool, u32)>,
}

impl<C: AgentCheck> Checked<C> {
    /// Configures a plugin, with seed 1 for all randomness. The server is called `a`, and is up.
    ///
    /// # Errors
    /// The plugin's own, for this configuration.
    pub fn new(config: &str) -> Result<Self, ConfigError> {
        fake::with(|host| *host = fake::Host::new(1));
        let (health, admin) = (Health::Up, Admin::Ready);
        Ok(Self { check: C::configure(config)?, node: Node::up(0, "a"), health, admin, last: None })
    }

    /// An answer to an HTTP check, after a millisecond.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn http(&mut self, status: u16, body: &str) -> Result<Verdict, String> {
        self.http_after(status, body, 1000)
    }

    /// An answer to an HTTP check, after this many microseconds.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn http_after(&mut self, status: u16, body: &str, latency_us: u32) -> Result<Verdict, String> {
        let mut body = body.as_bytes().to_vec();
        body.truncate(4096);
        self.see(&Observation::Http(HttpResponse { status, body, latency_us }))
    }

    /// A line of the agent.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn agent(&mut self, line: &str) -> Result<Verdict, String> {
        self.see(&Observation::Agent(line.into()))
    }

    /// A TCP check that connected, after this many microseconds.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn tcp(&mut self, latency_us: u32) -> Result<Verdict, String> {
        self.see(&Observation::Tcp(latency_us))
    }

    /// A check without an answer.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn failed(&mut self, why: &str) -> Result<Verdict, String> {
        self.see(&Observation::Failed(why.into()))
    }

    /// A second in which nothing was seen.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn tick(&mut self) -> Result<Verdict, String> {
        crate::harness::advance_ms(1000);
        self.see(&Observation::Tick)
    }

    /// Any observation.
    ///
    /// # Errors
    /// The plugin's own.
    pub fn see(&mut self, observation: &Observation) -> Result<Verdict, String> {
        let good = match observation {
            Observation::Agent(_) | Observation::Tcp(_) => Some(true),
            Observation::Http(response) => Some((200..400).contains(&response.status)),
            Observation::Failed(_) => Some(false),
            Observation::Tick => None,
        };
        if let Some(good) = good {
            let streak = match self.last {
                Some((last, streak)) if last == good => streak.saturating_add(1),
                _ => 1,
            };
            self.last = Some((good, streak));
            self.node.streak = streak;
        }
        let verdict = self.check.evaluate(&self.node, observation);
        if let Ok(verdict) = &verdict {
            self.health = verdict.health.unwrap_or(self.health);
            self.admin = verdict.admin.unwrap_or(self.admin);
            self.node.current = match (self.admin, self.health) {
                (Admin::Maint, _) => State::Maint,
                (_, Health::Down) => State::Down,
                (Admin::Drain, _) => State::Drain,
                (Admin::Ready, Health::Up) => State::Up,
            };
        }
        verdict
    }
}
