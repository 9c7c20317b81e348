//! What management reads back: the state of each instance, deployment and node.

use welkin_agent_wire::{Accelerator, InstanceObserved, RoleState, VmState};
use welkin_base::{RoleName, Timestamp};
use welkin_fabric_wire::{
    DeploymentObserved, GoalStatus, InputEndpoint, InstanceState, InstanceStatus, NodeStatus, RoleObserved,
};

use crate::cluster::{Cluster, Node, Usage};
use crate::deployment::{Deployment, Instance, Leaving, Reach, RoleEndpoint};
use crate::drain::obstacle;
use crate::healing::brake;
use crate::health::{Health, health, silence};
use crate::update::update_observed;

/// A deployment as it is at `now`.
#[must_use]
pub fn deployment_observed(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> DeploymentObserved {
    let placed =
        deployment.instances.iter().map(|instance| placed_status(cluster, deployment, instance, now));
    let left = deployment.leaving.iter().filter(|_| deployment.deleting);
    let left = left.map(|left| leaving_status(cluster, deployment, left, now));
    DeploymentObserved {
        id: deployment.id.clone(),
        generation: deployment.goal.generation,
        deleting: deployment.deleting,
        update_domains: deployment.update_domains,
        roles: deployment
            .roles()
            .iter()
            .map(|role| RoleObserved {
                name: role.name.clone(),
                size: role.size.clone(),
                guest_os: role.guest_os.version.clone(),
            })
            .collect(),
        instances: placed.chain(left.flatten()).collect(),
        vip: deployment.vip,
        input_endpoints: input_endpoints(deployment),
        update: update_observed(deployment),
        rolled_back: deployment.rolled_back.clone(),
    }
}

/// A node as it is at `now`.
#[must_use]
pub fn node_status(cluster: &Cluster, node: &Node, now: Timestamp) -> NodeStatus {
    let Usage { need, instances, leaving } = cluster.usage_of(&node.name);
    let state = node.seen.state();
    let capacity = state.map(|state| state.capacity).or(node.record.capacity);
    let health = health(cluster, node, now);
    let healthy = health == Health::Healthy;
    NodeStatus {
        name: node.name.clone(),
        kind: node.kind,
        number: node.number,
        fault_domain: node.fault_domain,
        state: node.record.state,
        state_since: node.record.state_since,
        healthy,
        health,
        history: node.record.history.clone(),
        accelerator: state.map(|state| match state.accelerator {
            Accelerator::Kvm => "kvm".to_owned(),
            Accelerator::Tcg => "tcg".to_owned(),
        }),
        cores: capacity.map_or(0, |capacity| capacity.cores),
        cores_used: need.cores,
        memory_mib: capacity.map_or(0, |capacity| capacity.memory_mib),
        memory_used_mib: need.memory_mib,
        disk_mib: capacity.map_or(0, |capacity| capacity.disk_mib),
        disk_used_mib: need.disk_mib,
        instances,
        leaving,
        trouble: node_trouble(cluster, node, healthy, now),
    }
}

fn node_trouble(cluster: &Cluster, node: &Node, healthy: bool, now: Timestamp) -> Option<String> {
    if healthy {
        let reported = node.seen.state().and_then(|state| state.trouble.clone());
        return reported.or_else(|| obstacle(cluster, node, now));
    }
    let why = node.seen.trouble().unwrap_or("it has not been read yet");
    let silent_s = silence(cluster, node, now).as_secs();
    let stopped = brake(cluster, now).filter(|_| cluster.nodes.len() > 1);
    let braked = stopped.map(|why| format!("; healing is stopped: {why}")).unwrap_or_default();
    Some(format!("silent for {silent_s} s: {why}{braked}"))
}

fn placed_status(
    cluster: &Cluster,
    deployment: &Deployment,
    instance: &Instance,
    now: Timestamp,
) -> InstanceStatus {
    let id = deployment.instance_id(instance.name());
    let node = cluster.nodes.get(&instance.node);
    let seen = node.and_then(|node| node.seen.instance(&id));
    let current = seen.filter(|seen| seen.incarnation == instance.incarnation);
    let (state, message) = match node {
        Some(node) => match health(cluster, node, now) {
            Health::Unknown => (InstanceState::Unknown, "its node has not been read yet".to_owned()),
            Health::Healthy if deployment.goal.status == GoalStatus::Suspended => suspended(seen),
            Health::Healthy => {
                let cycles = current.is_some_and(|seen| {
                    node.seen.restarts(&id).is_some_and(|restarts| restarts.cycles(seen, now))
                });
                running(current, cycles)
            }
            Health::Unhealthy | Health::Lost => {
                let silent_s = silence(cluster, node, now).as_secs();
                (InstanceState::Unresponsive, format!("its node {} is silent for {silent_s} s", node.name))
            }
        },
        None => (InstanceState::Unresponsive, format!("its node {} is no longer configured", instance.node)),
    };
    InstanceStatus {
        name: instance.name(),
        role: instance.role.clone(),
        node: instance.node.clone(),
        update_domain: instance.update_domain,
        fault_domain: instance.fault_domain,
        size: deployment.role_of(instance).map(|role| role.size.clone()).unwrap_or_default(),
        address: instance.address,
        state,
        message,
        vm_restarts: current.map_or(0, |seen| seen.vm_restarts),
        role_restarts: current.map_or(0, |seen| seen.role_restarts),
        instance_endpoints: instance_endpoints(deployment, instance),
    }
}

/// An instance that is being removed; `None` when its role is not known.
fn leaving_status(
    cluster: &Cluster,
    deployment: &Deployment,
    left: &Leaving,
    now: Timestamp,
) -> Option<InstanceStatus> {
    let role = deployment.roles().iter().find(|role| {
        left.name.as_str().strip_prefix(role.name.as_str()).is_some_and(|n| n.starts_with("_IN_"))
    })?;
    let node = cluster.nodes.get(&left.node);
    let answers = node.is_some_and(|node| health(cluster, node, now) == Health::Healthy);
    let message =
        if answers { String::new() } else { format!("waits for its node {}, which is silent", left.node) };
    Some(InstanceStatus {
        name: left.name.clone(),
        role: role.name.clone(),
        node: left.node.clone(),
        update_domain: 0,
        fault_domain: node.map_or(0, |node| node.fault_domain),
        size: role.size.clone(),
        address: left.address,
        state: InstanceState::DeletingVm,
        message,
        vm_restarts: 0,
        role_restarts: 0,
        instance_endpoints: Vec::new(),
    })
}

fn suspended(seen: Option<&InstanceObserved>) -> (InstanceState, String) {
    let state = if seen.is_some() { InstanceState::StoppingVm } else { InstanceState::StoppedVm };
    (state, String::new())
}

/// The state of an instance that is to run, on a node that answers (SERVICEMODEL §5).
fn running(seen: Option<&InstanceObserved>, cycles: bool) -> (InstanceState, String) {
    let Some(seen) = seen else { return (InstanceState::CreatingVm, String::new()) };
    let state = match (seen.vm, seen.role) {
        (VmState::Running | VmState::Starting, _) if cycles => InstanceState::Cycling,
        (VmState::Preparing, _) => InstanceState::CreatingVm,
        (VmState::Starting, _) => InstanceState::StartingVm,
        (VmState::Running, None | Some(RoleState::Starting)) => InstanceState::StartingRole,
        (VmState::Running, Some(RoleState::Busy)) => InstanceState::Busy,
        (VmState::Running, Some(RoleState::Ready)) => InstanceState::Ready,
        (VmState::Running, Some(RoleState::Recycling)) => InstanceState::RestartingRole,
        (VmState::Running, Some(RoleState::Failed)) => InstanceState::FailedStartingRole,
        (VmState::Running, Some(RoleState::Stopping)) => InstanceState::StoppingRole,
        (VmState::Unresponsive, _) => InstanceState::Unresponsive,
        (VmState::Stopping, _) => InstanceState::StoppingVm,
        (VmState::Stopped, _) => InstanceState::StoppedVm,
        (VmState::Failed, _) => InstanceState::FailedStartingVm,
    };
    (state, seen.message.clone())
}

fn input_endpoints(deployment: &Deployment) -> Vec<InputEndpoint> {
    let endpoints = deployment.roles().iter().flat_map(|role| role.endpoints.iter().map(move |e| (role, e)));
    let balanced = endpoints.filter(|(_, endpoint)| matches!(endpoint.reach, Reach::Input { .. }));
    balanced.filter_map(|(role, endpoint)| at_virtual_ip(&role.name, endpoint, 0)).collect()
}

/// Those of the version that the instance follows.
fn instance_endpoints(deployment: &Deployment, instance: &Instance) -> Vec<InputEndpoint> {
    let endpoints = deployment.role_of(instance).into_iter().flat_map(|role| &role.endpoints);
    let own = endpoints.filter(|endpoint| matches!(endpoint.reach, Reach::InstanceInput { .. }));
    own.filter_map(|endpoint| at_virtual_ip(&instance.role, endpoint, instance.index)).collect()
}

fn at_virtual_ip(role: &RoleName, endpoint: &RoleEndpoint, index: u32) -> Option<InputEndpoint> {
    Some(InputEndpoint {
        role: role.clone(),
        name: endpoint.name.clone(),
        protocol: endpoint.protocol.clone(),
        port: endpoint.public_port(index)?,
        local_port: endpoint.local_port,
    })
}
