//! From the service model to roles: everything is resolved that does not depend on the instance.
//! What the model may say and this fabric cannot do yet is refused by name, never passed over.

use std::collections::BTreeMap;

use welkin_agent_wire::guest::{Program, TaskKind};
use welkin_agent_wire::{CertificateGoal, GuestOs, LocalResource};
use welkin_base::{Digest, RoleName};
use welkin_service_model::variable::{Variable, VariableValue};
use welkin_service_model::{self as model, ServiceModel, startup_task, variable};

use crate::deployment::{InstanceValue, Need, Role, Task, Value};
use crate::endpoint::endpoints;

/// Where a local resource is found inside the guest.
const LOCAL_RESOURCES: &str = "/local/resources";
/// What C holds beside local resources: configuration, logs and temporary files.
const SCRATCH_EXTRA_MIB: u32 = 256;
/// What the writable layers of D and E may grow by.
const LAYERS_MIB: u64 = 1_024;

/// Whatever of the model this fabric cannot do, one line each.
#[must_use]
pub fn not_built(service: &ServiceModel, guest_os: &GuestOs) -> Vec<String> {
    let mut lines = Vec::new();
    if service.os_version != "*" && service.os_version != guest_os.version {
        lines.push(format!(
            "osVersion {:?} is not here; write \"*\" or \"{}\"",
            service.os_version, guest_os.version
        ));
    }
    for role in &service.roles {
        lines.extend(
            not_built_of_role(role)
                .into_iter()
                .map(|what| format!("role {}: {what} is not built yet; remove it", role.definition.name)),
        );
    }
    lines
}

fn not_built_of_role(role: &model::Role) -> Vec<String> {
    let balanced_within = role.definition.endpoints.input.iter().filter_map(|endpoint| {
        endpoint.load_balancer.as_ref().map(|name| format!("loadBalancer={name:?} of {}", endpoint.name))
    });
    let vm_name = role.vm_name.iter().map(|name| format!("vmName={name:?}"));
    balanced_within.chain(vm_name).collect()
}

/// Where a role's files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Application {
    /// The package.
    pub package: Digest,
    /// The image of the role's files.
    pub image: Digest,
}

/// The roles of a service. `applications` has the image of each.
///
/// # Errors
/// One line for each thing that is not built, or that is missing.
pub fn roles(
    service: &ServiceModel,
    guest_os: &GuestOs,
    applications: &BTreeMap<RoleName, Application>,
) -> Result<Vec<Role>, Vec<String>> {
    let mut lines = not_built(service, guest_os);
    let mut roles = Vec::new();
    for role in &service.roles {
        match applications.get(&role.definition.name) {
            Some(application) => roles.push(resolve(service, role, guest_os, *application)),
            None => lines.push(format!("role {} has no files in the package", role.definition.name)),
        }
    }
    if lines.is_empty() { Ok(roles) } else { Err(lines) }
}

fn resolve(service: &ServiceModel, role: &model::Role, guest_os: &GuestOs, application: Application) -> Role {
    let definition = &role.definition;
    let local_resources: Vec<LocalResource> = definition
        .local_resources
        .iter()
        .map(|resource| LocalResource {
            name: resource.name.clone(),
            path: format!("{LOCAL_RESOURCES}/{}", resource.name),
            size_mib: resource.size_mib,
            clean_on_role_recycle: resource.clean_on_role_recycle,
        })
        .collect();
    let local_mib = local_resources.iter().fold(0u32, |sum, resource| sum.saturating_add(resource.size_mib));
    let scratch_mib = local_mib.saturating_add(SCRATCH_EXTRA_MIB);
    let settings = role.settings.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned()));
    Role {
        name: definition.name.clone(),
        package: application.package,
        size: definition.size.as_str().to_owned(),
        count: role.instance_count,
        need: Need {
            cores: definition.size.cores(),
            memory_mib: definition.size.memory_mib(),
            disk_mib: u64::from(scratch_mib) + LAYERS_MIB,
        },
        scratch_mib,
        guest_os: guest_os.clone(),
        application: application.image,
        settings: settings.collect(),
        endpoints: endpoints(service, definition),
        local_resources,
        startup_tasks: definition.startup_tasks.iter().map(task).collect(),
        program: definition.runtime.program.as_ref().map(|program| Program {
            command_line: program.command_line.clone(),
            elevated: definition.runtime.elevated,
            ready_on_start: program.ready_on_start,
        }),
        variables: variables(&definition.runtime.variables),
        certificates: certificates(role),
    }
}

/// Each declared certificate with its thumbprint. One that an import adds may be used by programs that are not elevated.
fn certificates(role: &model::Role) -> Vec<CertificateGoal> {
    let declared = |name: &str| role.definition.certificates.iter().find(|declared| declared.name == name);
    let given = role.certificates.iter();
    given
        .filter_map(|given| {
            Some(CertificateGoal {
                name: given.name.clone(),
                // The configuration was read, so it is a thumbprint.
                thumbprint: given.thumbprint.parse().ok()?,
                elevated_only: declared(&given.name).is_some_and(|declared| declared.elevated_only),
            })
        })
        .collect()
}

fn task(task: &startup_task::StartupTask) -> Task {
    Task {
        command_line: task.command_line.clone(),
        elevated: task.elevated,
        kind: match task.kind {
            startup_task::TaskKind::Simple => TaskKind::Simple,
            startup_task::TaskKind::Background => TaskKind::Background,
            startup_task::TaskKind::Foreground => TaskKind::Foreground,
        },
        variables: variables(&task.variables),
    }
}

fn variables(declared: &[Variable]) -> BTreeMap<String, Value> {
    declared.iter().map(|variable| (variable.name.clone(), value(&variable.value))).collect()
}

fn value(value: &VariableValue) -> Value {
    use variable::InstanceValue as Declared;
    let of = match value {
        VariableValue::Text(text) => return Value::Text(text.clone()),
        VariableValue::Instance(of) => of.clone(),
    };
    Value::Instance(match of {
        Declared::DeploymentId => InstanceValue::DeploymentId,
        Declared::Emulated => InstanceValue::Emulated,
        Declared::InstanceId => InstanceValue::InstanceName,
        Declared::RoleName => InstanceValue::RoleName,
        Declared::FaultDomain => InstanceValue::FaultDomain,
        Declared::UpdateDomain => InstanceValue::UpdateDomain,
        Declared::Setting(name) => InstanceValue::Setting(name),
        Declared::LocalResourcePath(name) => InstanceValue::LocalResourcePath(name),
        Declared::LocalResourceSize(name) => InstanceValue::LocalResourceSize(name),
        Declared::EndpointAddress(name) => InstanceValue::EndpointAddress(name),
        Declared::EndpointPort(name) => InstanceValue::EndpointPort(name),
        Declared::EndpointProtocol(name) => InstanceValue::EndpointProtocol(name),
    })
}
