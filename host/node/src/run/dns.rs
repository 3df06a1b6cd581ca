//! The node and its DNS server: start, reload, operators' words, explanations.

use std::sync::Arc;

use weir_core::config::{Fleet, Role};
use weir_dns::explain::{Ask, Explanation};

use super::Node;
use crate::command::ServerCommand;
use crate::dns::{DnsNode, Material, Prepared};

impl Node {
    /// Starts the DNS server where the node has that role. Queries wait until the first round of checks is over.
    pub(super) fn start_dns(&mut self, fleet: &Fleet) -> anyhow::Result<()> {
        if fleet.node(&self.name)?.has(Role::Dns) {
            self.dns = Some(DnsNode::start(fleet, &self.ground, &self.operators)?);
        }
        Ok(())
    }

    /// Reads zones and policies of a new fleet file; what is wrong with them changes nothing. Checks go on meanwhile: this thread
    /// is theirs too.
    pub(super) async fn prepare_dns(&self, fleet: &Arc<Fleet>) -> Result<Option<Prepared>, String> {
        let Some(dns) = &self.dns else { return Ok(None) };
        let of = Arc::clone(fleet);
        let material =
            tokio::task::spawn_blocking(move || Material::read(&of)).await.map_err(|e| e.to_string())?;
        let prepared = material.and_then(|material| dns.prepare(fleet, &self.ground, material));
        prepared.map(Some).map_err(|e| format!("{e:#}"))
    }

    /// Takes in what was prepared. Returns what it changes, a line each.
    pub(super) async fn apply_dns(&mut self, fleet: &Fleet, prepared: Option<Prepared>) -> Vec<String> {
        match (&mut self.dns, prepared) {
            (Some(dns), Some(prepared)) => dns.apply(fleet, &self.ground, &self.operators, prepared).await,
            _ => Vec::new(),
        }
    }

    /// Begins to answer queries.
    pub(super) fn answer_queries(&mut self) {
        if let Some(dns) = &mut self.dns
            && let Err(error) = dns.answer()
        {
            tracing::error!("DNS queries are not answered: {error:#}");
        }
    }

    /// An operator's word about an address of a policy; `None` where the node has no such policy.
    pub(super) async fn operator_of_address(
        &mut self,
        command: &ServerCommand,
    ) -> Option<anyhow::Result<String>> {
        let (policy, address) = (command.pool.as_str(), command.server.as_str());
        let status = match self.dns.as_ref()?.operator(policy, address, command.word.order()).await? {
            Ok((address, status)) => {
                let mut said = self.operators.get(policy, &address);
                command.word.note(&mut said);
                if let Err(error) = self.operators.set(policy, &address, said) {
                    return Some(Err(error));
                }
                status
            }
            Err(error) => return Some(Err(error)),
        };
        let reason = if status.reason.is_empty() { String::new() } else { format!(" ({})", status.reason) };
        Some(Ok(format!("{policy}/{address} is {}{reason}", status.state.as_str())))
    }

    /// Why a query is answered as it is.
    pub(super) fn explain(&mut self, ask: &Ask) -> Result<Explanation, String> {
        let now = self.ground.clock.now();
        match &mut self.dns {
            Some(dns) => Ok(dns.explain(ask, now)),
            None => Err(format!("{} has not the role \"dns\"", self.name)),
        }
    }
}
