//! The node's packet filter and load balancer, between namespaces that stand for VMs.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use rustix::process::Signal;
use welkin_agent_wire::node::Transport;
use welkin_agent_wire::{AccessRule, Endpoint, InternalEndpoint, InternalNetwork, NodeGoal};
use welkin_base::RoleName;
use welkin_node::filter::Duty;
use welkin_node::{Rotation, Slot, connection, ruleset};

use crate::agent::Agent;
use crate::namespace::ip;
use crate::vm::goal;

const VIP: &str = "10.177.240.1:80";
const CONNECT_LIMIT: Duration = Duration::from_millis(800);

struct Node {
    agent: Agent,
    goal: NodeGoal,
}

impl Node {
    /// Three guests; the first two are of one deployment and behind the virtual IP, the third is a stranger.
    fn new() -> Self {
        let mut agent = Agent::new("q35");
        agent.start();
        agent.signal(Signal::TERM);
        let mut node = Self { agent, goal: three() };
        for index in 0..3 {
            node.connect(index);
        }
        node.apply(&[0, 1]);
        node
    }

    /// A namespace in the place of a VM, on the tap's end of the bridge.
    fn connect(&mut self, index: usize) {
        let (guest, mac) = (format!("g{index}"), self.goal.instances[index].mac.clone());
        let namespaces = &mut self.agent.namespaces;
        namespaces.add(&guest);
        let (guest, node) = (namespaces.name(&guest), namespaces.name("node"));
        ip(&format!("-n {node} link add tap{index} type veth peer name eth0 address {mac} netns {guest}"));
        ip(&format!("-n {node} link set tap{index} master wk0"));
        ip(&format!("-n {node} link set tap{index} type bridge_slave isolated on"));
        ip(&format!("-n {node} link set tap{index} up"));
        ip(&format!("-n {guest} address add 10.177.16.{}/24 dev eth0", index + 2));
        ip(&format!("-n {guest} link set eth0 up"));
        ip(&format!("-n {guest} route add default via 10.177.16.1"));
    }

    fn apply(&self, ready: &[usize]) {
        let slots: BTreeMap<_, _> = (0..3)
            .map(|i| (self.goal.instances[i].id.clone(), Slot::new(i.try_into().unwrap()).unwrap()))
            .collect();
        let ready = ready.iter().map(|i| self.goal.instances[*i].id.clone()).collect();
        let rotation = Rotation { ready, ..Rotation::default() };
        let text = ruleset(&self.goal, &self.agent.config.network(), &slots, &rotation);
        self.agent.namespaces.run("node", "nft -f -", &text);
    }

    /// A server that says `word` to each connection, and then repeats what it hears.
    fn serve(&self, place: &str, address: &str, word: &'static str) {
        let address: SocketAddr = address.parse().unwrap();
        let listener = self.agent.namespaces.inside(place, || TcpListener::bind(address).unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                std::thread::spawn(move || {
                    stream.write_all(word.as_bytes()).unwrap();
                    let mut byte = [0];
                    while stream.read(&mut byte).is_ok_and(|n| n == 1) {
                        let _ = stream.write_all(&byte);
                    }
                });
            }
        });
    }

    fn open(&self, place: &str, address: &str) -> Option<(TcpStream, String)> {
        let address: SocketAddr = address.parse().unwrap();
        let mut stream = self
            .agent
            .namespaces
            .inside(place, || TcpStream::connect_timeout(&address, CONNECT_LIMIT))
            .ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut word = [0; 2];
        stream.read_exact(&mut word).ok()?;
        Some((stream, String::from_utf8(word.to_vec()).unwrap()))
    }

    /// Who answers: a server's word, or nobody.
    fn check(&self, from: &str, to: &str, expected: Option<&str>) {
        let answer = self.open(from, to).map(|(_, word)| word);
        assert_eq!(answer.as_deref(), expected, "from {from} to {to}");
    }

    /// How often each server answers.
    fn spread(&self, from: &str, connections: u32) -> BTreeMap<String, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..connections {
            let word = self.open(from, VIP).map_or("nobody".to_owned(), |(_, word)| word);
            *counts.entry(word).or_insert(0) += 1;
        }
        counts
    }

    /// Packets that were dropped for a reason.
    fn dropped(&self, reason: &str) -> u64 {
        let text = self.agent.namespaces.run("node", "nft list ruleset", "");
        let lines = text.lines().filter(|line| line.contains(&format!("comment \"{reason}\"")));
        lines
            .map(|line| {
                line.split("packets ").nth(1).unwrap().split(' ').next().unwrap().parse::<u64>().unwrap()
            })
            .sum()
    }
}

fn three() -> NodeGoal {
    let mut goal = goal(1, 3);
    goal.vips[0].backends.truncate(2);
    goal.internal =
        vec![internal(&[("Web", &[0, 1])], &[(0, (7000, 7000), &["Web"]), (1, (7000, 7000), &["Web"])])];
    goal
}

/// A network of roles with the numbers of their guests, and internal endpoints: at which guest, ports, who may call.
fn internal(roles: &[(&str, &[u8])], endpoints: &[(u8, (u16, u16), &[&str])]) -> InternalNetwork {
    let address = |guest: &u8| Ipv4Addr::new(10, 177, 16, guest + 2);
    let name = |role: &str| RoleName::new(role).unwrap();
    InternalNetwork {
        roles: roles.iter().map(|(role, of)| (name(role), of.iter().map(address).collect())).collect(),
        endpoints: endpoints
            .iter()
            .map(|(guest, (first_port, last_port), from)| InternalEndpoint {
                address: address(guest),
                transport: Transport::Tcp,
                first_port: *first_port,
                last_port: *last_port,
                from: from.iter().map(|role| name(role)).collect(),
            })
            .collect(),
    }
}

fn even(words: [&str; 2], each: u32) -> BTreeMap<String, u32> {
    words.iter().map(|word| ((*word).to_owned(), each)).collect()
}

#[test]
fn guests_reach_what_they_may_and_nothing_else() {
    if !crate::namespace::can() {
        return;
    }
    let node = Node::new();
    for (place, address, word) in [
        ("g0", "0.0.0.0:8080", "w0"),
        ("g1", "0.0.0.0:8080", "w1"),
        ("g2", "0.0.0.0:8080", "w2"),
        ("g0", "0.0.0.0:7000", "p0"),
        ("g1", "0.0.0.0:7000", "p1"),
        ("g2", "0.0.0.0:7000", "p2"),
        ("host", "0.0.0.0:10000", "st"),
        ("host", "0.0.0.0:9999", "no"),
        ("node", "0.0.0.0:7444", "fa"),
    ] {
        node.serve(place, address, word);
    }
    let check = |from, to, expected| node.check(from, to, expected);
    // From outside: the virtual IP only.
    check("host", "10.177.0.2:7444", Some("fa"));
    check("host", "10.177.16.2:8080", None);
    check("host", "10.177.240.1:81", None);
    // Storage, but no other port of the host, nor the node.
    check("g0", "10.177.0.1:10000", Some("st"));
    check("g0", "10.177.0.1:9999", None);
    check("g0", "10.177.0.2:7444", None);
    check("g0", "10.177.16.1:7444", None);
    // Internal endpoints of one's own deployment, each way; no other port; no stranger, either way.
    check("g0", "10.177.16.3:7000", Some("p1"));
    check("g1", "10.177.16.2:7000", Some("p0"));
    check("g0", "10.177.16.3:8080", None);
    check("g0", "10.177.16.4:7000", None);
    check("g2", "10.177.16.3:7000", None);
    // The virtual IP from everywhere, evenly, also from a guest that it may lead back to itself.
    for place in ["host", "node", "g0", "g1", "g2"] {
        assert_eq!(node.spread(place, 10), even(["w0", "w1"], 5), "from {place}");
    }
    follows_readiness(&node);
}

/// Who may reach a virtual IP; a rule that is new ends what was permitted before.
#[test]
fn access_rules_decide_who_reaches_a_virtual_ip() {
    if !crate::namespace::can() {
        return;
    }
    let mut node = Node::new();
    node.serve("g0", "0.0.0.0:8080", "w0");
    node.serve("g1", "0.0.0.0:8080", "w1");
    let rule = |permit, network: &str, prefix_length| AccessRule {
        permit,
        network: network.parse().unwrap(),
        prefix_length,
    };
    let answers = |node: &Node| ["host", "g2"].map(|place| node.open(place, VIP).is_some());
    assert_eq!(answers(&node), [true, true]);
    let (mut before, _) = node.open("host", VIP).unwrap();
    node.goal.vips[0].access = vec![rule(true, "10.177.16.0", 24), rule(false, "0.0.0.0", 0)];
    node.apply(&[0, 1]);
    assert_eq!(answers(&node), [false, true]);
    let _ = before.write_all(b"x");
    assert!(before.read_exact(&mut [0]).is_err(), "a connection from before is cut off");
    node.goal.vips[0].access = vec![rule(false, "10.177.16.4", 32)];
    node.apply(&[0, 1]);
    assert_eq!(answers(&node), [true, false]);
    assert!(node.dropped("access control") > 0);
}

/// Traffic rules: who may call which internal endpoint of its deployment, and at which ports.
#[test]
fn traffic_rules_decide_who_calls_whom() {
    if !crate::namespace::can() {
        return;
    }
    let mut node = Node::new();
    for guest in ["g0", "g1", "g2"] {
        for (port, word) in [(7000, "in"), (7105, "ra"), (7111, "no")] {
            node.serve(guest, &format!("0.0.0.0:{port}"), word);
        }
    }
    let roles: &[(&str, &[u8])] = &[("Web", &[0]), ("Cache", &[1]), ("Db", &[2])];
    // The second range of Db overlaps the first: a role may declare such.
    let endpoints: &[(u8, (u16, u16), &[&str])] = &[
        (1, (7000, 7000), &["Web", "Cache", "Db"]),
        (2, (7000, 7000), &["Cache"]),
        (2, (7100, 7106), &["Web"]),
        (2, (7104, 7110), &["Web"]),
        (0, (7000, 7000), &[]),
    ];
    node.goal.internal = vec![internal(roles, endpoints)];
    node.apply(&[]);
    let check = |from, to: &str, expected| node.check(from, to, expected);
    check("g0", "10.177.16.3:7000", Some("in"));
    check("g2", "10.177.16.3:7000", Some("in"));
    check("g1", "10.177.16.4:7000", Some("in"));
    check("g0", "10.177.16.4:7000", None);
    check("g0", "10.177.16.4:7105", Some("ra"));
    check("g1", "10.177.16.4:7105", None);
    check("g0", "10.177.16.4:7111", None);
    check("g1", "10.177.16.2:7000", None);
    check("g2", "10.177.16.2:7000", None);
}

/// What an edge leads here is let in where an endpoint of a virtual IP stands; also while the instance is out of the
/// rotation, because the edge may not have heard of it yet.
#[test]
fn connections_that_an_edge_balances_are_let_in() {
    if !crate::namespace::can() {
        return;
    }
    let mut node = Node::new();
    node.agent.config.duty = Duty::Compute;
    for (index, port, public_port) in [(0, 8080, Some(80)), (1, 8080, None)] {
        let address = node.goal.instances[index].guest.network.address;
        let (name, protocol) = ("Http".into(), "http".into());
        let endpoint = Endpoint { name, protocol, address, port, public_port };
        node.goal.instances[index].guest.environment.endpoints.push(endpoint);
    }
    node.goal.vips[0].backends[0].out = true;
    node.apply(&[]);
    for (guest, word) in [("g0", "w0"), ("g1", "w1"), ("g2", "w2")] {
        node.serve(guest, "0.0.0.0:8080", word);
    }
    node.check("host", "10.177.16.2:8080", Some("w0"));
    node.check("host", "10.177.16.3:8080", None);
    node.check("host", "10.177.16.4:8080", None);
    // Guests do not get there past the virtual IP.
    node.check("g2", "10.177.16.2:8080", None);
}

/// What the node counts as led to each of the first two guests, once it is as expected.
fn check_connections(node: &Node, expected: [u32; 2]) {
    let addresses = [Ipv4Addr::new(10, 177, 16, 2), Ipv4Addr::new(10, 177, 16, 3)];
    crate::agent::wait("the connections are counted", 5, || {
        let tracked = node.agent.namespaces.run("node", "cat /proc/self/net/nf_conntrack", "");
        let mut counts = BTreeMap::from(addresses.map(|address| (address, 0)));
        tracked.lines().for_each(|line| connection::count(line, &mut counts));
        addresses.map(|address| counts[&address]) == expected
    });
}

/// What is left of an instance that begins anew elsewhere is neither asked nor heard, not even over a connection from before.
#[test]
fn connections_end_with_an_instance_that_is_gone() {
    if !crate::namespace::can() {
        return;
    }
    let mut node = Node::new();
    node.serve("g0", "0.0.0.0:8080", "w0");
    node.serve("g1", "0.0.0.0:8080", "w1");
    node.apply(&[0]);
    let ((mut with_gone, word), mut from_guest) =
        (node.open("host", VIP).unwrap(), node.open("g2", VIP).unwrap().0);
    assert_eq!(word, "w0");
    let echo = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"x");
        stream.read_exact(&mut [0]).is_ok()
    };
    // Out of rotation, but still an instance of the deployment.
    node.apply(&[1]);
    assert!(echo(&mut with_gone) && echo(&mut from_guest));
    node.goal.vips[0].backends.remove(0);
    node.apply(&[1]);
    assert!(!echo(&mut with_gone) && !echo(&mut from_guest));
    assert_eq!(node.spread("host", 4), BTreeMap::from([("w1".to_owned(), 4)]));
    assert!(node.dropped("gone") > 0);
}

fn follows_readiness(node: &Node) {
    let (mut first, mut second) = (node.open("host", VIP).unwrap(), node.open("host", VIP).unwrap());
    check_connections(node, [1, 1]);
    node.apply(&[1]);
    assert_eq!(node.spread("host", 6), BTreeMap::from([("w1".to_owned(), 6)]));
    // Connections from before go on, with the instance that left and with the one that stays.
    for (stream, _) in [&mut first, &mut second] {
        stream.write_all(b"x").unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    }
    drop((first, second));
    check_connections(node, [0, 0]);
    node.apply(&[]);
    assert_eq!(node.spread("host", 2), BTreeMap::from([("nobody".to_owned(), 2)]));
    node.apply(&[0]);
    assert_eq!(node.spread("g2", 4), BTreeMap::from([("w0".to_owned(), 4)]));
}

#[test]
fn forged_frames_are_dropped() {
    if !crate::namespace::can() {
        return;
    }
    let node = Node::new();
    node.serve("host", "0.0.0.0:10000", "st");
    let name = node.agent.namespaces.name("g0");
    let forged = |reason: &str, send: &dyn Fn()| {
        let before = node.dropped(reason);
        send();
        assert!(node.dropped(reason) > before, "nothing was dropped as {reason}");
    };
    let udp = |from: &str, to: &str| {
        node.agent.namespaces.inside("g0", || {
            let socket = UdpSocket::bind(from).unwrap();
            socket.set_broadcast(true).unwrap();
            let _ = socket.send_to(b"forged", to);
        });
    };
    node.check("g0", "10.177.0.1:10000", Some("st"));
    forged("rogue DHCP", &|| udp("0.0.0.0:67", "10.177.0.1:10000"));
    forged("broadcast or foreign link", &|| udp("0.0.0.0:5000", "255.255.255.255:68"));
    forged("broadcast or foreign link", &|| udp("0.0.0.0:5001", "224.0.0.251:5353"));
    forged("forbidden", &|| udp("0.0.0.0:5002", "10.177.0.1:53"));
    // Another guest's address: the gateway's MAC is cached for IP, and asked for in ARP once it is not.
    ip(&format!("-n {name} address add 10.177.16.3/32 dev eth0"));
    forged("spoofed IP", &|| udp("10.177.16.3:5000", "10.177.0.1:10000"));
    ip(&format!("-n {name} neighbour flush dev eth0"));
    ip(&format!("-n {name} address delete 10.177.16.2/24 dev eth0"));
    forged("spoofed ARP", &|| {
        udp("10.177.16.3:5000", "10.177.16.1:9");
        std::thread::sleep(Duration::from_millis(50));
    });
    ip(&format!("-n {name} address replace 10.177.16.2/24 dev eth0"));
    ip(&format!("-n {name} link set eth0 address 02:00:00:00:00:03"));
    forged("spoofed MAC", &|| udp("10.177.16.2:5000", "10.177.16.1:9"));
}
