//! What operators have said of servers (`weir drain`, `maint`, `weight`), kept over a restart.
//!
//! One small JSON file under the state directory, written whole to another name and renamed, so that a
//! crash leaves the old or the new one. A file that cannot be read is set aside and reported; it never stops a node.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use weir_core::health::Operator;

/// All of them, by `POOL/SERVER`, and where they are kept.
#[derive(Debug)]
pub(crate) struct OperatorStates {
    path: PathBuf,
    /// Why the file must not be written: it is there and could not be read, so what it says would be lost.
    unreadable: Option<String>,
    said: BTreeMap<String, Operator>,
}

impl OperatorStates {
    /// Reads `operator.json` of this directory; empty where there is none.
    pub(crate) fn load(state_dir: &Path) -> Self {
        let path = state_dir.join("operator.json");
        let mut unreadable = None;
        let said = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|e| {
                let aside = path.with_extension("json.unreadable");
                let kept = fs::rename(&path, &aside);
                tracing::error!(file = %path.display(), error = %e, set_aside = kept.is_ok(),
                    "operator states cannot be read; every server starts as the fleet file says");
                BTreeMap::new()
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => {
                tracing::error!(file = %path.display(), error = %e, "operator states cannot be read");
                unreadable = Some(e.to_string());
                BTreeMap::new()
            }
        };
        Self { path, unreadable, said }
    }

    /// What was said of this server.
    pub(crate) fn get(&self, pool: &str, server: &str) -> Operator {
        self.said.get(&key(pool, server)).copied().unwrap_or_default()
    }

    /// Takes down what was said and writes the file. An error leaves the old file and the new words in force.
    pub(crate) fn set(&mut self, pool: &str, server: &str, said: Operator) -> anyhow::Result<()> {
        if said == Operator::default() {
            self.said.remove(&key(pool, server));
        } else {
            self.said.insert(key(pool, server), said);
        }
        self.write().with_context(|| format!("done, but not kept for a restart: {}", self.path.display()))
    }

    fn write(&self) -> anyhow::Result<()> {
        if let Some(why) = &self.unreadable {
            anyhow::bail!("the file could not be read at the start ({why}) and is left as it is");
        }
        let next = self.path.with_extension("json.next");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
        file.write_all(&serde_json::to_vec_pretty(&self.said)?)?;
        file.sync_all()?;
        fs::rename(&next, &self.path)?;
        Ok(())
    }
}

fn key(pool: &str, server: &str) -> String {
    format!("{pool}/{server}")
}

#[cfg(test)]
mod tests {
    use weir_core::health::{Admin, Weight};

    use super::*;

    #[test]
    fn what_was_said_is_there_after_a_restart_and_ready_removes_it() {
        let dir = tempfile::tempdir().unwrap();
        let mut states = OperatorStates::load(dir.path());
        let drained = Operator { admin: Admin::Drain, weight: Some(Weight::Absolute(3)) };
        states.set("web", "a", drained).unwrap();
        assert_eq!(OperatorStates::load(dir.path()).get("web", "a"), drained);
        states.set("web", "a", Operator::default()).unwrap();
        assert_eq!(OperatorStates::load(dir.path()).said.len(), 0);
    }

    #[test]
    fn an_unreadable_file_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("operator.json"), "{").unwrap();
        assert_eq!(OperatorStates::load(dir.path()).get("web", "a"), Operator::default());
        assert!(dir.path().join("operator.json.unreadable").exists());
    }
}
