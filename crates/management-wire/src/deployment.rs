//! Deployments and their role instances.

pub mod change;
pub mod event;

use std::fmt;

use welkin_base::{DeploymentId, DeploymentName, Timestamp};
use welkin_fabric_wire::{
    DeploymentObserved, GoalStatus, InputEndpoint, InstanceState, InstanceStatus, RoleObserved, Slot,
    UpdateObserved, Warnings,
};

use crate::error::ApiError;
use crate::extended_property::{self, ExtendedProperties, PROPERTIES_MAX};
use crate::hosted_service::check_texts;
use crate::version::Version;
use crate::xml::{Element, Fields, encode_text, read};

/// The last version that has the state `CyclingRole` (SERVICEMODEL §5).
const CYCLING_UNTIL: Version = Version::new("2014-02-01");

/// What `CreateDeployment` says. `Debug` leaves the URL out: it may carry a shared access signature.
#[derive(Clone, PartialEq, Eq)]
pub struct CreateDeployment {
    /// The deployment's name.
    pub name: DeploymentName,
    /// Where the package is.
    pub package_url: String,
    /// For people.
    pub label: String,
    /// The text of the service configuration.
    pub configuration: String,
    /// Whether instances start at once.
    pub start: bool,
    /// Whether what has no effect is an error.
    pub warnings: Warnings,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
}

impl fmt::Debug for CreateDeployment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CreateDeployment").field("name", &self.name).finish_non_exhaustive()
    }
}

impl CreateDeployment {
    /// Reads the request's body.
    ///
    /// # Errors
    /// When it is not such a body or breaks a rule.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "CreateDeployment", |fields| {
            let name = fields.required("Name")?;
            let name =
                DeploymentName::new(&name).map_err(|error| ApiError::bad_request(error.to_string()))?;
            let label = fields.required_base64("Label")?;
            check_texts(Some(&label), None)?;
            if fields.one("ExtensionConfiguration")?.is_some_and(Fields::has_children) {
                return Err(ApiError::bad_request(
                    "there are no extensions: leave ExtensionConfiguration out",
                ));
            }
            let properties = extended_property::read(fields, PROPERTIES_MAX / 2)?;
            Ok(Self {
                name,
                package_url: fields.required("PackageUrl")?,
                label,
                configuration: fields.required_base64("Configuration")?,
                start: fields.flag("StartDeployment")?,
                warnings: warnings(fields)?,
                extended_properties: properties.unwrap_or_default(),
            })
        })
    }
}

/// `TreatWarningsAsError`.
fn warnings(fields: Fields<'_, '_>) -> Result<Warnings, ApiError> {
    Ok(if fields.flag("TreatWarningsAsError")? { Warnings::Refused } else { Warnings::Told })
}

/// The element `Warnings`, which is Welkin's own: there only when something has no effect.
pub(crate) fn warnings_element(warnings: &[String]) -> Option<Element> {
    let each = warnings.iter().map(|warning| Element::of("Warning", warning));
    (!warnings.is_empty()).then(|| Element::new("Warnings").children(each))
}

/// Reads the body of "Update Deployment Status".
///
/// # Errors
/// When it is not such a body.
pub fn parse_status(body: &[u8]) -> Result<GoalStatus, ApiError> {
    let status = read(body, "UpdateDeploymentStatus", |fields| fields.required("Status"))?;
    match status.to_ascii_lowercase().as_str() {
        "running" => Ok(GoalStatus::Running),
        "suspended" => Ok(GoalStatus::Suspended),
        _ => Err(ApiError::bad_request("Status must be Running or Suspended")),
    }
}

/// The slot as responses have it.
#[must_use]
pub fn slot_name(slot: Slot) -> &'static str {
    match slot {
        Slot::Production => "Production",
        Slot::Staging => "Staging",
    }
}

/// What management itself is doing with a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The package is being fetched and given to the fabric controller.
    Creating,
    /// It exists.
    Created,
    /// It is being deleted.
    Deleting,
}

/// A deployment as it is answered.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// Its name.
    pub name: DeploymentName,
    /// Its slot.
    pub slot: Slot,
    /// Its private id.
    pub id: DeploymentId,
    /// For people.
    pub label: String,
    /// Where its own address leads.
    pub url: String,
    /// The text of the service configuration.
    pub configuration: String,
    /// What management does with it.
    pub phase: Phase,
    /// What is wanted.
    pub goal: GoalStatus,
    /// What the fabric controller sees, once it has taken the goal.
    pub observed: Option<DeploymentObserved>,
    /// Whether an operation holds it.
    pub locked: bool,
    /// Whether the update in progress can be rolled back.
    pub rollback_allowed: bool,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
    /// What of the package and the configuration has no effect.
    pub warnings: Vec<String>,
}

impl Deployment {
    /// `Status` of the deployment (SERVICEMODEL §5).
    #[must_use]
    pub fn status(&self) -> &'static str {
        let instances = self.observed.as_ref().map_or(&[][..], |observed| &observed.instances);
        let all = |state| instances.iter().all(|instance| instance.state == state);
        match (self.phase, self.goal) {
            (Phase::Deleting, _) => "Deleting",
            (Phase::Creating, _) => "Deploying",
            (Phase::Created, _) if self.observed.is_none() => "Deploying",
            (Phase::Created, GoalStatus::Suspended) if all(InstanceState::StoppedVm) => "Suspended",
            (Phase::Created, GoalStatus::Suspended) => "SuspendedTransitioning",
            (Phase::Created, GoalStatus::Running) if instances.iter().all(is_settled) => "Running",
            (Phase::Created, GoalStatus::Running) => "RunningTransitioning",
        }
    }

    /// The element `Deployment` as a version of the API has it, in the recorded order (SMAPI §6, "Version gates").
    #[must_use]
    pub fn element(&self, version: Version) -> Element {
        let none = (&[][..], &[][..], &[][..]);
        let (instances, roles, endpoints) = self
            .observed
            .as_ref()
            .map_or(none, |o| (o.instances.as_slice(), o.roles.as_slice(), o.input_endpoints.as_slice()));
        let vip = self.observed.as_ref().and_then(|observed| observed.vip).map(|vip| vip.to_string());
        let vip = vip.as_deref().unwrap_or("");
        let domains = self.observed.as_ref().map_or(0, |observed| observed.update_domains);
        let instance = |status| instance_element(status, endpoints, vip, version);
        let role = |role| role_element(role, endpoints, vip, version);
        let old_endpoint = |endpoint: &InputEndpoint| {
            let element = Element::new("InputEndpoint").with("RoleName", &endpoint.role);
            with_vip(element, vip, version).with("Port", endpoint.port)
        };
        let update = self.observed.as_ref().and_then(|observed| observed.update);
        let rolled_back = self.observed.as_ref().and_then(|observed| observed.rolled_back.clone());
        let warnings: Vec<String> = self.warnings.iter().cloned().chain(rolled_back).collect();
        Element::new("Deployment")
            .with("Name", &self.name)
            .with("DeploymentSlot", slot_name(self.slot))
            .with("PrivateID", &self.id)
            .with("Status", self.status())
            .with("Label", encode_text(&self.label))
            .with("Url", &self.url)
            .with("Configuration", encode_text(&self.configuration))
            .child(Element::new("RoleInstanceList").children(instances.iter().map(instance)))
            .children(update.map(upgrade_status))
            .since("2011-06-01", version, |deployment| deployment.with("UpgradeDomainCount", domains))
            .child(Element::new("RoleList").children(roles.iter().map(role)))
            .since("2011-06-01", version, |deployment| deployment.with("SdkVersion", ""))
            .child(Element::new("InputEndpointList").children(endpoints.iter().map(old_endpoint)))
            .since("2011-06-01", version, |deployment| {
                deployment.with("Locked", self.locked).with("RollbackAllowed", self.rollback_allowed)
            })
            .with("CreatedTime", self.created.to_iso_seconds())
            .with("LastModifiedTime", self.modified.to_iso_seconds())
            .since("2012-03-01", version, |deployment| {
                let properties = extended_property::element(&self.extended_properties);
                deployment.child(properties).child(virtual_ips(vip))
            })
            .children(warnings_element(&warnings))
    }
}

/// `UpgradeStatus`: there only while an update is in progress.
fn upgrade_status(update: UpdateObserved) -> Element {
    Element::new("UpgradeStatus")
        .with("UpgradeType", change::mode_name(update.mode))
        .with("CurrentUpgradeDomainState", if update.during { "During" } else { "Before" })
        .with("CurrentUpgradeDomain", update.domain)
}

fn virtual_ips(vip: &str) -> Element {
    let list = Element::new("VirtualIPs");
    if vip.is_empty() {
        return list;
    }
    let entry = Element::new("VirtualIP").with("Address", vip).with("IsDnsProgrammed", false);
    list.child(entry.with("Name", "VIP"))
}

fn with_vip(element: Element, vip: &str, version: Version) -> Element {
    element.since("2011-06-01", version, |element| element.with("Vip", vip))
}

fn instance_element(
    status: &InstanceStatus,
    endpoints: &[InputEndpoint],
    vip: &str,
    version: Version,
) -> Element {
    let of_role = endpoints.iter().filter(|endpoint| endpoint.role == status.role);
    let endpoints = of_role.chain(&status.instance_endpoints).map(|endpoint| {
        with_vip(Element::new("InstanceEndpoint").with("Name", &endpoint.name), vip, version)
            .with("PublicPort", endpoint.port)
            .with("LocalPort", endpoint.local_port)
            .with("Protocol", &endpoint.protocol)
    });
    Element::new("RoleInstance")
        .with("RoleName", &status.role)
        .with("InstanceName", &status.name)
        .with("InstanceStatus", state_of(status.state, version))
        .since("2011-06-01", version, |instance| {
            instance
                .with("InstanceUpgradeDomain", status.update_domain)
                .with("InstanceFaultDomain", status.fault_domain)
                .with("InstanceSize", &status.size)
        })
        .since("2011-10-01", version, |instance| instance.with("InstanceStateDetails", &status.message))
        .since("2012-03-01", version, |instance| instance.with("IpAddress", status.address))
        .child(Element::new("InstanceEndpoints").children(endpoints))
        .with("PowerState", power_state(status.state))
}

fn role_element(role: &RoleObserved, endpoints: &[InputEndpoint], vip: &str, version: Version) -> Element {
    let endpoints = endpoints.iter().filter(|endpoint| endpoint.role == role.name).map(|endpoint| {
        let element =
            Element::new("InputEndpoint").with("Port", endpoint.port).with("Protocol", &endpoint.protocol);
        with_vip(element, vip, version)
    });
    let network = Element::new("ConfigurationSet")
        .attribute("i:type", "NetworkConfigurationSet")
        .with("ConfigurationSetType", "NetworkConfiguration")
        .child(Element::new("InputEndpoints").children(endpoints))
        .child(Element::new("SubnetNames"));
    Element::new("Role")
        .with("RoleName", &role.name)
        .with("OsVersion", &role.guest_os)
        .child(Element::new("ConfigurationSets").child(network))
}

/// Whether an instance is in a state that it does not leave by itself on the way up.
fn is_settled(instance: &InstanceStatus) -> bool {
    !matches!(
        instance.state,
        InstanceState::Unknown
            | InstanceState::CreatingVm
            | InstanceState::StartingVm
            | InstanceState::StartingRole
            | InstanceState::StoppingRole
            | InstanceState::StoppingVm
            | InstanceState::StoppedVm
            | InstanceState::DeletingVm
    )
}

/// `InstanceStatus` as a version of the API has it: later ones have no word for a role that ends again and again.
fn state_of(state: InstanceState, version: Version) -> &'static str {
    match state {
        InstanceState::Cycling if version > CYCLING_UNTIL => state_name(InstanceState::RestartingRole),
        _ => state_name(state),
    }
}

/// `InstanceStatus` (SERVICEMODEL §5).
#[must_use]
pub fn state_name(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Unknown => "RoleStateUnknown",
        InstanceState::CreatingVm => "CreatingVM",
        InstanceState::StartingVm => "StartingVM",
        InstanceState::StartingRole => "StartingRole",
        InstanceState::Ready => "ReadyRole",
        InstanceState::Busy => "BusyRole",
        InstanceState::RestartingRole => "RestartingRole",
        InstanceState::Cycling => "CyclingRole",
        InstanceState::FailedStartingRole => "FailedStartingRole",
        InstanceState::FailedStartingVm => "FailedStartingVM",
        InstanceState::Unresponsive => "UnresponsiveRole",
        InstanceState::StoppingRole => "StoppingRole",
        InstanceState::StoppingVm => "StoppingVM",
        InstanceState::StoppedVm => "StoppedVM",
        InstanceState::DeletingVm => "DeletingVM",
    }
}

/// `PowerState` (SERVICEMODEL §5).
fn power_state(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Unknown | InstanceState::Unresponsive => "Unknown",
        InstanceState::CreatingVm | InstanceState::StartingVm => "Starting",
        InstanceState::StoppingVm | InstanceState::DeletingVm => "Stopping",
        InstanceState::StoppedVm | InstanceState::FailedStartingVm => "Stopped",
        InstanceState::StartingRole
        | InstanceState::Ready
        | InstanceState::Busy
        | InstanceState::RestartingRole
        | InstanceState::Cycling
        | InstanceState::FailedStartingRole
        | InstanceState::StoppingRole => "Started",
    }
}

#[cfg(test)]
mod tests;
