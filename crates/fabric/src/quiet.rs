//! Before an instance changes, moves or boots again it leaves the load balancers, and its connections come to their end.
//!
//! A node that balances says of an instance that drains how many connections it still counts, once the load balancer in
//! force there leaves it out (see `agent-wire`). When every node that answers says none, the instance is quiet: nobody
//! who may still send it something is left. So a quiet instance waits no longer than the nodes need to hear of it.

use std::time::Duration;

use welkin_agent_wire::Draining;
use welkin_agent_wire::limits::DRAINING_MAX;
use welkin_base::Timestamp;

use crate::cluster::{Cluster, Node};
use crate::deployment::{Deployment, Instance, RoleEndpoint};
use crate::health::{Health, apart, health};

/// After so long an instance changes although it has connections, or a node has not taken the goal that leaves it out.
/// Longer than requests last by custom; an operator may choose another.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);

/// The instances of the cluster that drain, those that wait longest first.
pub(crate) fn draining(cluster: &Cluster) -> Vec<Draining> {
    let running = cluster.deployments.values().filter(|deployment| deployment.runs());
    let mut draining: Vec<Draining> = running.flat_map(of_deployment).collect();
    draining.sort_by(|one, other| (one.since, &one.instance).cmp(&(other.since, &other.instance)));
    draining.truncate(DRAINING_MAX);
    draining
}

fn of_deployment(deployment: &Deployment) -> impl Iterator<Item = Draining> {
    deployment.instances.iter().filter_map(|instance| {
        let since = instance.draining_since().filter(|_| is_balanced(deployment, instance))?;
        let (instance, address) = (deployment.instance_id(instance.name()), instance.address);
        Some(Draining { instance, address, since })
    })
}

/// Whether an instance that drains may change now.
pub(crate) fn is_quiet(
    cluster: &Cluster,
    deployment: &Deployment,
    instance: &Instance,
    now: Timestamp,
) -> bool {
    let Some(since) = instance.draining_since() else { return true };
    if apart(since, now) >= cluster.drain_max || !is_balanced(deployment, instance) {
        return true;
    }
    let id = deployment.instance_id(instance.name());
    let says_none = |node: &Node| {
        let said = node.seen.state().into_iter().flat_map(|state| &state.draining);
        let mut of_this = said.filter(|said| said.instance == id && said.since == since);
        of_this.any(|said| said.connections == Some(0))
    };
    let counted = cluster.nodes.values().filter(|node| !node.is_retired());
    counted.filter(|node| health(cluster, node, now) == Health::Healthy).all(says_none)
}

/// Whether another one takes the connections that the instance does not get. The only one of its role is not drained:
/// that would make it unreachable for longer (SERVICEMODEL §6: to a single instance the load balancer always sends).
fn is_balanced(deployment: &Deployment, instance: &Instance) -> bool {
    let mut others = deployment.instances.iter().filter(|other| other.role == instance.role);
    let role = deployment.role_of(instance);
    role.is_some_and(|role| role.endpoints.iter().any(RoleEndpoint::is_public))
        && others.any(|other| other.index != instance.index)
}
