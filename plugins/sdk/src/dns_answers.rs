//! What a name is answered with: `wit/dns-answers.wit`.

use crate::Plugin;
pub use crate::bindings::exports::weir::policy::answering::{Address, Answer, Decision, Otherwise, Question};

/// Chooses the addresses of names.
pub trait DnsAnswers: Plugin {
    /// The addresses of one name are these now. It may take 50 ms.
    fn update(&mut self, name: &str, addresses: &[Address]);

    /// What to answer. A query waits for it; 2 ms end it.
    fn decide(&mut self, question: &Question) -> Decision;
}
