//! Access controls of a configuration, as the packet filter of a node has them.

use ipnet::{IpNet, Ipv4Net};
use welkin_agent_wire::AccessRule;
use welkin_service_model::network_configuration::AccessControl;

/// The rules of a list, and at their end what holds for whom none fits. Virtual IPs are of version 4, so that rules
/// about others decide nothing; but a list that permits anyone is closed to the rest.
#[must_use]
pub fn rules(control: &AccessControl) -> Vec<AccessRule> {
    let of_version_4 = control.rules.iter().filter_map(|rule| match rule.remote {
        IpNet::V4(network) => Some(rule_of(rule.permit, network)),
        IpNet::V6(_) => None,
    });
    let mut rules: Vec<AccessRule> = of_version_4.collect();
    if !control.permits_others() {
        rules.push(rule_of(false, Ipv4Net::default()));
    }
    rules
}

fn rule_of(permit: bool, network: Ipv4Net) -> AccessRule {
    AccessRule { permit, network: network.network(), prefix_length: network.prefix_len() }
}
