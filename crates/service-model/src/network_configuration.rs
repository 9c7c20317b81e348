//! `<NetworkConfiguration>` of the configuration: who may reach an endpoint from outside, and addresses.
//!
//! Source: SERVICEMODEL, "ServiceConfiguration". What restricts access is enforced or refused, never passed over:
//! to accept and not enforce it would open what the customer meant to close. What only adds an address or a name that
//! this system does not give is a warning.

mod access_control;
mod address;

use roxmltree::Node;

pub use access_control::{AccessControl, AccessRule, EndpointAcl};
pub use address::{DnsServer, InstanceAddress, LoadBalancer, PublicIp};

use crate::xml::{Reader, Shape, children};

/// What a configuration says of the network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkConfiguration {
    /// Lists of who is let in, by name.
    pub access_controls: Vec<AccessControl>,
    /// Which endpoint uses which list.
    pub endpoint_acls: Vec<EndpointAcl>,
    /// Name servers that the instances are to use.
    pub dns_servers: Vec<DnsServer>,
    /// The virtual network that the service is to be in.
    pub virtual_network_site: Option<String>,
    /// Subnets and public addresses of a role's instances.
    pub instance_addresses: Vec<InstanceAddress>,
    /// Names of reserved virtual IPs.
    pub reserved_ips: Vec<String>,
    /// Internal load balancers.
    pub load_balancers: Vec<LoadBalancer>,
}

const NETWORK_CONFIGURATION: Shape = Shape {
    attributes: &[],
    once: &[
        "AccessControls",
        "EndpointAcls",
        "Dns",
        "VirtualNetworkSite",
        "AddressAssignments",
        "LoadBalancers",
    ],
    many: &[],
};

impl NetworkConfiguration {
    /// The list that decides who reaches `endpoint` of `role`; `None` when everybody does.
    #[must_use]
    pub fn access_control(&self, role: &str, endpoint: &str) -> Option<&AccessControl> {
        let acl = self.endpoint_acls.iter().find(|acl| acl.role == role && acl.endpoint == endpoint)?;
        self.access_controls.iter().find(|control| control.name == acl.access_control)
    }
}

/// Reads the element.
pub(crate) fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, network: Node<'d, 'i>) -> NetworkConfiguration {
    reader.shape(network, &NETWORK_CONFIGURATION);
    let access_controls = access_control::read_all(reader, network);
    let endpoint_acls = access_control::read_acls(reader, network, &access_controls);
    let dns_servers = address::read_dns(reader, network);
    let virtual_network_site = address::read_site(reader, network);
    let (instance_addresses, reserved_ips) = address::read_assignments(reader, network);
    let load_balancers = address::read_load_balancers(reader, network);
    for name in ["Dns", "VirtualNetworkSite", "AddressAssignments", "LoadBalancers"] {
        for node in children(network, name).filter(|node| is_said(*node)) {
            reader.warning(node, no_effect(name));
        }
    }
    NetworkConfiguration {
        access_controls,
        endpoint_acls,
        dns_servers,
        virtual_network_site,
        instance_addresses,
        reserved_ips,
        load_balancers,
    }
}

/// Empty containers, which editors leave behind, say nothing.
fn is_said(node: Node<'_, '_>) -> bool {
    node.has_attribute("name") || node.children().any(|child| child.is_element())
}

fn no_effect(name: &str) -> String {
    let why = match name {
        "Dns" => "instances use the name server of their node",
        "VirtualNetworkSite" => "each deployment has a network of its own",
        "LoadBalancers" => "an input endpoint that names one is refused, for it would be public",
        _ => "the cloud chooses the addresses of the service and its instances",
    };
    format!("<{name}> has no effect: {why}")
}
