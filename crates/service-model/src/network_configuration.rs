//! `<NetworkConfiguration>` of the configuration: known by name, and not acted on yet.
//!
//! What restricts access is refused: to accept and not enforce it would open what the customer
//! meant to close. What only adds an address or a name is a warning.

use roxmltree::Node;

use crate::xml::{Reader, Shape};

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

/// Reads the element for what it asks that this system does not do.
pub(crate) fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, network: Node<'d, 'i>) {
    reader.shape(network, &NETWORK_CONFIGURATION);
    for node in network
        .children()
        .filter(|child| child.children().any(|inner| inner.is_element()) || child.has_attribute("name"))
    {
        let name = node.tag_name().name();
        match name {
            "AccessControls" | "EndpointAcls" | "LoadBalancers" => {
                let message = format!(
                    "<{name}> would restrict who reaches the service, and is not enforced yet; \
                     remove it, and keep the endpoint internal or check the caller in the role"
                );
                reader.problem(node, message);
            }
            "Dns" | "VirtualNetworkSite" | "AddressAssignments" => {
                reader.warning(node, format!("<{name}> has no effect yet"));
            }
            _ => {}
        }
    }
}
