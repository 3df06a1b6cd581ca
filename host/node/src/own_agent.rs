//! What this node says of itself: the agent file, as a gate for `/healthcheck`.
//!
//! An L7 node is taken out by writing `down` into the file that its agent serves: its health check fails, and whoever sends it
//! connections moves the new ones elsewhere. The file is looked at on a timer: there is no event for a file that may not
//! exist, on a directory that may not exist, that is as simple as looking.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use weir_core::health::{Admin, Health};
use weir_probe::agent::AgentFile;

/// How long a changed file goes unseen at most. Checks of the node are seconds apart.
const EVERY: Duration = Duration::from_millis(250);

/// The node's own word.
#[derive(Debug)]
pub(crate) struct OwnAgent {
    up: AtomicBool,
    line: ArcSwap<String>,
}

impl OwnAgent {
    /// Reads the file now and, on the current runtime, from time to time. `on_change` is told whether the node may serve.
    pub(crate) async fn watch(file: AgentFile, on_change: impl Fn(bool) + Send + 'static) -> Arc<Self> {
        let (up, line) = read(&file).await;
        let own = Arc::new(Self { up: AtomicBool::new(up), line: ArcSwap::from_pointee(line) });
        on_change(up);
        let watched = Arc::clone(&own);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY).await;
                let (up, line) = read(&file).await;
                if **watched.line.load() != line {
                    tracing::info!(file = %file.path().display(), %line, up, "this node's own agent");
                    watched.line.store(Arc::new(line));
                }
                if watched.up.swap(up, Ordering::Relaxed) != up {
                    on_change(up);
                }
            }
        });
        own
    }

    /// Whether the file lets the node serve.
    pub(crate) fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }

    /// What it says.
    pub(crate) fn line(&self) -> String {
        self.line.load().to_string()
    }
}

/// Whether the node may serve, and the words. A line that nobody understands is not up: somebody wanted something.
async fn read(file: &AgentFile) -> (bool, String) {
    let line = match file.line().await {
        Ok(line) => String::from_utf8_lossy(&line).into_owned(),
        Err(error) => return (false, format!("unreadable: {error}")),
    };
    match file.report().await {
        Ok(report) => {
            let down = report.health == Some(Health::Down);
            let out = matches!(report.admin, Some(Admin::Drain | Admin::Maint));
            (!down && !out, line)
        }
        Err(_) => (false, line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn words_that_take_a_node_out_do_and_no_file_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent-check");
        let file = AgentFile::new(&path);
        assert!(read(&file).await.0);
        for (line, up) in [
            ("UP\n", true),
            ("ready up", true),
            ("50%", true),
            ("down # work", false),
            ("drain", false),
            ("maint", false),
            ("dwon", false),
        ] {
            std::fs::write(&path, line).unwrap();
            assert_eq!(read(&file).await.0, up, "{line}");
        }
    }
}
