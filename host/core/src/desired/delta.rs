//! What differs between two desired states: what travels while host and sidecar know of each other where they are.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Desired, Fault, Redirect, ServiceAddress, Sysctl, Tunnel, speaker};
use crate::ipvs;

/// What makes one desired state out of another. Whoever applies it must have that other one; who does not asks for the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delta {
    /// [`Desired::generation`] of the state that it was made for.
    pub from: u64,
    /// The same of what comes out.
    pub generation: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tunnels: Option<Vec<Tunnel>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<Vec<ServiceAddress>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sysctls: Option<Vec<Sysctl>>,
    #[serde(skip_serializing_if = "ipvs::Delta::is_empty")]
    ipvs: ipvs::Delta,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirects: Option<Vec<Redirect>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<Speech>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hold: Option<Duration>,
}

/// Who is told of the addresses, and what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Speech {
    Nobody,
    Neighbors(Box<speaker::Config>),
}

/// Why a difference was not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// It was made for another state than the one that is there: the whole has to be told.
    #[error("the change is of generation {from}, and what is in force is of generation {in_force}")]
    Generation {
        /// What it was made for.
        from: u64,
        /// What is there.
        in_force: u64,
    },
    /// It speaks of what is not there.
    #[error(transparent)]
    Ipvs(#[from] ipvs::Unfit),
    /// What comes out is none of Weir's business.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl Delta {
    /// What makes `after` out of `before`. What the two share (see [`ipvs::Table`]) costs nothing.
    pub fn between(before: &Desired, after: &Desired) -> Self {
        fn other<T: PartialEq + Clone>(before: &T, after: &T) -> Option<T> {
            (before != after).then(|| after.clone())
        }
        let speech = || match &after.speaker {
            None => Speech::Nobody,
            Some(config) => Speech::Neighbors(Box::new(config.clone())),
        };
        Self {
            from: before.generation,
            generation: after.generation,
            tunnels: other(&before.tunnels, &after.tunnels),
            addresses: other(&before.addresses, &after.addresses),
            sysctls: other(&before.sysctls, &after.sysctls),
            ipvs: ipvs::Delta::between(&before.ipvs, &after.ipvs),
            redirects: other(&before.redirects, &after.redirects),
            speaker: (before.speaker != after.speaker).then(speech),
            hold: other(&before.hold, &after.hold),
        }
    }

    /// What comes out of `before`, for somebody who must not trust the sender.
    ///
    /// # Errors
    /// Where it does not fit, or where [`Desired::check`] refuses what comes out; `before` stays in force then.
    pub fn apply(self, before: &Desired) -> Result<Desired, Misfit> {
        if self.from != before.generation {
            return Err(Misfit::Generation { from: self.from, in_force: before.generation });
        }
        let speaker = match self.speaker {
            None => before.speaker.clone(),
            Some(Speech::Nobody) => None,
            Some(Speech::Neighbors(config)) => Some(*config),
        };
        let desired = Desired {
            generation: self.generation,
            tunnels: self.tunnels.unwrap_or_else(|| before.tunnels.clone()),
            addresses: self.addresses.unwrap_or_else(|| before.addresses.clone()),
            sysctls: self.sysctls.unwrap_or_else(|| before.sysctls.clone()),
            ipvs: self.ipvs.apply(&before.ipvs)?,
            redirects: self.redirects.unwrap_or_else(|| before.redirects.clone()),
            speaker,
            hold: self.hold.unwrap_or(before.hold),
        };
        desired.check()?;
        Ok(desired)
    }
}
