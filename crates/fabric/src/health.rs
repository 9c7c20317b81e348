//! Whether a node can be counted on.
//!
//! A node that is silent for [`UNHEALTHY_AFTER`] leaves the load balancer; after [`LOST_AFTER`] its instances begin
//! anew elsewhere ([`crate::healing`]), with a higher incarnation. Nothing proves that the node is dead: its old instances are fenced,
//! because no goal names them any more, and are ended before anything else when the node answers again.

use std::time::Duration;

use welkin_base::{Generation, NodeName, Timestamp};
pub use welkin_fabric_wire::NodeHealth as Health;
use welkin_fabric_wire::RebootReason;

use crate::cluster::{Cluster, Node};
use crate::deployment::Deployment;
use crate::placement::Place;

/// Silence after which a node's instances leave the load balancer: three missed readings. A plan is made at least each
/// second, so a node that dies is out of every goal after four seconds at most, and a second is left for the goals to be
/// taken: the load balancer is off it within five. Shorter would take nodes out that are merely busy.
pub const UNHEALTHY_AFTER: Duration = Duration::from_secs(3);
/// Silence after which a node's instances are placed elsewhere. Long enough for an agent to be restarted, and short
/// enough that they boot elsewhere within 30 s of the node's death.
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

/// The time between a stored moment and now. A moment that lies ahead was stored by a controller whose clock was set back
/// since: nobody is to wait until this clock gets there.
pub(crate) fn apart(stored: Timestamp, now: Timestamp) -> Duration {
    now.since(stored).max(stored.since(now))
}

/// Whether each node was read, or is known to be silent: before that, no goal can be judged.
#[must_use]
pub fn is_settled(cluster: &Cluster, now: Timestamp) -> bool {
    let awaited = cluster.nodes.values().filter(|node| !node.is_retired());
    awaited.into_iter().all(|node| health(cluster, node, now) != Health::Unknown)
}

/// Whether the controller itself was away: of all that it has heard of, nothing has answered for [`UNHEALTHY_AFTER`].
/// It was stopped or cut off, and what the nodes' silence says of them is not known.
#[must_use]
pub fn was_away(cluster: &Cluster, now: Timestamp) -> bool {
    let mut awaited = cluster.nodes.values().filter(|node| !node.is_retired());
    awaited.all(|node| silence(cluster, node, now) > UNHEALTHY_AFTER)
}

impl Cluster {
    /// Begins to watch anew at `now`, as a controller does that was just started: no goal is judged and nothing is
    /// moved until each node has answered or has been silent since.
    pub fn watch_anew(&mut self, now: Timestamp) {
        self.since = now;
        self.back_since = Some(now);
        self.nodes.values_mut().for_each(|node| node.seen.await_answer());
    }
}

/// The generation of the goal that a node was given last.
#[must_use]
pub fn goal_given(cluster: &Cluster, node: &NodeName) -> Generation {
    cluster.nodes.get(node).map(|node| node.record.generation).unwrap_or_default()
}

/// Has the instance at `at` begin anew at another place; what it held is let go.
pub(crate) fn relocate(
    cluster: &Cluster,
    deployment: &mut Deployment,
    at: usize,
    place: Place,
    why: RebootReason,
    now: Timestamp,
) {
    let old = deployment.instances[at].clone();
    deployment.note(&old, why, now);
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
