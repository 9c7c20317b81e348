use welkin_fabric::{Refused, Rule};

use crate::fixture::{answer, at, cluster, goal, node_name, observed, put, role};

/// Where the instances of one role go: the node numbers, in order of the instances.
fn check(fault_domains: &[u32], count: u32, expected: &[u8]) {
    let mut cluster = cluster(fault_domains);
    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", count, 1024)], 0).unwrap();
    let nodes: Vec<_> = deployment.instances.iter().map(|instance| instance.node.clone()).collect();
    let expected: Vec<_> = expected.iter().map(|number| node_name(*number)).collect();
    assert_eq!(nodes, expected, "{count} instances over {fault_domains:?}");
}

#[test]
fn instances_go_where_fewest_of_the_role_are() {
    check(&[0], 3, &[0, 0, 0]);
    check(&[0, 1], 2, &[0, 1]);
    check(&[0, 1], 3, &[0, 1, 0]);
    check(&[0, 0, 1], 4, &[0, 2, 1, 2]);
    check(&[0, 1, 2], 3, &[0, 1, 2]);
    check(&[5, 5], 2, &[0, 1]);
}

#[test]
fn the_fullest_node_that_fits_is_taken() {
    let mut cluster = cluster(&[0, 0]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 1, 4096)], 0).unwrap();
    let second = put(&mut cluster, 2, goal(1), vec![role("Web", 1, 1024)], 0).unwrap();
    assert_eq!(second.instances[0].node, node_name(0));
}

#[test]
fn update_domains_are_n_mod_count() {
    for (instances, domains, expected) in
        [(2, 2, vec![0, 1]), (4, 4, vec![0, 1, 2, 3]), (7, 5, vec![0, 1, 2, 3, 4, 0, 1])]
    {
        let mut cluster = cluster(&[0, 1]);
        let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", instances, 512)], 0).unwrap();
        let got: Vec<u32> = deployment.instances.iter().map(|instance| instance.update_domain).collect();
        assert_eq!((deployment.update_domains, got), (domains, expected));
    }
}

#[test]
fn addresses_and_virtual_ips_are_never_given_twice() {
    let mut cluster = cluster(&[0]);
    let one = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 0).unwrap();
    let two = put(&mut cluster, 2, goal(1), vec![role("Web", 1, 512)], 0).unwrap();
    let addresses: Vec<String> =
        one.instances.iter().chain(&two.instances).map(|instance| instance.address.to_string()).collect();
    assert_eq!(addresses, ["10.177.16.2", "10.177.16.3", "10.177.16.4"]);
    assert_eq!(one.vip.unwrap().to_string(), "10.177.240.1");
    assert_eq!(two.vip.unwrap().to_string(), "10.177.240.2");
}

fn refused(fault_domains: &[u32], roles: Vec<welkin_fabric::Role>) -> (Rule, String) {
    let mut cluster = cluster(fault_domains);
    let before = cluster.deployments.clone();
    let error = put(&mut cluster, 1, goal(1), roles, 0).unwrap_err();
    assert_eq!(cluster.deployments, before, "nothing is half-placed");
    let Refused::NoRoom(no_room) = error else { panic!("{error}") };
    let text = no_room.to_string();
    (no_room.rule, text)
}

#[test]
fn what_does_not_fit_says_which_rule_and_how_much_is_missing() {
    let (rule, text) = refused(&[0], vec![role("Web", 2, 10 << 10)]);
    assert!(matches!(rule, Rule::Capacity { .. }), "{rule:?}");
    assert_eq!(
        text,
        "no room for Web_IN_1 of size Test: capacity: node0, which comes nearest, lacks 4096 MiB of memory"
    );
    let (rule, text) = refused(&[0], vec![role("Web", 9, 512)]);
    assert!(matches!(rule, Rule::Capacity { .. }), "{rule:?}");
    assert!(text.contains("Web_IN_8") && text.contains("lacks 1 cores"), "{text}");
    let (rule, text) = refused(&[], vec![role("Web", 1, 512)]);
    assert_eq!(rule, Rule::NoNode(Vec::new()));
    assert!(text.contains("no node takes instances"), "{text}");
}

#[test]
fn a_role_is_not_crowded_into_one_fault_domain() {
    let mut cluster = cluster(&[0, 0, 1]);
    // The only node of fault domain 1 is full.
    let mut small = observed(&cluster, 2, Vec::new());
    small.capacity = crate::fixture::capacity(1, 512);
    cluster.observe(&node_name(2), small, at(0)).unwrap();
    let error = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 1024)], 0).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("fault domains: one holds at most 1 of the role"), "{text}");
    assert!(text.contains("node2, which comes nearest, lacks 512 MiB of memory"), "{text}");
}

#[test]
fn silent_nodes_get_nothing() {
    let mut cluster = cluster(&[0, 1]);
    answer(&mut cluster, 0, 10, Vec::new());
    let deployment = put(&mut cluster, 1, goal(1), vec![role("Web", 2, 512)], 10).unwrap();
    assert!(deployment.instances.iter().all(|instance| instance.node == node_name(0)));
    let error = put(&mut cluster, 2, goal(1), vec![role("Web", 1, 512)], 99).unwrap_err();
    assert!(error.to_string().contains("no node takes instances (node0, node1)"), "{error}");
}

#[test]
fn of_nodes_as_good_one_that_has_the_images_is_taken() {
    let mut cluster = cluster(&[0, 0, 0]);
    put(&mut cluster, 1, goal(1), vec![role("Web", 3, 1024)], 0).unwrap();
    for image in [1, 2, 3, 9] {
        cluster.image_arrived(&node_name(2), crate::fixture::digest(image));
    }
    let placed = put(&mut cluster, 2, goal(1), vec![role("Web", 1, 1024)], 0).unwrap();
    assert_eq!(placed.instances[0].node, node_name(2));
    // What is fuller comes first all the same.
    answer(&mut cluster, 2, 1, Vec::new());
    let mut wide = observed(&cluster, 2, Vec::new());
    wide.capacity = crate::fixture::capacity(64, 64 << 10);
    cluster.observe(&node_name(2), wide, at(1)).unwrap();
    let placed = put(&mut cluster, 3, goal(1), vec![role("Web", 1, 1024)], 1).unwrap();
    assert_eq!(placed.instances[0].node, node_name(0));
}

/// What is counted as it changes is what a count of everything finds.
#[test]
fn what_is_kept_is_what_is_placed() {
    let mut cluster = cluster(&[0, 1]);
    let mut deployments = Vec::new();
    for number in 1..5 {
        deployments.push(put(&mut cluster, number, goal(1), vec![role("Web", 2, 512)], 0).unwrap());
    }
    cluster.apply(welkin_fabric::Change::Deployment(Box::new(welkin_fabric::delete(&deployments[0]))));
    let used = |cluster: &welkin_fabric::Cluster| -> Vec<_> {
        cluster.usage().map(|(_, usage)| (usage.need.cores, usage.instances, usage.leaving)).collect()
    };
    assert_eq!(used(&cluster), [(4, 3, 1), (4, 3, 1)]);
    let gone = &deployments[0];
    cluster.apply(welkin_fabric::Change::Remove(gone.goal.service.clone(), gone.id.clone()));
    assert_eq!(used(&cluster), [(3, 3, 0), (3, 3, 0)]);
    cluster.forget_deployments();
    assert_eq!(used(&cluster), []);
}
