use welkin_fabric::{Action, plan};

use crate::fixture::{answer, answer_ready, at, cluster, goal, id, node_name, put, role, settle};

#[test]
fn a_lost_node_loses_its_instances_to_others() {
    let mut cluster = cluster(&[0, 1, 1]);
    let before = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 0).unwrap();
    assert_eq!(before.instances[1].node, node_name(1));
    for second in 1..=40 {
        answer_ready(&mut cluster, 0, second);
        answer_ready(&mut cluster, 2, second);
        settle(&mut cluster, second);
        let now = &cluster.deployments[&id(1)];
        let expected = if second > 20 { node_name(2) } else { node_name(1) };
        assert_eq!(now.instances[1].node, expected, "second {second}");
    }
    let healed = &cluster.deployments[&id(1)];
    assert_eq!(healed.instances[1].incarnation, 2);
    assert_eq!(healed.leaving.len(), 1, "what the lost node holds is held until it answers");
    // It comes back, takes its goal and ends what is stale.
    answer(&mut cluster, 1, 41, Vec::new());
    settle(&mut cluster, 41);
    assert!(cluster.deployments[&id(1)].leaving.is_empty());
}

#[test]
fn one_node_alone_keeps_its_instances() {
    let mut cluster = cluster(&[0]);
    let before = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 0).unwrap();
    settle(&mut cluster, 1);
    for second in [5, 21, 1000] {
        let actions = plan(&cluster, at(second));
        assert!(actions.iter().all(|action| matches!(action, Action::Note(_))), "{actions:?}");
    }
    assert_eq!(cluster.deployments[&id(1)], before);
}

#[test]
fn the_brake_holds_when_most_nodes_are_silent() {
    let mut cluster = cluster(&[0, 1, 2]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 3, 512)], 0).unwrap();
    let before = cluster.deployments.clone();
    answer_ready(&mut cluster, 0, 30);
    settle(&mut cluster, 30);
    assert_eq!(cluster.deployments, before);
}

#[test]
fn healing_may_crowd_a_fault_domain() {
    let mut cluster = cluster(&[0, 1, 2, 0]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 2, 9000)], 0).unwrap();
    put(&mut cluster, 2, goal(1), vec![role("Big", 1, 15 << 10)], 0).unwrap();
    for second in 1..=25 {
        answer_ready(&mut cluster, 0, second);
        answer_ready(&mut cluster, 2, second);
        answer_ready(&mut cluster, 3, second);
        settle(&mut cluster, second);
    }
    // Fault domain 2 is full: better beside another instance of the role than not at all.
    assert_eq!(cluster.deployments[&id(1)].instances[1].node, node_name(3));
}

#[test]
fn without_room_an_instance_waits() {
    let mut cluster = cluster(&[0, 1]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 2, 9000)], 0).unwrap();
    let before = cluster.deployments.clone();
    answer_ready(&mut cluster, 0, 30);
    settle(&mut cluster, 30);
    assert_eq!(cluster.deployments, before);
}

#[test]
fn a_deletion_does_not_wait_for_a_lost_node() {
    let mut cluster = cluster(&[0, 1]);
    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 0).unwrap();
    settle(&mut cluster, 1);
    cluster.apply(welkin_fabric::Change::Deployment(Box::new(welkin_fabric::delete(&deployment))));
    for second in [2, 10, 30] {
        settle(&mut cluster, second);
        answer(&mut cluster, 0, second, Vec::new());
        settle(&mut cluster, second);
        assert_eq!(cluster.deployments.is_empty(), second == 30, "second {second}");
    }
}
