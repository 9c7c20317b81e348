//! Load balancing: which instances stand behind each public port of the virtual IPs.
//!
//! Each node balances every virtual IP, for the calls that leave it. A node decides itself about its own
//! instances; about those of other nodes it is told.

use welkin_agent_wire::node::Transport;
use welkin_agent_wire::{RoleState, Vip, VipBackend, VmState};
use welkin_base::Timestamp;

use crate::cluster::{Cluster, Node};
use crate::deployment::{Deployment, Instance, Reach, RoleEndpoint};
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
    let seen = node.seen.instance(&deployment.instance_id(instance.name()));
    health(cluster, node, now) == Health::Healthy
        && seen.is_some_and(|seen| {
            seen.incarnation == instance.incarnation
                && seen.vm == VmState::Running
                && seen.role == Some(RoleState::Ready)
        })
}

/// Instances may follow different versions of their role, so that each stands behind the endpoints of its own.
fn of_deployment(cluster: &Cluster, node: &Node, deployment: &Deployment, now: Timestamp) -> Vec<Vip> {
    let Some(address) = deployment.vip else { return Vec::new() };
    let mut vips: Vec<Vip> = Vec::new();
    for instance in &deployment.instances {
        let endpoints = deployment.role_of(instance).into_iter().flat_map(|role| &role.endpoints);
        for endpoint in endpoints {
            let Reach::Input { port, ignore_status } = endpoint.reach else { continue };
            let transport = transport(endpoint);
            let at = vips.iter().position(|vip| (vip.port, vip.transport) == (port, transport));
            let at = at.unwrap_or_else(|| {
                let access = endpoint.access.clone();
                vips.push(Vip { address, port, transport, access, backends: Vec::new() });
                vips.len() - 1
            });
            if instance.turn.is_out() {
                continue;
            }
            vips[at].backends.push(VipBackend {
                instance: deployment.instance_id(instance.name()),
                address: instance.address,
                port: endpoint.local_port,
                ready: instance.node != node.name && is_ready(cluster, deployment, instance, now),
                ignore_status,
            });
        }
    }
    vips
}

fn transport(endpoint: &RoleEndpoint) -> Transport {
    if endpoint.protocol == "udp" { Transport::Udp } else { Transport::Tcp }
}
