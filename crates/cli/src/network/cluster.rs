//! The networks of a cloud of several nodes: main, where the nodes are, and that of the controllers.
//!
//! ```text
//! host ──── edge ──┬── node 0          Every line is a link of its own, and the edge routes between them:
//!   │         │    ├── node 1          no node hears what another one says, and a packet that bears
//!   └─ controllers └── …               another one's address is dropped (strict reverse path).
//! ```
//!
//! What may pass is in [`filter`]. It is in force before there is a node, and no fabric agent touches it: the edge's
//! own agent has a table beside it.

use crate::cloud::{Cloud, StorageEndpoint};
use crate::error::CliError;
use crate::part::Part;
use crate::program::run;

use super::{add, ip, namespace_path, set};

/// The edge's ends of its links to the host and to the controllers; that to node `n` is called `n<n>`.
const HOST: &str = "host";
const CONTROLLERS: &str = "fc";
/// The controllers' end of their link to the edge.
const EDGE: &str = "edge";
/// Only what comes from where an answer would go is taken; nobody speaks IPv6 here.
const ROUTER: [(&str, &str); 4] = [
    ("net/ipv6/conf/all/disable_ipv6", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/ipv4/conf/all/rp_filter", "1"),
    ("net/ipv4/ip_forward", "1"),
];
const CONTROLLER: [(&str, &str); 3] = [
    ("net/ipv6/conf/all/disable_ipv6", "1"),
    ("net/ipv6/conf/default/disable_ipv6", "1"),
    ("net/ipv4/ip_forward", "0"),
];

/// Makes everything.
pub fn make(cloud: &Cloud) -> Result<(), CliError> {
    edge(cloud)?;
    controllers(cloud)?;
    cloud.nodes().try_for_each(|number| node(cloud, number))
}

fn edge(cloud: &Cloud) -> Result<(), CliError> {
    let (host_link, network) = (cloud.host_interface(), cloud.choices.network);
    let (host, own) = (network.host(), network.edge());
    let edge = add(cloud, Part::Edge)?;
    set(cloud, Part::Edge, &ROUTER)?;
    rules(cloud, Part::Edge, &filter(cloud))?;
    ip(&format!("-n {edge} address add {own}/32 dev lo"))?;
    ip(&format!("link add {host_link} type veth peer name {HOST} netns {edge}"))?;
    ip(&format!("address add {host}/32 dev {host_link}"))?;
    ip(&format!("link set {host_link} up"))?;
    ip(&format!("-n {edge} link set {HOST} up"))?;
    ip(&format!("route add {own}/32 dev {host_link} src {host}"))?;
    ip(&format!("route add {network} via {own} dev {host_link} src {host}"))?;
    ip(&format!("-n {edge} route add {host}/32 dev {HOST} src {own}"))?;
    ip(&format!("-n {edge} route add default via {host} dev {HOST} src {own}"))?;
    // What no node has does not go back to the host.
    ip(&format!("-n {edge} route add unreachable {network}"))
}

fn controllers(cloud: &Cloud) -> Result<(), CliError> {
    let (host_link, network) = (cloud.controllers_interface(), cloud.choices.network);
    let (own, edge_address) = (network.controllers(), network.edge());
    let controllers = add(cloud, Part::Fabric(0))?;
    set(cloud, Part::Fabric(0), &CONTROLLER)?;
    rules(cloud, Part::Fabric(0), CONTROLLERS_FILTER)?;
    ip(&format!("link add {host_link} type veth peer name {HOST} netns {controllers}"))?;
    ip(&format!("address add {}/24 dev {host_link}", network.host_of_controllers()))?;
    ip(&format!("-n {controllers} address add {own}/24 dev {HOST}"))?;
    ip(&format!("link set {host_link} up"))?;
    ip(&format!("-n {controllers} link set {HOST} up"))?;
    let Some(edge) = cloud.namespace(Part::Edge) else { return Ok(()) };
    ip(&format!("-n {controllers} link add {EDGE} type veth peer name {CONTROLLERS} netns {edge}"))?;
    ip(&format!("-n {controllers} link set {EDGE} up"))?;
    ip(&format!("-n {edge} link set {CONTROLLERS} up"))?;
    ip(&format!("-n {controllers} route add {edge_address}/32 dev {EDGE} src {own}"))?;
    // The /24 of the nodes' own addresses, of which the edge's is one.
    ip(&format!("-n {controllers} route add {}/24 via {edge_address} dev {EDGE} src {own}", network.base()))?;
    ip(&format!("-n {edge} route add {own}/32 dev {CONTROLLERS} src {edge_address}"))
}

fn node(cloud: &Cloud, number: u8) -> Result<(), CliError> {
    let (link, network) = (cloud.node_interface(number), cloud.choices.network);
    let edge_address = network.edge();
    let node = add(cloud, Part::Node(number))?;
    set(cloud, Part::Node(number), &ROUTER)?;
    let Some(edge) = cloud.namespace(Part::Edge) else { return Ok(()) };
    ip(&format!("-n {node} link add {link} type veth peer name n{number} netns {edge}"))?;
    ip(&format!("-n {node} address add {}/32 dev {link}", network.node(number)))?;
    ip(&format!("-n {node} link set {link} up"))?;
    ip(&format!("-n {node} route add {edge_address}/32 dev {link}"))?;
    ip(&format!("-n {node} route add default via {edge_address} dev {link}"))?;
    mend(cloud, number)
}

/// Takes the edge's end of the link down: the node hears nothing and is not heard.
pub fn cut(cloud: &Cloud, number: u8) -> Result<(), CliError> {
    let Some(edge) = cloud.namespace(Part::Edge) else { return Ok(()) };
    ip(&format!("-n {edge} link set n{number} down"))
}

/// The edge's end of a node's link, and the routes that the kernel takes away when it goes down.
pub fn mend(cloud: &Cloud, number: u8) -> Result<(), CliError> {
    let Some(edge) = cloud.namespace(Part::Edge) else { return Ok(()) };
    let network = cloud.choices.network;
    let (node, own, link) = (network.node(number), network.edge(), format!("n{number}"));
    ip(&format!("-n {edge} link set {link} up"))?;
    ip(&format!("-n {edge} route replace {node}/32 dev {link} src {own}"))?;
    ip(&format!("-n {edge} route replace {}/24 via {node} dev {link} src {own}", network.guests(number)))
}

fn rules(cloud: &Cloud, part: Part, text: &str) -> Result<(), CliError> {
    let Some(path) = namespace_path(cloud, part) else { return Ok(()) };
    run("nsenter", &[&format!("--net={}", path.display()), "nft", text]).map(drop)
}

/// What passes the edge, whatever its fabric agent does beside:
///
/// * from outside, connections to the virtual IPs, and to nothing else;
/// * from the controllers, connections to fabric agents; to them, only answers;
/// * between instances of different nodes, whose own filters know who may reach whom;
/// * from instances, connections to the storage service.
fn filter(cloud: &Cloud) -> String {
    let network = cloud.choices.network;
    let agent_port = cloud.edge().port();
    let storage: Vec<String> = [StorageEndpoint::Blob, StorageEndpoint::Queue, StorageEndpoint::Table]
        .map(|endpoint| cloud.storage_for_guests(endpoint).port().to_string())
        .to_vec();
    let nodes: Vec<String> = cloud.nodes().map(|number| network.node(number).to_string()).collect();
    let (storage, nodes) = (storage.join(", "), nodes.join(", "));
    let (instances, vips, host) = (network.instances(), network.virtual_ips(), network.host());
    format!(
        r#"table ip network {{
  chain forward {{
    type filter hook forward priority -10; policy drop;
    ct state established,related accept
    ct state invalid counter drop
    iifname "{HOST}" ct status dnat accept
    iifname "{HOST}" ip daddr {vips} accept
    iifname "{CONTROLLERS}" ip daddr {{ {nodes} }} tcp dport {agent_port} accept
    ip saddr {instances} ip daddr {instances} iifname != {{ "{HOST}", "{CONTROLLERS}" }} accept
    ip saddr {instances} ip daddr {host} tcp dport {{ {storage} }} oifname "{HOST}" accept
    counter drop
  }}
  chain input {{
    type filter hook input priority -10; policy drop;
    iifname "lo" accept
    ct state established,related accept
    iifname "{CONTROLLERS}" tcp dport {agent_port} accept
    counter drop
  }}
}}
"#
    )
}

/// From the nodes' side the controllers take answers only, whatever the edge lets through.
const CONTROLLERS_FILTER: &str = r#"table ip network {
  chain input {
    type filter hook input priority filter; policy accept;
    iifname "edge" ct state established,related accept
    iifname "edge" counter drop
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
  }
}
"#;
