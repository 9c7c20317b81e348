//! What the operator does: nodes are drained, brought back, retired, added and taken away.

use rand::Rng as _;
use rand::rngs::StdRng;
use welkin_base::Timestamp;
use welkin_fabric::{Change, Cluster, NodeState, drain_node, retire_node, undrain_node};

/// An order, as the change that it is; `None` when it cannot be now.
#[must_use]
pub fn order(cluster: &Cluster, now: Timestamp, rng: &mut StdRng) -> Option<(String, Change)> {
    let count = cluster.nodes.len();
    let node = cluster.nodes.values().nth(rng.random_range(0..count.max(1)))?;
    let away = cluster.nodes.values().filter(|node| node.record.state != NodeState::Active).count();
    let (what, change) = match rng.random_range(0..8) {
        0..4 if away * 2 < count => ("drains", drain_node(cluster, &node.name, now)),
        7 if away * 2 < count => {
            let force = rng.random_bool(0.3);
            ("retires", retire_node(cluster, &node.name, force, now))
        }
        _ => ("brings back", undrain_node(cluster, &node.name, now)),
    };
    Some((format!("the operator {what} {}", node.name), change.ok().flatten()?))
}

/// The next retired node is brought back, as the change that it is.
#[must_use]
pub fn bring_back(cluster: &Cluster, now: Timestamp) -> Option<Change> {
    let retired = cluster.nodes.values().find(|node| node.is_retired())?;
    undrain_node(cluster, &retired.name, now).ok().flatten()
}
