use welkin_base::{Generation, NodeName};
use welkin_fabric::row::{decode, encode};
use welkin_fabric::{Action, Change, Cluster, NodeRecord, delete, plan};

use crate::fixture::{
    answer, answer_ready, at, cluster, goal, guest_os, id, node_name, observed, put, role, settle,
};

fn says(actions: &[Action]) -> Vec<String> {
    let say = |action: &Action| match action {
        Action::Note(_) => "note".to_owned(),
        Action::Store(Change::Deployment(deployment)) => format!("store {}", deployment.id),
        Action::Store(Change::Swap(_)) => "swap".to_owned(),
        Action::Store(Change::Remove(_, id)) => format!("remove {id}"),
        Action::Store(Change::Node(node, record)) => format!("record {node} {}", record.generation),
        Action::PushGoal(goal) => {
            format!("goal {} {} of {}", goal.node, goal.generation, goal.instances.len())
        }
        Action::PushImage { node, image } => format!("image {node} {}", &image.to_string()[..2]),
    };
    actions.iter().map(say).collect()
}

#[test]
fn a_deployment_from_goal_to_gone() {
    let mut cluster = cluster(&[0]);
    assert_eq!(says(&plan(&cluster, at(0))), ["record node0 1"]);
    assert_eq!(says(&settle(&mut cluster, 0)), ["goal node0 1 of 0"]);
    answer(&mut cluster, 0, 1, Vec::new());
    assert!(plan(&cluster, at(1)).is_empty(), "nothing to do");

    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 1).unwrap();
    assert_eq!(says(&plan(&cluster, at(1))), ["record node0 2"], "stored before it is said");
    let mut old = observed(&cluster, 0, Vec::new());
    settle(&mut cluster, 1);
    old.generation = Generation(1);
    cluster.observe(&node_name(0), old, at(2)).unwrap();
    let pushes = says(&plan(&cluster, at(2)));
    assert_eq!(
        pushes,
        ["goal node0 2 of 2", "image node0 01", "image node0 02", "image node0 03", "image node0 09"]
    );
    for image in [1, 2, 3, 9] {
        cluster.image_arrived(&node_name(0), crate::fixture::digest(image));
    }
    answer_ready(&mut cluster, 0, 3);
    assert!(plan(&cluster, at(3)).is_empty(), "nothing to do");

    let before = cluster.nodes[&node_name(0)].seen.state().unwrap().clone();
    cluster.apply(Change::Deployment(Box::new(delete(&deployment))));
    assert_eq!(says(&settle(&mut cluster, 3)), ["goal node0 3 of 0"]);
    // The node took the goal and the VMs are not yet down; then one is, then both.
    answer(&mut cluster, 0, 4, before.instances.clone());
    assert!(plan(&cluster, at(4)).is_empty());
    answer(&mut cluster, 0, 5, before.instances[1..].to_vec());
    settle(&mut cluster, 5);
    assert_eq!(cluster.deployments[&id(1)].leaving.len(), 1);
    answer(&mut cluster, 0, 6, Vec::new());
    assert_eq!(says(&plan(&cluster, at(6))), [format!("remove {}", id(1))]);
    settle(&mut cluster, 6);
    assert!(cluster.deployments.is_empty());
}

#[test]
fn an_answer_from_before_the_goal_proves_nothing() {
    let mut cluster = cluster(&[0]);
    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    settle(&mut cluster, 0);
    let late = observed(&cluster, 0, Vec::new());
    answer_ready(&mut cluster, 0, 1);
    cluster.apply(Change::Deployment(Box::new(delete(&deployment))));
    settle(&mut cluster, 1);
    cluster.observe(&node_name(0), late, at(2)).unwrap();
    settle(&mut cluster, 2);
    assert_eq!(cluster.deployments.len(), 1, "the answer was on its way when the instance started");
}

/// The cluster as a controller finds it that has just begun.
fn restarted(cluster: &Cluster, second: u64) -> Cluster {
    let mut fresh = Cluster::new(cluster.network, guest_os(), at(second));
    for node in cluster.nodes.values() {
        let record: NodeRecord = decode(&encode(&node.record).unwrap()).unwrap();
        fresh.add_node(node.name.clone(), node.kind, node.number, node.fault_domain, record);
    }
    for deployment in cluster.deployments.values() {
        fresh.apply(Change::Deployment(Box::new(decode(&encode(deployment).unwrap()).unwrap())));
    }
    fresh
}

#[test]
fn a_restarted_controller_changes_nothing() {
    let mut cluster = cluster(&[0, 1]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 0).unwrap();
    for second in 1..4 {
        settle(&mut cluster, second);
        answer_ready(&mut cluster, 0, second);
        answer_ready(&mut cluster, 1, second);
    }
    settle(&mut cluster, 4);
    let records = |cluster: &Cluster| -> Vec<(NodeName, NodeRecord)> {
        cluster.nodes.values().map(|node| (node.name.clone(), node.record.clone())).collect()
    };
    let mut fresh = restarted(&cluster, 100);
    assert!(plan(&fresh, at(100)).is_empty(), "nothing is decided before the nodes were read");
    for number in [0, 1] {
        let state = cluster.nodes[&node_name(number)].seen.state().unwrap().clone();
        fresh.observe(&node_name(number), state, at(101)).unwrap();
        if number == 0 {
            assert!(plan(&fresh, at(101)).is_empty(), "nor before all of them were");
        }
    }
    let actions = settle(&mut fresh, 101);
    assert_eq!(records(&fresh), records(&cluster));
    assert!(!actions.iter().any(|action| matches!(action, Action::PushGoal(_))), "{:?}", says(&actions));
    assert_eq!(fresh.deployments, cluster.deployments);
}
