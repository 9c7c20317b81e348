use welkin_agent_wire::{InstanceObserved, RoleState, VmState};
use welkin_base::Generation;
use welkin_fabric::{Cluster, Reach, RoleEndpoint, deployment_observed, node_status};
use welkin_fabric_wire::{GoalStatus, InputEndpoint, InstanceState};

use crate::fixture::{answer, at, cluster, goal, id, node_name, put, role, settle};

fn small() -> Cluster {
    let mut cluster = cluster(&[0]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    settle(&mut cluster, 0);
    cluster
}

fn seen(vm: VmState, role: Option<RoleState>, role_restarts: u32) -> InstanceObserved {
    let id = format!("{}/Web_IN_0", id(1)).parse().unwrap();
    let (generation, message) = (Generation(1), "why".into());
    InstanceObserved {
        id,
        incarnation: 1,
        vm,
        role,
        generation,
        message,
        vm_restarts: 0,
        role_restarts,
        lacks: Vec::new(),
        passes: Vec::new(),
    }
}

fn state(cluster: &Cluster, second: u64) -> InstanceState {
    deployment_observed(cluster, &cluster.deployments[&id(1)], at(second)).instances[0].state
}

#[test]
fn states_follow_from_vm_and_role() {
    use InstanceState as S;
    use RoleState as R;
    use VmState as V;
    for (vm, role, expected) in [
        (V::Preparing, None, S::CreatingVm),
        (V::Starting, None, S::StartingVm),
        (V::Running, None, S::StartingRole),
        (V::Running, Some(R::Starting), S::StartingRole),
        (V::Running, Some(R::Busy), S::Busy),
        (V::Running, Some(R::Ready), S::Ready),
        (V::Running, Some(R::Recycling), S::RestartingRole),
        (V::Running, Some(R::Failed), S::FailedStartingRole),
        (V::Running, Some(R::Stopping), S::StoppingRole),
        (V::Unresponsive, Some(R::Ready), S::Unresponsive),
        (V::Stopping, Some(R::Ready), S::StoppingVm),
        (V::Stopped, None, S::StoppedVm),
        (V::Failed, None, S::FailedStartingVm),
    ] {
        let mut cluster = small();
        assert_eq!(state(&cluster, 0), S::CreatingVm, "the node has not said anything of it");
        answer(&mut cluster, 0, 1, vec![seen(vm, role, 0)]);
        assert_eq!(state(&cluster, 1), expected, "{vm:?} {role:?}");
    }
}

#[test]
fn an_old_incarnation_says_nothing_of_the_new() {
    let mut cluster = small();
    let mut old = seen(VmState::Running, Some(RoleState::Ready), 0);
    old.incarnation = 0;
    answer(&mut cluster, 0, 1, vec![old]);
    assert_eq!(state(&cluster, 1), InstanceState::CreatingVm);
}

#[test]
fn a_silent_node_makes_instances_unresponsive() {
    let mut cluster = small();
    answer(&mut cluster, 0, 1, vec![seen(VmState::Running, Some(RoleState::Ready), 0)]);
    assert_eq!(state(&cluster, 4), InstanceState::Ready);
    assert_eq!(state(&cluster, 5), InstanceState::Unresponsive);
    cluster.unreadable(&node_name(0), "connection refused");
    let node = node_status(&cluster, &cluster.nodes[&node_name(0)], at(6));
    assert_eq!((node.healthy, node.trouble.as_deref()), (false, Some("silent for 5 s: connection refused")));
    assert_eq!((node.cores, node.cores_used, node.memory_used_mib, node.instances), (8, 1, 512, 1));
}

#[test]
fn restarts_in_a_row_are_cycling() {
    let mut cluster = small();
    let rows = [
        (1, RoleState::Starting, 0, InstanceState::StartingRole),
        (2, RoleState::Recycling, 1, InstanceState::RestartingRole),
        (9, RoleState::Recycling, 2, InstanceState::RestartingRole),
        (20, RoleState::Recycling, 3, InstanceState::Cycling),
        (21, RoleState::Starting, 3, InstanceState::Cycling),
        (30, RoleState::Ready, 3, InstanceState::Ready),
        (900, RoleState::Recycling, 4, InstanceState::RestartingRole),
    ];
    for (second, role, restarts, expected) in rows {
        answer(&mut cluster, 0, second, vec![seen(VmState::Running, Some(role), restarts)]);
        assert_eq!(state(&cluster, second), expected, "second {second}");
    }
}

#[test]
fn suspension_and_deletion_show() {
    let mut cluster = small();
    let ready = seen(VmState::Running, Some(RoleState::Ready), 0);
    let mut suspended = goal(2);
    suspended.status = GoalStatus::Suspended;
    let deployment = put(&mut cluster, 1, suspended, vec![role("Web", 1, 512)], 1).unwrap();
    settle(&mut cluster, 1);
    answer(&mut cluster, 0, 1, vec![ready.clone()]);
    assert_eq!(state(&cluster, 1), InstanceState::StoppingVm);
    answer(&mut cluster, 0, 2, Vec::new());
    assert_eq!(state(&cluster, 2), InstanceState::StoppedVm);
    answer(&mut cluster, 0, 3, vec![ready]);
    cluster.apply(welkin_fabric::Change::Deployment(Box::new(welkin_fabric::delete(&deployment))));
    let observed = deployment_observed(&cluster, &cluster.deployments[&id(1)], at(3));
    assert_eq!((observed.deleting, observed.instances[0].state), (true, InstanceState::DeletingVm));
}

#[test]
fn an_instance_shows_the_ports_of_its_own() {
    let mut cluster = cluster(&[0]);
    let mut web = role("Web", 2, 512);
    let reach = Reach::InstanceInput { first_port: 2_200, last_port: 2_299 };
    let own = RoleEndpoint { name: "Own".into(), local_port: 22, reach, ..web.endpoints[0].clone() };
    web.endpoints.push(own);
    put(&mut cluster, 1, goal(1), vec![web], 0).unwrap();
    let observed = deployment_observed(&cluster, &cluster.deployments[&id(1)], at(0));
    let named = |endpoints: &[InputEndpoint]| {
        endpoints.iter().map(|e| (e.name.clone(), e.port, e.local_port)).collect::<Vec<_>>()
    };
    assert_eq!(named(&observed.input_endpoints), [("Http".into(), 80, 8_080)]);
    assert_eq!(named(&observed.instances[0].instance_endpoints), [("Own".into(), 2_200, 22)]);
    assert_eq!(named(&observed.instances[1].instance_endpoints), [("Own".into(), 2_201, 22)]);
}
