//! A node's tunnels, addresses, tables and announcements, as far as the host is concerned with them.

use std::sync::Arc;

use anyhow::Context;
use weir_core::config::Fleet;

use super::Node;
use super::apply::CARRIED_OUT;
use crate::command::ServerCommand;
use crate::l4::{Balancing, NODES, Prepared};
use crate::receiving::Receiving;
use crate::status::NetworkStatus;

impl Node {
    /// Begins to check the L7 nodes of the fleet.
    pub(super) async fn start_balancing(&mut self, fleet: &Arc<Fleet>) -> anyhow::Result<()> {
        let Some(network) = self.network.clone() else { return Ok(()) };
        let prepared = self.prepare_balancing(fleet)?;
        let said = self.operators.get(NODES, &self.name);
        self.balancing = Some(Balancing::start(&self.ground, network, prepared, said).await);
        Ok(())
    }

    /// What can be wrong with a fleet file for an L4 node is wrong here.
    pub(super) fn prepare_balancing(&self, fleet: &Arc<Fleet>) -> anyhow::Result<Prepared> {
        let running = self.balancing.as_ref();
        let network = self.network.as_ref().context("this node has no network side")?;
        Prepared::new(fleet, running, &self.ground, network, |node| self.operators.get(NODES, node))
    }

    /// Tunnels and addresses of an L7 node.
    pub(super) fn receive(&mut self, fleet: &Arc<Fleet>) {
        match (&self.receiving, &self.network) {
            (Some(receiving), _) => receiving.apply(fleet),
            (None, Some(network)) if self.balancing.is_none() => {
                let state_dir = &*self.started_with.paths.state;
                self.receiving = Some(Receiving::start(&self.ground, network.clone(), fleet, state_dir));
            }
            (None, _) => {}
        }
    }

    /// Waits a while until the kernel is as the new fleet file wants it. Says whether it is, as far as it can be.
    pub(super) async fn is_carried_out(&self) -> bool {
        if let Some(balancing) = &self.balancing {
            balancing.flush().await;
        }
        match &self.network {
            Some(network) => network.settles(CARRIED_OUT).await,
            None => true,
        }
    }

    /// Leaves the neighbors in order; done when they have been left.
    pub(super) fn leave(&self) -> impl Future<Output = ()> + use<> {
        let decided = self.balancing.as_ref().map(|balancing| balancing.stop("the node is stopped"));
        let network = self.network.clone();
        async move {
            if let (Some(decided), Some(network)) = (decided, network) {
                decided.await;
                network.left().await;
            }
        }
    }

    /// An operator's word about a node of the fleet.
    pub(super) async fn operator_of_node(&mut self, command: &ServerCommand) -> anyhow::Result<String> {
        let node = command.server.as_str();
        let balancing = self.balancing.as_ref().context("only an l4 node is told about nodes")?;
        let done = balancing.operator(node, command.word.order()).await?;
        let mut said = self.operators.get(NODES, node);
        command.word.note(&mut said);
        self.operators.set(NODES, node, said)?;
        Ok(done)
    }

    /// What is known of the sidecar and of what it does.
    pub(super) fn network_status(&self) -> Option<NetworkStatus> {
        let network = self.network.as_ref()?;
        let link = network.link();
        Some(NetworkStatus {
            sidecar: link.problem,
            refused: link.refused,
            generation: network.wanted().map(|wanted| wanted.generation),
            observed: link.observed.map(|observed| (*observed).clone()),
        })
    }
}
