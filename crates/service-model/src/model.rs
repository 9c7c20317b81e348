//! The service model: definition and configuration joined, each name checked against the other
//! file.

use std::collections::BTreeMap;

use crate::certificate::Certificate;
use crate::configuration::{RoleConfiguration, ServiceConfiguration, SettingValue};
use crate::definition::{ServiceDefinition, TopologyChangeDiscovery};
use crate::network_configuration::NetworkConfiguration;
use crate::probe::Probe;
use crate::problem::{Position, Problem, Problems, SourceFile};
use crate::role::RoleDefinition;
use crate::traffic_rule::TrafficRule;
use crate::xml::{echo, either};

/// A service that can be placed and run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceModel {
    /// The service's name in definition and configuration.
    pub name: String,
    /// Update domains, at most; see [`ServiceModel::update_domain_count`].
    pub update_domain_count_max: u32,
    /// How running instances hear of a change of counts.
    pub topology_change_discovery: TopologyChangeDiscovery,
    /// `osFamily`.
    pub os_family: u32,
    /// `osVersion`: a guest OS version, or `*` for the newest.
    pub os_version: String,
    /// The roles, in the order of the definition.
    pub roles: Vec<Role>,
    /// Custom load balancer probes.
    pub probes: Vec<Probe>,
    /// Who may reach which internal endpoint.
    pub traffic_rules: Vec<TrafficRule>,
    /// Who may reach which input endpoint, and what the configuration says of addresses.
    pub network: NetworkConfiguration,
    /// What has no effect here, for people.
    pub warnings: Vec<Problem>,
}

/// A role of a [`ServiceModel`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// What the definition says of it.
    pub definition: RoleDefinition,
    /// Instances that are wanted.
    pub instance_count: u32,
    /// Every setting with its value.
    pub settings: BTreeMap<String, SettingValue>,
    /// Every certificate with its thumbprint.
    pub certificates: Vec<Certificate>,
    /// Prefix of the instances' computer names.
    pub vm_name: Option<String>,
}

/// Joins a definition and a configuration.
///
/// # Errors
/// Every way in which the two do not fit.
pub fn validate(
    definition: &ServiceDefinition,
    configuration: &ServiceConfiguration,
) -> Result<ServiceModel, Problems> {
    let mut join = Join { problems: Vec::new(), warnings: definition.warnings.clone() };
    join.warnings.extend(configuration.warnings.iter().cloned());
    if definition.name != configuration.service_name {
        let message = format!(
            "serviceName is {}, but the service definition's name is {}; make them equal",
            echo(&configuration.service_name),
            echo(&definition.name)
        );
        join.configuration(Position { line: 1, column: 1 }, message);
    }
    for role in configuration.roles.iter().filter(|role| definition.role(role.name.as_str()).is_none()) {
        let message = format!(
            "role {} is not in the service definition; remove it here, or declare it there",
            role.name
        );
        join.configuration(role.position, message);
    }
    join.network(definition, &configuration.network);
    let roles = definition.roles.iter().filter_map(|role| join.role(role, configuration)).collect();
    let model = ServiceModel {
        name: definition.name.clone(),
        update_domain_count_max: definition.update_domain_count,
        topology_change_discovery: definition.topology_change_discovery,
        os_family: configuration.os_family,
        os_version: configuration.os_version.clone(),
        roles,
        probes: definition.probes.clone(),
        traffic_rules: definition.traffic_rules.clone(),
        network: configuration.network.clone(),
        warnings: join.warnings,
    };
    Problems::or(join.problems, model)
}

struct Join {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Join {
    fn configuration(&mut self, position: Position, message: String) {
        self.problems.push(Problem { file: SourceFile::Configuration, position, message });
    }

    fn definition(&mut self, position: Position, message: String) {
        self.problems.push(Problem { file: SourceFile::Definition, position, message });
    }

    fn role(&mut self, definition: &RoleDefinition, configuration: &ServiceConfiguration) -> Option<Role> {
        let name = &definition.name;
        let is_served_by_iis = definition.startup_tasks.is_empty() || !definition.sites.is_empty();
        if definition.runtime.program.is_none() && is_served_by_iis {
            let message = format!(
                "role {name} has nothing to run; add <Runtime><EntryPoint>\
                 <ProgramEntryPoint commandLine=\"…\" setReadyOnProcessStart=\"true\" />"
            );
            self.definition(definition.position, message);
        } else if definition.runtime.program.is_none() {
            let message = format!(
                "role {name} has no <ProgramEntryPoint>: its startup tasks run, and nothing after them"
            );
            let (file, position) = (SourceFile::Definition, definition.position);
            self.warnings.push(Problem { file, position, message });
        }
        let Some(configured) = configuration.roles.iter().find(|role| role.name == *name) else {
            let message = format!(
                "role {name} of the service definition is not configured; add <Role name=\"{name}\">"
            );
            self.configuration(Position { line: 1, column: 1 }, message);
            return None;
        };
        self.settings(definition, configured);
        self.certificates(definition, configured);
        self.instance_ports(definition, configured);
        let settings = configured.settings.iter().map(|(name, value, _)| (name.clone(), value.clone()));
        Some(Role {
            definition: definition.clone(),
            instance_count: configured.instance_count,
            settings: settings.collect(),
            certificates: configured.certificates.clone(),
            vm_name: configured.vm_name.clone(),
        })
    }

    fn settings(&mut self, definition: &RoleDefinition, configured: &RoleConfiguration) {
        let role = &definition.name;
        for name in &definition.settings {
            if !configured.settings.iter().any(|(given, _, _)| given == name) {
                let message = format!(
                    "role {role} has no value for the setting {name}; add <Setting name=\"{name}\" value=\"…\" />"
                );
                self.configuration(configured.position, message);
            }
        }
        for (name, _, position) in &configured.settings {
            let imported = definition.imports.iter().any(|module| module.adds(name));
            if !imported && !definition.settings.contains(name) {
                let message = format!(
                    "role {role} does not declare the setting {name}; remove it, or declare it in the service \
                     definition's <ConfigurationSettings>"
                );
                self.configuration(*position, message);
            }
        }
    }

    fn certificates(&mut self, definition: &RoleDefinition, configured: &RoleConfiguration) {
        let role = &definition.name;
        for declared in &definition.certificates {
            if !configured.certificates.iter().any(|given| given.name == declared.name) {
                let message = format!(
                    "role {role} has no thumbprint for the certificate {0}; add <Certificate name=\"{0}\" \
                     thumbprint=\"…\" thumbprintAlgorithm=\"sha1\" />",
                    declared.name
                );
                self.configuration(configured.position, message);
            }
        }
        for given in &configured.certificates {
            let imported = definition.imports.iter().any(|module| module.adds(&given.name));
            if !imported && !definition.certificates.iter().any(|declared| declared.name == given.name) {
                let message = format!(
                    "role {role} does not declare the certificate {}; remove it, or declare it in the service \
                     definition's <Certificates>",
                    given.name
                );
                self.configuration(configured.position, message);
            }
        }
    }

    /// Roles, endpoints and load balancers that one file names and the other declares.
    fn network(&mut self, definition: &ServiceDefinition, network: &NetworkConfiguration) {
        for acl in &network.endpoint_acls {
            let role = definition.role(&acl.role);
            if !role.is_some_and(|role| role.endpoints.is_public(&acl.endpoint)) {
                let message = format!(
                    "<EndpointAcl> names {}/{}, which is no input endpoint of the service definition",
                    acl.role, acl.endpoint
                );
                self.configuration(acl.position, message);
            }
        }
        for address in &network.instance_addresses {
            if definition.role(&address.role).is_none() {
                let known = either(definition.roles.iter().map(|role| role.name.to_string()));
                let message = format!(
                    "<InstanceAddress> names the role {}, which the service definition does not have; write {known}",
                    echo(&address.role)
                );
                self.configuration(address.position, message);
            }
        }
        for endpoint in definition.roles.iter().flat_map(|role| &role.endpoints.input) {
            let Some(name) = &endpoint.load_balancer else { continue };
            if !network.load_balancers.iter().any(|balancer| balancer.name == *name) {
                let message = format!(
                    "endpoint {} names the load balancer {}, which <LoadBalancers> of the service configuration \
                     does not declare",
                    endpoint.name,
                    echo(name)
                );
                self.definition(endpoint.position, message);
            }
        }
    }

    /// An instance input endpoint has one public port for each instance.
    fn instance_ports(&mut self, definition: &RoleDefinition, configured: &RoleConfiguration) {
        for endpoint in &definition.endpoints.instance_input {
            let (first, last) = endpoint.public_ports;
            let ports = u32::from(last - first) + 1;
            if ports < configured.instance_count {
                let message = format!(
                    "role {} has {} instances, but its endpoint {} has {ports} public ports; \
                     widen the port range or lower the count",
                    definition.name, configured.instance_count, endpoint.name
                );
                self.configuration(configured.position, message);
            }
        }
    }
}

impl ServiceModel {
    /// Update domains that the deployment has: no more than its largest role has instances
    /// (SERVICEMODEL, "Placement").
    #[must_use]
    pub fn update_domain_count(&self) -> u32 {
        let largest = self.roles.iter().map(|role| role.instance_count).max().unwrap_or(1);
        self.update_domain_count_max.min(largest).max(1)
    }

    /// The role called `name`.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<&Role> {
        self.roles.iter().find(|role| role.definition.name.as_str() == name)
    }
}
