use welkin_agent_wire::{InstanceObserved, RoleState, VmState};
use welkin_base::Generation;
use welkin_fabric_wire::RebootReason;

use crate::fixture::{answer, at, cluster, goal, id, put, role, settle};

#[test]
fn what_nodes_started_again_is_noted_once() {
    let mut cluster = cluster(&[0]);
    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    settle(&mut cluster, 0);
    let id_of = deployment.instance_id(deployment.instances[0].name());
    for (second, incarnation, vm_restarts, noted) in
        [(1, 1, 0, 0), (2, 1, 1, 1), (3, 1, 1, 1), (4, 1, 4, 2), (5, 0, 9, 2), (6, 1, 3, 2)]
    {
        let seen = InstanceObserved {
            id: id_of.clone(),
            incarnation,
            vm: VmState::Running,
            role: Some(RoleState::Ready),
            generation: Generation(1),
            message: String::new(),
            vm_restarts,
            role_restarts: 0,
            lacks: Vec::new(),
            passes: Vec::new(),
        };
        answer(&mut cluster, 0, second, vec![seen]);
        settle(&mut cluster, second);
        let events = &cluster.deployments[&id(1)].events;
        assert_eq!(events.len(), noted, "second {second}");
        assert!(events.iter().all(|event| event.reason == RebootReason::Failed && event.at <= at(second)));
    }
}
