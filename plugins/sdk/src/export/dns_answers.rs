//! The world `dns-answers`.

use super::{Exported, Instance};
use crate::bindings::exports::weir::policy::answering;
use crate::dns_answers::{Address, Decision, DnsAnswers, Question};

impl<T: DnsAnswers + Instance> answering::Guest for Exported<T> {
    fn update(name: String, addresses: Vec<Address>) {
        T::ask(|answers| answers.update(&name, &addresses));
    }

    fn decide(question: Question) -> Decision {
        T::ask(|answers| answers.decide(&question)).unwrap_or(Decision::Fallback)
    }
}

/// Exports a type that implements [`DnsAnswers`](crate::dns_answers::DnsAnswers), as a plugin of the world `dns-answers`.
#[macro_export]
macro_rules! export_dns_answers {
    ($type:ty) => {
        $crate::__export!(
            $type, "dns-answers", DNS_ANSWERS,
            lifecycle: __export_weir_policy_lifecycle_0_1_0_cabi,
            answering: __export_weir_policy_answering_0_1_0_cabi
        );
    };
}
