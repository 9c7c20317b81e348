use welkin_agent_wire::{DrainObserved, InstanceObserved, NodeObserved, VmState};
use welkin_base::{Generation, InstanceId};
use welkin_fabric::{Cluster, Health, Lie, health};

use crate::fixture::{answer, at, cluster, goal, id, node_name, observed, put, role, settle};

fn instance(id: InstanceId, incarnation: u64) -> InstanceObserved {
    InstanceObserved {
        id,
        incarnation,
        vm: VmState::Running,
        role: None,
        generation: Generation(0),
        message: String::new(),
        vm_restarts: 0,
        role_restarts: 0,
        lacks: Vec::new(),
        passes: Vec::new(),
    }
}

fn small() -> (Cluster, InstanceId) {
    let mut cluster = cluster(&[0, 1]);
    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    settle(&mut cluster, 0);
    let id = deployment.instance_id(deployment.instances[0].name());
    (cluster, id)
}

/// What a node answers, and whether it is believed.
fn check(name: &str, lie: impl Fn(&mut NodeObserved, &InstanceId), expected: impl Fn(&Lie) -> bool) {
    let (mut cluster, id) = small();
    let mut answer = observed(&cluster, 0, vec![instance(id.clone(), 1)]);
    lie(&mut answer, &id);
    let error = cluster.observe(&node_name(0), answer, at(30)).unwrap_err();
    assert!(expected(&error), "{name}: {error}");
    let node = &cluster.nodes[&node_name(0)];
    assert_eq!(health(&cluster, node, at(30)), Health::Lost, "{name}: a liar counts as silent");
    assert_eq!(node.seen.trouble(), Some(error.to_string().as_str()), "{name}");
}

#[test]
fn lies_are_not_believed() {
    check("another name", |o, _| o.node = node_name(1), |lie| matches!(lie, Lie::OtherName(_)));
    check(
        "a goal never given",
        |o, _| o.generation = Generation(u64::MAX),
        |lie| matches!(lie, Lie::NewerGoal { .. }),
    );
    check(
        "an incarnation never made",
        |o, _| o.instances[0].incarnation = 2,
        |lie| matches!(lie, Lie::NewerIncarnation { .. }),
    );
    check("twice", |o, id| o.instances.push(instance(id.clone(), 1)), |lie| matches!(lie, Lie::Twice(_)));
    check(
        "too many",
        |o, _| {
            o.instances =
                (0..257).map(|n| instance(format!("{}/Web_IN_{n}", id(9)).parse().unwrap(), 1)).collect();
        },
        |lie| *lie == Lie::TooMany(257),
    );
    check(
        "a long message",
        |o, _| o.instances[0].message = "x".repeat(1025),
        |lie| *lie == Lie::LongMessage(1025),
    );
    check("a long trouble", |o, _| o.trouble = Some("x".repeat(2000)), |lie| *lie == Lie::LongMessage(2000));
    let passes = |o: &mut NodeObserved, names: Vec<String>| o.instances[0].passes = names;
    check("many probes", |o, _| passes(o, vec!["p".into(); 26]), |lie| *lie == Lie::Excess);
    check("a long probe", |o, _| passes(o, vec!["p".repeat(129)]), |lie| *lie == Lie::Excess);
    check(
        "much drains",
        |o, id| {
            let quiet = DrainObserved { instance: id.clone(), since: at(0), connections: Some(0) };
            o.draining = vec![quiet; 1025];
        },
        |lie| *lie == Lie::Excess,
    );
    check("a giant", |o, _| o.capacity.memory_mib = u32::MAX, |lie| matches!(lie, Lie::Capacity(_)));
    check("many cores", |o, _| o.capacity.cores = u32::MAX, |lie| matches!(lie, Lie::Capacity(_)));
    check("a vast disk", |o, _| o.capacity.disk_mib = u64::MAX, |lie| matches!(lie, Lie::Capacity(_)));
}

#[test]
fn messages_have_no_control_characters() {
    let (mut cluster, id) = small();
    let mut seen = instance(id.clone(), 1);
    seen.message = "a\x1b[31mred\nline".into();
    answer(&mut cluster, 0, 1, vec![seen]);
    let seen = cluster.nodes[&node_name(0)].seen.instance(&id).unwrap();
    assert_eq!(seen.message, "a [31mred line");
}

#[test]
fn nothing_is_placed_beside_strangers() {
    let (mut cluster, _) = small();
    let stranger: InstanceId = format!("{}/Other_IN_0", id(9)).parse().unwrap();
    for number in [0, 1] {
        answer(&mut cluster, number, 1, vec![instance(stranger.clone(), 7)]);
    }
    let error = put(&mut cluster, 2, goal(1), vec![role("Web", 1, 512)], 1).unwrap_err();
    assert!(error.to_string().contains("no node takes instances"), "{error}");
    answer(&mut cluster, 1, 2, Vec::new());
    let placed = put(&mut cluster, 2, goal(1), vec![role("Web", 1, 512)], 2).unwrap();
    assert_eq!(placed.instances[0].node, node_name(1));
}

#[test]
fn one_node_cannot_speak_for_anothers_instance() {
    let (mut cluster, id) = small();
    answer(&mut cluster, 1, 1, vec![instance(id.clone(), 9)]);
    let deployment = &cluster.deployments[id.deployment()];
    let status = welkin_fabric::deployment_observed(&cluster, deployment, at(1));
    assert_eq!(status.instances[0].state, welkin_fabric_wire::InstanceState::CreatingVm);
}
