//! The life of a node: what the operator wants of it, and what is remembered of it.
//!
//! ```text
//! active ──drain──> draining ──(empty)──> drained ──retire──> retired
//!    ^                  │                    │                   │
//!    └──────────────────┴─────undrain────────┴───────────────────┘
//! ```

use std::time::Duration;

use welkin_base::{NodeName, Timestamp};
use welkin_fabric_wire::{HealthChange, NodeState};

use crate::cluster::{Cluster, Node, NodeRecord, Usage};
use crate::health::{Health, apart, health};
use crate::plan::Change;

/// Changes of health that are remembered of a node: the newest.
pub const HISTORY_MAX: usize = 32;
/// A changed capacity is noted at most so often: a node that says another one with each answer does not keep the
/// store busy.
const CAPACITY_NOTED: Duration = Duration::from_secs(60);

/// Why a node's state does not change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotChanged {
    /// No node of that name is configured.
    #[error("no node of this cluster is called {0}")]
    Missing(NodeName),
    /// Something is on it.
    #[error(
        "node {name} has {instances} instances and may still have {leaving} that left: drain it first, or force it \
         when the machine is gone for good"
    )]
    NotEmpty {
        /// The node.
        name: NodeName,
        /// Instances placed on it.
        instances: u32,
        /// Instances that may still be there.
        leaving: u32,
    },
    /// It is no longer one of the cluster.
    #[error("node {0} is retired: bring it back with undrain first")]
    Retired(NodeName),
}

/// The change that begins to drain a node; `None` when that is so.
///
/// # Errors
/// When there is no such node, or it is retired.
pub fn drain_node(cluster: &Cluster, name: &NodeName, now: Timestamp) -> Result<Option<Change>, NotChanged> {
    let node = find(cluster, name)?;
    match node.record.state {
        NodeState::Draining | NodeState::Drained => Ok(None),
        NodeState::Retired => Err(NotChanged::Retired(name.clone())),
        NodeState::Active => Ok(Some(become_(node, NodeState::Draining, now))),
    }
}

/// The change that has a node get instances again; `None` when it does.
///
/// # Errors
/// When there is no such node.
pub fn undrain_node(
    cluster: &Cluster,
    name: &NodeName,
    now: Timestamp,
) -> Result<Option<Change>, NotChanged> {
    let node = find(cluster, name)?;
    Ok((node.record.state != NodeState::Active).then(|| become_(node, NodeState::Active, now)))
}

/// The change that takes a node out of the cluster; `None` when it is out. `force` does so with what it has: that
/// begins anew elsewhere at once.
///
/// # Errors
/// When there is no such node, or it is not empty.
pub fn retire_node(
    cluster: &Cluster,
    name: &NodeName,
    force: bool,
    now: Timestamp,
) -> Result<Option<Change>, NotChanged> {
    let node = find(cluster, name)?;
    if node.is_retired() {
        return Ok(None);
    }
    let Usage { instances, leaving, .. } = cluster.usage_of(name);
    if (instances, leaving) != (0, 0) && !force {
        return Err(NotChanged::NotEmpty { name: name.clone(), instances, leaving });
    }
    Ok(Some(become_(node, NodeState::Retired, now)))
}

fn find<'a>(cluster: &'a Cluster, name: &NodeName) -> Result<&'a Node, NotChanged> {
    cluster.nodes.get(name).ok_or_else(|| NotChanged::Missing(name.clone()))
}

fn become_(node: &Node, state: NodeState, now: Timestamp) -> Change {
    let record = NodeRecord { state, state_since: Some(now), ..node.record.clone() };
    Change::Node(node.name.clone(), record)
}

/// Nodes that were being drained and are empty.
#[must_use]
pub fn drained(cluster: &Cluster, now: Timestamp) -> Vec<Change> {
    let draining = cluster.nodes.values().filter(|node| node.record.state == NodeState::Draining);
    let empty = draining.filter(|node| cluster.usage_of(&node.name).is_nothing());
    empty.map(|node| become_(node, NodeState::Drained, now)).collect()
}

/// What is to be remembered of nodes: that their health changed, and what they have.
#[must_use]
pub fn notes(cluster: &Cluster, now: Timestamp) -> Vec<Change> {
    cluster.nodes.values().filter_map(|node| note(cluster, node, now)).collect()
}

fn note(cluster: &Cluster, node: &Node, now: Timestamp) -> Option<Change> {
    let mut record = node.record.clone();
    let last = record.history.last().copied();
    let is = health(cluster, node, now);
    if is != Health::Unknown && last.is_none_or(|last| last.health != is) {
        record.history.push(HealthChange { health: is, at: now });
        let surplus = record.history.len().saturating_sub(HISTORY_MAX);
        record.history.drain(..surplus);
    }
    let said = node.seen.state().map(|state| state.capacity);
    let due = record.capacity_at.is_none_or(|at| apart(at, now) >= CAPACITY_NOTED);
    if said.is_some() && record.capacity != said && due {
        record.capacity = said;
        record.capacity_at = Some(now);
    }
    (record != node.record).then(|| Change::Node(node.name.clone(), record))
}
