//! A deployment as the FC holds it: what is wanted, its versions, and where each instance stands.
//!
//! Invariants:
//! * There is a version, and the last one is what the goal wants. Each instance follows one of them.
//! * An instance has one placement. What it held before stays in `leaving` until the node no longer has it,
//!   so capacity and addresses are never given twice.
//! * Each placement of an instance has a higher incarnation than the one before.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use welkin_agent_wire::guest::{Program, TaskKind};
use welkin_agent_wire::{CertificateGoal, GuestOs, LocalResource, Values};
use welkin_base::{
    DeploymentId, Digest, Generation, InstanceId, InstanceName, NodeName, RoleName, Timestamp,
};
use welkin_fabric_wire::{DeploymentGoal, GoalStatus, RebootEvent, RebootReason};

pub use crate::endpoint::{Reach, RoleEndpoint};
pub use crate::reboot::{Begin, Beginning};

/// Reboots of a deployment that are remembered: the newest. A row stays far below what the store takes.
pub const EVENTS_MAX: usize = 500;

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its private id.
    pub id: DeploymentId,
    /// What management wants.
    pub goal: DeploymentGoal,
    /// The goal is that it be gone.
    pub deleting: bool,
    /// Number of update domains.
    pub update_domains: u32,
    /// The virtual IP, when a role has an input endpoint.
    pub vip: Option<Ipv4Addr>,
    /// What instances follow, oldest first; the last is what the goal wants.
    pub versions: Vec<Version>,
    /// Instances, by role and number.
    pub instances: Vec<Instance>,
    /// What instances held before they were moved or removed.
    pub leaving: Vec<Leaving>,
    /// VMs that were started again, oldest first.
    pub events: Vec<RebootEvent>,
    /// Why the last update went back by itself.
    #[serde(default)]
    pub rolled_back: Option<String>,
}

/// What a package and a configuration make of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Of the goal that it came with.
    pub generation: Generation,
    /// `upgradeDomainCount`: update domains, at most.
    pub update_domains_max: u32,
    /// Roles, in the order of the definition.
    pub roles: Vec<Role>,
}

/// A role, with everything resolved that does not depend on the instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Its name.
    pub name: RoleName,
    /// The package that its definition and files come from.
    pub package: Digest,
    /// `vmsize`.
    pub size: String,
    /// Number of instances.
    pub count: u32,
    /// What each instance takes from its node.
    pub need: Need,
    /// Size of C.
    pub scratch_mib: u32,
    /// D of each instance.
    pub guest_os: GuestOs,
    /// E of each instance.
    pub application: Digest,
    /// Settings by name.
    pub settings: Values,
    /// Endpoints, in the order of the definition.
    pub endpoints: Vec<RoleEndpoint>,
    /// Local resources.
    pub local_resources: Vec<LocalResource>,
    /// Startup tasks, in order.
    pub startup_tasks: Vec<Task>,
    /// The role's program.
    pub program: Option<Program>,
    /// Variables of `Runtime/Environment`.
    pub variables: BTreeMap<String, Value>,
    /// Certificates that each instance is to have.
    #[serde(default)]
    pub certificates: Vec<CertificateGoal>,
}

/// What an instance takes from its node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// Virtual processors.
    pub cores: u32,
    /// Memory.
    pub memory_mib: u32,
    /// Disk: C, and what D and E may grow by.
    pub disk_mib: u64,
}

/// A startup task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its command line.
    pub command_line: String,
    /// Run as root.
    pub elevated: bool,
    /// How others wait for it.
    pub kind: TaskKind,
    /// Extra variables.
    pub variables: BTreeMap<String, Value>,
}

/// The value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Value {
    /// The same for every instance.
    Text(String),
    /// Follows from the instance: one of the twelve `RoleInstanceValue` forms (SERVICEMODEL §1, "XPaths").
    Instance(InstanceValue),
}

/// What a `RoleInstanceValue` names. The text is the name of a setting, resource or endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceValue {
    /// `/RoleEnvironment/Deployment/@id`
    DeploymentId,
    /// `/RoleEnvironment/Deployment/@emulated`
    Emulated,
    /// `…/CurrentInstance/@id`
    InstanceName,
    /// `…/CurrentInstance/@roleName`
    RoleName,
    /// `…/CurrentInstance/@faultDomain`
    FaultDomain,
    /// `…/CurrentInstance/@updateDomain`
    UpdateDomain,
    /// `…/ConfigurationSetting[@name='X']/@value`
    Setting(String),
    /// `…/LocalResource[@name='X']/@path`
    LocalResourcePath(String),
    /// `…/LocalResource[@name='X']/@sizeInMB`
    LocalResourceSize(String),
    /// `…/Endpoint[@name='X']/@address`
    EndpointAddress(String),
    /// `…/Endpoint[@name='X']/@port`
    EndpointPort(String),
    /// `…/Endpoint[@name='X']/@protocol`
    EndpointProtocol(String),
}

/// A role instance and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Its role.
    pub role: RoleName,
    /// Its number within the role.
    pub index: u32,
    /// Its node.
    pub node: NodeName,
    /// The node's fault domain.
    pub fault_domain: u32,
    /// Its update domain.
    pub update_domain: u32,
    /// Its own address.
    pub address: Ipv4Addr,
    /// Rises each time that it begins anew.
    pub incarnation: u64,
    /// Rises when its VM must boot again.
    pub boot: u64,
    /// Rises when D and E are to be made again.
    pub reimage: u64,
    /// What it takes from its node: the most of what its old and its new version take.
    pub need: Need,
    /// The version that it follows, by the generation of its goal.
    pub version: Generation,
    /// The node's goal before the instance last changed: what the guest did by that one or an older says nothing of it.
    pub changed: Generation,
    /// When an update last changed it.
    #[serde(default)]
    pub changed_at: Option<Timestamp>,
    /// What an update does with it just now.
    pub turn: Turn,
    /// What the customer asked it to do, until it is ready again.
    #[serde(default)]
    pub begins: Option<Beginning>,
    /// Times that its node started the VM again, as far as noted among the events.
    pub vm_restarts: u32,
}

/// What an update, or the draining of its node, does with an instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Turn {
    /// Nothing.
    #[default]
    None,
    /// It is out of rotation and will change.
    Draining {
        /// Since when.
        since: Timestamp,
    },
    /// It has changed and is not known to be ready since.
    Changing {
        /// Out of rotation until it is.
        out: bool,
    },
    /// Its node is drained: it is out of rotation and will move.
    Moving {
        /// Since when.
        since: Timestamp,
    },
    /// It has moved off a node that is drained, and is not known to be ready since.
    Moved,
}

impl Turn {
    /// Whether the instance gets no new connections.
    #[must_use]
    pub fn is_out(self) -> bool {
        matches!(
            self,
            Self::Draining { .. } | Self::Changing { out: true } | Self::Moving { .. } | Self::Moved
        )
    }

    /// Whether it is because of its node, and not of an update.
    #[must_use]
    pub fn is_move(self) -> bool {
        matches!(self, Self::Moving { .. } | Self::Moved)
    }
}

/// What an instance held before; it is held until the node no longer has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaving {
    /// Which instance.
    pub name: InstanceName,
    /// The node.
    pub node: NodeName,
    /// The last incarnation on that node.
    pub incarnation: u64,
    /// Its address there.
    pub address: Ipv4Addr,
    /// What it takes from the node.
    pub need: Need,
}

impl Deployment {
    /// The roles that the goal wants.
    #[must_use]
    pub fn roles(&self) -> &[Role] {
        self.versions.last().map_or(&[], |version| &version.roles)
    }

    /// The role called `name`, as the goal wants it.
    #[must_use]
    pub fn role(&self, name: &RoleName) -> Option<&Role> {
        self.roles().iter().find(|role| role.name == *name)
    }

    /// The generation of the version that the goal wants.
    #[must_use]
    pub fn wanted(&self) -> Generation {
        self.versions.last().map(|version| version.generation).unwrap_or_default()
    }

    /// The role of an instance, in the version that the instance follows.
    #[must_use]
    pub fn role_of(&self, instance: &Instance) -> Option<&Role> {
        let version = self.versions.iter().find(|version| version.generation == instance.version)?;
        version.roles.iter().find(|role| role.name == instance.role)
    }

    /// The instance called `name`.
    #[must_use]
    pub fn instance(&self, name: &InstanceName) -> Option<&Instance> {
        self.instances.iter().find(|instance| instance.name() == *name)
    }

    /// Whether its instances are in their nodes' goals.
    #[must_use]
    pub fn runs(&self) -> bool {
        !self.deleting && self.goal.status == GoalStatus::Running
    }

    /// The id of one of its instances.
    #[must_use]
    pub fn instance_id(&self, name: InstanceName) -> InstanceId {
        InstanceId::new(self.id.clone(), name)
    }

    /// What each of its instances, placed or leaving, takes from which node, and its address there.
    pub fn holdings(&self) -> impl Iterator<Item = (&NodeName, Need, Ipv4Addr)> {
        let placed = self.instances.iter().map(|instance| (&instance.node, instance.need, instance.address));
        placed.chain(self.leaving.iter().map(|left| (&left.node, left.need, left.address)))
    }

    /// Gives up the placement of every instance that `gone` chooses.
    pub fn let_go(&mut self, gone: impl Fn(&Instance) -> bool) {
        let (go, stay): (Vec<_>, Vec<_>) = std::mem::take(&mut self.instances).into_iter().partition(gone);
        self.instances = stay;
        self.leaving.extend(go.into_iter().map(Instance::leave));
    }

    /// Notes that an instance's VM is started again.
    pub fn note(&mut self, instance: &Instance, reason: RebootReason, at: Timestamp) {
        let (name, role) = (instance.name(), instance.role.clone());
        self.events.push(RebootEvent { instance: name, role, reason, at });
        let surplus = self.events.len().saturating_sub(EVENTS_MAX);
        self.events.drain(..surplus);
    }
}

impl Role {
    /// The images that its instances are made of.
    #[must_use]
    pub fn images(&self) -> [Digest; 4] {
        [self.application, self.guest_os.kernel, self.guest_os.initramfs, self.guest_os.root]
    }
}

impl Instance {
    /// Its name within the deployment.
    #[must_use]
    pub fn name(&self) -> InstanceName {
        InstanceName::of(&self.role, self.index)
    }

    /// Whether it gets no new connections, whatever it says of itself.
    #[must_use]
    pub fn is_out(&self) -> bool {
        self.turn.is_out() || self.begins.is_some()
    }

    /// Since when it waits for its connections to end.
    #[must_use]
    pub fn draining_since(&self) -> Option<Timestamp> {
        match (self.turn, self.begins) {
            (Turn::Draining { since } | Turn::Moving { since }, _) => Some(since),
            (_, Some(Beginning { since, begun: false, .. })) => Some(since),
            _ => None,
        }
    }

    /// What is left of the placement once the instance is to be elsewhere.
    #[must_use]
    pub fn leave(self) -> Leaving {
        let name = self.name();
        let Self { node, incarnation, address, need, .. } = self;
        Leaving { name, node, incarnation, address, need }
    }
}
