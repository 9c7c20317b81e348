//! What customers wish for: deployments come, change and go.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng as _;
use rand::rngs::StdRng;
use welkin_agent_wire::GuestOs;
use welkin_base::{
    DeploymentId, Digest, Generation, IdError, NameError, RoleName, ServiceName, SubscriptionId, Timestamp,
};
use welkin_fabric::{
    Begin, Change, Cluster, Deployment, Health, Need, Reach, Role, RoleEndpoint, delete, deploy, health,
    restart, swap,
};
use welkin_fabric_wire::{DeploymentGoal, GoalStatus, Slot, Slots, UpdateGoal, UpdateMode};

/// More deployments than this are not wished for at once.
const DEPLOYMENTS_MAX: usize = 12;

/// Why a wish cannot be expressed: a mistake of the simulator.
#[derive(Debug, thiserror::Error)]
pub enum WishError {
    /// A name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An id.
    #[error(transparent)]
    Id(#[from] IdError),
}

/// The guest OS of the simulated cloud.
#[must_use]
pub fn guest_os() -> GuestOs {
    let digest = |byte| Digest::from_bytes([byte; 32]);
    GuestOs { version: "SIM-OS-1".to_owned(), kernel: digest(1), initramfs: digest(2), root: digest(3) }
}

/// One wish, as the change that grants it; `None` when it cannot be granted now.
///
/// # Errors
/// When the wish cannot be expressed.
pub fn wish(cluster: &Cluster, now: Timestamp, rng: &mut StdRng) -> Result<Option<Change>, WishError> {
    let count = cluster.deployments.len();
    let chosen = (count > 0).then(|| cluster.deployments.values().nth(rng.random_range(0..count))).flatten();
    let put = |deployment: Deployment| Change::Deployment(Box::new(deployment));
    let Some(held) = chosen.filter(|_| count >= DEPLOYMENTS_MAX || rng.random_bool(0.6)) else {
        return Ok(new(cluster, now, rng)?.map(put));
    };
    if held.deleting {
        return Ok(None);
    }
    Ok(match rng.random_range(0..13) {
        0..4 => Some(put(delete(held))),
        4 => {
            let instance = held.instances.first().map(welkin_fabric::Instance::name);
            let begin = [Begin::Reboot, Begin::Reimage, Begin::Rebuild][rng.random_range(0..3)];
            instance.and_then(|name| restart(held, &name, begin, now)).map(put)
        }
        5 => {
            let status = match held.goal.status {
                GoalStatus::Running => GoalStatus::Suspended,
                GoalStatus::Suspended => GoalStatus::Running,
            };
            changed(cluster, held, now, |goal, _| goal.status = status).map(put)
        }
        6..9 => {
            let counts = rng.random_range(1..5);
            changed(cluster, held, now, |_, roles| {
                for role in roles {
                    role.count = counts;
                }
            })
            .map(put)
        }
        9 => {
            let other = cluster.deployments.values().find(|other| other.id != held.id);
            let slots = Slots { production: held.id.clone(), staging: other.map(|other| other.id.clone()) };
            swap(cluster, &held.goal.service, &slots).ok().flatten()
        }
        _ => upgraded(cluster, held, now, rng).map(put),
    })
}

/// Other files, other settings or another size, in one of the modes.
fn upgraded(cluster: &Cluster, held: &Deployment, now: Timestamp, rng: &mut StdRng) -> Option<Deployment> {
    let mode = match rng.random_range(0..10) {
        0 => UpdateMode::Simultaneous,
        1 => UpdateMode::Manual { domain: Some(rng.random_range(0..4)) },
        _ => UpdateMode::Automatic,
    };
    let (byte, what) = (rng.random_range(10..14), rng.random_range(0..6));
    let memory_mib = 256 * rng.random_range(1..9);
    changed(cluster, held, now, |goal, roles| {
        goal.update = UpdateGoal { mode, force: true };
        for role in roles {
            match what {
                0 => role.settings = BTreeMap::from([("byte".to_owned(), byte.to_string())]).into(),
                1 => role.need.memory_mib = memory_mib,
                _ => role.application = Digest::from_bytes([byte; 32]),
            }
        }
    })
}

/// Whether a new deployment's roles are spread over two fault domains, where the controller knows two.
#[must_use]
pub fn is_spread(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> bool {
    let healthy = cluster.nodes.values().filter(|node| health(cluster, node, now) == Health::Healthy);
    let known: BTreeSet<u32> = healthy
        .filter(|node| node.takes_instances() && !cluster.has_strangers(node))
        .map(|node| node.fault_domain)
        .collect();
    deployment.roles().iter().all(|role| {
        let of_role = deployment.instances.iter().filter(|instance| instance.role == role.name);
        let domains: BTreeSet<u32> = of_role.map(|instance| instance.fault_domain).collect();
        known.len() < 2 || role.count < 2 || domains.len() >= 2
    })
}

fn new(cluster: &Cluster, now: Timestamp, rng: &mut StdRng) -> Result<Option<Deployment>, WishError> {
    let id = DeploymentId::new(&format!("{:032x}", rng.random::<u128>()))?;
    let goal = DeploymentGoal {
        generation: Generation(1),
        subscription: SubscriptionId::new("6ba7b810-9dad-11d1-80b4-00c04fd430c8")?,
        service: ServiceName::new("sim")?,
        slot: Slot::Production,
        package: Digest::from_bytes([7; 32]),
        configuration: String::new(),
        status: GoalStatus::Running,
        kept: BTreeMap::new(),
        removed: BTreeSet::new(),
        update: UpdateGoal::default(),
    };
    let names = ["Web", "Worker", "Cache"];
    let mut roles = Vec::new();
    for name in names.iter().take(rng.random_range(1..=names.len())) {
        roles.push(role(RoleName::new(name)?, roles.is_empty(), rng));
    }
    Ok(deploy(cluster, &id, goal, roles, 5, now).ok())
}

fn role(name: RoleName, is_first: bool, rng: &mut StdRng) -> Role {
    let reach = if is_first { Reach::Input { port: 80, ignore_status: false } } else { Reach::Internal };
    Role {
        name,
        package: Digest::from_bytes([7; 32]),
        size: "Sim".to_owned(),
        count: rng.random_range(1..5),
        need: Need {
            cores: rng.random_range(1..3),
            memory_mib: 256 * rng.random_range(1..9),
            disk_mib: 1_024,
        },
        scratch_mib: 256,
        guest_os: guest_os(),
        application: Digest::from_bytes([rng.random_range(10..14); 32]),
        settings: BTreeMap::new().into(),
        endpoints: vec![RoleEndpoint {
            name: "Main".to_owned(),
            protocol: "tcp".to_owned(),
            local_port: 8080,
            last_port: None,
            reach,
            access: Vec::new(),
            probe: None,
            callers: None,
        }],
        local_resources: Vec::new(),
        startup_tasks: Vec::new(),
        program: None,
        variables: BTreeMap::new(),
        certificates: Vec::new(),
    }
}

fn changed(
    cluster: &Cluster,
    held: &Deployment,
    now: Timestamp,
    change: impl FnOnce(&mut DeploymentGoal, &mut Vec<Role>),
) -> Option<Deployment> {
    let mut goal = held.goal.clone();
    let mut roles = held.roles().to_vec();
    goal.generation = goal.generation.next();
    change(&mut goal, &mut roles);
    deploy(cluster, &held.id, goal, roles, 5, now).ok()
}
