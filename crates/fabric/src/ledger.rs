//! What is placed where, kept beside what it follows from: it changes with each row that changes and each answer of a
//! node, and is never counted anew. So a decision costs as much in a large fleet as in a small one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Deref;

use welkin_agent_wire::limits::INSTANCES_PER_NODE_MAX;
use welkin_base::{DeploymentId, NodeName, Timestamp};

use crate::cluster::{Cluster, Node, Usage};
use crate::deployment::Deployment;
use crate::health::UNHEALTHY_AFTER;
use crate::network::ADDRESSES_PER_NODE;
use crate::placement::index::{Entry, Index};

/// Deployments by id. They are read as a map, and changed by [`Cluster::apply`] only.
#[derive(Debug, Clone, Default)]
pub struct Deployments(BTreeMap<DeploymentId, Deployment>);

impl Deref for Deployments {
    type Target = BTreeMap<DeploymentId, Deployment>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Deployments {
    type Item = (&'a DeploymentId, &'a Deployment);
    type IntoIter = std::collections::btree_map::Iter<'a, DeploymentId, Deployment>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl PartialEq for Deployments {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

/// What is placed where, and which nodes take more.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger {
    held: BTreeMap<NodeName, Held>,
    /// Nodes that take instances as far as their last answer tells.
    index: Index,
    names: BTreeMap<u32, NodeName>,
    /// When each node of the index answered last, the longest ago first.
    answered: BTreeSet<(Timestamp, u32)>,
    answered_of: BTreeMap<u32, Timestamp>,
}

/// What is placed on one node.
#[derive(Debug, Clone, Default)]
struct Held {
    usage: Usage,
    addresses: BTreeSet<Ipv4Addr>,
}

impl Ledger {
    /// The nodes that take instances.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// The name of a node.
    pub fn name(&self, number: u32) -> Option<&NodeName> {
        self.names.get(&number)
    }

    /// Gives a number its name.
    pub fn introduce(&mut self, number: u32, name: NodeName) {
        self.names.insert(number, name);
    }

    /// Addresses in use on a node.
    pub fn addresses(&self, name: &NodeName) -> BTreeSet<Ipv4Addr> {
        self.held.get(name).map(|held| held.addresses.clone()).unwrap_or_default()
    }

    /// Nodes of the index that have been silent for too long at `now`.
    pub fn silent(&self, now: Timestamp) -> BTreeSet<u32> {
        let waited = self.answered.iter().take_while(|(at, _)| now.since(*at) > UNHEALTHY_AFTER);
        waited.map(|(_, number)| *number).collect()
    }

    fn hold(&mut self, deployment: &Deployment) {
        for (node, need, address) in deployment.holdings() {
            let held = self.held.entry(node.clone()).or_default();
            held.usage.need.add(need);
            held.addresses.insert(address);
        }
        for instance in &deployment.instances {
            self.held.entry(instance.node.clone()).or_default().usage.instances += 1;
        }
        for left in &deployment.leaving {
            self.held.entry(left.node.clone()).or_default().usage.leaving += 1;
        }
    }

    fn release(&mut self, deployment: &Deployment) {
        for (node, need, address) in deployment.holdings() {
            let Some(held) = self.held.get_mut(node) else { continue };
            held.usage.need = held.usage.need.less(need);
            held.addresses.remove(&address);
        }
        for instance in &deployment.instances {
            let Some(held) = self.held.get_mut(&instance.node) else { continue };
            held.usage.instances = held.usage.instances.saturating_sub(1);
        }
        for left in &deployment.leaving {
            let Some(held) = self.held.get_mut(&left.node) else { continue };
            held.usage.leaving = held.usage.leaving.saturating_sub(1);
        }
        for (node, _, _) in deployment.holdings() {
            if self.held.get(node).is_some_and(|held| held.usage == Usage::default()) {
                self.held.remove(node);
            }
        }
    }

    fn put(&mut self, node: &Node, entry: Option<Entry>) {
        let answered = entry.and(node.seen.answered());
        if let Some(before) = self.answered_of.remove(&node.number) {
            self.answered.remove(&(before, node.number));
        }
        match (entry, answered) {
            (Some(entry), Some(at)) => {
                self.index.put(node.number, entry);
                self.answered.insert((at, node.number));
                self.answered_of.insert(node.number, at);
            }
            _ => self.index.remove(node.number),
        }
    }
}

impl Cluster {
    /// What instances take from each node that has any.
    pub fn usage(&self) -> impl Iterator<Item = (&NodeName, Usage)> {
        self.ledger.held.iter().map(|(name, held)| (name, held.usage))
    }

    /// What instances take from one node.
    #[must_use]
    pub fn usage_of(&self, name: &NodeName) -> Usage {
        self.ledger.held.get(name).map(|held| held.usage).unwrap_or_default()
    }

    /// Forgets every deployment, before all are read anew.
    pub fn forget_deployments(&mut self) {
        let all = std::mem::take(&mut self.deployments);
        self.ledger.held.clear();
        all.values().flat_map(nodes_of).for_each(|node| self.refresh(&node));
    }

    /// Takes over a deployment as it is now.
    pub(crate) fn put_deployment(&mut self, deployment: Deployment) {
        let mut touched = nodes_of(&deployment);
        if let Some(old) = self.deployments.0.get(&deployment.id) {
            self.ledger.release(old);
            touched.extend(nodes_of(old));
        }
        self.ledger.hold(&deployment);
        self.deployments.0.insert(deployment.id.clone(), deployment);
        touched.iter().for_each(|node| self.refresh(node));
    }

    /// Takes over that a deployment is gone.
    pub(crate) fn remove_deployment(&mut self, id: &DeploymentId) {
        if let Some(old) = self.deployments.0.remove(id) {
            self.ledger.release(&old);
            nodes_of(&old).iter().for_each(|node| self.refresh(node));
        }
    }

    /// Takes over what a node's record, its last answer, or what is placed there now means for new places.
    pub(crate) fn refresh(&mut self, name: &NodeName) {
        let Some(node) = self.nodes.get(name) else { return };
        let usage = self.usage_of(name);
        let addresses = self.ledger.held.get(name).map_or(0, |held| held.addresses.len());
        let fit = node.takes_instances() && !self.has_strangers(node);
        let state = node.seen.state().filter(|_| fit);
        let entry = state.map(|state| Entry {
            fault_domain: node.fault_domain,
            free: usage.need.free_of(state.capacity),
            open: addresses < ADDRESSES_PER_NODE
                && usize::try_from(usage.instances).is_ok_and(|count| count < INSTANCES_PER_NODE_MAX),
        });
        self.ledger.put(node, entry);
    }

    /// Takes nodes that have been silent for too long out of the index, so that no choice meets them again.
    pub(crate) fn drop_silent(&mut self, now: Timestamp) {
        for number in self.ledger.silent(now) {
            let name = self.ledger.names.get(&number);
            let Some(node) = name.and_then(|name| self.nodes.get(name)) else { continue };
            self.ledger.put(node, None);
        }
    }
}

/// The nodes on which something of a deployment is placed, or was.
fn nodes_of(deployment: &Deployment) -> BTreeSet<NodeName> {
    deployment.holdings().map(|(node, _, _)| node.clone()).collect()
}
