//! `checking` of `wit/agent-check.wit`, from and to [`weir_core::health`].

use std::time::Duration;

use weir_core::health::{Admin, Health, Observation, Said, SaidWeight, Subject};

use super::checking;

impl From<&Subject> for checking::Node {
    fn from(subject: &Subject) -> Self {
        Self {
            id: subject.id,
            name: subject.name.to_string(),
            current: subject.current.into(),
            streak: subject.streak,
            labels: subject.labels.to_vec(),
        }
    }
}

impl From<Observation> for checking::Observation {
    fn from(observation: Observation) -> Self {
        match observation.bounded() {
            Observation::Agent(line) => Self::Agent(line),
            Observation::Http { status, body, latency } => {
                Self::Http(checking::HttpResponse { status, body, latency_us: micros(latency) })
            }
            Observation::Tcp(latency) => Self::Tcp(micros(latency)),
            Observation::Failed(why) => Self::Failed(why),
            Observation::Tick => Self::Tick,
        }
    }
}

impl From<checking::Verdict> for Said {
    fn from(verdict: checking::Verdict) -> Self {
        Self {
            health: verdict.health.map(|health| match health {
                checking::Health::Up => Health::Up,
                checking::Health::Down => Health::Down,
            }),
            admin: verdict.admin.map(|admin| match admin {
                checking::Admin::Ready => Admin::Ready,
                checking::Admin::Drain => Admin::Drain,
                checking::Admin::Maint => Admin::Maint,
            }),
            weight: verdict.weight.map(|weight| match weight {
                checking::Weight::Percent(percent) => SaidWeight::Percent(percent),
                checking::Weight::Absolute(weight) => SaidWeight::Absolute(weight),
            }),
            max_in_flight: verdict.max_in_flight,
            reason: verdict.reason,
        }
    }
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}
