use super::*;
use welkin_agent_wire::Endpoint;
use welkin_agent_wire::node::Transport;
use welkin_base::RoleName;

use crate::plan::samples;
use crate::plan::samples::{address, check_golden, goal, id, network};

fn slots(count: u8) -> BTreeMap<InstanceId, Slot> {
    (0..count).filter_map(|i| Some((id(i), Slot::new(i.into())?))).collect()
}

fn rotation(ready: &[u8]) -> Rotation {
    Rotation { ready: ready.iter().map(|i| id(*i)).collect(), passing: BTreeSet::new() }
}

fn check(goal: &NodeGoal, held: u8, ready: &[u8], file: &str) {
    check_golden(&ruleset(goal, &network(), &slots(held), &rotation(ready)), file);
}

/// The internal endpoint of instance `of`, which `from` may call.
fn internal(of: u8, transport: Transport, ports: (u16, u16), from: &[&str]) -> InternalEndpoint {
    let from = from.iter().map(|role| RoleName::new(role).unwrap()).collect();
    let (first_port, last_port) = ports;
    InternalEndpoint { address: address(of), transport, first_port, last_port, from }
}

#[test]
fn rulesets() {
    check(&goal(1, 0), 0, &[], "empty.nft");
    check(&goal(1, 2), 2, &[0, 1], "two-ready.nft");
    check(&goal(1, 2), 2, &[1], "one-ready.nft");
    let mut peers = goal(1, 2);
    let roles = [("Web", vec![0, 3]), ("Db", vec![1, 4]), ("Off", vec![5])];
    let roles = roles.map(|(role, of)| (RoleName::new(role).unwrap(), of.into_iter().map(address).collect()));
    peers.internal = vec![InternalNetwork {
        roles: roles.into(),
        endpoints: vec![
            internal(0, Transport::Tcp, (7000, 7000), &["Web", "Db"]),
            internal(1, Transport::Tcp, (7001, 7005), &["Web"]),
            internal(1, Transport::Tcp, (7004, 7009), &["Web"]),
            internal(1, Transport::Udp, (7001, 7001), &["Web", "Db"]),
            internal(1, Transport::Tcp, (7100, 7100), &[]),
            internal(4, Transport::Tcp, (7001, 7001), &["Web"]),
            internal(4, Transport::Tcp, (7002, 7002), &["Off"]),
        ],
    }];
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
            address: address(index),
            port,
            public_port,
        };
        compute.instances[usize::from(index)].guest.environment.endpoints.push(endpoint);
    }
    let ready = rotation(&[0]);
    check_golden(&ruleset(&compute, &of(Duty::Compute), &slots(2), &ready), "compute.nft");
    let mut edge = compute.clone();
    edge.instances.clear();
    let none = (BTreeMap::new(), rotation(&[]));
    check_golden(&ruleset(&edge, &of(Duty::Edge), &none.0, &none.1), "edge.nft");
}

/// An instance without a folder has no tap, and one that the goal does not name loses its rules at once.
#[test]
fn only_what_is_wanted_and_held() {
    let text = |goal: &NodeGoal, held| ruleset(goal, &network(), &slots(held), &rotation(&[]));
    assert_eq!(text(&goal(1, 2), 0).matches("tap").count(), 0);
    assert_eq!(text(&goal(1, 0), 2).matches("tap").count(), 0);
    assert_eq!(text(&goal(1, 2), 1).matches("\"tap0\"").count(), 3);
}

#[test]
fn backends_elsewhere_and_unconditional() {
    let mut other = goal(1, 1);
    let check = |goal: &NodeGoal, ready: &[u8], expected: &str| {
        let rules = load_balancer::rules(goal, &slots(1), &rotation(ready));
        assert_eq!(rules.join("\n"), expected);
    };
    other.vips = vec![samples::vip(2)];
    check(&other, &[], "");
    other.vips[0].backends[1].ready = true;
    check(&other, &[], "ip daddr 10.177.240.1 tcp dport 80 dnat to 10.177.16.3:8080");
    other.vips[0].backends[1].out = true;
    check(&other, &[0], "ip daddr 10.177.240.1 tcp dport 80 dnat to 10.177.16.2:8080");
    other.vips[0].backends[0].out = true;
    check(&other, &[0], "");
    (other.vips[0].backends[0].out, other.vips[0].backends[1].out) = (false, false);
    other.vips[0].backends[1].ignore_status = true;
    other.vips[0].backends[1].ready = false;
    check(&other, &[], "");
    other.vips[0].backends[1].ready = true;
    other.vips[0].backends[0].ignore_status = true;
    other.vips[0].transport = Transport::Udp;
    check(
        &other,
        &[],
        "ip daddr 10.177.240.1 udp dport 80 dnat ip to numgen inc mod 2 map { 0 : 10.177.16.2 . 8080, 1 : 10.177.16.3 . 8080 }",
    );
}

/// Who stands behind an endpoint with a probe: ready, unless that is ignored, and passing.
#[test]
fn probes_decide_beside_readiness() {
    let check = |ready: bool, passes: bool, ignore_status: bool, expected: bool| {
        let mut goal = goal(1, 1);
        goal.vips[0].backends[0].probe = Some("live".into());
        goal.vips[0].backends[0].ignore_status = ignore_status;
        let mut rotation = rotation(if ready { &[0] } else { &[] });
        // Another probe's word says nothing.
        rotation.passing.insert((id(0), "other".into()));
        rotation.passing.extend(passes.then(|| (id(0), "live".to_owned())));
        let rules = load_balancer::rules(&goal, &slots(1), &rotation);
        assert_eq!(rules.len(), usize::from(expected), "{ready} {passes} {ignore_status}");
    };
    check(true, true, false, true);
    check(true, false, false, false);
    check(false, true, false, false);
    check(false, true, true, true);
    check(false, false, true, false);
}
