//! Calls within a deployment: which instances may reach which internal endpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use welkin_agent_wire::node::Transport;
use welkin_agent_wire::{InternalEndpoint, InternalNetwork};
use welkin_base::RoleName;

use crate::cluster::{Cluster, Node};
use crate::deployment::{Deployment, Instance, Reach, RoleEndpoint};

/// The internal network of each deployment of which `node` has an instance.
pub(crate) fn internal(cluster: &Cluster, node: &Node) -> Vec<InternalNetwork> {
    let running = cluster.deployments.values().filter(|deployment| deployment.runs());
    let here =
        running.filter(|deployment| deployment.instances.iter().any(|instance| instance.node == node.name));
    here.map(of_deployment).filter(|network| !network.endpoints.is_empty()).collect()
}

/// Each instance has the endpoints of the version that it follows.
fn of_deployment(deployment: &Deployment) -> InternalNetwork {
    let mut roles: BTreeMap<RoleName, BTreeSet<Ipv4Addr>> = BTreeMap::new();
    for instance in &deployment.instances {
        roles.entry(instance.role.clone()).or_default().insert(instance.address);
    }
    let all: BTreeSet<RoleName> = roles.keys().cloned().collect();
    let endpoints = deployment.instances.iter().flat_map(|instance| {
        let declared = deployment.role_of(instance).into_iter().flat_map(|role| &role.endpoints);
        let internal = declared.filter(|endpoint| endpoint.reach == Reach::Internal);
        internal.flat_map(|endpoint| at_instance(endpoint, instance, &all)).collect::<Vec<_>>()
    });
    InternalNetwork { endpoints: endpoints.collect(), roles }
}

fn at_instance(
    endpoint: &RoleEndpoint,
    instance: &Instance,
    all: &BTreeSet<RoleName>,
) -> Vec<InternalEndpoint> {
    let transports: &[Transport] = match endpoint.protocol.as_str() {
        "udp" => &[Transport::Udp],
        "any" => &[Transport::Tcp, Transport::Udp],
        _ => &[Transport::Tcp],
    };
    let internal = |transport: &Transport| InternalEndpoint {
        address: instance.address,
        transport: *transport,
        first_port: endpoint.local_port,
        last_port: endpoint.last_port.unwrap_or(endpoint.local_port),
        from: endpoint.callers.as_ref().unwrap_or(all).clone(),
    };
    transports.iter().map(internal).collect()
}
