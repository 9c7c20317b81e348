use welkin_agent_wire::RoleState;
use welkin_fabric::deployment::InstanceValue;
use welkin_fabric::goal::content_digest;
use welkin_fabric::{Cluster, Reach, RoleEndpoint, Value, node_goal};
use welkin_fabric_wire::GoalStatus;

use crate::fixture::{
    all_ready, answer, answer_ready, at, cluster, goal, id, node_name, probe, put, role, settle,
};

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

/// The backends of the first virtual IP as node 0 is told: ready, and out of the rotation.
fn backends(cluster: &Cluster) -> Vec<(bool, bool)> {
    let goal = node_goal(cluster, &cluster.nodes[&node_name(0)], at(1));
    goal.vips[0].backends.iter().map(|backend| (backend.ready, backend.out)).collect()
}

#[test]
fn a_probe_decides_beside_readiness_elsewhere_too() {
    let check = |ignore_status: bool, role_is_ready: bool, passes: &[&str], expected: bool| {
        let mut cluster = cluster(&[0, 1]);
        let mut web = role("Web", 2, 512);
        web.endpoints[0].probe = Some(probe());
        web.endpoints[0].reach = Reach::Input { port: 80, ignore_status };
        put(&mut cluster, 1, goal(1), vec![web], 0).unwrap();
        settle(&mut cluster, 1);
        let node = node_goal(&cluster, &cluster.nodes[&node_name(1)], at(1));
        assert_eq!(node.instances[0].probes, [probe()]);
        let mut seen = all_ready(&node);
        seen[0].role = Some(if role_is_ready { RoleState::Ready } else { RoleState::Busy });
        seen[0].passes = passes.iter().map(|name| (*name).to_owned()).collect();
        answer(&mut cluster, 1, 1, seen);
        assert_eq!(
            backends(&cluster),
            [(false, false), (expected, false)],
            "{ignore_status} {role_is_ready}"
        );
    };
    check(false, true, &["live:8080"], true);
    check(false, true, &["live"], false);
    check(false, true, &[], false);
    check(false, false, &["live:8080"], false);
    check(true, false, &["live:8080"], true);
    check(true, false, &[], false);
}

#[test]
fn each_instance_has_a_public_port_of_its_own() {
    let mut cluster = cluster(&[0, 1]);
    let mut web = role("Web", 2, 512);
    let direct = Reach::InstanceInput { first_port: 2_200, last_port: 2_299 };
    web.endpoints[0] = RoleEndpoint { local_port: 22, reach: direct, ..web.endpoints[0].clone() };
    put(&mut cluster, 1, goal(1), vec![web], 0).unwrap();
    settle(&mut cluster, 1);
    let goal = node_goal(&cluster, &cluster.nodes[&node_name(1)], at(1));
    assert_eq!(goal.instances[0].guest.environment.endpoints[0].public_port, Some(2_201));
    let vips: Vec<_> = goal
        .vips
        .iter()
        .map(|vip| {
            (vip.port, vip.backends.iter().map(|b| (b.address.to_string(), b.port)).collect::<Vec<_>>())
        })
        .collect();
    let expected = [(2_200, "10.177.16.2"), (2_201, "10.177.17.2")];
    assert_eq!(vips, expected.map(|(port, address)| (port, vec![(address.to_owned(), 22)])));
    // It is reached whether it is ready or not.
    assert!(goal.vips.iter().flat_map(|vip| &vip.backends).all(|backend| backend.ignore_status));
    assert!(goal.vips[0].backends[0].ready, "the instance on the other node");
}

#[test]
fn a_node_knows_the_internal_networks_of_its_deployments() {
    let mut cluster = cluster(&[0, 1]);
    let (mut web, db) = (role("Web", 2, 512), role("Db", 1, 512));
    web.endpoints[1].last_port = Some(20_009);
    web.endpoints[1].callers = Some([web.name.clone()].into());
    put(&mut cluster, 1, goal(1), vec![web.clone(), db.clone()], 0).unwrap();
    let network = |number| node_goal(&cluster, &cluster.nodes[&node_name(number)], at(1)).internal;
    assert_eq!((network(0).len(), network(0)), (1, network(1)));
    let [network] = <[_; 1]>::try_from(network(0)).unwrap();
    assert_eq!(network.roles[&web.name].len(), 2);
    let of = |address: &str| {
        let found =
            network.endpoints.iter().find(|endpoint| endpoint.address.to_string() == address).unwrap();
        (found.first_port, found.last_port, found.from.clone())
    };
    assert_eq!(of("10.177.16.2"), (20_000, 20_009, [web.name.clone()].into()));
    let db_address = network.roles[&db.name].first().unwrap().to_string();
    assert_eq!(of(&db_address), (20_000, 20_000, [web.name.clone(), db.name.clone()].into()));
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
