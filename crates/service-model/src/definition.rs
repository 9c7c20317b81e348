//! The service definition (`.csdef`): the roles of a service and what each needs.
//!
//! Source: SERVICEMODEL, "ServiceDefinition". Children come in any order.

use std::ops::RangeInclusive;

use roxmltree::Node;

use crate::probe::{self, Probe};
use crate::problem::{Problem, Problems, SourceFile};
use crate::reference;
use crate::role::{self, RoleDefinition, RoleKind};
use crate::traffic_rule::{self, TrafficRule};
use crate::xml::{self, Reader, Shape};

/// Namespace of a service definition.
pub const NAMESPACE: &str = "http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition";
/// Roles of a service, at most (`cloud-services-model-and-package`).
pub const ROLES_MAX: usize = 25;
/// `upgradeDomainCount` (`schema-csdef-file`).
const UPDATE_DOMAINS: RangeInclusive<u32> = 1..=20;
/// `upgradeDomainCount` when the file has none.
const UPDATE_DOMAINS_DEFAULT: u32 = 5;

/// A service definition that is right in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDefinition {
    /// The service's name; the configuration repeats it.
    pub name: String,
    /// `upgradeDomainCount`: update domains, at most.
    pub update_domain_count: u32,
    /// How running instances hear of a change of counts.
    pub topology_change_discovery: TopologyChangeDiscovery,
    /// The roles, in the order of the file.
    pub roles: Vec<RoleDefinition>,
    /// Custom load balancer probes.
    pub probes: Vec<Probe>,
    /// Who may reach which internal endpoint.
    pub traffic_rules: Vec<TrafficRule>,
    /// What has no effect here, for people.
    pub warnings: Vec<Problem>,
}

/// `topologyChangeDiscovery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopologyChangeDiscovery {
    /// All instances at once; the default.
    Blast,
    /// One update domain after the other.
    UpdateDomainWalk,
}

const ROOT: Shape = Shape {
    attributes: &["name", "upgradeDomainCount", "schemaVersion", "topologyChangeDiscovery"],
    once: &["LoadBalancerProbes"],
    many: &["WebRole", "WorkerRole", "NetworkTrafficRules"],
};

impl ServiceDefinition {
    /// Parses the text of a `.csdef`.
    ///
    /// # Errors
    /// Every problem of the text, each with line and column.
    pub fn parse(text: &str) -> Result<Self, Problems> {
        let root = ("ServiceDefinition", NAMESPACE);
        let (mut definition, warnings) = xml::read(SourceFile::Definition, text, root, read)?;
        definition.warnings = warnings;
        Ok(definition)
    }

    /// The role called `name`.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&RoleDefinition> {
        self.roles.iter().find(|role| role.name.as_str() == name)
    }
}

fn read<'d, 'i>(reader: &mut Reader<'d, 'i>, root: Node<'d, 'i>) -> ServiceDefinition {
    reader.shape(root, &ROOT);
    let discoveries = [
        ("Blast", TopologyChangeDiscovery::Blast),
        ("UpgradeDomainWalk", TopologyChangeDiscovery::UpdateDomainWalk),
    ];
    let mut roles = Vec::new();
    for node in root.children() {
        let kind = match node.tag_name().name() {
            "WebRole" => RoleKind::Web,
            "WorkerRole" => RoleKind::Worker,
            _ => continue,
        };
        let role = role::read(reader, node, kind);
        if let Some(role) = &role {
            reference::check_role(reader, node, role, &roles);
        }
        roles.extend(role);
    }
    let definition = ServiceDefinition {
        name: reader.required(root, "name").to_owned(),
        update_domain_count: reader
            .number(root, "upgradeDomainCount", UPDATE_DOMAINS)
            .unwrap_or(UPDATE_DOMAINS_DEFAULT),
        topology_change_discovery: reader
            .choice(root, "topologyChangeDiscovery", &discoveries)
            .unwrap_or(TopologyChangeDiscovery::Blast),
        roles,
        probes: probe::read_all(reader, root),
        traffic_rules: traffic_rule::read_all(reader, root),
        warnings: Vec::new(),
    };
    reference::check_service(reader, root, &definition);
    definition
}
