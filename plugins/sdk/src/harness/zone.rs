//! Names, and a plugin that chooses their addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::ConfigError;
use crate::dns_answers::{A, AAAA, Address, Decision, DnsAnswers, Question};
use crate::harness::fake;

/// The names of one plugin.
#[derive(Debug)]
pub struct Zone<D> {
    answers: D,
    names: Vec<(String, Vec<Address>)>,
}

impl<D: DnsAnswers> Zone<D> {
    /// Configures a plugin, with seed 1 for all randomness.
    ///
    /// # Errors
    /// The plugin's own, for this configuration.
    pub fn new(config: &str) -> Result<Self, ConfigError> {
        fake::with(|host| *host = fake::Host::new(1));
        Ok(Self { answers: D::configure(config)?, names: Vec::new() })
    }

    /// Tells the plugin of the addresses of a name.
    pub fn update(&mut self, name: &str, addresses: &[Address]) {
        self.answers.update(name, addresses);
        match self.names.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = addresses.to_vec(),
            None => self.names.push((name.into(), addresses.to_vec())),
        }
    }

    /// A question about a name from a network such as `203.0.113.0/24`, for the record type of the network's own family.
    ///
    /// # Panics
    /// No such name, or no such network.
    #[allow(clippy::panic, reason = "for tests: a wrong question is a wrong test")]
    pub fn question(&self, name: &str, client: &str) -> Question {
        let Some(number) = (0..).zip(&self.names).find(|(_, (known, _))| known == name).map(|(n, _)| n)
        else {
            panic!("the zone has no name {name}");
        };
        let network =
            client.split_once('/').and_then(|(ip, bits)| Some((ip.parse().ok()?, bits.parse().ok()?)));
        let Some((ip, client_prefix)) = network else { panic!("{client} is no ADDRESS/BITS") };
        let (client, record_type) = match ip {
            IpAddr::V4(ip) => (ip.octets().to_vec(), A),
            IpAddr::V6(ip) => (ip.octets().to_vec(), AAAA),
        };
        Question { name: number, record_type, client, client_prefix, client_labels: Vec::new() }
    }

    /// What the plugin decides.
    ///
    /// # Panics
    /// The plugin answered with what the host would refuse or cut: an index out of range, one twice, one of the other
    /// family, more than 64, none at all, or a scope of more bits than are known.
    pub fn decide(&mut self, question: &Question) -> Decision {
        let decision = self.answers.decide(question);
        if let Decision::Answer(answer) = &decision {
            let of_name = self.names.get(question.name as usize).map_or(&[][..], |(_, list)| list);
            let mut seen = vec![false; of_name.len()];
            for index in &answer.addresses {
                let address = of_name.get(*index as usize);
                assert!(
                    address.is_some_and(|address| address.is_of(question.record_type)),
                    "answered with address {index} of {}, which is none of this record type",
                    of_name.len()
                );
                if let Some(seen) = seen.get_mut(*index as usize) {
                    assert!(!std::mem::replace(seen, true), "answered with address {index} twice");
                }
            }
            assert!((1..=64).contains(&answer.addresses.len()), "{} addresses", answer.addresses.len());
            assert!(answer.scope <= question.client_prefix, "a scope of {} bits", answer.scope);
        }
        decision
    }

    /// The addresses that are answered to a client of this network; none where the host decides.
    ///
    /// # Panics
    /// As [`Zone::question`] and [`Zone::decide`].
    pub fn ask(&mut self, name: &str, client: &str) -> Vec<String> {
        let question = self.question(name, client);
        let decision = self.decide(&question);
        self.shown(&question, &decision)
    }

    /// How often each list of addresses is the answer to this many equal questions.
    ///
    /// # Panics
    /// As [`Zone::ask`].
    pub fn count(&mut self, name: &str, client: &str, times: usize) -> BTreeMap<Vec<String>, usize> {
        let mut counts = BTreeMap::new();
        for _ in 0..times {
            *counts.entry(self.ask(name, client)).or_default() += 1;
        }
        counts
    }

    /// The addresses of a decision, as text.
    pub fn shown(&self, question: &Question, decision: &Decision) -> Vec<String> {
        let Decision::Answer(answer) = decision else { return Vec::new() };
        let Some((_, addresses)) = self.names.get(question.name as usize) else { return Vec::new() };
        let chosen = answer.addresses.iter().filter_map(|index| addresses.get(*index as usize));
        chosen.map(|address| shown(&address.ip)).collect()
    }
}

fn shown(ip: &[u8]) -> String {
    if let Ok(v4) = <[u8; 4]>::try_from(ip) {
        return IpAddr::from(v4).to_string();
    }
    <[u8; 16]>::try_from(ip).map_or_else(|_| "?".to_owned(), |v6| IpAddr::from(v6).to_string())
}
