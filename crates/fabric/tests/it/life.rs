//! Nodes that are drained, come back, and are retired.

use std::collections::BTreeSet;

use welkin_base::Digest;
use welkin_fabric::{
    Cluster, NodeKind, NodeRecord, NodeState, NotChanged, Turn, drain_node, node_status, retire_node,
    undrain_node, update_observed,
};
use welkin_fabric_wire::NodeHealth;

use crate::fixture::{answer, at, cluster, digest, goal, id, node_name, put, role, settle};
use crate::world::World;

fn order(
    world: &mut World,
    order: fn(
        &Cluster,
        &welkin_base::NodeName,
        welkin_base::Timestamp,
    ) -> Result<Option<welkin_fabric::Change>, NotChanged>,
    number: u8,
) {
    let change = order(&world.cluster, &node_name(number), at(world.second)).unwrap();
    world.cluster.apply(change.unwrap());
}

fn state(world: &World, number: u8) -> NodeState {
    world.cluster.nodes[&node_name(number)].record.state
}

fn on_node(world: &World, number: u8) -> usize {
    world.deployment().instances.iter().filter(|instance| instance.node == node_name(number)).count()
}

/// The update domains that are out of rotation because of a move, or begin anew after one.
fn moving(world: &World) -> BTreeSet<u32> {
    let moves = world.deployment().instances.iter().filter(|instance| instance.turn.is_move());
    moves.map(|instance| instance.update_domain).collect()
}

fn settled(fault_domains: &[u32], count: u32) -> World {
    let mut world = World::new(fault_domains);
    world.put(goal(1), vec![role("Web", count, 512)]).unwrap();
    world.until("ready", World::is_at_rest);
    world
}

#[test]
fn a_node_is_drained_one_update_domain_after_the_other() {
    let mut world = settled(&[0, 1, 0, 1], 6);
    let before = on_node(&world, 0);
    assert!(before >= 2, "more than one domain is there");
    order(&mut world, drain_node, 0);
    let mut walked = BTreeSet::new();
    for _ in 0..200 {
        world.tick();
        let down = moving(&world);
        assert!(down.len() <= 1, "second {}: {down:?} are moved at once", world.second);
        walked.extend(down);
        let serving = world.ready();
        assert!(serving >= 6 - 2, "second {}: only {serving} are ready", world.second);
        assert_eq!(update_observed(world.deployment()), None, "no customer asked for an update");
        if state(&world, 0) == NodeState::Drained && world.is_at_rest() {
            break;
        }
    }
    assert_eq!((state(&world, 0), on_node(&world, 0)), (NodeState::Drained, 0));
    assert_eq!(walked.len(), before, "each domain that was there moved");
    assert!(world.is_at_rest());

    // Nothing new goes there, until it is brought back.
    world.put(goal(2), vec![role("Web", 9, 512)]).unwrap();
    world.until("ready", World::is_at_rest);
    assert_eq!(on_node(&world, 0), 0);
    order(&mut world, undrain_node, 0);
    world.put(goal(3), vec![role("Web", 12, 512)]).unwrap();
    world.until("ready", World::is_at_rest);
    assert!(on_node(&world, 0) > 0);
}

#[test]
fn what_stops_a_drain_is_told() {
    // The only other node is full.
    let mut world = World::new(&[0, 1]);
    world.put(goal(1), vec![role("Web", 2, 9000)]).unwrap();
    world.until("ready", World::is_at_rest);
    order(&mut world, drain_node, 0);
    for _ in 0..60 {
        world.tick();
    }
    assert_eq!((state(&world, 0), on_node(&world, 0)), (NodeState::Draining, 1));
    assert!(world.is_at_rest(), "what cannot move serves on");
    let status = node_status(&world.cluster, &world.cluster.nodes[&node_name(0)], at(world.second));
    let trouble = status.trouble.unwrap();
    assert!(trouble.contains("no room for Web_IN_0") && trouble.contains("node1"), "{trouble}");
    assert_eq!((status.state, status.instances), (NodeState::Draining, 1));
    order(&mut world, undrain_node, 0);
    world.tick();
    assert!(world.is_at_rest());
}

#[test]
fn the_last_one_that_works_is_not_taken_away() {
    let mut world = settled(&[0, 1, 2], 2);
    let broken = digest(66);
    world.broken.insert(broken);
    let mut bad = role("Web", 2, 512);
    bad.application = broken;
    world.put(goal(2), vec![bad]).unwrap();
    // The first domain follows the bad version and never gets ready; the second serves.
    for _ in 0..60 {
        world.tick();
    }
    assert_eq!(world.ready(), 1);
    let serving = world.deployment().instances[1].node.clone();
    let number = (0..3).find(|number| node_name(*number) == serving).unwrap();
    order(&mut world, drain_node, number);
    for _ in 0..60 {
        world.tick();
        assert_eq!(world.ready(), 1);
    }
    // The walk goes back, and then the node gets empty.
    world.put(goal(3), vec![role("Web", 2, 512)]).unwrap();
    world.until("drained", |world| state(world, number) == NodeState::Drained);
    world.until("at rest", World::is_at_rest);
}

#[test]
fn what_does_not_serve_moves_and_may_be_mended_there() {
    let mut world = World::new(&[0, 1, 2]);
    let broken: Digest = digest(66);
    world.broken.insert(broken);
    let mut bad = role("Web", 1, 512);
    bad.application = broken;
    world.put(goal(1), vec![bad]).unwrap();
    for _ in 0..10 {
        world.tick();
    }
    order(&mut world, drain_node, 0);
    world.until("drained", |world| state(world, 0) == NodeState::Drained);
    world.put(goal(2), vec![role("Web", 1, 512)]).unwrap();
    world.until("mended", World::is_at_rest);
}

#[test]
fn a_suspended_deployment_moves_at_once() {
    let mut world = settled(&[0, 1, 2], 3);
    let mut suspended = goal(2);
    suspended.status = welkin_fabric_wire::GoalStatus::Suspended;
    world.put(suspended, vec![role("Web", 3, 512)]).unwrap();
    for _ in 0..5 {
        world.tick();
    }
    order(&mut world, drain_node, 0);
    world.until("drained", |world| state(world, 0) == NodeState::Drained);
    assert!(world.deployment().instances.iter().all(|instance| instance.turn == Turn::None));
}

#[test]
fn only_an_empty_node_is_retired_unless_forced() {
    let mut world = settled(&[0, 1, 2], 3);
    let now = at(world.second);
    let name = node_name(0);
    let refused = retire_node(&world.cluster, &name, false, now).unwrap_err();
    assert_eq!(refused, NotChanged::NotEmpty { name: name.clone(), instances: 1, leaving: 0 });
    let change = retire_node(&world.cluster, &name, true, now).unwrap().unwrap();
    world.cluster.apply(change);
    world.until("elsewhere", |world| on_node(world, 0) == 0 && world.is_at_rest());
    assert_eq!(drain_node(&world.cluster, &name, now), Err(NotChanged::Retired(name.clone())));
    assert_eq!(retire_node(&world.cluster, &name, false, now), Ok(None), "it is so");
    let stranger = node_name(99);
    assert_eq!(drain_node(&world.cluster, &stranger, now), Err(NotChanged::Missing(stranger)));
    order(&mut world, undrain_node, 0);
    assert_eq!(state(&world, 0), NodeState::Active);
}

#[test]
fn a_retired_node_keeps_nothing_waiting() {
    let mut cluster = cluster(&[0, 1]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    settle(&mut cluster, 0);
    let change = retire_node(&cluster, &node_name(0), true, at(0)).unwrap().unwrap();
    cluster.apply(change);
    for second in (1..40).step_by(2) {
        settle(&mut cluster, second);
        crate::fixture::answer_ready(&mut cluster, 1, second);
    }
    let deployment = &cluster.deployments[&id(1)];
    assert_eq!((&deployment.instances[0].node, deployment.leaving.len()), (&node_name(1), 0));
}

#[test]
fn an_edge_gets_virtual_ips_and_no_instances() {
    let mut cluster = cluster(&[0, 1]);
    cluster.add_node(node_name(2), NodeKind::Edge, 2, 0, NodeRecord::default());
    answer(&mut cluster, 2, 0, Vec::new());
    put(&mut cluster, 1, goal(1), vec![role("Web", 8, 1024)], 0).unwrap();
    let deployment = &cluster.deployments[&id(1)];
    assert!(deployment.instances.iter().all(|instance| instance.node != node_name(2)));
    let edge = welkin_fabric::node_goal(&cluster, &cluster.nodes[&node_name(2)], at(0));
    assert_eq!((edge.instances.len(), edge.vips.len(), edge.vips[0].backends.len()), (0, 1, 8));
    // Two silent edges of four machines are no reason to stop healing.
    cluster.add_node(node_name(3), NodeKind::Edge, 3, 0, NodeRecord::default());
    answer(&mut cluster, 0, 30, Vec::new());
    answer(&mut cluster, 1, 30, Vec::new());
    assert_eq!(welkin_fabric::healing::brake(&cluster, at(30)), None);
}

#[test]
fn health_and_capacity_are_remembered() {
    let mut cluster = cluster(&[0, 1, 2]);
    for second in 0..60 {
        for number in [1, 2] {
            answer(&mut cluster, number, second, Vec::new());
        }
        if !(5..40).contains(&second) {
            answer(&mut cluster, 0, second, Vec::new());
        }
        settle(&mut cluster, second);
    }
    let status = node_status(&cluster, &cluster.nodes[&node_name(0)], at(60));
    let history: Vec<_> = status.history.iter().map(|change| (change.health, change.at)).collect();
    assert_eq!(
        history,
        [
            (NodeHealth::Healthy, at(0)),
            (NodeHealth::Unhealthy, at(8)),
            (NodeHealth::Lost, at(25)),
            (NodeHealth::Healthy, at(40)),
        ]
    );
    assert_eq!((status.cores, status.disk_mib), (8, 1 << 20));
    // A controller that has just begun knows it from what is stored.
    let record = cluster.nodes[&node_name(0)].record.clone();
    let mut fresh = Cluster::new(cluster.network, crate::fixture::guest_os(), at(100));
    fresh.add_node(node_name(0), NodeKind::Compute, 0, 0, record);
    let status = node_status(&fresh, &fresh.nodes[&node_name(0)], at(101));
    assert_eq!((status.health, status.cores, status.memory_mib), (NodeHealth::Unknown, 8, 16 << 10));
}
