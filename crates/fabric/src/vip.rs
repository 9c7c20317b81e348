//! Load balancing: which instances stand behind each public port of the virtual IPs.
//!
//! Each node balances every virtual IP, for the calls that leave it. A node decides itself about its own
//! instances; about those of other nodes it is told.

use welkin_agent_wire::node::Transport;
use welkin_agent_wire::{RoleState, Vip, VipBackend, VmState};
use welkin_base::Timestamp;

use crate::cluster::{Cluster, Node};
use crate::deployment::{Deployment, Instance, Reach, RoleEndpoint};
use crate::healing::trusts_the_silent;
use crate::health::{Health, health};

/// The load-balanced endpoints, as `node` is told.
#[must_use]
pub fn vips(cluster: &Cluster, node: &Node, now: Timestamp) -> Vec<Vip> {
    cluster
        .deployments
        .values()
        .filter(|deployment| deployment.runs())
        .flat_map(|deployment| of_deployment(cluster, node, deployment, now))
        .collect()
}

/// Whether an instance takes traffic, as far as this controller knows.
#[must_use]
pub fn is_ready(cluster: &Cluster, deployment: &Deployment, instance: &Instance, now: Timestamp) -> bool {
    let Some(node) = cluster.nodes.get(&instance.node) else { return false };
    health(cluster, node, now) == Health::Healthy && said_ready(cluster, deployment, instance)
}

/// Whether its node said last that the instance takes traffic, however long ago.
fn said_ready(cluster: &Cluster, deployment: &Deployment, instance: &Instance) -> bool {
    let Some(node) = cluster.nodes.get(&instance.node) else { return false };
    let seen = node.seen.instance(&deployment.instance_id(instance.name()));
    seen.is_some_and(|seen| {
        seen.incarnation == instance.incarnation
            && seen.vm == VmState::Running
            && seen.role == Some(RoleState::Ready)
    })
}

/// Whether what a node said last of its instances decides where traffic goes: it answers, or so many do not that the
/// controller is likelier cut off than they are dead.
fn is_counted_on(cluster: &Cluster, node: &Node, now: Timestamp) -> bool {
    health(cluster, node, now) == Health::Healthy || trusts_the_silent(cluster, now)
}

/// Whether an instance passes a probe, as far as this controller knows.
fn passes(
    cluster: &Cluster,
    deployment: &Deployment,
    instance: &Instance,
    name: &str,
    now: Timestamp,
) -> bool {
    let Some(node) = cluster.nodes.get(&instance.node) else { return false };
    let seen = node.seen.instance(&deployment.instance_id(instance.name()));
    let passed = seen.is_some_and(|seen| {
        seen.incarnation == instance.incarnation && seen.passes.iter().any(|passed| passed == name)
    });
    passed && is_counted_on(cluster, node, now)
}

/// Whether an instance passes each probe of its endpoints.
#[must_use]
pub fn passes_all(cluster: &Cluster, deployment: &Deployment, instance: &Instance, now: Timestamp) -> bool {
    let endpoints = deployment.role_of(instance).into_iter().flat_map(|role| &role.endpoints);
    let mut probes = endpoints.filter_map(|endpoint| endpoint.probe.as_ref());
    probes.all(|probe| passes(cluster, deployment, instance, &probe.name, now))
}

/// Instances may follow different versions of their role, so that each stands behind the endpoints of its own.
fn of_deployment(cluster: &Cluster, node: &Node, deployment: &Deployment, now: Timestamp) -> Vec<Vip> {
    let Some(address) = deployment.vip else { return Vec::new() };
    let mut vips: Vec<Vip> = Vec::new();
    for instance in &deployment.instances {
        let endpoints = deployment.role_of(instance).into_iter().flat_map(|role| &role.endpoints);
        for endpoint in endpoints {
            let Some(port) = endpoint.public_port(instance.index) else { continue };
            let transport = transport(endpoint);
            let at = vips.iter().position(|vip| (vip.port, vip.transport) == (port, transport));
            let at = at.unwrap_or_else(|| {
                let access = endpoint.access.clone();
                vips.push(Vip { address, port, transport, access, backends: Vec::new() });
                vips.len() - 1
            });
            let backend = backend(cluster, deployment, instance, endpoint, now);
            // The node decides itself about its own.
            let ready = backend.ready && instance.node != node.name;
            vips[at].backends.push(VipBackend { ready, ..backend });
        }
    }
    vips
}

/// An instance behind an endpoint. One that has a port of its own gets what arrives there whether it is ready or not: a
/// load balancer that has nobody else to send it to always does (SERVICEMODEL §6).
fn backend(
    cluster: &Cluster,
    deployment: &Deployment,
    instance: &Instance,
    endpoint: &RoleEndpoint,
    now: Timestamp,
) -> VipBackend {
    let ignore_status = match endpoint.reach {
        Reach::Input { ignore_status, .. } => ignore_status,
        Reach::InstanceInput { .. } | Reach::Internal => true,
    };
    let probe = endpoint.probe.as_ref();
    let node = cluster.nodes.get(&instance.node);
    let takes_traffic = said_ready(cluster, deployment, instance)
        && node.is_some_and(|node| is_counted_on(cluster, node, now));
    VipBackend {
        instance: deployment.instance_id(instance.name()),
        address: instance.address,
        port: endpoint.local_port,
        ready: (ignore_status || takes_traffic)
            && probe.is_none_or(|probe| passes(cluster, deployment, instance, &probe.name, now)),
        ignore_status,
        out: instance.is_out(),
        probe: probe.map(|probe| probe.name.clone()),
    }
}

fn transport(endpoint: &RoleEndpoint) -> Transport {
    if endpoint.protocol == "udp" { Transport::Udp } else { Transport::Tcp }
}
