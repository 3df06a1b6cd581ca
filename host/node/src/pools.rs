//! A pool, whole: its servers' health, its policy, its keeper and what the proxy sees of it, wired to each other.
//!
//! ```text
//! probe::Watch --standing--> Keeper --view--> proxy::Pool --> workers
//!    ^ HostedJudge             ^  |                            |
//!                      replan  |  v plan                       | instances, failures
//!                           HostedScheduler  <-----------------+
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use weir_core::config::{self, Fleet};
use weir_core::health::{CheckHealth, OperatorCommand, Status};
use weir_core::model::State;
use weir_core::schedule::{Plan, PolicySource, View};
use weir_probe::{Clock, Watch, Watched};
use weir_proxy::{Pool, PoolSettings};
use weir_wasm::{HostedScheduler, InstanceSpec, Runtime};

use crate::judge::{JudgeChange, JudgePlugin};
use crate::keeper::{Keeper, News};
use crate::operator::OperatorStates;
use crate::settings;
use crate::status::JudgeStatus;

/// How long a reload waits for the first round of checks of what is new, a pool or a policy, before anybody is switched to it.
pub(crate) const FIRST_CHECKS: Duration = Duration::from_secs(2);

/// What pools share.
pub(crate) struct Ground {
    /// The node's name in the fleet file.
    pub(crate) node: String,
    /// How many workers the proxy has.
    pub(crate) workers: usize,
    /// The clock of all health machines.
    pub(crate) clock: Clock,
    /// Runs the plugins.
    pub(crate) plugins: Arc<Runtime>,
    /// Wakes idle workers so that they let go of what is old. Set once the proxy runs.
    pub(crate) nudge: Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>,
    /// Notified at each change of a server's status.
    pub(crate) changed: Arc<Notify>,
}

impl Ground {
    /// Wakes idle workers, once there are any.
    fn nudge(&self) -> impl Fn() + Send + Sync + 'static {
        let nudge = Arc::clone(&self.nudge);
        move || {
            if let Some(nudge) = nudge.get() {
                nudge();
            }
        }
    }
}

/// A running pool. Dropping it ends its checks at once, and its keeper and plugin when the proxy has let go of it too.
pub(crate) struct RunningPool {
    config: config::Pool,
    proxy: Arc<Pool>,
    keeper: Keeper,
    watch: Watch,
    policy: Option<Scheduler>,
    judge: Option<JudgePlugin>,
}

/// What a changed fleet file does to a pool, as far as that may fail.
pub(crate) struct Change {
    policy: PolicyChange,
    judge: JudgeChange,
    watched: Vec<Watched>,
}

/// What it does to the pool's policy.
enum PolicyChange {
    /// Nothing.
    None,
    /// Another file, configuration or limit for the same name.
    Reconfigure(InstanceSpec),
    /// Another one, or none any more.
    Replace(Option<Scheduler>),
}

/// The plugin that a pool names.
pub(crate) struct Scheduler {
    name: config::Name,
    spec: InstanceSpec,
    hosted: Arc<HostedScheduler>,
}

/// What a pool's part of a fleet file comes to. Made before anything is changed, so that a file which cannot be applied
/// changes nothing.
pub(crate) struct Prepared<'a> {
    name: &'a config::Name,
    pool: &'a config::Pool,
    settings: PoolSettings,
    fleet: &'a Fleet,
    operators: &'a OperatorStates,
    scheduler: Option<(config::Name, InstanceSpec)>,
}

impl<'a> Prepared<'a> {
    /// Everything that can be wrong with it is wrong here.
    pub(crate) fn new(
        name: &'a config::Name,
        pool: &'a config::Pool,
        fleet: &'a Fleet,
        operators: &'a OperatorStates,
    ) -> anyhow::Result<Self> {
        let in_pool = || format!("pools.{name}");
        let plugin = |scheduler: &config::Name| {
            let plugin = fleet.plugins.get(scheduler)?;
            Some((scheduler.clone(), settings::plugin(plugin)))
        };
        Ok(Self {
            name,
            pool,
            settings: settings::pool(pool).with_context(in_pool)?,
            fleet,
            operators,
            scheduler: pool.scheduler.as_ref().and_then(plugin),
        })
    }

    /// The pool's name.
    pub(crate) fn name(&self) -> &config::Name {
        self.name
    }
}

impl RunningPool {
    /// Starts watching the servers of a pool. Its first view has no server that takes requests.
    pub(crate) fn start(ground: &Ground, prepared: Prepared<'_>) -> anyhow::Result<Self> {
        let name = prepared.name;
        let empty = View::new(0, 0, Arc::new([]), Plan::Fallback);
        let proxy = Pool::new(name.shared(), ground.workers, prepared.settings.clone(), None, empty);
        let (target, nudge) = (Arc::clone(&proxy), ground.nudge());
        let publish = move |view, policy: Option<&Arc<dyn PolicySource>>| {
            target.set_policy(view, policy.cloned());
            nudge();
        };
        let (keeper, _) =
            Keeper::start(name.as_str(), ground.workers, publish).context("cannot start a thread")?;

        let (standing, changed) = (keeper.clone(), Arc::clone(&ground.changed));
        let pool_name = name.shared();
        let seed = settings::seed(&ground.node, name.as_str());
        let mut seen: BTreeMap<Arc<str>, State> = BTreeMap::new();
        let watch = Watch::start(ground.clock, seed, move |server: &Arc<str>, status: &Status| {
            log_status(&pool_name, server, seen.insert(Arc::clone(server), status.state), status);
            standing.tell(News::Standing(Arc::clone(server), status.standing()));
            changed.notify_one();
        });
        let mut running =
            Self { config: prepared.pool.clone(), proxy, keeper, watch, policy: None, judge: None };
        let change = running.stage(ground, &prepared)?;
        running.apply(prepared, change);
        Ok(running)
    }

    /// Makes what a change of the pool needs, and changes nothing yet.
    ///
    /// # Errors
    /// Where a check cannot be made of what the file says, or a thread or a directory for another plugin cannot be had.
    pub(crate) fn stage(&self, ground: &Ground, prepared: &Prepared<'_>) -> anyhow::Result<Change> {
        let (name, running) = (prepared.name.as_str(), self.judge.as_ref());
        let judge = JudgeChange::of(running, prepared.pool.judge.as_ref(), name, prepared.fleet, ground)?;
        let operator = |server: &str| prepared.operators.get(name, server);
        let watched = settings::watched(prepared.pool, judge.outcome(running), operator)
            .with_context(|| format!("pools.{name}"))?;
        Ok(Change { policy: self.stage_policy(ground, prepared)?, judge, watched })
    }

    fn stage_policy(&self, ground: &Ground, prepared: &Prepared<'_>) -> anyhow::Result<PolicyChange> {
        match (&self.policy, &prepared.scheduler) {
            (None, None) => Ok(PolicyChange::None),
            (Some(policy), Some((name, spec))) if policy.name == *name => Ok(match policy.spec == *spec {
                true => PolicyChange::None,
                false => PolicyChange::Reconfigure(spec.clone()),
            }),
            (_, None) => Ok(PolicyChange::Replace(None)),
            (_, Some((name, spec))) => {
                // The keeper holds the plugin, so the plugin must not hold the keeper.
                let (replan, nudge) = (self.keeper.downgrade(), ground.nudge());
                let changed = Arc::clone(&ground.changed);
                let on_change = move || {
                    replan.tell(News::Replan);
                    nudge();
                    changed.notify_one();
                };
                let instance = settings::instance_name(name.as_str(), prepared.name.as_str());
                let hosted = ground.plugins.scheduler(&instance, spec.clone(), on_change)?;
                Ok(PolicyChange::Replace(Some(Scheduler { name: name.clone(), spec: spec.clone(), hosted })))
            }
        }
    }

    /// Applies what the fleet file says now. Servers that stay keep everything that is known of them.
    pub(crate) fn apply(&mut self, prepared: Prepared<'_>, change: Change) {
        match change.policy {
            PolicyChange::None => {}
            PolicyChange::Reconfigure(spec) => {
                if let Some(policy) = &mut self.policy {
                    policy.hosted.reconfigure(spec.clone());
                    policy.spec = spec;
                }
            }
            PolicyChange::Replace(policy) => {
                self.keeper.tell(News::Policy(policy.as_ref().map(|p| Arc::clone(&p.hosted) as _)));
                self.policy = policy;
            }
        }
        self.proxy.set_settings(prepared.settings);
        // Members first: news of a server that is not a member yet would be lost.
        self.keeper.tell(News::Members(settings::members(prepared.pool)));
        self.watch.set(change.watched);
        // The old judge last: a question to one that is gone would be answered by nobody.
        change.judge.apply(&mut self.judge);
        self.config = prepared.pool.clone();
    }

    /// What the fleet file says of it.
    pub(crate) fn config(&self) -> &config::Pool {
        &self.config
    }

    /// What the proxy has of it.
    pub(crate) fn proxy(&self) -> &Arc<Pool> {
        &self.proxy
    }

    /// Its plugin, if it has one.
    pub(crate) fn hosted(&self) -> Option<&Arc<HostedScheduler>> {
        self.policy.as_ref().map(|p| &p.hosted)
    }

    /// Its judge, if it has one, and how often that was asked.
    pub(crate) fn judge_status(&self) -> Option<JudgeStatus> {
        self.judge.as_ref().map(|judge| judge.status(self.watch.judgements()))
    }

    /// The plugin of this name judges here, and is tried again.
    pub(crate) fn retry_judge(&self, name: &str) -> bool {
        self.judge.as_ref().is_some_and(|judge| judge.retry(name))
    }

    /// An operator's command about one of its servers.
    pub(crate) async fn operator(&self, server: &str, command: OperatorCommand) -> anyhow::Result<Status> {
        Ok(self.watch.operator(server, command).await?)
    }

    /// How its servers stand.
    pub(crate) async fn standings(&self) -> Vec<(Arc<str>, Status)> {
        self.watch.snapshot().await
    }

    /// Whether every server that is checked has been checked once. In maintenance none is checked.
    pub(crate) async fn is_settled(&self) -> bool {
        self.standings()
            .await
            .iter()
            .all(|(_, s)| s.bits.check != Some(CheckHealth::Unknown) || s.state == State::Maint)
    }

    /// Waits until all that is known by now is what the workers see.
    pub(crate) async fn flush(&self) {
        self.keeper.flush().await;
    }
}

/// A change of state is news; what leads up to one, and weights that grow, are for whoever looks closer.
fn log_status(pool: &str, server: &str, before: Option<State>, status: &Status) {
    let (state, weight, reason) = (status.state.as_str(), status.weight, &status.reason);
    let note = status.note.as_deref().unwrap_or_default();
    if before == Some(status.state) {
        tracing::debug!(pool, server, state, weight, %reason, note, "server");
    } else if status.state == State::Down && before.is_some() {
        tracing::warn!(pool, server, state, weight, %reason, "server");
    } else {
        tracing::info!(pool, server, state, weight, %reason, "server");
    }
}
