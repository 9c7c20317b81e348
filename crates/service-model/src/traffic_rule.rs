//! Network traffic rules: which roles may reach an internal endpoint. Without a rule, all may.

use roxmltree::Node;

use crate::problem::Position;
use crate::xml::{Reader, Shape, children, members};

/// `<OnlyAllowTrafficTo>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficRule {
    /// The internal endpoints that the rule is about.
    pub destinations: Vec<RoleEndpoint>,
    /// Who may reach them.
    pub source: TrafficSource,
    /// Where the file has it.
    pub position: Position,
}

/// An endpoint of a role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoleEndpoint {
    /// The role.
    pub role: String,
    /// Its endpoint.
    pub endpoint: String,
}

/// Who may reach the destinations of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrafficSource {
    /// Every role.
    All,
    /// These roles.
    Roles(Vec<String>),
}

const RULES: Shape = Shape::list(&["OnlyAllowTrafficTo"]);
const RULE: Shape =
    Shape { attributes: &[], once: &["Destinations", "AllowAllTraffic", "WhenSource"], many: &[] };
const DESTINATIONS: Shape = Shape::list(&["RoleEndpoint"]);
const ROLE_ENDPOINT: Shape = Shape::leaf(&["endpointName", "roleName"]);
const WHEN_SOURCE: Shape = Shape { attributes: &["matches"], once: &[], many: &["FromRole"] };
const FROM_ROLE: Shape = Shape::leaf(&["roleName"]);

/// Reads every rule. The documentation allows one `<NetworkTrafficRules>`, its samples have several.
pub(crate) fn read_all<'d, 'i>(reader: &mut Reader<'d, 'i>, root: Node<'d, 'i>) -> Vec<TrafficRule> {
    let mut rules = Vec::new();
    for list in children(root, "NetworkTrafficRules") {
        reader.shape(list, &RULES);
        rules.extend(children(list, "OnlyAllowTrafficTo").map(|node| read(reader, node)));
    }
    rules
}

fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> TrafficRule {
    reader.shape(node, &RULE);
    for list in children(node, "Destinations") {
        reader.shape(list, &DESTINATIONS);
    }
    let mut destinations = Vec::new();
    for destination in members(node, "Destinations", "RoleEndpoint") {
        reader.shape(destination, &ROLE_ENDPOINT);
        destinations.push(RoleEndpoint {
            role: reader.required(destination, "roleName").to_owned(),
            endpoint: reader.required(destination, "endpointName").to_owned(),
        });
    }
    if destinations.is_empty() {
        let message = String::from("<OnlyAllowTrafficTo> needs <Destinations> with a <RoleEndpoint>");
        reader.problem(node, message);
    }
    TrafficRule { destinations, source: source(reader, node), position: reader.position(node) }
}

/// The documentation's samples carry `AllowAllTraffic` beside a `WhenSource` that is meant to
/// restrict: `WhenSource` wins.
fn source<'d, 'i>(reader: &mut Reader<'d, 'i>, node: Node<'d, 'i>) -> TrafficSource {
    if let Some(when) = children(node, "WhenSource").next() {
        reader.shape(when, &WHEN_SOURCE);
        reader.choice(when, "matches", &[("AnyRule", ())]);
        let mut roles = Vec::new();
        for from in children(when, "FromRole") {
            reader.shape(from, &FROM_ROLE);
            roles.push(reader.required(from, "roleName").to_owned());
        }
        return TrafficSource::Roles(roles);
    }
    match children(node, "AllowAllTraffic").next() {
        Some(all) => reader.shape(all, &Shape::leaf(&[])),
        None => {
            let message = String::from("<OnlyAllowTrafficTo> needs <WhenSource> or <AllowAllTraffic/>");
            reader.problem(node, message);
        }
    }
    TrafficSource::All
}
