//! Addresses and names that the configuration asks for.

use std::net::IpAddr;

use roxmltree::Node;

use crate::problem::Position;
use crate::xml::{Reader, Shape, children, members};

/// A name server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsServer {
    /// Its name, for people.
    pub name: String,
    /// Its address.
    pub address: Option<IpAddr>,
}

/// Where a role's instances have their addresses from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceAddress {
    /// The role.
    pub role: String,
    /// Names of subnets of the virtual network.
    pub subnets: Vec<String>,
    /// Public addresses, one for each instance.
    pub public_ips: Vec<PublicIp>,
    /// Where the file has it.
    pub position: Position,
}

/// A public address of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicIp {
    /// Its name.
    pub name: String,
    /// First part of its domain name.
    pub domain_name_label: Option<String>,
}

/// An internal load balancer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancer {
    /// Its name, which an input endpoint's `loadBalancer` has.
    pub name: String,
    /// The subnet of its address.
    pub subnet: Option<String>,
    /// Its address, when it is to be a certain one.
    pub address: Option<IpAddr>,
}

const DNS: Shape = Shape { attributes: &[], once: &["DnsServers"], many: &[] };
const DNS_SERVERS: Shape = Shape::list(&["DnsServer"]);
const DNS_SERVER: Shape = Shape::leaf(&["name", "IPAddress"]);
const VIRTUAL_NETWORK_SITE: Shape = Shape::leaf(&["name"]);
const ASSIGNMENTS: Shape = Shape { attributes: &[], once: &["ReservedIPs"], many: &["InstanceAddress"] };
const RESERVED_IPS: Shape = Shape::list(&["ReservedIP"]);
const RESERVED_IP: Shape = Shape::leaf(&["name"]);
const INSTANCE_ADDRESS: Shape =
    Shape { attributes: &["roleName"], once: &["Subnets", "PublicIPs"], many: &[] };
const SUBNETS: Shape = Shape::list(&["Subnet"]);
const SUBNET: Shape = Shape::leaf(&["name"]);
const PUBLIC_IPS: Shape = Shape::list(&["PublicIP"]);
const PUBLIC_IP: Shape = Shape::leaf(&["name", "domainNameLabel"]);
const LOAD_BALANCERS: Shape = Shape::list(&["LoadBalancer"]);
const LOAD_BALANCER: Shape = Shape { attributes: &["name"], once: &["FrontendIPConfiguration"], many: &[] };
const FRONTEND: Shape = Shape::leaf(&["type", "subnet", "staticVirtualNetworkIPAddress"]);

/// An address, when the attribute is there.
fn address<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>, attribute: &str) -> Option<IpAddr> {
    let address = node.attribute(attribute)?.trim().parse().ok();
    if address.is_none() {
        reader.bad_value(node, attribute, "an IP address");
    }
    address
}

/// Reads the name servers.
pub(super) fn read_dns<'d, 'i>(reader: &mut Reader<'d, 'i>, network: Node<'d, 'i>) -> Vec<DnsServer> {
    let mut servers = Vec::new();
    for dns in children(network, "Dns") {
        reader.shape(dns, &DNS);
        for list in children(dns, "DnsServers") {
            reader.shape(list, &DNS_SERVERS);
        }
        for node in members(dns, "DnsServers", "DnsServer") {
            reader.shape(node, &DNS_SERVER);
            reader.required(node, "IPAddress");
            let name = reader.required(node, "name").to_owned();
            servers.push(DnsServer { name, address: address(reader, node, "IPAddress") });
        }
    }
    servers
}

/// Reads the virtual network's name.
pub(super) fn read_site<'d, 'i>(reader: &mut Reader<'d, 'i>, network: Node<'d, 'i>) -> Option<String> {
    let site = children(network, "VirtualNetworkSite").next()?;
    reader.shape(site, &VIRTUAL_NETWORK_SITE);
    Some(reader.required(site, "name").to_owned())
}

/// Reads the subnets and public addresses of roles, and the reserved addresses of the service.
pub(super) fn read_assignments<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    network: Node<'d, 'i>,
) -> (Vec<InstanceAddress>, Vec<String>) {
    let (mut instances, mut reserved) = (Vec::new(), Vec::new());
    for assignments in children(network, "AddressAssignments") {
        reader.shape(assignments, &ASSIGNMENTS);
        for list in children(assignments, "ReservedIPs") {
            reader.shape(list, &RESERVED_IPS);
        }
        for node in members(assignments, "ReservedIPs", "ReservedIP") {
            reader.shape(node, &RESERVED_IP);
            reserved.push(reader.required(node, "name").to_owned());
        }
        for node in children(assignments, "InstanceAddress") {
            instances.push(read_instance_address(reader, node));
        }
    }
    (instances, reserved)
}

fn read_instance_address<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> InstanceAddress {
    reader.shape(node, &INSTANCE_ADDRESS);
    let (mut subnets, mut public_ips) = (Vec::new(), Vec::new());
    for list in children(node, "Subnets") {
        reader.shape(list, &SUBNETS);
    }
    for subnet in members(node, "Subnets", "Subnet") {
        reader.shape(subnet, &SUBNET);
        subnets.push(reader.required(subnet, "name").to_owned());
    }
    for list in children(node, "PublicIPs") {
        reader.shape(list, &PUBLIC_IPS);
    }
    for address in members(node, "PublicIPs", "PublicIP") {
        reader.shape(address, &PUBLIC_IP);
        let domain_name_label = address.attribute("domainNameLabel").map(str::to_owned);
        public_ips.push(PublicIp { name: reader.required(address, "name").to_owned(), domain_name_label });
    }
    let role = reader.required(node, "roleName").to_owned();
    InstanceAddress { role, subnets, public_ips, position: reader.position(node) }
}

/// Reads the internal load balancers.
pub(super) fn read_load_balancers<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    network: Node<'d, 'i>,
) -> Vec<LoadBalancer> {
    for list in children(network, "LoadBalancers") {
        reader.shape(list, &LOAD_BALANCERS);
    }
    let mut balancers: Vec<LoadBalancer> = Vec::new();
    for node in members(network, "LoadBalancers", "LoadBalancer") {
        reader.shape(node, &LOAD_BALANCER);
        let name = reader.required(node, "name").to_owned();
        if balancers.iter().any(|other| other.name == name) {
            let message = format!("load balancer {} is declared twice; rename one", crate::xml::echo(&name));
            reader.problem(node, message);
        }
        let frontend = children(node, "FrontendIPConfiguration").next();
        let (mut subnet, mut static_address) = (None, None);
        if let Some(frontend) = frontend {
            reader.shape(frontend, &FRONTEND);
            reader.required(frontend, "type");
            reader.choice(frontend, "type", &[("private", ())]);
            subnet = frontend.attribute("subnet").map(str::to_owned);
            static_address = address(reader, frontend, "staticVirtualNetworkIPAddress");
        } else {
            let message = String::from("<LoadBalancer> needs <FrontendIPConfiguration type=\"private\" />");
            reader.problem(node, message);
        }
        balancers.push(LoadBalancer { name, subnet, address: static_address });
    }
    balancers
}
