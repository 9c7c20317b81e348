//! The packet filter of a node, as the text of one nftables transaction.
//!
//! What it upholds:
//! * A guest sends only from its own MAC and IP address, in IP and in ARP, and only to its gateway. Guests share
//!   no link: each tap is isolated, and the node answers for its neighbours (proxy ARP), so that every packet
//!   between guests passes [`forward`]. Hence no rogue DHCP and no broadcast either.
//! * A guest receives only frames that are meant for it.
//! * A guest reaches the storage endpoints, virtual IPs, and the internal endpoints of its own deployment, as far as the
//!   service's traffic rules let its role.
//!   It does not reach the fabric agent, the node, another port of the host, or another customer's instance.
//! * From outside, a guest is reached over a virtual IP only, and by whom its access rules permit. Where an edge
//!   holds the virtual IPs, it is the edge that sees to both, and lets nothing else pass.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};
use welkin_agent_wire::{InstanceGoal, InternalEndpoint, InternalNetwork, NodeGoal};
use welkin_base::InstanceId;

use crate::held::Rotation;
use crate::load_balancer::{self, protocol};
use crate::slot::Slot;

/// The bridge that a node's taps are on.
pub const BRIDGE: &str = "wk0";

/// What a node does for the virtual IPs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Duty {
    /// It is the only one: it balances them for everyone.
    #[default]
    Whole,
    /// It balances them for its own guests, and takes for these what an edge has balanced.
    Compute,
    /// It balances them for callers from outside, and has no guests.
    Edge,
}

/// A node's own network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeNetwork {
    /// What it does for the virtual IPs.
    pub duty: Duty,
    /// The bridge's address: the guests' gateway.
    pub bridge: Ipv4Addr,
    /// Bits of the guests' network.
    pub prefix_length: u8,
    /// Storage endpoints that guests may reach.
    pub storage: Vec<SocketAddrV4>,
}

impl NodeNetwork {
    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_length.min(32))).unwrap_or(0)
    }

    /// Whether the address lies in the guests' network.
    #[must_use]
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.bridge) & self.mask()
    }

    /// Whether a guest may have the address: not the gateway, nor the network's first or last.
    #[must_use]
    pub fn is_guest(&self, address: Ipv4Addr) -> bool {
        let host = u32::from(address) & !self.mask();
        self.contains(address) && address != self.bridge && host != 0 && host != !self.mask()
    }
}

/// The MAC address of the bridge; it follows from its IP address, so that guests may keep it cached.
#[must_use]
pub fn gateway_mac(bridge: Ipv4Addr) -> String {
    let [a, b, c, d] = bridge.octets();
    format!("06:57:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The whole filter and load balancer. It replaces what was there in one transaction.
#[must_use]
pub fn ruleset(
    goal: &NodeGoal,
    network: &NodeNetwork,
    slots: &BTreeMap<InstanceId, Slot>,
    rotation: &Rotation,
) -> String {
    if network.duty == Duty::Edge {
        return edge_ruleset(goal, slots, rotation);
    }
    let guests: Vec<Guest<'_>> =
        goal.instances.iter().filter_map(|goal| Some(Guest { goal, slot: *slots.get(&goal.id)? })).collect();
    let mut text = String::new();
    text.push_str(&table("bridge", &[links(&guests), from_guest(network), to_guest()]));
    text.push_str(&table(
        "ip",
        &[
            reach(goal, network, &guests),
            access(goal),
            balance(goal, slots, rotation, &[HAIRPIN.to_owned()]),
            input(),
            forward(network.duty),
        ],
    ));
    text
}

/// What an edge has: who may reach the virtual IPs, and where each connection goes. What else passes it is decided
/// where its links were made.
fn edge_ruleset(goal: &NodeGoal, slots: &BTreeMap<InstanceId, Slot>, rotation: &Rotation) -> String {
    let forward = chain(
        "forward",
        "filter hook forward priority filter; policy accept;",
        &[&GONE[..], &["ct state established,related accept", "ct status dnat accept"], &REFUSED]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>(),
    );
    let vips = set("vips", "ipv4_addr", &virtual_ips(goal)) + &set("backends", "ipv4_addr", &backends(goal));
    // Nobody whom it leads somewhere stands there himself.
    table("ip", &[vips, access(goal), balance(goal, slots, rotation, &[]), forward])
}

struct Guest<'a> {
    goal: &'a InstanceGoal,
    slot: Slot,
}

impl Guest<'_> {
    fn address(&self) -> Ipv4Addr {
        self.goal.guest.network.address
    }
}

/// Replaces a table whether it exists or not: `delete` of one that does not is an error, so it is added first.
fn table(family: &str, parts: &[String]) -> String {
    let body = parts.concat();
    format!("table {family} welkin\ndelete table {family} welkin\ntable {family} welkin {{\n{body}}}\n")
}

fn chain(name: &str, kind: &str, rules: &[String]) -> String {
    let head = if kind.is_empty() { String::new() } else { format!("    type {kind}\n") };
    let rules: String = rules.iter().map(|rule| format!("    {rule}\n")).collect();
    format!("  chain {name} {{\n{head}{rules}  }}\n")
}

fn set(name: &str, kind: &str, elements: &BTreeSet<String>) -> String {
    // An empty list of elements is a syntax error.
    let list: Vec<&str> = elements.iter().map(String::as_str).collect();
    let elements =
        if list.is_empty() { String::new() } else { format!("    elements = {{ {} }}\n", list.join(", ")) };
    format!("  set {name} {{\n    type {kind}\n{elements}  }}\n")
}

/// A set of which an element may be a range.
fn ranges(name: &str, kind: &str, elements: &BTreeSet<String>) -> String {
    set(name, kind, elements).replacen(kind, &format!("{kind}\n    flags interval"), 1)
}

/// Who is behind each tap.
fn links(guests: &[Guest<'_>]) -> String {
    let of = |f: &dyn Fn(&str, &Guest<'_>) -> String| {
        guests.iter().map(|g| f(&format!("\"{}\"", g.slot.tap()), g)).collect()
    };
    let macs = of(&|tap, g| format!("{tap} . {}", g.goal.mac));
    let senders = of(&|tap, g| format!("{tap} . {} . {}", g.goal.mac, g.address()));
    let owners = of(&|tap, g| format!("{tap} . {}", g.address()));
    [
        set("macs", "ifname . ether_addr", &macs),
        set("senders", "ifname . ether_addr . ipv4_addr", &senders),
        set("owners", "ifname . ipv4_addr", &owners),
    ]
    .concat()
}

/// Frames that a guest sends.
fn from_guest(network: &NodeNetwork) -> String {
    let gateway = gateway_mac(network.bridge);
    let rules = [
        "iifname . ether saddr != @macs counter drop comment \"spoofed MAC\"".to_owned(),
        "ether type arp iifname . arp saddr ether . arp saddr ip != @senders counter drop comment \"spoofed ARP\""
            .to_owned(),
        "ether type arp arp operation { request, reply } accept".to_owned(),
        "ether type != ip counter drop comment \"foreign protocol\"".to_owned(),
        format!("ether daddr != {gateway} counter drop comment \"broadcast or foreign link\""),
        "iifname . ether saddr . ip saddr != @senders counter drop comment \"spoofed IP\"".to_owned(),
        "udp sport { 67, 547 } counter drop comment \"rogue DHCP\"".to_owned(),
        "accept".to_owned(),
    ];
    chain("from-guest", "filter hook prerouting priority -300; policy drop;", &rules)
}

/// Frames that a guest receives.
fn to_guest() -> String {
    let rules = [
        "oifname . ether daddr @macs accept".to_owned(),
        "ether type arp oifname . arp daddr ip @owners accept".to_owned(),
        "counter drop comment \"not for this guest\"".to_owned(),
    ];
    chain("to-guest", "filter hook postrouting priority 300; policy drop;", &rules)
}

/// Who may reach what.
fn reach(goal: &NodeGoal, network: &NodeNetwork, guests: &[Guest<'_>]) -> String {
    let vips = virtual_ips(goal);
    let storage = network.storage.iter().map(|s| format!("{} . {}", s.ip(), s.port())).collect();
    let selves = guests.iter().map(|g| format!("{0} . {0}", g.address())).collect();
    let peers = goal.internal.iter().flat_map(|network| peers(network, guests)).collect();
    let inputs = guests.iter().flat_map(inputs).collect();
    let inputs = match network.duty {
        Duty::Compute => set("inputs", "ipv4_addr . inet_proto . inet_service", &inputs),
        Duty::Whole | Duty::Edge => String::new(),
    };
    [
        inputs,
        set("vips", "ipv4_addr", &vips),
        set("backends", "ipv4_addr", &backends(goal)),
        set("storage", "ipv4_addr . inet_service", &storage),
        set("selves", "ipv4_addr . ipv4_addr", &selves),
        ranges("peers", "ipv4_addr . ipv4_addr . inet_proto . inet_service", &peers),
    ]
    .concat()
}

fn virtual_ips(goal: &NodeGoal) -> BTreeSet<String> {
    goal.vips.iter().map(|vip| vip.address.to_string()).collect()
}

/// Every instance that a connection to a virtual IP may be with, in rotation or not.
fn backends(goal: &NodeGoal) -> BTreeSet<String> {
    let behind = goal.vips.iter().flat_map(|vip| &vip.backends).map(|backend| backend.address);
    behind.chain(goal.draining.iter().map(|draining| draining.address)).map(|a| a.to_string()).collect()
}

/// `to . protocol . port` for each endpoint of a guest that a virtual IP may lead to. They follow from the guest and
/// not from who is in rotation: an edge may know of a change later than the node does.
fn inputs(guest: &Guest<'_>) -> Vec<String> {
    let endpoints = guest.goal.guest.environment.endpoints.iter().filter(|e| e.public_port.is_some());
    let own = guest.address();
    endpoints
        .map(|e| format!("{own} . {} . {}", if e.protocol == "udp" { "udp" } else { "tcp" }, e.port))
        .collect()
}

/// `from . to . protocol . ports` for each internal endpoint that a guest may call, or be called at.
fn peers(network: &InternalNetwork, guests: &[Guest<'_>]) -> Vec<String> {
    let here: BTreeSet<Ipv4Addr> = guests.iter().map(Guest::address).collect();
    let callers = |endpoint: &InternalEndpoint| {
        let roles = endpoint.from.iter().filter_map(|role| network.roles.get(role));
        roles.flatten().copied().collect::<BTreeSet<Ipv4Addr>>()
    };
    let mut calls: BTreeMap<_, BTreeSet<(u16, u16)>> = BTreeMap::new();
    for to in &network.endpoints {
        let callers = callers(to).into_iter().filter(|from| *from != to.address);
        for from in callers.filter(|from| here.contains(from) || here.contains(&to.address)) {
            let ports = calls.entry((from, to.address, protocol(to.transport))).or_default();
            ports.insert((to.first_port, to.last_port));
        }
    }
    let element = |((from, to, protocol), ports): (_, BTreeSet<_>)| {
        let ports = merged(&ports).into_iter();
        ports.map(move |(first, last)| match first == last {
            true => format!("{from} . {to} . {protocol} . {first}"),
            false => format!("{from} . {to} . {protocol} . {first}-{last}"),
        })
    };
    calls.into_iter().flat_map(element).collect()
}

/// Ranges of ports without overlaps: a set of nftables takes none.
fn merged(ranges: &BTreeSet<(u16, u16)>) -> Vec<(u16, u16)> {
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if first <= end => *end = (*end).max(*last),
            _ => merged.push((*first, *last)),
        }
    }
    merged
}

/// A guest that its own virtual IP leads back to would get a packet from itself; the node stands in.
const HAIRPIN: &str = "ct status dnat ip saddr . ip daddr @selves masquerade";

/// Virtual IPs, for connections from outside, from guests and from the node itself.
fn balance(
    goal: &NodeGoal,
    slots: &BTreeMap<InstanceId, Slot>,
    rotation: &Rotation,
    hairpin: &[String],
) -> String {
    let jump = ["jump balance".to_owned()];
    [
        chain("balance", "", &load_balancer::rules(goal, slots, rotation)),
        chain("prerouting", "nat hook prerouting priority dstnat; policy accept;", &jump),
        chain("output", "nat hook output priority -100; policy accept;", &jump),
        chain("postrouting", "nat hook postrouting priority srcnat; policy accept;", hairpin),
    ]
    .concat()
}

/// Who may reach a virtual IP. Every packet is asked, before the load balancer sees it, so that a rule that is new ends
/// what was permitted before.
fn access(goal: &NodeGoal) -> String {
    let rules: Vec<String> = goal.vips.iter().flat_map(load_balancer::access_rules).collect();
    if rules.is_empty() {
        return String::new();
    }
    let jump = ["jump access".to_owned()];
    [
        chain("access", "", &rules),
        chain("access-from-outside", "filter hook prerouting priority -150; policy accept;", &jump),
        chain("access-from-node", "filter hook output priority -150; policy accept;", &jump),
    ]
    .concat()
}

/// Packets for the node itself: from guests, only answers to what the node asked them.
fn input() -> String {
    let rules = [
        format!("iifname \"{BRIDGE}\" ct state established,related accept"),
        format!("iifname \"{BRIDGE}\" counter drop comment \"node\""),
    ];
    chain("input", "filter hook input priority filter; policy accept;", &rules)
}

/// A virtual IP without a ready instance is refused at once rather than left to time out.
const REFUSED: [&str; 2] = [
    "ip daddr @vips meta l4proto tcp reject with tcp reset",
    "ip daddr @vips reject with icmp port-unreachable",
];

/// Connections with an instance that is behind no virtual IP any more, since it begins anew elsewhere: what is left of
/// it may hang and go on, and must neither be asked nor heard.
const GONE: [&str; 3] = [
    "ct status dnat ct direction original ip daddr != @backends meta l4proto tcp counter reject with tcp reset comment \"gone\"",
    "ct status dnat ct direction original ip daddr != @backends counter drop comment \"gone\"",
    "ct status dnat ct direction reply ip saddr != @backends counter drop comment \"gone\"",
];

/// Packets that pass through the node.
fn forward(duty: Duty) -> String {
    let [refused, refused_too] = REFUSED.map(str::to_owned);
    let balanced = format!("iifname != \"{BRIDGE}\" ip daddr . meta l4proto . th dport @inputs accept");
    let mut rules = GONE.map(str::to_owned).to_vec();
    rules.extend([
        "ct state established,related accept".to_owned(),
        "ct state invalid counter drop comment \"invalid\"".to_owned(),
        // What the load balancer chose here.
        "ct status dnat accept".to_owned(),
        refused,
        refused_too,
    ]);
    // What another one chose: an edge, or the node of a guest that called.
    rules.extend((duty == Duty::Compute).then_some(balanced));
    rules.extend([
        "ip saddr . ip daddr . meta l4proto . th dport @peers accept".to_owned(),
        format!("iifname \"{BRIDGE}\" oifname != \"{BRIDGE}\" ip daddr . tcp dport @storage accept"),
        format!("iifname \"{BRIDGE}\" counter reject with icmp admin-prohibited comment \"forbidden\""),
        "counter drop comment \"from outside\"".to_owned(),
    ]);
    chain("forward", "filter hook forward priority filter; policy drop;", &rules)
}

#[cfg(test)]
mod tests;
