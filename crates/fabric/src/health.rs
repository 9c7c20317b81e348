//! Whether a node can be counted on, and what happens to the instances of one that cannot.
//!
//! A node that is silent for [`UNHEALTHY_AFTER`] leaves the load balancer; after [`LOST_AFTER`] its instances begin
//! anew elsewhere, with a higher incarnation. Nothing proves that the node is dead: its old instances are fenced,
//! because no goal names them any more, and are ended before anything else when the node answers again.

use std::time::Duration;

use welkin_base::{Generation, NodeName, Timestamp};
pub use welkin_fabric_wire::NodeHealth as Health;
use welkin_fabric_wire::{NodeKind, RebootReason};

use crate::cluster::{Cluster, Node};
use crate::deployment::Deployment;
use crate::placement::{Place, Room, Spread, Wanted};

/// Silence after which a node's instances leave the load balancer: four missed readings.
pub const UNHEALTHY_AFTER: Duration = Duration::from_secs(4);
/// Silence after which a node's instances are placed elsewhere. Long enough for an agent to be restarted.
pub const LOST_AFTER: Duration = Duration::from_secs(20);

/// The health of a node at `now`.
#[must_use]
pub fn health(cluster: &Cluster, node: &Node, now: Timestamp) -> Health {
    let silent_for = silence(cluster, node, now);
    if silent_for > LOST_AFTER {
        Health::Lost
    } else if silent_for > UNHEALTHY_AFTER {
        Health::Unhealthy
    } else if node.seen.answered().is_none() {
        Health::Unknown
    } else {
        Health::Healthy
    }
}

/// How long a node has been silent.
#[must_use]
pub fn silence(cluster: &Cluster, node: &Node, now: Timestamp) -> Duration {
    now.since(node.seen.answered().unwrap_or(cluster.since))
}

/// Whether each node was read, or is known to be silent: before that, no goal can be judged.
#[must_use]
pub fn is_settled(cluster: &Cluster, now: Timestamp) -> bool {
    let awaited = cluster.nodes.values().filter(|node| !node.is_retired());
    awaited.into_iter().all(|node| health(cluster, node, now) != Health::Unknown)
}

/// The brake: when more than half of the nodes are lost, the controller is likelier cut off than they are dead,
/// and nothing is moved. Edges run nothing, so that they do not count.
#[must_use]
pub fn brake(cluster: &Cluster, now: Timestamp) -> bool {
    let counted = cluster.nodes.values().filter(|node| node.kind == NodeKind::Compute && !node.is_retired());
    let (all, lost) = counted.fold((0, 0), |(all, lost), node| {
        (all + 1, lost + usize::from(health(cluster, node, now) == Health::Lost))
    });
    lost * 2 > all
}

/// The deployments whose instances on lost nodes find a place elsewhere, as they are afterwards.
#[must_use]
pub fn heal(cluster: &Cluster, now: Timestamp) -> Vec<Deployment> {
    if brake(cluster, now) {
        return Vec::new();
    }
    let mut room = Room::new(cluster, now);
    cluster
        .deployments
        .values()
        .filter(|deployment| !deployment.deleting)
        .filter_map(|deployment| heal_one(cluster, deployment, &mut room, now))
        .collect()
}

/// The generation of the goal that a node was given last.
#[must_use]
pub fn goal_given(cluster: &Cluster, node: &NodeName) -> Generation {
    cluster.nodes.get(node).map(|node| node.record.generation).unwrap_or_default()
}

fn heal_one(
    cluster: &Cluster,
    deployment: &Deployment,
    room: &mut Room<'_>,
    now: Timestamp,
) -> Option<Deployment> {
    let is_lost = |name: &NodeName| {
        let node = cluster.nodes.get(name);
        node.is_none_or(|node| node.is_retired() || health(cluster, node, now) == Health::Lost)
    };
    let mut healed = deployment.clone();
    let mut moved = false;
    for at in 0..healed.instances.len() {
        let old = healed.instances[at].clone();
        let Some(role) = deployment.role_of(&old) else { continue };
        if !is_lost(&old.node) {
            continue;
        }
        let images = role.images();
        let wanted = Wanted {
            role: &role.name,
            size: &role.size,
            index: old.index,
            of: role.count,
            need: old.need,
            images: &images,
        };
        let others: Vec<_> = healed.instances.iter().filter(|i| i.name() != old.name()).cloned().collect();
        let place = room
            .find(wanted, &others, Spread::Required)
            .or_else(|| room.find(wanted, &others, Spread::Preferred));
        let Some(place) = place else { continue };
        relocate(cluster, &mut healed, at, place, now);
        moved = true;
    }
    moved.then_some(healed)
}

/// Has the instance at `at` begin anew at another place; what it held is let go.
pub(crate) fn relocate(
    cluster: &Cluster,
    deployment: &mut Deployment,
    at: usize,
    place: Place,
    now: Timestamp,
) {
    let old = deployment.instances[at].clone();
    deployment.note(&old, RebootReason::Moved, now);
    let instance = &mut deployment.instances[at];
    instance.changed = goal_given(cluster, &place.node);
    instance.vm_restarts = 0;
    instance.begins = None;
    instance.node = place.node;
    instance.fault_domain = place.fault_domain;
    instance.address = place.address;
    instance.incarnation += 1;
    deployment.leaving.push(old.leave());
}
