//! Names within a definition that lead from one part to another, and what its parts may have together.

use std::collections::BTreeMap;

use roxmltree::Node;

use crate::definition::{ROLES_MAX, ServiceDefinition};
use crate::endpoint::{ENDPOINTS_PER_SERVICE_MAX, Protocol};
use crate::role::{RoleDefinition, RoleKind};
use crate::traffic_rule::{TrafficRule, TrafficSource};
use crate::variable::{InstanceValue, Variable, VariableValue};
use crate::xml::{Reader, children, echo, either};

/// What a role promises within itself, and against the roles before it.
pub(crate) fn check_role<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    node: Node<'d, 'i>,
    role: &RoleDefinition,
    before: &[RoleDefinition],
) {
    if before.iter().any(|other| other.name == role.name) {
        reader.problem(node, format!("role {} is declared twice; rename one", role.name));
    }
    check_endpoints(reader, role);
    let is_http = |protocol: Protocol| matches!(protocol, Protocol::Http | Protocol::Https);
    if role.kind == RoleKind::Web && !role.endpoints.input.iter().any(|endpoint| is_http(endpoint.protocol)) {
        let message = format!(
            "the web role {} has no http or https <InputEndpoint>: nobody reaches it from outside; \
             add one, or write <WorkerRole>",
            role.name
        );
        reader.warning(node, message);
    }
    let tasks = role.startup_tasks.iter().flat_map(|task| &task.variables);
    for variable in tasks.chain(&role.runtime.variables) {
        check_variable(reader, role, variable);
    }
}

fn check_endpoints(reader: &mut Reader<'_, '_>, role: &RoleDefinition) {
    let mut names: Vec<&str> = Vec::new();
    for (name, position) in role.endpoints.names().filter(|(name, _)| !name.is_empty()) {
        if names.contains(&name) {
            let message = format!("role {} declares endpoint {} twice; rename one", role.name, echo(name));
            reader.problem_at(position, message);
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
            reader.problem_at(endpoint.position, message);
        }
    }
    for (binding, position) in role.sites.iter().flat_map(|site| &site.bindings) {
        if !role.endpoints.input.iter().any(|endpoint| endpoint.name == *binding) {
            let message = format!(
                "a <Binding> names the endpoint {}, which is no <InputEndpoint> of role {}",
                echo(binding),
                role.name
            );
            reader.problem_at(*position, message);
        }
    }
}

/// A variable may only ask for what its role declares.
fn check_variable(reader: &mut Reader<'_, '_>, role: &RoleDefinition, variable: &Variable) {
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
        | InstanceValue::EndpointProtocol(name) => ("endpoint", name, role.endpoints.has(name)),
        _ => return,
    };
    if !declared {
        let message = format!(
            "variable {} asks for the {noun} {}, which role {} does not declare",
            variable.name,
            echo(name),
            role.name
        );
        reader.problem_at(variable.position, message);
    }
}

/// What the roles promise together.
pub(crate) fn check_service<'d, 'i>(
    reader: &mut Reader<'d, 'i>,
    root: Node<'d, 'i>,
    definition: &ServiceDefinition,
) {
    check_counts(reader, root, definition);
    check_public_ports(reader, definition);
    check_probes(reader, definition);
    for rule in &definition.traffic_rules {
        check_rule(reader, definition, rule);
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
fn check_public_ports(reader: &mut Reader<'_, '_>, definition: &ServiceDefinition) {
    let mut taken: BTreeMap<u16, String> = BTreeMap::new();
    for role in &definition.roles {
        let input = role.endpoints.input.iter().map(|e| (&e.name, (e.port, e.port), e.position));
        let instance = role.endpoints.instance_input.iter().map(|e| (&e.name, e.public_ports, e.position));
        for (name, (first, last), position) in input.chain(instance) {
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
                reader.problem_at(position, message);
            }
        }
    }
}

fn check_probes(reader: &mut Reader<'_, '_>, definition: &ServiceDefinition) {
    for role in &definition.roles {
        for endpoint in &role.endpoints.input {
            let Some(name) = &endpoint.probe else { continue };
            if !definition.probes.iter().any(|probe| probe.name == *name) {
                let (role, at) = (&role.name, &endpoint.name);
                let message = format!(
                    "endpoint {role}/{at} names the probe {}, which <LoadBalancerProbes> does not declare",
                    echo(name)
                );
                reader.problem_at(endpoint.position, message);
            }
        }
    }
}

fn check_rule(reader: &mut Reader<'_, '_>, definition: &ServiceDefinition, rule: &TrafficRule) {
    for destination in &rule.destinations {
        let role = definition.role(&destination.role);
        let mut internal = role.into_iter().flat_map(|role| &role.endpoints.internal);
        if !internal.any(|endpoint| endpoint.name == destination.endpoint) {
            let message = format!(
                "a traffic rule names {}/{}, which is no internal endpoint of the service",
                destination.role, destination.endpoint
            );
            reader.problem_at(rule.position, message);
        }
    }
    if let TrafficSource::Roles(sources) = &rule.source {
        for source in sources.iter().filter(|source| definition.role(source).is_none()) {
            let known = either(definition.roles.iter().map(|role| role.name.to_string()));
            let message =
                format!("a traffic rule names the role {}, which there is not; write {known}", echo(source));
            reader.problem_at(rule.position, message);
        }
    }
}
