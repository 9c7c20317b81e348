//! What a node must run: its whole goal, from the placements.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};
use welkin_agent_wire::guest::{GuestNetwork, StartupTask};
use welkin_agent_wire::node::{InstanceGoal, NodeGoal};
use welkin_agent_wire::{Endpoint, GuestGoal, Peer, ProbeGoal, RoleEnvironment};
use welkin_base::{Digest, Generation, Timestamp};

use crate::cluster::{Cluster, Node};
use crate::deployment::{Deployment, Instance, InstanceValue, Reach, Role, Value};
use crate::internal::internal;
use crate::network::{INSTANCE_PREFIX_LENGTH, mac};
use crate::quiet::draining;
use crate::vip::vips;

/// The whole goal of `node`, with the generation of its record.
#[must_use]
pub fn node_goal(cluster: &Cluster, node: &Node, now: Timestamp) -> NodeGoal {
    let instances = cluster
        .deployments
        .values()
        .filter(|deployment| deployment.runs())
        .flat_map(|deployment| deployment.instances.iter().map(move |instance| (deployment, instance)))
        .filter(|(_, instance)| instance.node == node.name)
        .filter_map(|(deployment, instance)| {
            let role = deployment.role_of(instance)?;
            Some(instance_goal(cluster, node, deployment, role, instance))
        })
        .collect();
    let vips = if node.is_retired() { Vec::new() } else { vips(cluster, node, now) };
    NodeGoal {
        node: node.name.clone(),
        generation: node.record.generation,
        instances,
        vips,
        internal: internal(cluster, node),
        draining: draining(cluster),
    }
}

/// The digest of a goal's content: without generations, so that an unchanged goal is known again.
#[must_use]
pub fn content_digest(goal: &NodeGoal) -> Digest {
    let mut content = goal.clone();
    content.generation = Generation::default();
    for instance in &mut content.instances {
        instance.guest.generation = Generation::default();
    }
    // A goal is plain data with text keys, which always serializes.
    let bytes = serde_json::to_vec(&content).unwrap_or_default();
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn instance_goal(
    cluster: &Cluster,
    node: &Node,
    deployment: &Deployment,
    role: &Role,
    instance: &Instance,
) -> InstanceGoal {
    let environment = environment(deployment, role, instance);
    let resolve = |variables: &BTreeMap<String, Value>| {
        variables.iter().map(|(name, value)| (name.clone(), resolved(value, &environment))).collect()
    };
    let startup_tasks = role.startup_tasks.iter().map(|task| StartupTask {
        command_line: task.command_line.clone(),
        elevated: task.elevated,
        kind: task.kind,
        variables: resolve(&task.variables),
    });
    let guest = GuestGoal {
        generation: node.record.generation,
        network: GuestNetwork {
            address: instance.address,
            prefix_length: INSTANCE_PREFIX_LENGTH,
            gateway: cluster.network.gateway(node.number),
        },
        startup_tasks: startup_tasks.collect(),
        program: role.program.clone(),
        variables: resolve(&role.variables),
        certificates: role.certificates.clone(),
        environment,
    };
    InstanceGoal {
        id: deployment.instance_id(instance.name()),
        incarnation: instance.incarnation,
        boot: instance.boot,
        reimage: instance.reimage,
        cores: role.need.cores,
        memory_mib: role.need.memory_mib,
        scratch_mib: role.scratch_mib,
        guest_os: role.guest_os.clone(),
        application: role.application,
        mac: mac(instance.address),
        guest,
        probes: probes(role),
    }
}

/// The probes of a role, each once.
fn probes(role: &Role) -> Vec<ProbeGoal> {
    let probes: BTreeSet<&ProbeGoal> =
        role.endpoints.iter().filter_map(|endpoint| endpoint.probe.as_ref()).collect();
    probes.into_iter().cloned().collect()
}

fn environment(deployment: &Deployment, role: &Role, instance: &Instance) -> RoleEnvironment {
    RoleEnvironment {
        deployment: deployment.id.clone(),
        service: deployment.goal.service.to_string(),
        role: role.name.clone(),
        instance: instance.name(),
        update_domain: instance.update_domain,
        fault_domain: instance.fault_domain,
        settings: role.settings.clone(),
        endpoints: endpoints(role, instance, |_| true),
        local_resources: role.local_resources.clone(),
        peers: peers(deployment),
    }
}

/// Instances of roles that declare an internal endpoint (SERVICEMODEL §4: others are not visible).
fn peers(deployment: &Deployment) -> Vec<Peer> {
    let internal = |reach: &Reach| *reach == Reach::Internal;
    deployment
        .instances
        .iter()
        .filter_map(|instance| {
            let endpoints = endpoints(deployment.role_of(instance)?, instance, internal);
            let peer = Peer { role: instance.role.clone(), instance: instance.name(), endpoints };
            (!peer.endpoints.is_empty()).then_some(peer)
        })
        .collect()
}

fn endpoints(role: &Role, instance: &Instance, wanted: impl Fn(&Reach) -> bool) -> Vec<Endpoint> {
    let wanted = role.endpoints.iter().filter(|endpoint| wanted(&endpoint.reach));
    wanted
        .map(|endpoint| Endpoint {
            name: endpoint.name.clone(),
            protocol: endpoint.protocol.clone(),
            address: instance.address,
            port: endpoint.local_port,
            public_port: endpoint.public_port(instance.index),
        })
        .collect()
}

/// The text of a variable's value. A name that nothing has was refused with the definition, so it is empty here.
fn resolved(value: &Value, environment: &RoleEnvironment) -> String {
    let of = match value {
        Value::Text(text) => return text.clone(),
        Value::Instance(of) => of,
    };
    let resource = |name: &str| environment.local_resources.iter().find(|resource| resource.name == *name);
    let endpoint = |name: &str| environment.endpoints.iter().find(|endpoint| endpoint.name == *name);
    let found = match of {
        InstanceValue::DeploymentId => Some(environment.deployment.to_string()),
        InstanceValue::Emulated => Some("false".to_owned()),
        InstanceValue::InstanceName => Some(environment.instance.to_string()),
        InstanceValue::RoleName => Some(environment.role.to_string()),
        InstanceValue::FaultDomain => Some(environment.fault_domain.to_string()),
        InstanceValue::UpdateDomain => Some(environment.update_domain.to_string()),
        InstanceValue::Setting(name) => environment.settings.get(name).cloned(),
        InstanceValue::LocalResourcePath(name) => resource(name).map(|resource| resource.path.clone()),
        InstanceValue::LocalResourceSize(name) => {
            resource(name).map(|resource| resource.size_mib.to_string())
        }
        InstanceValue::EndpointAddress(name) => endpoint(name).map(|endpoint| endpoint.address.to_string()),
        InstanceValue::EndpointPort(name) => endpoint(name).map(|endpoint| endpoint.port.to_string()),
        InstanceValue::EndpointProtocol(name) => endpoint(name).map(|endpoint| endpoint.protocol.clone()),
    };
    found.unwrap_or_default()
}
