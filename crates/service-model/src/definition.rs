//! The service definition (`.csdef`): the roles of a service and what each needs.
//!
//! Source: SERVICEMODEL, "ServiceDefinition". Children come in any order.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use roxmltree::Node;

use crate::endpoint::{ENDPOINTS_PER_SERVICE_MAX, LocalPort};
use crate::probe::{self, Probe};
use crate::problem::{Problem, Problems, SourceFile};
use crate::role::{self, RoleDefinition, RoleKind};
use crate::traffic_rule::{self, TrafficRule};
use crate::variable::{InstanceValue, Variable, VariableValue};
use crate::xml::{self, Reader, Shape, children, echo};

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
        check_role(reader, node, role.as_ref(), &roles);
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
    check_counts(reader, root, &definition);
    check_public_ports(reader, root, &definition);
    check_references(reader, root, &definition);
    definition
}

/// What a role promises within itself, and against the roles before it.
fn check_role<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    node: Node<'d, 'i>,
    role: Option<&RoleDefinition>,
    before: &[RoleDefinition],
) {
    let Some(role) = role else { return };
    if before.iter().any(|other| other.name == role.name) {
        reader.problem(node, format!("role {} is declared twice; rename one", role.name));
    }
    let mut names: Vec<&str> = Vec::new();
    for name in role.endpoints.names().filter(|name| !name.is_empty()) {
        if names.contains(&name) {
            let message = format!("role {} declares endpoint {} twice; rename one", role.name, echo(name));
            reader.problem(node, message);
        }
        names.push(name);
    }
    for endpoint in &role.endpoints.input {
        let Some(certificate) = &endpoint.certificate else { continue };
        if !role.certificates.iter().any(|declared| declared.name == *certificate) {
            let message = format!(
                "endpoint {} names the certificate {}, which role {} does not declare in <Certificates>",
                endpoint.name,
                echo(certificate),
                role.name
            );
            reader.problem(node, message);
        }
    }
    let tasks = role.startup_tasks.iter().flat_map(|task| &task.variables);
    for variable in tasks.chain(&role.runtime.variables) {
        check_variable(reader, node, role, variable);
    }
}

/// A variable may only ask for what its role declares.
fn check_variable<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    node: Node<'d, 'i>,
    role: &RoleDefinition,
    variable: &Variable,
) {
    let VariableValue::Instance(value) = &variable.value else { return };
    let (noun, name, declared) = match value {
        InstanceValue::Setting(name) => {
            let imported = role.imports.iter().any(|module| module.adds(name));
            ("setting", name, imported || role.settings.contains(name))
        }
        InstanceValue::LocalResourcePath(name) | InstanceValue::LocalResourceSize(name) => {
            ("local storage", name, role.local_resources.iter().any(|other| other.name == *name))
        }
        InstanceValue::EndpointAddress(name)
        | InstanceValue::EndpointPort(name)
        | InstanceValue::EndpointProtocol(name) => {
            ("endpoint", name, role.endpoints.names().any(|other| other == name))
        }
        _ => return,
    };
    if !declared {
        let message = format!(
            "variable {} asks for the {noun} {}, which role {} does not declare",
            variable.name,
            echo(name),
            role.name
        );
        reader.problem(node, message);
    }
}

fn check_counts<'d, 'i>(reader: &mut Reader<'d, 'i>, root: Node<'d, 'i>, definition: &ServiceDefinition) {
    let declared = children(root, "WebRole").count() + children(root, "WorkerRole").count();
    if declared == 0 {
        let message = String::from("the service has no role; add a <WebRole> or a <WorkerRole>");
        reader.problem(root, message);
    }
    if declared > ROLES_MAX {
        let message = format!("the service has {declared} roles; at most {ROLES_MAX} are allowed");
        reader.problem(root, message);
    }
    let endpoints: usize = definition.roles.iter().map(|role| role.endpoints.len()).sum();
    if endpoints > ENDPOINTS_PER_SERVICE_MAX {
        let message =
            format!("the service has {endpoints} endpoints; at most {ENDPOINTS_PER_SERVICE_MAX} are allowed");
        reader.problem(root, message);
    }
}

/// A public port belongs to one endpoint of the whole service.
fn check_public_ports<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    root: Node<'d, 'i>,
    definition: &ServiceDefinition,
) {
    let mut taken: BTreeMap<u16, String> = BTreeMap::new();
    for role in &definition.roles {
        let input = role.endpoints.input.iter().map(|e| (&e.name, (e.port, e.port)));
        let instance = role.endpoints.instance_input.iter().map(|e| (&e.name, e.public_ports));
        for (name, (first, last)) in input.chain(instance) {
            let mut clash = None;
            for port in (first..=last).filter(|port| *port != 0) {
                if let Some(other) = taken.insert(port, format!("{}/{name}", role.name)) {
                    clash = clash.or(Some((port, other)));
                }
            }
            if let Some((port, other)) = clash {
                let message = format!(
                    "the public port {port} belongs to both {other} and {}/{name}; give one another port",
                    role.name
                );
                reader.problem(root, message);
            }
        }
    }
}

/// Names that lead from one part of the definition to another.
fn check_references<'d, 'i>(reader: &mut Reader<'d, 'i>, root: Node<'d, 'i>, definition: &ServiceDefinition) {
    let mut missing = Vec::new();
    for role in &definition.roles {
        for endpoint in &role.endpoints.input {
            let Some(name) = &endpoint.probe else { continue };
            if !definition.probes.iter().any(|probe| probe.name == *name) {
                let (role, endpoint) = (&role.name, &endpoint.name);
                missing.push(format!(
                    "endpoint {role}/{endpoint} names the probe {}, which <LoadBalancerProbes> does not declare",
                    echo(name)
                ));
            }
        }
    }
    for rule in &definition.traffic_rules {
        for destination in &rule.destinations {
            let known = definition.role(&destination.role).is_some_and(|role| {
                role.endpoints.internal.iter().any(|endpoint| endpoint.name == destination.endpoint)
            });
            if !known {
                missing.push(format!(
                    "a traffic rule names {}/{}, which is no internal endpoint of the service",
                    destination.role, destination.endpoint
                ));
            }
        }
        if let traffic_rule::TrafficSource::Roles(sources) = &rule.source {
            for source in sources.iter().filter(|source| definition.role(source).is_none()) {
                missing.push(format!("a traffic rule names the role {}, which there is not", echo(source)));
            }
        }
    }
    for message in missing {
        reader.problem(root, message);
    }
}

/// The local port of an endpoint when it is fixed.
impl LocalPort {
    /// The first port, unless the system chooses.
    #[must_use]
    pub const fn first(self) -> Option<u16> {
        match self {
            Self::Dynamic => None,
            Self::Fixed(port) | Self::Range(port, _) => Some(port),
        }
    }
}
