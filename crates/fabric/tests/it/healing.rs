use welkin_fabric::{Action, healing_status, node_goal, plan};

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

#[test]
fn a_dead_node_is_out_of_every_goal_after_four_seconds() {
    let mut cluster = cluster(&[0, 1, 2]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 3, 512)], 0).unwrap();
    for second in 0..10 {
        // Node 2 answers for the last time at second 3, and dies at once.
        for number in if second <= 3 { 0..3 } else { 0..2 } {
            settle(&mut cluster, second);
            answer_ready(&mut cluster, number, second);
        }
        settle(&mut cluster, second);
        let seen_by_0 = node_goal(&cluster, &cluster.nodes[&node_name(0)], at(second));
        let ready = seen_by_0.vips[0].backends.iter().filter(|backend| backend.ready).count();
        if second >= 3 {
            assert_eq!(ready, if second <= 3 + 3 { 2 } else { 1 }, "second {second}");
        }
    }
}

#[test]
fn when_most_are_silent_traffic_goes_on_as_it_was() {
    let mut cluster = cluster(&[0, 1, 2]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 3, 512)], 0).unwrap();
    settle(&mut cluster, 0);
    for number in 0..3 {
        answer_ready(&mut cluster, number, 0);
    }
    settle(&mut cluster, 10);
    answer_ready(&mut cluster, 0, 10);
    let seen_by_0 = node_goal(&cluster, &cluster.nodes[&node_name(0)], at(10));
    let ready = seen_by_0.vips[0].backends.iter().filter(|backend| backend.ready).count();
    assert_eq!(ready, 2, "both others are silent, which says more of the controller than of them");
    assert!(healing_status(&cluster, at(10)).stopped.is_none(), "they are not lost yet");
    let stopped = healing_status(&cluster, at(25)).stopped.unwrap();
    assert!(stopped.contains("2 of 3 nodes"), "{stopped}");
}

#[test]
fn what_was_lost_lately_counts_until_the_window_is_over() {
    let mut cluster = cluster(&[0, 1, 2, 3]);
    cluster.policy.nodes_lost_percent_max = 25;
    put(&mut cluster, 1, goal(1), vec![role("Web", 4, 512)], 0).unwrap();
    let dead_until = |cluster: &mut welkin_fabric::Cluster, dead: u8, from: u64, to: u64| {
        for second in from..to {
            for number in (0..4).filter(|number| *number != dead) {
                settle(cluster, second);
                answer_ready(cluster, number, second);
            }
            settle(cluster, second);
        }
        cluster.deployments[&id(1)]
            .instances
            .iter()
            .filter(|instance| instance.node == node_name(dead))
            .count()
    };
    assert_eq!(dead_until(&mut cluster, 3, 1, 30), 0, "one of four may be lost");
    // The first is back, and a second one dies within the window.
    assert!(dead_until(&mut cluster, 2, 30, 90) > 0, "the brake holds");
    assert!(healing_status(&cluster, at(89)).stopped.is_some());
    assert_eq!(dead_until(&mut cluster, 2, 90, 150), 0, "the first loss is two minutes old");
}

#[test]
fn a_deployment_that_brings_nodes_down_is_not_carried_on_for_ever() {
    let mut cluster = cluster(&[0, 1, 2, 3, 4, 5, 6, 7]);
    cluster.policy.nodes_window = std::time::Duration::ZERO;
    put(&mut cluster, 1, goal(1), vec![role("Web", 1, 9000)], 0).unwrap();
    put(&mut cluster, 2, goal(1), vec![role("Web", 1, 9000)], 0).unwrap();
    let mut second = 0;
    let mut moves = 0;
    while second < 400 {
        second += 1;
        let deadly = cluster.deployments[&id(1)].instances[0].node.clone();
        for number in (0..8).filter(|number| node_name(*number) != deadly) {
            settle(&mut cluster, second);
            answer_ready(&mut cluster, number, second);
        }
        settle(&mut cluster, second);
        moves += usize::from(cluster.deployments[&id(1)].instances[0].node != deadly);
    }
    assert_eq!(moves, 4, "as many as may move in ten minutes");
    let status = healing_status(&cluster, at(second));
    assert_eq!((status.stopped, status.deployments.len()), (None, 1));
    assert_eq!(status.deployments[0].deployment, id(1), "and the other one is not held back");
}
