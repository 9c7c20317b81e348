use welkin_fabric::deployment::InstanceValue;
use welkin_fabric::goal::content_digest;
use welkin_fabric::{Value, node_goal};
use welkin_fabric_wire::GoalStatus;

use crate::fixture::{answer_ready, at, cluster, goal, id, node_name, put, role, settle};

#[test]
fn variables_are_resolved_for_each_instance() {
    let rows = [
        (InstanceValue::DeploymentId, id(1).to_string()),
        (InstanceValue::Emulated, "false".into()),
        (InstanceValue::InstanceName, "Web_IN_0".into()),
        (InstanceValue::RoleName, "Web".into()),
        (InstanceValue::FaultDomain, "3".into()),
        (InstanceValue::UpdateDomain, "0".into()),
        (InstanceValue::Setting("Color".into()), "blue".into()),
        (InstanceValue::EndpointAddress("Http".into()), "10.177.16.2".into()),
        (InstanceValue::EndpointPort("Http".into()), "8080".into()),
        (InstanceValue::EndpointProtocol("Http".into()), "http".into()),
        (InstanceValue::LocalResourcePath("Cache".into()), "/local/resources/Cache".into()),
        (InstanceValue::LocalResourceSize("Cache".into()), "100".into()),
    ];
    let mut cluster = cluster(&[3]);
    let mut web = role("Web", 1, 512);
    web.local_resources.push(welkin_agent_wire::LocalResource {
        name: "Cache".into(),
        path: "/local/resources/Cache".into(),
        size_mib: 100,
        clean_on_role_recycle: true,
    });
    for (at, (value, _)) in rows.iter().enumerate() {
        web.variables.insert(at.to_string(), Value::Instance(value.clone()));
    }
    web.variables.insert("plain".into(), Value::Text("text".into()));
    put(&mut cluster, 1, goal(1), vec![web], 0).unwrap();
    let goal = node_goal(&cluster, &cluster.nodes[&node_name(0)], at(0));
    let variables = &goal.instances[0].guest.variables;
    for (at, (value, expected)) in rows.iter().enumerate() {
        assert_eq!(variables[&at.to_string()], *expected, "{value:?}");
    }
    assert_eq!(variables["plain"], "text");
}

#[test]
fn a_goal_names_its_own_instances_and_every_virtual_ip() {
    let mut cluster = cluster(&[0, 1]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 0).unwrap();
    settle(&mut cluster, 1);
    answer_ready(&mut cluster, 1, 1);
    let goal = node_goal(&cluster, &cluster.nodes[&node_name(0)], at(1));
    assert_eq!(goal.instances.len(), 1);
    let instance = &goal.instances[0];
    assert_eq!((instance.id.name().as_str(), instance.mac.as_str()), ("Web_IN_0", "02:00:0a:b1:10:02"));
    assert_eq!(instance.guest.network.gateway.to_string(), "10.177.16.1");
    assert_eq!(instance.guest.environment.peers.len(), 2);
    assert_eq!(instance.guest.environment.endpoints[0].public_port, Some(80));
    assert_eq!(goal.vips.len(), 1);
    let backends: Vec<_> =
        goal.vips[0].backends.iter().map(|b| (b.address.to_string(), b.port, b.ready)).collect();
    // The node decides itself about its own instance; it is told about the other.
    assert_eq!(backends, [("10.177.16.2".into(), 8080, false), ("10.177.17.2".into(), 8080, true)]);
}

#[test]
fn suspended_and_deleted_deployments_are_in_no_goal() {
    let mut cluster = cluster(&[0]);
    let mut suspended = goal(1);
    suspended.status = GoalStatus::Suspended;
    put(&mut cluster, 1, suspended, vec![role("Web", 1, 512)], 0).unwrap();
    let goal = node_goal(&cluster, &cluster.nodes[&node_name(0)], at(0));
    assert!(goal.instances.is_empty() && goal.vips.is_empty());
}

#[test]
fn the_digest_is_of_the_content() {
    let mut cluster = cluster(&[0]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    let node = node_name(0);
    let before = node_goal(&cluster, &cluster.nodes[&node], at(0));
    settle(&mut cluster, 0);
    let raised = node_goal(&cluster, &cluster.nodes[&node], at(0));
    assert_ne!(before.generation, raised.generation);
    assert_eq!(content_digest(&before), content_digest(&raised));
    assert_eq!(raised.generation, raised.instances[0].guest.generation);
    let mut other = raised.clone();
    other.instances[0].incarnation += 1;
    assert_ne!(content_digest(&other), content_digest(&raised));
}
