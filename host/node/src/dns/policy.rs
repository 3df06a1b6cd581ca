//! One policy that runs: its checks, and the plugin that chooses.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use weir_core::config::{DnsAddress, DnsPolicy, Fleet, Name};
use weir_core::dns::answer::choose::ChooserSource;
use weir_probe::check::{Check, Method};
use weir_probe::watch::{Watch, Watched};
use weir_wasm::{HostedChooser, InstanceSpec};

use super::standing::Standing;
use crate::operator::OperatorStates;
use crate::pools::Ground;
use crate::settings;

/// Where the checks of a policy of type "http" go whose port is not written.
const HTTP_PORT: u16 = 80;

/// A policy with its checks.
pub(super) struct RunningPolicy {
    pub(super) config: DnsPolicy,
    pub(super) watch: Arc<Watch>,
    plugin: Option<Plugin>,
}

/// The plugin that a policy names.
pub(super) struct Plugin {
    name: Name,
    spec: InstanceSpec,
    hosted: Arc<HostedChooser>,
}

/// What a new fleet file does to a policy. Making it may fail, taking it in does not.
pub(super) struct Change {
    plugin: PluginChange,
    checks: Vec<Option<Check>>,
}

enum PluginChange {
    None,
    /// Another file, configuration or limit for the same name.
    Reconfigure(InstanceSpec),
    /// Another one, or none any more.
    Replace(Option<Plugin>),
}

impl Change {
    pub(super) fn of(
        running: Option<&RunningPolicy>,
        name: &Name,
        config: &DnsPolicy,
        fleet: &Fleet,
        ground: &Ground,
        workers: usize,
    ) -> anyhow::Result<Self> {
        let place = |address: &DnsAddress| SocketAddr::new(address.address, HTTP_PORT);
        let check = |address: &DnsAddress| -> anyhow::Result<Option<Check>> {
            let Some(check) = &config.check else { return Ok(None) };
            let mut check = settings::check(check, place(address), false)?;
            if let (Method::Http(http), Some(header)) = (&check.method, &config.load_header) {
                check.method = Method::Http(http.clone().saying_load_in(header));
            }
            Ok(Some(check))
        };
        let checks = config.addresses.iter().map(check);
        let checks = checks.collect::<anyhow::Result<_>>().with_context(|| format!("dns.policies.{name}"))?;
        let old = running.and_then(|r| r.plugin.as_ref());
        let new = config
            .plugin
            .as_ref()
            .and_then(|plugin| Some((plugin.clone(), settings::plugin(fleet.plugins.get(plugin)?))));
        let plugin = match (old, new) {
            (None, None) => PluginChange::None,
            (Some(old), Some((plugin, spec))) if old.name == plugin => match old.spec == spec {
                true => PluginChange::None,
                false => PluginChange::Reconfigure(spec),
            },
            (_, None) => PluginChange::Replace(None),
            (_, Some((plugin, spec))) => {
                let instance = settings::instance_name(plugin.as_str(), name.as_str());
                let changed = Arc::clone(&ground.changed);
                // Workers look at the generation before each decision, so nobody has to be woken but who waits for "ready".
                let on_change = move || changed.notify_one();
                let hosted = ground.plugins.chooser(&instance, spec.clone(), workers, on_change)?;
                PluginChange::Replace(Some(Plugin { name: plugin, spec, hosted }))
            }
        };
        Ok(Self { plugin, checks })
    }
}

impl RunningPolicy {
    /// Starts with no address: [`RunningPolicy::apply`] says which there are.
    pub(super) fn start(name: &Name, ground: &Ground, standing: &Arc<Standing>) -> Self {
        let (weak, policy) = (Arc::downgrade(standing), name.clone());
        let seed = settings::seed(&ground.node, name.as_str());
        let watch = Watch::start(ground.clock, seed, move |address, status| {
            if let Some(standing) = weak.upgrade() {
                standing.status(&policy, address, status);
            }
        });
        let config = DnsPolicy {
            plugin: None,
            check: None,
            load_header: None,
            all_down: weir_core::config::AllDown::default(),
            fallback: Vec::new(),
            min_ttl: weir_core::config::DNS_MIN_TTL,
            max_ttl: weir_core::config::DNS_MAX_TTL,
            addresses: Vec::new(),
        };
        Self { config, watch: Arc::new(watch), plugin: None }
    }

    /// Takes in what the fleet file says now. Addresses that stay keep everything that is known of them.
    pub(super) fn apply(
        &mut self,
        name: &Name,
        config: &DnsPolicy,
        change: Change,
        standing: &Standing,
        operators: &OperatorStates,
    ) {
        match change.plugin {
            PluginChange::None => {}
            PluginChange::Reconfigure(spec) => {
                if let Some(plugin) = &mut self.plugin {
                    plugin.hosted.reconfigure(spec.clone());
                    plugin.spec = spec;
                }
            }
            PluginChange::Replace(plugin) => self.plugin = plugin,
        }
        self.config = config.clone();
        let source = self.plugin.as_ref().map(|p| Arc::clone(&p.hosted) as Arc<dyn ChooserSource>);
        // Before the checks: news of an address that is not known yet would be lost.
        standing.policy(name, config, source, &self.watch);
        let addresses = config.addresses.iter().zip(change.checks);
        let watched = addresses.map(|(address, check)| {
            let text = address.address.to_string();
            Watched {
                spec: config.health(address),
                check,
                agent: None,
                judge: None,
                operator: operators.get(name.as_str(), &text),
                name: text.into(),
            }
        });
        self.watch.set(watched.collect());
        standing.inherit(name);
    }

    /// Its plugin, if that is meant by the name of the plugin or of the instance.
    pub(super) fn plugin_if(&self, policy: &Name, name: &str) -> Option<&HostedChooser> {
        let plugin = self.plugin.as_ref()?;
        let instance = settings::instance_name(plugin.name.as_str(), policy.as_str());
        (plugin.name.as_str() == name || &*instance == name).then_some(&*plugin.hosted)
    }
}
