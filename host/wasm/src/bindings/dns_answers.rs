//! `answering` of `wit/dns-answers.wit`, from and to [`weir_core::dns::answer::choose`].

use std::net::IpAddr;
use std::time::Duration;

use weir_core::dns::answer::choose::{Address, Choice, Chosen, Otherwise, Question};

use super::answering;

impl From<&Address> for answering::Address {
    fn from(address: &Address) -> Self {
        Self {
            ip: octets(address.ip),
            state: address.state.into(),
            weight: u32::from(address.weight),
            // What is no number says as little as nobody.
            load: address.load.filter(|load| *load >= 0.0).unwrap_or(-1.0),
            labels: address.labels.to_vec(),
        }
    }
}

impl From<&Question> for answering::Question {
    fn from(question: &Question) -> Self {
        Self {
            name: question.name,
            record_type: question.kind.0,
            client: octets(question.client),
            client_prefix: question.prefix,
            client_labels: question.labels.to_vec(),
        }
    }
}

impl From<answering::Decision> for Choice {
    fn from(decision: answering::Decision) -> Self {
        match decision {
            answering::Decision::Answer(answer) => Self::Answer(Chosen {
                addresses: answer.addresses,
                ttl: answer.ttl,
                scope: answer.scope,
                lifetime: Duration::from_millis(u64::from(answer.lifetime_ms)),
            }),
            answering::Decision::Fallback => Self::Fallback,
            answering::Decision::NoneUp(otherwise) => Self::NoneUp(match otherwise {
                answering::Otherwise::All => Otherwise::All,
                answering::Otherwise::FallbackSet => Otherwise::FallbackSet,
                answering::Otherwise::NoData => Otherwise::NoData,
            }),
        }
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}
