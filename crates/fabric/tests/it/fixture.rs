//! A small cluster, a service, and nodes that do as they are told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use welkin_agent_wire::{
    Accelerator, DrainObserved, GuestOs, InstanceGoal, InstanceObserved, NodeCapacity, NodeGoal,
    NodeObserved, ProbeGoal, ProbeKind, RoleState, VmState,
};
use welkin_base::{
    DeploymentId, Digest, Generation, NodeName, RoleName, ServiceName, SubscriptionId, Timestamp,
};
use welkin_fabric::{
    Action, Change, Cluster, Deployment, Need, NodeKind, NodeRecord, Reach, Refused, Role, RoleEndpoint,
    deploy, node_goal, plan,
};
use welkin_fabric_wire::{DeploymentGoal, GoalStatus, Slot, UpdateGoal};

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_ticks(0).plus(Duration::from_secs(seconds))
}

pub fn digest(byte: u8) -> Digest {
    Digest::from_bytes([byte; 32])
}

pub fn node_name(number: u8) -> NodeName {
    NodeName::new(&format!("node{number}")).unwrap()
}

pub fn id(number: u8) -> DeploymentId {
    DeploymentId::new(&format!("{number:032x}")).unwrap()
}

pub fn guest_os() -> GuestOs {
    GuestOs { version: "TEST-OS-1".into(), kernel: digest(1), initramfs: digest(2), root: digest(3) }
}

/// Nodes 0.. with the fault domains given, each with 8 cores and 16 GiB, all healthy at second 0.
pub fn cluster(fault_domains: &[u32]) -> Cluster {
    let mut cluster = Cluster::new("10.177.0.0/16".parse().unwrap(), guest_os(), at(0));
    for (number, domain) in (0..).zip(fault_domains) {
        let kind = NodeKind::Compute;
        cluster.add_node(node_name(number), kind, number.into(), *domain, NodeRecord::default());
        answer(&mut cluster, number, 0, Vec::new());
    }
    cluster
}

pub fn capacity(cores: u32, memory_mib: u32) -> NodeCapacity {
    NodeCapacity { cores, memory_mib, disk_mib: 1 << 20 }
}

pub fn observed(cluster: &Cluster, number: u8, instances: Vec<InstanceObserved>) -> NodeObserved {
    let node = &cluster.nodes[&node_name(number)];
    let draining = node_goal(cluster, node, at(0)).draining.into_iter().map(|draining| DrainObserved {
        instance: draining.instance,
        since: draining.since,
        connections: Some(0),
    });
    NodeObserved {
        node: node.name.clone(),
        generation: node.record.generation,
        capacity: node.seen.state().map_or(capacity(8, 16 << 10), |state| state.capacity),
        accelerator: Accelerator::Tcg,
        instances,
        trouble: None,
        transport_recipient: String::new(),
        draining: draining.collect(),
    }
}

/// The node answers that it holds its current goal and these instances.
pub fn answer(cluster: &mut Cluster, number: u8, second: u64, instances: Vec<InstanceObserved>) {
    let observed = observed(cluster, number, instances);
    cluster.observe(&node_name(number), observed, at(second)).unwrap();
}

/// The node answers that all that its goal names is ready.
pub fn answer_ready(cluster: &mut Cluster, number: u8, second: u64) {
    let goal = node_goal(cluster, &cluster.nodes[&node_name(number)], at(second));
    answer(cluster, number, second, all_ready(&goal));
}

/// What a node says of whose instances all are ready.
pub fn all_ready(goal: &NodeGoal) -> Vec<InstanceObserved> {
    let ready = |goal: &InstanceGoal| InstanceObserved {
        id: goal.id.clone(),
        incarnation: goal.incarnation,
        vm: VmState::Running,
        role: Some(RoleState::Ready),
        generation: goal.guest.generation,
        message: String::new(),
        vm_restarts: 0,
        role_restarts: 0,
        lacks: Vec::new(),
        passes: goal.probes.iter().map(|probe| probe.name.clone()).collect(),
    };
    goal.instances.iter().map(ready).collect()
}

pub fn role(name: &str, count: u32, memory_mib: u32) -> Role {
    Role {
        name: RoleName::new(name).unwrap(),
        package: digest(7),
        size: "Test".into(),
        count,
        need: Need { cores: 1, memory_mib, disk_mib: 1_024 },
        scratch_mib: 256,
        guest_os: guest_os(),
        application: digest(9),
        settings: BTreeMap::from([("Color".to_owned(), "blue".to_owned())]).into(),
        endpoints: vec![
            RoleEndpoint {
                name: "Http".into(),
                protocol: "http".into(),
                local_port: 8080,
                reach: Reach::Input { port: 80, ignore_status: false },
                access: Vec::new(),
                last_port: None,
                probe: None,
                callers: None,
            },
            RoleEndpoint {
                name: "Gossip".into(),
                protocol: "tcp".into(),
                local_port: 20_000,
                reach: Reach::Internal,
                access: Vec::new(),
                last_port: None,
                probe: None,
                callers: None,
            },
        ],
        local_resources: Vec::new(),
        startup_tasks: Vec::new(),
        program: None,
        variables: BTreeMap::new(),
        certificates: Vec::new(),
    }
}

pub fn probe() -> ProbeGoal {
    let kind = ProbeKind::Http { path: "/live".into() };
    ProbeGoal { name: "live:8080".into(), kind, port: 8080, interval_seconds: 15, timeout_seconds: 31 }
}

pub fn goal(generation: u64) -> DeploymentGoal {
    DeploymentGoal {
        generation: Generation(generation),
        subscription: SubscriptionId::new("6ba7b810-9dad-11d1-80b4-00c04fd430c8").unwrap(),
        service: ServiceName::new("guestbook").unwrap(),
        slot: Slot::Production,
        package: digest(7),
        configuration: String::new(),
        status: GoalStatus::Running,
        kept: BTreeMap::new(),
        removed: BTreeSet::new(),
        update: UpdateGoal::default(),
    }
}

/// Deploys and stores.
pub fn put(
    cluster: &mut Cluster,
    number: u8,
    goal: DeploymentGoal,
    roles: Vec<Role>,
    second: u64,
) -> Result<Deployment, Refused> {
    let deployment = deploy(cluster, &id(number), goal, roles, 5, at(second))?;
    cluster.apply(Change::Deployment(Box::new(deployment.clone())));
    Ok(deployment)
}

/// Plans and stores until nothing is left to store; answers what is said to nodes then.
pub fn settle(cluster: &mut Cluster, second: u64) -> Vec<Action> {
    for _ in 0..20 {
        let actions = plan(cluster, at(second));
        if !actions.iter().any(|action| matches!(action, Action::Store(_))) {
            let (noted, said): (Vec<_>, Vec<_>) =
                actions.into_iter().partition(|action| matches!(action, Action::Note(_)));
            for action in noted {
                let Action::Note(change) = action else { continue };
                cluster.apply(change);
            }
            return said;
        }
        for action in actions {
            if let Action::Store(change) = action {
                cluster.apply(change);
            }
        }
    }
    panic!("planning does not come to an end");
}
