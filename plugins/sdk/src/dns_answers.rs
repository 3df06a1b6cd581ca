//! What a name is answered with: `wit/dns-answers.wit`.
//!
//! ```
//! use weir_plugin::dns_answers::{Address, Answer, Decision, DnsAnswers, Names, Question, best};
//! use weir_plugin::{ConfigError, Description, Plugin};
//!
//! /// The first address that is good.
//! #[derive(Default)]
//! struct First(Names<Vec<Address>>);
//!
//! impl Plugin for First {
//!     fn describe() -> Description {
//!         weir_plugin::describe!()
//!     }
//!
//!     fn configure(_config: &str) -> Result<Self, ConfigError> {
//!         Ok(Self::default())
//!     }
//! }
//!
//! impl DnsAnswers for First {
//!     fn update(&mut self, name: &str, addresses: &[Address]) {
//!         self.0.set(name, addresses.to_vec());
//!     }
//!
//!     fn decide(&mut self, question: &Question) -> Decision {
//!         let Some(addresses) = self.0.of(question) else { return Decision::Fallback };
//!         match best(addresses, question.record_type).first() {
//!             Some(index) => Answer::of(vec![*index]).for_ms(60_000).into(),
//!             None => Decision::Fallback,
//!         }
//!     }
//! }
//!
//! weir_plugin::export_dns_answers!(First);
//!
//! # fn main() {
//! use weir_plugin::State;
//! use weir_plugin::harness::Zone;
//! let mut zone = Zone::<First>::new("").unwrap();
//! zone.update("www", &[Address::up("192.0.2.1").in_state(State::Down), Address::up("192.0.2.2")]);
//! assert_eq!(zone.ask("www", "203.0.113.0/24"), ["192.0.2.2"]);
//! # }
//! ```
//!
//! What can be decided beforehand belongs into [`DnsAnswers::update`]. An answer says for whom ([`Answer::for_bits`]) and how
//! long ([`Answer::for_ms`]) the host may repeat it without asking: a change of any address ends that at once, so only an
//! answer that is drawn anew for each query needs 0.

mod network;
mod settings;
mod sites;

use std::collections::HashMap;

use crate::Plugin;
pub use crate::bindings::exports::weir::policy::answering::{Address, Answer, Decision, Otherwise, Question};
use crate::lifecycle::State;
pub use network::NetworkBits;
pub use settings::{Order, Settings};
pub use sites::Sites;

/// The record type of IPv4 addresses.
pub const A: u16 = 1;
/// The record type of IPv6 addresses.
pub const AAAA: u16 = 28;

/// Chooses the addresses of names.
pub trait DnsAnswers: Plugin {
    /// The addresses of one name are these now. It may take 50 ms.
    fn update(&mut self, name: &str, addresses: &[Address]);

    /// What to answer. A query waits for it; 2 ms end it.
    fn decide(&mut self, question: &Question) -> Decision;
}

/// Something for each name, found by a question's number of the name: the first name that was set is 0.
#[derive(Debug, Clone)]
pub struct Names<T> {
    numbers: HashMap<String, usize>,
    values: Vec<T>,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self { numbers: HashMap::new(), values: Vec::new() }
    }
}

impl<T> Names<T> {
    /// To be called in every `update`, or the numbers are not the host's.
    pub fn set(&mut self, name: &str, value: T) {
        match self.numbers.get(name).and_then(|at| self.values.get_mut(*at)) {
            Some(old) => *old = value,
            None => {
                self.numbers.insert(name.to_owned(), self.values.len());
                self.values.push(value);
            }
        }
    }

    /// What was set for the name that is asked about.
    pub fn of(&self, question: &Question) -> Option<&T> {
        self.values.get(question.name as usize)
    }
}

/// Where the good addresses of a record type stand: those that are up, and of weight 0 only when no other is.
pub fn best(addresses: &[Address], record_type: u16) -> Vec<u32> {
    let up = |wanted: &dyn Fn(&Address) -> bool| -> Vec<u32> {
        let all = (0..).zip(addresses);
        all.filter(|(_, a)| a.is_of(record_type) && a.state.is_up() && wanted(a)).map(|(at, _)| at).collect()
    };
    let best = up(&|address| address.weight > 0);
    if best.is_empty() { up(&|_| true) } else { best }
}

impl Address {
    /// An address of weight 1 that is up, for tests.
    ///
    /// # Panics
    /// The text is no address.
    #[allow(clippy::panic, reason = "for tests: a wrong address is a wrong test")]
    pub fn up(ip: &str) -> Self {
        let ip = match ip.parse() {
            Ok(std::net::IpAddr::V4(ip)) => ip.octets().to_vec(),
            Ok(std::net::IpAddr::V6(ip)) => ip.octets().to_vec(),
            Err(error) => panic!("{ip}: {error}"),
        };
        Self { ip, state: State::Up, weight: 1, load: -1.0, labels: Vec::new() }
    }

    /// The same in another state, for tests.
    #[must_use]
    pub fn in_state(self, state: State) -> Self {
        Self { state, ..self }
    }

    /// The same with this weight, for tests.
    #[must_use]
    pub fn weighing(self, weight: u32) -> Self {
        Self { weight, ..self }
    }

    /// The same with one more label, for tests.
    #[must_use]
    pub fn labelled(mut self, name: &str, value: &str) -> Self {
        self.labels.push((name.into(), value.into()));
        self
    }

    /// Whether it goes into an answer of this record type.
    pub fn is_of(&self, record_type: u16) -> bool {
        match record_type {
            A => self.ip.len() == 4,
            AAAA => self.ip.len() == 16,
            _ => false,
        }
    }

    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Question {
    /// The value of a label of the client's network.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.client_labels.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

impl Answer {
    /// These addresses for everybody, asked for anew with each query, with the longest TTL that the host allows.
    pub fn of(addresses: Vec<u32>) -> Self {
        Self { addresses, ttl: u32::MAX, scope: 0, lifetime_ms: 0 }
    }

    /// The same with this TTL, seconds.
    #[must_use]
    pub fn with_ttl(self, ttl: u32) -> Self {
        Self { ttl, ..self }
    }

    /// The same for all clients that agree with the one who asks in this many bits; no more than are known of it.
    #[must_use]
    pub fn for_bits(self, bits: u8, question: &Question) -> Self {
        Self { scope: bits.min(question.client_prefix), ..self }
    }

    /// The same for as long as the host may repeat it, milliseconds.
    #[must_use]
    pub fn for_ms(self, lifetime_ms: u32) -> Self {
        Self { lifetime_ms, ..self }
    }
}

impl From<Answer> for Decision {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}
