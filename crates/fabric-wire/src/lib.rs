//! What management says to the fabric controller (FC), and what it reads back. JSON over mTLS.
//!
//! | call | meaning |
//! |---|---|
//! | `GET /v1/identity` | [`FabricIdentity`] |
//! | `PUT /v1/packages/{sha256}` | an encrypted service package, by the digest of its bytes as sent |
//! | `PUT /v1/deployments/{id}?cores_max=N&warnings=W` | [`DeploymentGoal`] of a subscription that has so many cores, and [`Warnings`]; 200 with [`Taken`], 409 for an older generation, 422 with [`Refusal`] when it cannot be |
//! | `GET /v1/deployments/{id}` | [`DeploymentObserved`]; 404 when it does not exist or is wholly gone |
//! | `DELETE /v1/deployments/{id}` | the goal is that it be gone; 202, and 404 from `GET` once it is |
//! | `PUT /v1/certificates/{subscription}/{service}/{sha1}` | [`ServiceCertificate`](certificate::ServiceCertificate) is kept; 400 when it contradicts itself |
//! | `DELETE /v1/certificates/{subscription}/{service}/{sha1}`, `…/{service}` | it, or all of the service, are kept no longer |
//! | `GET /v1/certificates` | list of [`KeptCertificate`](certificate::KeptCertificate) |
//! | `GET /v1/controller` | [`ControllerStatus`], of every replica; one that does not lead answers all else with 421 or 503 |
//! | `GET /v1/subscriptions/{subscription}/cores` | [`CoresUsed`] |
//! | `GET /v1/nodes` | list of [`NodeStatus`] |
//! | `GET /v1/healing` | [`HealingStatus`] |
//! | `POST /v1/nodes/{name}/drain`, `…/undrain` | [`NodeStatus`] as it is then; 404 for an unknown node |
//! | `POST /v1/nodes/{name}/retire`, `…/retire?force=true` | the same; 409 with a text while something is on the node and it is not forced |
//! | `GET /v1/deployments/{id}/instances/{name}/log` | the end of an instance's console, as text |
//! | `GET /v1/deployments/{id}/events` | list of [`RebootEvent`], oldest first |
//! | `POST /v1/deployments/{id}/instances/{name}/reboot`, `…/reimage`, `…/rebuild` | 202 |
//! | `PUT /v1/services/{service}/slots` | [`Slots`]; 200 when it is so, 409 while it cannot be, 422 with [`Refusal`] |
//! | `GET /v1/packages/{sha256}` | a package, as it was sent |

pub mod certificate;
mod controller;
mod node;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use welkin_base::{
    DeploymentId, Digest, Generation, InstanceName, NodeName, RoleName, ServiceName, SubscriptionId,
    Timestamp,
};

pub use controller::ControllerStatus;
pub use node::{HealingStatus, HealingStop, HealthChange, NodeHealth, NodeKind, NodeState, NodeStatus};

/// A service package as sent, in bytes, at most.
pub const PACKAGE_BYTES_MAX: u64 = 600 << 20;
/// A deployment goal in bytes of JSON, at most.
pub const DEPLOYMENT_GOAL_BYTES_MAX: usize = 4 << 20;
/// Warnings of a goal, at most; the last line says how many more there are.
pub const WARNINGS_MAX: usize = 100;

/// Who the FC is to those who send it packages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FabricIdentity {
    /// The age recipient (`age1…`) to which service packages are encrypted.
    pub package_recipient: String,
    /// The public key to which private keys of service certificates are sealed, 64 hexadecimal digits.
    pub certificate_recipient: String,
}

/// What management wants of one deployment. `Debug` does not show the configuration, which may hold keys and passwords.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentGoal {
    /// Rises with each change that management asks for.
    pub generation: Generation,
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// The hosted service.
    pub service: ServiceName,
    /// `production` or `staging`.
    pub slot: Slot,
    /// The package, pushed before.
    pub package: Digest,
    /// Roles that stay with another package than that one, and with which.
    #[serde(default)]
    pub kept: BTreeMap<RoleName, Digest>,
    /// The text of the service configuration (`.cscfg`).
    pub configuration: String,
    /// Whether instances run; `Suspended` keeps them placed and stopped.
    pub status: GoalStatus,
    /// Instances that were deleted by name: no instance has these names again.
    #[serde(default)]
    pub removed: BTreeSet<InstanceName>,
    /// How instances come to follow the package and the configuration.
    #[serde(default)]
    pub update: UpdateGoal,
}

/// How the instances of a deployment come to follow a changed goal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateGoal {
    /// Which of them, when.
    pub mode: UpdateMode,
    /// Go on even where local data are lost.
    pub force: bool,
}

/// `Mode` of an update (SERVICEMODEL §6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateMode {
    /// One update domain after the other.
    #[default]
    Automatic,
    /// One update domain, when the customer says so.
    Manual {
        /// The domain that may change; none before the first.
        domain: Option<u32>,
    },
    /// All at once.
    Simultaneous,
}

impl fmt::Debug for DeploymentGoal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeploymentGoal")
            .field("generation", &self.generation)
            .field("subscription", &self.subscription)
            .field("service", &self.service)
            .field("slot", &self.slot)
            .field("package", &self.package)
            .field("status", &self.status)
            .field("update", &self.update)
            .finish_non_exhaustive()
    }
}

/// What becomes of a goal of which something has no effect here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Warnings {
    /// It is taken, and the warnings are told.
    #[default]
    Told,
    /// It is refused with the warnings.
    Refused,
}

impl Warnings {
    /// The word for it in a query.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Refused => "refused",
        }
    }

    /// Reads [`Self::as_str`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Told, Self::Refused].into_iter().find(|one| one.as_str() == text)
    }
}

/// What the deployments of a subscription use together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoresUsed {
    /// Virtual processors; of a deployment that changes, those of the larger of its versions.
    pub cores: u32,
}

/// A goal was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Taken {
    /// What of its package and configuration has no effect here: one line each, with the place.
    pub warnings: Vec<String>,
}

/// Slot of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Slot {
    /// The slot that the service's own address leads to.
    Production,
    /// The slot for trying a deployment out.
    Staging,
}

/// Wanted status of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GoalStatus {
    /// Instances run.
    Running,
    /// Instances are placed and stopped.
    Suspended,
}

/// Why the FC refuses a goal: for the customer, every error of package and configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// What is refused.
    pub reason: RefusalReason,
    /// One line each, saying what to change.
    pub messages: Vec<String>,
}

/// Kind of a [`Refusal`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalReason {
    /// The package is unknown, cannot be opened, or is not what it says.
    Package,
    /// The configuration is wrong or does not fit the definition.
    Configuration,
    /// The cluster has no room.
    Capacity,
}

/// A deployment as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeploymentObserved {
    /// Its id.
    pub id: DeploymentId,
    /// The generation of the goal that this describes.
    pub generation: Generation,
    /// Being deleted.
    pub deleting: bool,
    /// Number of update domains.
    pub update_domains: u32,
    /// Roles, in the order of the definition.
    pub roles: Vec<RoleObserved>,
    /// Instances, by role and number.
    pub instances: Vec<InstanceStatus>,
    /// The deployment's virtual IP, when it has an input endpoint.
    pub vip: Option<Ipv4Addr>,
    /// Load-balanced endpoints.
    pub input_endpoints: Vec<InputEndpoint>,
    /// The update that is in progress.
    pub update: Option<UpdateObserved>,
    /// Why the last update went back to the version before by itself, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<String>,
}

/// An update in progress: not every instance follows the goal yet, or is ready since it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UpdateObserved {
    /// Its mode.
    pub mode: UpdateMode,
    /// The update domain that is next or under way.
    pub domain: u32,
    /// Whether it is under way.
    pub during: bool,
    /// Whether every instance follows the goal: there is nothing to roll back but what was done.
    pub all_changed: bool,
}

/// Which deployments of a service are in which slot. Each takes over the virtual IP of its slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slots {
    /// The deployment that is to be in the production slot.
    pub production: DeploymentId,
    /// The one that is to be in the staging slot.
    pub staging: Option<DeploymentId>,
}

/// A VM that was started again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RebootEvent {
    /// Which instance.
    pub instance: InstanceName,
    /// Its role.
    pub role: RoleName,
    /// Why.
    pub reason: RebootReason,
    /// When.
    pub at: Timestamp,
}

/// Why a VM was started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RebootReason {
    /// The customer asked for it.
    Asked,
    /// An update changed what it is made of.
    Update,
    /// It ended by itself, or its guest was silent.
    Failed,
    /// Its node was lost: it begins anew on another.
    Moved,
    /// Its node was drained: it begins anew on another.
    Drained,
}

/// A role of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleObserved {
    /// Its name.
    pub name: RoleName,
    /// `vmsize`.
    pub size: String,
    /// The guest OS version that it runs.
    pub guest_os: String,
}

/// An endpoint of a role at the virtual IP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputEndpoint {
    /// Its role.
    pub role: RoleName,
    /// Its name in the definition.
    pub name: String,
    /// `http`, `https`, `tcp` or `udp`.
    pub protocol: String,
    /// The public port on the VIP.
    pub port: u16,
    /// The port on each instance.
    pub local_port: u16,
}

/// One instance, as the FC knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceStatus {
    /// Its name.
    pub name: InstanceName,
    /// Its role.
    pub role: RoleName,
    /// Where it is placed.
    pub node: NodeName,
    /// Counted from 0.
    pub update_domain: u32,
    /// Counted from 0.
    pub fault_domain: u32,
    /// `vmsize`.
    pub size: String,
    /// Its own address.
    pub address: Ipv4Addr,
    /// Its state.
    pub state: InstanceState,
    /// Why it is not ready, for people.
    pub message: String,
    /// Times that its VM was started again.
    pub vm_restarts: u32,
    /// Times that its role was started again.
    pub role_restarts: u32,
    /// Endpoints at which this very instance is reached from outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instance_endpoints: Vec<InputEndpoint>,
}

/// State of an instance (SERVICEMODEL §5; the wire names are `management-wire`'s).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceState {
    /// The node has not said anything of it.
    Unknown,
    /// Drives are being made.
    CreatingVm,
    /// The VM boots.
    StartingVm,
    /// Startup tasks run or the role starts.
    StartingRole,
    /// Ready, in rotation.
    Ready,
    /// Runs, not ready.
    Busy,
    /// The role exited and is started again.
    RestartingRole,
    /// The role exits again and again.
    Cycling,
    /// A startup task failed or the program cannot start.
    FailedStartingRole,
    /// The VM cannot be started.
    FailedStartingVm,
    /// The guest agent or the node is silent.
    Unresponsive,
    /// The role is being stopped.
    StoppingRole,
    /// The VM is being stopped.
    StoppingVm,
    /// Stopped.
    StoppedVm,
    /// Being removed.
    DeletingVm,
}
