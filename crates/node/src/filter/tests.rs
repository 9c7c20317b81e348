use welkin_agent_wire::Endpoint;

use super::*;
use crate::plan::samples;
use crate::plan::samples::{check_golden, goal, id, network, peer};

fn slots(count: u8) -> BTreeMap<InstanceId, Slot> {
    (0..count).filter_map(|i| Some((id(i), Slot::new(i.into())?))).collect()
}

fn check(goal: &NodeGoal, held: u8, ready: &[u8], file: &str) {
    let ready = ready.iter().map(|i| id(*i)).collect();
    check_golden(&ruleset(goal, &network(), &slots(held), &ready), file);
}

#[test]
fn rulesets() {
    check(&goal(1, 0), 0, &[], "empty.nft");
    check(&goal(1, 2), 2, &[0, 1], "two-ready.nft");
    check(&goal(1, 2), 2, &[1], "one-ready.nft");
    let mut peers = goal(1, 2);
    for instance in &mut peers.instances {
        instance.guest.environment.peers = vec![peer(0, "tcp", 7000), peer(1, "any", 7001)];
    }
    check(&peers, 2, &[], "peers.nft");
    let mut access = goal(1, 1);
    let rule = |permit, last: u8, prefix_length| {
        let network = Ipv4Addr::new(192, 0, 2, last);
        welkin_agent_wire::AccessRule { permit, network, prefix_length }
    };
    access.vips[0].access = vec![rule(false, 7, 32), rule(true, 0, 24)];
    access.vips[0].access.push(welkin_agent_wire::AccessRule {
        permit: false,
        network: Ipv4Addr::UNSPECIFIED,
        prefix_length: 0,
    });
    check(&access, 1, &[0], "access.nft");
}

/// In a cluster, where an edge balances the virtual IPs for callers from outside.
#[test]
fn rulesets_with_an_edge() {
    let of = |duty| NodeNetwork { duty, ..network() };
    let mut compute = goal(1, 2);
    compute.vips[0].backends[1].ready = true;
    for (index, port, public_port) in [(0, 8080, Some(80)), (1, 8080, Some(80)), (1, 9000, None)] {
        let endpoint = Endpoint {
            name: format!("e{port}"),
            protocol: "http".into(),
            address: samples::address(index),
            port,
            public_port,
        };
        compute.instances[usize::from(index)].guest.environment.endpoints.push(endpoint);
    }
    let ready = BTreeSet::from([id(0)]);
    check_golden(&ruleset(&compute, &of(Duty::Compute), &slots(2), &ready), "compute.nft");
    let mut edge = compute.clone();
    edge.instances.clear();
    let none = (BTreeMap::new(), BTreeSet::new());
    check_golden(&ruleset(&edge, &of(Duty::Edge), &none.0, &none.1), "edge.nft");
}

/// An instance without a folder has no tap, and one that the goal does not name loses its rules at once.
#[test]
fn only_what_is_wanted_and_held() {
    let text = |goal: &NodeGoal, held| ruleset(goal, &network(), &slots(held), &BTreeSet::new());
    assert_eq!(text(&goal(1, 2), 0).matches("tap").count(), 0);
    assert_eq!(text(&goal(1, 0), 2).matches("tap").count(), 0);
    assert_eq!(text(&goal(1, 2), 1).matches("\"tap0\"").count(), 3);
}

#[test]
fn backends_elsewhere_and_unconditional() {
    let mut other = goal(1, 1);
    let check = |goal: &NodeGoal, ready: &[u8], expected: &str| {
        let ready = ready.iter().map(|i| id(*i)).collect();
        let rules = load_balancer::rules(goal, &slots(1), &ready);
        assert_eq!(rules.join("\n"), expected);
    };
    other.vips = vec![samples::vip(2)];
    check(&other, &[], "");
    other.vips[0].backends[1].ready = true;
    check(&other, &[], "ip daddr 10.177.240.1 tcp dport 80 dnat to 10.177.16.3:8080");
    other.vips[0].backends[0].ignore_status = true;
    other.vips[0].transport = welkin_agent_wire::node::Transport::Udp;
    check(
        &other,
        &[],
        "ip daddr 10.177.240.1 udp dport 80 dnat ip to numgen inc mod 2 map { 0 : 10.177.16.2 . 8080, 1 : 10.177.16.3 . 8080 }",
    );
}
