//! The plugin that judges what checks see: of a pool, or of the L7 nodes that an L4 node checks.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use weir_core::config::{Fleet, Name};
use weir_core::health::Judge;
use weir_probe::watch::{Judged, Judgements};
use weir_wasm::{HostedJudge, InstanceSpec};

use crate::pools::Ground;
use crate::settings;
use crate::status::JudgeStatus;

/// A judge that a part of the fleet file names.
pub(crate) struct JudgePlugin {
    name: Name,
    spec: InstanceSpec,
    hosted: Arc<HostedJudge>,
    /// Notified when another version decides, or none.
    changed: Arc<Notify>,
}

/// What a new fleet file does to a judge. Making it may fail, taking it in does not.
pub(crate) enum JudgeChange {
    /// Nothing.
    None,
    /// Another file, configuration or limit for the same name.
    Reconfigure(InstanceSpec),
    /// Another one, or none any more.
    Replace(Option<JudgePlugin>),
}

impl JudgeChange {
    /// From the judge that works to the one that `named` is. `user` is who asks it: the same plugin has an instance for each.
    ///
    /// # Errors
    /// Where a thread for another plugin cannot be had.
    pub(crate) fn of(
        running: Option<&JudgePlugin>,
        named: Option<&Name>,
        user: &str,
        fleet: &Fleet,
        ground: &Ground,
    ) -> anyhow::Result<Self> {
        let new = named.and_then(|name| Some((name, settings::plugin(fleet.plugins.get(name)?))));
        Ok(match (running, new) {
            (None, None) => Self::None,
            (Some(old), Some((name, spec))) if old.name == *name => match old.spec == spec {
                true => Self::None,
                false => Self::Reconfigure(spec),
            },
            (_, None) => Self::Replace(None),
            (_, Some((name, spec))) => {
                let instance = settings::instance_name(name.as_str(), user);
                let changed = Arc::new(Notify::new());
                let (news, all) = (Arc::clone(&changed), Arc::clone(&ground.changed));
                let on_change = move || {
                    news.notify_one();
                    all.notify_one();
                };
                let hosted = ground.plugins.judge(&instance, spec.clone(), on_change)?;
                Self::Replace(Some(JudgePlugin { name: name.clone(), spec, hosted, changed }))
            }
        })
    }

    /// Does it.
    pub(crate) fn apply(self, to: &mut Option<JudgePlugin>) {
        match self {
            Self::None => {}
            Self::Reconfigure(spec) => {
                if let Some(judge) = to {
                    judge.hosted.reconfigure(spec.clone());
                    judge.spec = spec;
                }
            }
            Self::Replace(judge) => *to = judge,
        }
    }

    /// The judge that works when this is done, if any.
    pub(crate) fn outcome<'a>(&'a self, running: Option<&'a JudgePlugin>) -> Option<&'a JudgePlugin> {
        match self {
            Self::None | Self::Reconfigure(_) => running,
            Self::Replace(judge) => judge.as_ref(),
        }
    }
}

impl JudgePlugin {
    /// What it is asked with about a server.
    pub(crate) fn of(&self, server: &Name, labels: Arc<[(String, String)]>) -> Judged {
        Judged { judge: Arc::clone(&self.hosted) as Arc<dyn Judge>, name: server.shared(), labels }
    }

    /// How often it was asked, with what came of that.
    pub(crate) fn status(&self, counts: &Judgements) -> JudgeStatus {
        let (decided, failed, nobody) = (counts.decided(), counts.failed(), counts.nobody());
        JudgeStatus { plugin: self.name.to_string(), decided, failed, nobody }
    }

    /// The plugin of this name, or of this instance, is tried again. False where it is another one.
    pub(crate) fn retry(&self, name: &str) -> bool {
        let is_it = self.name.as_str() == name || self.hosted.name() == name;
        if is_it {
            self.hosted.retry();
        }
        is_it
    }

    /// Waits until its first version decides or is refused, for as long as `patience` at most: what nobody has judged yet is decided as
    /// without a judge.
    pub(crate) async fn is_loaded(&self, patience: Duration) {
        let end = Instant::now() + patience;
        while matches!(self.hosted.status().state, "loading" | "canary") && Instant::now() < end {
            // A refused plugin changes nothing that anybody is told of, so it is looked for.
            let soon = (Instant::now() + LOOK_EVERY).min(end);
            let _ = tokio::time::timeout_at(soon, self.changed.notified()).await;
        }
    }
}

/// How often a judge that is being loaded is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
