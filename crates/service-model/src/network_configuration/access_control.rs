//! Access controls: which addresses may reach an input endpoint.

use std::net::IpAddr;

use ipnet::IpNet;
use roxmltree::Node;

use crate::problem::Position;
use crate::xml::{Reader, Shape, children, echo, members};

/// Rules of one list, at most ("About network access control lists", "How to use ACLs": 50 per endpoint).
pub const RULES_MAX: usize = 50;

/// A list of rules. Without a rule that fits, an address is let in unless the list has a rule that permits
/// ("About network access control lists": what is permitted closes the rest, what is denied leaves it open).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessControl {
    /// Its name.
    pub name: String,
    /// The rules, the one that decides first in front.
    pub rules: Vec<AccessRule>,
}

/// A rule of an [`AccessControl`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessRule {
    /// Its place: the lowest that fits decides.
    pub order: u32,
    /// Lets in, or keeps out.
    pub permit: bool,
    /// Whom it is about.
    pub remote: IpNet,
    /// For people.
    pub description: String,
}

/// An input endpoint whose callers an [`AccessControl`] decides on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointAcl {
    /// The role.
    pub role: String,
    /// Its endpoint.
    pub endpoint: String,
    /// Name of the list.
    pub access_control: String,
    /// Where the file has it.
    pub position: Position,
}

impl AccessControl {
    /// Whether whoever no rule fits is let in.
    #[must_use]
    pub fn permits_others(&self) -> bool {
        !self.rules.iter().any(|rule| rule.permit)
    }

    /// Whether `remote` is let in.
    #[must_use]
    pub fn permits(&self, remote: IpAddr) -> bool {
        let decides = self.rules.iter().find(|rule| rule.remote.contains(&remote));
        decides.map_or_else(|| self.permits_others(), |rule| rule.permit)
    }
}

const ACCESS_CONTROLS: Shape = Shape::list(&["AccessControl"]);
const ACCESS_CONTROL: Shape = Shape { attributes: &["name"], once: &[], many: &["Rule"] };
const RULE: Shape = Shape::leaf(&["order", "action", "remoteSubnet", "description"]);
const ENDPOINT_ACLS: Shape = Shape::list(&["EndpointAcl"]);
const ENDPOINT_ACL: Shape = Shape::leaf(&["role", "endpoint", "endPoint", "accessControl"]);
/// `order`, at most: what a signed 32-bit number holds.
const ORDER_MAX: u32 = i32::MAX.unsigned_abs();

/// Reads every list.
pub(super) fn read_all<'d, 'i>(reader: &mut Reader<'d, 'i>, network: Node<'d, 'i>) -> Vec<AccessControl> {
    for list in children(network, "AccessControls") {
        reader.shape(list, &ACCESS_CONTROLS);
    }
    let mut controls: Vec<AccessControl> = Vec::new();
    for node in members(network, "AccessControls", "AccessControl") {
        reader.shape(node, &ACCESS_CONTROL);
        let name = reader.required(node, "name").to_owned();
        if controls.iter().any(|other| other.name == name) {
            reader.problem(node, format!("access control {} is declared twice; rename one", echo(&name)));
        }
        controls.push(AccessControl { rules: read_rules(reader, node), name });
    }
    controls
}

fn read_rules<'d, 'i>(reader: &mut Reader<'d, 'i>, control: Node<'d, 'i>) -> Vec<AccessRule> {
    let mut rules: Vec<AccessRule> = Vec::new();
    for node in children(control, "Rule") {
        reader.shape(node, &RULE);
        reader.required(node, "order");
        reader.required(node, "action");
        let order = reader.number(node, "order", 0..=ORDER_MAX);
        let action = reader.choice(node, "action", &[("permit", true), ("deny", false)]);
        let written = reader.required(node, "remoteSubnet").trim();
        let remote = subnet(written);
        if remote.is_none() && !written.is_empty() {
            reader.bad_value(node, "remoteSubnet", "a subnet in CIDR notation, such as 203.0.113.0/24");
        }
        let (Some(order), Some(permit), Some(remote)) = (order, action, remote) else { continue };
        if rules.iter().any(|other| other.order == order) {
            reader.bad_value(node, "order", "different in each <Rule>: the lowest that fits decides");
        }
        let description = node.attribute("description").unwrap_or_default().to_owned();
        rules.push(AccessRule { order, permit, remote, description });
    }
    if rules.len() > RULES_MAX {
        let message = format!("the list has {} rules; at most {RULES_MAX} are allowed", rules.len());
        reader.problem(control, message);
    }
    rules.sort_by_key(|rule| rule.order);
    rules
}

/// A subnet, or an address alone. Bits behind the prefix do not count, as in the portal of the time.
fn subnet(written: &str) -> Option<IpNet> {
    let alone = || written.parse::<IpAddr>().ok().map(IpNet::from);
    written.parse::<IpNet>().ok().or_else(alone).map(|net| net.trunc())
}

/// Reads which endpoint uses which of `controls`.
pub(super) fn read_acls<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    network: Node<'d, 'i>,
    controls: &[AccessControl],
) -> Vec<EndpointAcl> {
    for list in children(network, "EndpointAcls") {
        reader.shape(list, &ENDPOINT_ACLS);
    }
    let mut acls: Vec<EndpointAcl> = Vec::new();
    for node in members(network, "EndpointAcls", "EndpointAcl") {
        reader.shape(node, &ENDPOINT_ACL);
        // The reference writes `endPoint`, its sample `endpoint`.
        let endpoint = if node.has_attribute("endPoint") { "endPoint" } else { "endpoint" };
        let acl = EndpointAcl {
            role: reader.required(node, "role").to_owned(),
            endpoint: reader.required(node, endpoint).to_owned(),
            access_control: reader.required(node, "accessControl").to_owned(),
            position: reader.position(node),
        };
        let known: Vec<String> = controls.iter().map(|control| control.name.clone()).collect();
        if !acl.access_control.is_empty() && !known.contains(&acl.access_control) {
            let expected = format!("the name of an <AccessControl>: {}", crate::xml::either(known));
            reader.bad_value(node, "accessControl", &expected);
        }
        if acls.iter().any(|other| (&other.role, &other.endpoint) == (&acl.role, &acl.endpoint)) {
            let message = format!(
                "endpoint {}/{} has two access controls; put the rules of both into one <AccessControl>",
                acl.role, acl.endpoint
            );
            reader.problem(node, message);
        }
        acls.push(acl);
    }
    acls
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Order, whether it permits, and whom.
    type Rule = (u32, bool, &'static str);

    fn control(rules: &[Rule]) -> AccessControl {
        let rule = |(order, permit, remote): &Rule| AccessRule {
            order: *order,
            permit: *permit,
            remote: subnet(remote).unwrap(),
            description: String::new(),
        };
        AccessControl { name: "A".to_owned(), rules: rules.iter().map(rule).collect() }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        let rows: [(&[Rule], &str, bool); 9] = [
            (&[], "1.2.3.4", true),
            (&[(1, true, "10.0.0.0/8")], "10.1.1.1", true),
            (&[(1, true, "10.0.0.0/8")], "11.1.1.1", false),
            (&[(1, false, "10.0.0.0/8")], "10.1.1.1", false),
            (&[(1, false, "10.0.0.0/8")], "11.1.1.1", true),
            (&[(1, false, "10.9.0.0/16"), (2, true, "10.0.0.0/8")], "10.9.1.1", false),
            (&[(1, false, "10.9.0.0/16"), (2, true, "10.0.0.0/8")], "10.8.1.1", true),
            (&[(1, true, "10.9.1.7/8")], "10.200.0.1", true),
            (&[(1, true, "2001:db8::/32")], "10.200.0.1", false),
        ];
        for (rules, remote, expected) in rows {
            assert_eq!(control(rules).permits(remote.parse().unwrap()), expected, "{rules:?} {remote}");
        }
    }
}
