//! A pool, whole: its servers' health, its policy, its keeper and what the proxy sees of it, wired to each other.
//!
//! ```text
//! probe::Watch --standing--> Keeper --view--> proxy::Pool --> workers
//!                              ^  |                            |
//!                      replan  |  v plan                       | instances, failures
//!                           HostedScheduler  <-----------------+
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anyhow::Context;
use tokio::sync::Notify;
use weir_core::config;
use weir_core::health::{CheckHealth, OperatorCommand, Status};
use weir_core::model::State;
use weir_core::schedule::{Plan, PolicySource, View};
use weir_probe::{Clock, Watch};
use weir_proxy::Pool;
use weir_wasm::{HostedScheduler, Runtime};

use crate::keeper::{Keeper, News};
use crate::operator::OperatorStates;
use crate::settings;

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

/// A running pool. Dropping it ends its checks; its keeper and plugin end when the proxy has let go of it too.
pub(crate) struct RunningPool {
    config: config::Pool,
    plugin: Option<config::Plugin>,
    proxy: Arc<Pool>,
    keeper: Keeper,
    watch: Watch,
    hosted: Option<Arc<HostedScheduler>>,
}

impl RunningPool {
    /// Starts watching the servers of a pool. Its first view has no server that takes requests.
    pub(crate) fn start(
        ground: &Ground,
        name: &config::Name,
        pool: &config::Pool,
        fleet: &config::Fleet,
        operators: &OperatorStates,
    ) -> anyhow::Result<Self> {
        let nudge = || {
            let nudge = Arc::clone(&ground.nudge);
            move || {
                if let Some(nudge) = nudge.get() {
                    nudge();
                }
            }
        };
        let (keeper, inbox) = Keeper::new();
        let plugin = plugin_of(pool, fleet);
        let hosted = match (&pool.scheduler, &plugin) {
            (Some(scheduler), Some(plugin)) => {
                let (replan, nudge) = (keeper.clone(), nudge());
                let instance = settings::instance_name(scheduler.as_str(), name.as_str());
                let on_change = move || {
                    replan.tell(News::Replan);
                    nudge();
                };
                Some(ground.plugins.scheduler(&instance, settings::plugin(plugin), on_change)?)
            }
            _ => None,
        };
        let source = hosted.clone().map(|h| h as Arc<dyn PolicySource>);
        let empty = View::new(0, 0, Arc::new([]), Plan::Fallback);
        let proxy = Pool::new(name.shared(), ground.workers, settings::pool(pool)?, source.clone(), empty);
        let (target, nudge) = (Arc::clone(&proxy), nudge());
        let publish = move |view| {
            target.set_view(view);
            nudge();
        };
        inbox.start(name.as_str(), ground.workers, source, publish).context("cannot start a thread")?;

        let (standing, changed) = (keeper.clone(), Arc::clone(&ground.changed));
        let pool_name = name.shared();
        let seed = settings::seed(&ground.node, name.as_str());
        let mut seen: BTreeMap<Arc<str>, State> = BTreeMap::new();
        let watch = Watch::start(ground.clock, seed, move |server: &Arc<str>, status: &Status| {
            log_status(&pool_name, server, seen.insert(Arc::clone(server), status.state), status);
            standing.tell(News::Standing(Arc::clone(server), status.standing()));
            changed.notify_one();
        });
        let mut running = Self { config: pool.clone(), plugin, proxy, keeper, watch, hosted };
        running.apply(name, pool, fleet, operators)?;
        Ok(running)
    }

    /// Whether this pool can become that one without being made anew: its policy is of the same name, if any.
    pub(crate) fn can_become(&self, pool: &config::Pool) -> bool {
        self.config.scheduler == pool.scheduler
    }

    /// Applies what the fleet file says now. Servers that stay keep everything that is known of them.
    pub(crate) fn apply(
        &mut self,
        name: &config::Name,
        pool: &config::Pool,
        fleet: &config::Fleet,
        operators: &OperatorStates,
    ) -> anyhow::Result<()> {
        let watched = settings::watched(pool, |server| operators.get(name.as_str(), server))?;
        self.proxy.set_settings(settings::pool(pool)?);
        // Members first: news of a server that is not a member yet would be lost.
        self.keeper.tell(News::Members(settings::members(pool)));
        self.watch.set(watched);
        let plugin = plugin_of(pool, fleet);
        if self.plugin != plugin
            && let (Some(hosted), Some(plugin)) = (&self.hosted, &plugin)
        {
            hosted.reconfigure(settings::plugin(plugin));
        }
        self.plugin = plugin;
        self.config = pool.clone();
        Ok(())
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
        self.hosted.as_ref()
    }

    /// An operator's command about one of its servers.
    pub(crate) async fn operator(&self, server: &str, command: OperatorCommand) -> anyhow::Result<Status> {
        Ok(self.watch.operator(server, command).await?)
    }

    /// How its servers stand.
    pub(crate) async fn standings(&self) -> Vec<(Arc<str>, Status)> {
        self.watch.snapshot().await
    }

    /// Whether every server that is checked has been checked once.
    pub(crate) async fn is_settled(&self) -> bool {
        self.standings().await.iter().all(|(_, s)| s.bits.check != Some(CheckHealth::Unknown))
    }

    /// Waits until all that is known by now is what the workers see. Blocks for as long as the policy takes to plan.
    pub(crate) fn flush(&self) {
        self.keeper.flush();
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

fn plugin_of(pool: &config::Pool, fleet: &config::Fleet) -> Option<config::Plugin> {
    pool.scheduler.as_ref().and_then(|name| fleet.plugins.get(name)).cloned()
}
