//! What must hold at every step, and what must hold in the end.

use std::collections::{BTreeMap, BTreeSet};

use welkin_base::{DeploymentId, InstanceId, NodeName, Timestamp};
use welkin_fabric::drain::obstacle;
use welkin_fabric::{
    Cluster, Deployment, Instance, NodeState, Turn, deployment_observed, node_goal, update_observed,
};
use welkin_fabric_wire::{GoalStatus, InstanceState, UpdateMode};
use welkin_node::Vm;

use crate::node::SimNode;

/// What the controller has stored: addresses, capacity.
///
/// # Errors
/// What does not hold.
pub fn stored(cluster: &Cluster, nodes: &BTreeMap<NodeName, SimNode>) -> Result<(), String> {
    once("address", cluster.addresses())?;
    once("virtual IP", cluster.vips())?;
    for (name, usage) in cluster.usage() {
        let Some(node) = nodes.get(name) else { return Err(format!("{name} does not exist")) };
        if node.lied {
            continue;
        }
        if !usage.need.missing_in(welkin_fabric::Need::default().free_of(node.capacity)).is_nothing() {
            return Err(format!("{name} is oversubscribed: {usage:?} of {:?}", node.capacity));
        }
    }
    Ok(())
}

/// What really runs: no incarnation twice, no node over its capacity, no address twice on a node.
///
/// # Errors
/// What does not hold.
pub fn running(nodes: &BTreeMap<NodeName, SimNode>) -> Result<(), String> {
    let mut holders: BTreeMap<(&InstanceId, u64), &NodeName> = BTreeMap::new();
    // A node that lied may run what the controller believes ended: that is its own harm.
    for node in nodes.values().filter(|node| !node.lied) {
        let mut macs = BTreeSet::new();
        let (mut cores, mut memory_mib) = (0, 0);
        for (id, held) in &node.held.instances {
            let Vm::Running(vm) = &held.vm else { continue };
            if let Some(other) = holders.insert((id, held.incarnation), &node.name) {
                return Err(format!(
                    "{id}, incarnation {}, lives on {other} and {}",
                    held.incarnation, node.name
                ));
            }
            let Some(shape) = &vm.shape else { continue };
            cores += shape.cores;
            memory_mib += shape.memory_mib;
            if !macs.insert(&shape.mac) {
                return Err(format!("{} runs two VMs with {}", node.name, shape.mac));
            }
        }
        if cores > node.capacity.cores || memory_mib > node.capacity.memory_mib {
            return Err(format!(
                "{} runs VMs of {cores} cores and {memory_mib} MiB: {:?}",
                node.name, node.capacity
            ));
        }
    }
    Ok(())
}

/// Of what nodes hold by their current goals, each identity is in one goal at most, and traffic goes nowhere else.
///
/// # Errors
/// What does not hold.
pub fn fenced(cluster: &Cluster, nodes: &BTreeMap<NodeName, SimNode>) -> Result<(), String> {
    let current = |node: &&SimNode| {
        cluster.nodes.get(&node.name).is_some_and(|known| known.record.generation == node.goal.generation)
    };
    let mut owners: BTreeMap<&InstanceId, &SimNode> = BTreeMap::new();
    for node in nodes.values().filter(current) {
        for instance in &node.goal.instances {
            if let Some(other) = owners.insert(&instance.id, node) {
                return Err(format!(
                    "{} is in the current goals of {} and {}",
                    instance.id, other.name, node.name
                ));
            }
        }
    }
    for node in nodes.values().filter(current) {
        for backend in node.goal.vips.iter().flat_map(|vip| &vip.backends) {
            let owner = owners.get(&backend.instance);
            let elsewhere = owner.is_some_and(|owner| {
                owner.goal.instances.iter().all(|instance| {
                    instance.id != backend.instance || instance.guest.network.address != backend.address
                })
            });
            if elsewhere {
                return Err(format!(
                    "{} sends traffic of {} to {}",
                    node.name, backend.instance, backend.address
                ));
            }
        }
    }
    Ok(())
}

/// By an update, at most one update domain of a deployment is down. `at_once` are those that were to change otherwise.
///
/// # Errors
/// What does not hold.
pub fn updated(
    cluster: &Cluster,
    nodes: &BTreeMap<NodeName, SimNode>,
    at_once: &BTreeSet<DeploymentId>,
) -> Result<(), String> {
    for deployment in cluster.deployments.values().filter(|deployment| !at_once.contains(&deployment.id)) {
        let is_down = |instance: &&Instance| {
            let id = deployment.instance_id(instance.name());
            let node = nodes.get(&instance.node).filter(|node| !node.lied);
            let on_node = node.is_some_and(|node| node.updating().contains(&id));
            on_node || instance.turn != Turn::None
        };
        let down: Vec<&Instance> = deployment.instances.iter().filter(is_down).collect();
        let domains: BTreeSet<u32> = down.iter().map(|instance| instance.update_domain).collect();
        if domains.len() > 1 {
            return Err(format!("{}: update domains {domains:?} are down by an update", deployment.id));
        }
    }
    Ok(())
}

/// Whether all of a deployment runs as its goal says, by the newest goals of its nodes.
#[must_use]
pub fn is_settled(
    cluster: &Cluster,
    deployment: &Deployment,
    nodes: &BTreeMap<NodeName, SimNode>,
    now_ms: u64,
) -> bool {
    let is_ready = |instance: &Instance| {
        let (node, known) = (nodes.get(&instance.node), cluster.nodes.get(&instance.node));
        node.zip(known).is_some_and(|(node, known)| {
            node.goal.generation == known.record.generation
                && node
                    .held
                    .rotation(&node.goal, now_ms)
                    .ready
                    .contains(&deployment.instance_id(instance.name()))
        })
    };
    deployment.runs() && update_observed(deployment).is_none() && deployment.instances.iter().all(is_ready)
}

/// What must be so once everything works again and time has passed.
///
/// # Errors
/// What is not so.
pub fn at_rest(
    cluster: &Cluster,
    nodes: &BTreeMap<NodeName, SimNode>,
    now: Timestamp,
    now_ms: u64,
) -> Result<(), String> {
    for deployment in cluster.deployments.values() {
        if deployment.deleting || !deployment.leaving.is_empty() {
            let left: Vec<_> = deployment.leaving.iter().map(|left| (&left.name, &left.node)).collect();
            return Err(format!("{} is not gone: {left:?}", deployment.id));
        }
        let manual = matches!(deployment.goal.update.mode, UpdateMode::Manual { .. });
        if let Some(update) = update_observed(deployment).filter(|_| !manual) {
            return Err(format!("{} is still being updated: {update:?}", deployment.id));
        }
        let expected = match deployment.goal.status {
            GoalStatus::Running => InstanceState::Ready,
            GoalStatus::Suspended => InstanceState::StoppedVm,
        };
        for instance in deployment_observed(cluster, deployment, now).instances {
            if instance.state != expected {
                let (name, node, state) = (&instance.name, &instance.node, instance.state);
                return Err(format!("{}/{name} on {node} is {state:?}: {}", deployment.id, instance.message));
            }
        }
    }
    for (name, node) in nodes {
        let Some(known) = cluster.nodes.get(name) else { continue };
        let holds = !cluster.usage_of(name).is_nothing();
        if known.record.state == NodeState::Drained && holds {
            return Err(format!("{name} is drained and holds something"));
        }
        if known.record.state == NodeState::Draining && obstacle(cluster, known, now).is_none() {
            return Err(format!("{name} is still being drained, and nothing is in the way"));
        }
        if node_goal(cluster, known, now) != node.goal {
            return Err(format!("{name} does not hold its goal"));
        }
        let wanted: BTreeSet<&InstanceId> = node.goal.instances.iter().map(|instance| &instance.id).collect();
        let ready = node.held.rotation(&node.goal, now_ms).ready;
        if node.held.instances.keys().collect::<BTreeSet<_>>() != wanted
            || ready.iter().collect::<BTreeSet<_>>() != wanted
        {
            return Err(format!("{name} runs {ready:?} and not {wanted:?}"));
        }
    }
    Ok(())
}

fn once<T: Ord + std::fmt::Display + Copy>(what: &str, items: impl Iterator<Item = T>) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for item in items {
        if !seen.insert(item) {
            return Err(format!("{what} {item} is given twice"));
        }
    }
    Ok(())
}
