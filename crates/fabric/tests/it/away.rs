//! A controller that was stopped or cut off for a while: what it missed says nothing of the nodes.

use welkin_fabric::healing::brake;
use welkin_fabric::health::{Health, health, was_away};
use welkin_fabric::plan;

use crate::fixture::{answer_ready, at, cluster, goal, id, node_name, put, role, settle};

#[test]
fn nodes_are_not_taken_for_dead_by_a_controller_that_was_away() {
    let mut cluster = cluster(&[0, 1, 0, 1]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 3, 512)], 0).unwrap();
    for second in 1..=5 {
        (0..4).for_each(|number| answer_ready(&mut cluster, number, second));
        settle(&mut cluster, second);
    }
    let before = cluster.deployments[&id(1)].clone();
    assert!(!was_away(&cluster, at(6)));

    // Half a minute later the first of them is heard. Of the others nothing is known yet, so that nothing is done.
    assert!(was_away(&cluster, at(35)));
    cluster.watch_anew(at(35));
    answer_ready(&mut cluster, 0, 35);
    assert!(!was_away(&cluster, at(35)));
    assert_eq!(plan(&cluster, at(35)), []);

    // One has really died meanwhile: it is out as soon, and lost as late, as when the controller had just begun.
    for second in 36..=54 {
        (0..3).for_each(|number| answer_ready(&mut cluster, number, second));
        settle(&mut cluster, second);
        assert_eq!(cluster.deployments[&id(1)].instances, before.instances, "second {second}");
    }
    let dead =
        |cluster: &welkin_fabric::Cluster, second| health(cluster, &cluster.nodes[&node_name(3)], at(second));
    assert_eq!(dead(&cluster, 40), Health::Unhealthy);
    assert_eq!(dead(&cluster, 56), Health::Lost);
}

#[test]
fn one_node_that_answers_shows_that_the_controller_was_there() {
    let mut cluster = cluster(&[0, 1, 0, 1]);
    for second in 1..=30 {
        answer_ready(&mut cluster, 2, second);
        assert!(!was_away(&cluster, at(second + 1)), "second {second}");
    }
}

#[test]
fn losses_that_a_controller_noted_while_it_was_cut_off_hold_no_brake() {
    let mut cluster = cluster(&[0, 1, 0, 1]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 3, 512)], 0).unwrap();
    for second in 1..=5 {
        (0..4).for_each(|number| answer_ready(&mut cluster, number, second));
        settle(&mut cluster, second);
    }
    // Cut off: all nodes are noted as lost, and nothing moves.
    let before = cluster.deployments[&id(1)].clone();
    for second in 6..=40 {
        settle(&mut cluster, second);
    }
    assert!(brake(&cluster, at(40)).is_some());
    assert_eq!(cluster.deployments[&id(1)].instances, before.instances);

    // Back again, one of the nodes dies: its instance moves as soon as it would have before.
    cluster.watch_anew(at(41));
    let died = before.instances[0].node.clone();
    for second in 41..=65 {
        let alive = (0..4).filter(|number| node_name(*number) != died || second < 43);
        alive.for_each(|number| answer_ready(&mut cluster, number, second));
        settle(&mut cluster, second);
    }
    assert_eq!(brake(&cluster, at(65)), None);
    assert!(cluster.deployments[&id(1)].instances.iter().all(|instance| instance.node != died));
}
