//! Numbers that a plugin reports, added up over all its instances.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::status::{CustomMetric, CustomValue};

/// The most metrics of one plugin, as `wit/host.wit` says.
pub const MAX_METRICS: usize = 64;
/// The longest name, bytes.
const MAX_NAME: usize = 64;

/// The metrics of one version of a plugin. Calls go through handles and never come here.
#[derive(Debug, Default)]
pub struct Meters {
    entries: Mutex<BTreeMap<String, Handle>>,
    /// Of the version before: what is registered again under its old name goes on counting.
    inherited: BTreeMap<String, Handle>,
}

/// A registered metric.
#[derive(Debug, Clone)]
pub(crate) struct Handle {
    cell: Arc<AtomicU64>,
    gauge: bool,
}

impl Handle {
    pub(crate) fn add(&self, by: u64) {
        if !self.gauge {
            self.cell.fetch_add(by, Ordering::Relaxed);
        }
    }

    pub(crate) fn set(&self, value: f64) {
        if self.gauge {
            self.cell.store(value.to_bits(), Ordering::Relaxed);
        }
    }
}

impl Meters {
    /// For the next version of the same plugin.
    pub fn successor(&self) -> Self {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        Self { entries: Mutex::default(), inherited: entries.clone() }
    }

    pub(crate) fn counter(&self, name: &str) -> Option<Handle> {
        self.register(name, false)
    }

    pub(crate) fn gauge(&self, name: &str) -> Option<Handle> {
        self.register(name, true)
    }

    fn register(&self, name: &str, gauge: bool) -> Option<Handle> {
        if !is_name(name) {
            return None;
        }
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = entries.get(name) {
            return (known.gauge == gauge).then(|| known.clone());
        }
        if entries.len() >= MAX_METRICS {
            return None;
        }
        let handle = match self.inherited.get(name) {
            Some(old) if old.gauge == gauge => old.clone(),
            _ => Handle { cell: Arc::default(), gauge },
        };
        entries.insert(name.to_owned(), handle.clone());
        Some(handle)
    }

    /// What they are now, by name.
    pub fn read(&self) -> Vec<CustomMetric> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let value = |handle: &Handle| {
            let bits = handle.cell.load(Ordering::Relaxed);
            if handle.gauge { CustomValue::Gauge(f64::from_bits(bits)) } else { CustomValue::Counter(bits) }
        };
        entries
            .iter()
            .map(|(name, handle)| CustomMetric { name: name.clone(), value: value(handle) })
            .collect()
    }
}

/// `[a-z][a-z0-9_]*`.
fn is_name(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_of_a_version_share_a_counter_and_the_next_version_goes_on_with_it() {
        let meters = Meters::default();
        meters.counter("picks").unwrap().add(2);
        meters.counter("picks").unwrap().add(3);
        let next = meters.successor();
        assert_eq!(next.read(), []);
        next.counter("picks").unwrap().add(1);
        assert_eq!(next.read(), [CustomMetric { name: "picks".into(), value: CustomValue::Counter(6) }]);
    }

    #[test]
    fn bad_names_other_kinds_and_the_65th_metric_are_ignored() {
        let meters = Meters::default();
        for name in ["", "9a", "Ab", "a-b", "a b", &"a".repeat(65)] {
            assert!(meters.counter(name).is_none(), "{name}");
        }
        for i in 0..MAX_METRICS {
            assert!(meters.gauge(&format!("m{i}")).is_some());
        }
        assert!(meters.gauge("one_more").is_none());
        assert!(meters.counter("m1").is_none());
        assert!(meters.gauge("m1").is_some());
    }
}
