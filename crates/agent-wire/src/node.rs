//! What the FC says to an FA over mTLS, and what the FA observes.
//!
//! | call | meaning |
//! |---|---|
//! | `GET /v1/observed` | [`NodeObserved`] |
//! | `PUT /v1/goal` | [`NodeGoal`], whole; 200 when taken, 409 when the node holds a newer generation |
//! | `HEAD /v1/images/{sha256}` | 200 when the node has the image, else 404 |
//! | `PUT /v1/images/{sha256}` | the image's bytes; 400 when they have another digest |
//! | `PUT /v1/instances/{deployment}/{instance}/certificates/{sha1}` | [`SealedCertificate`](crate::SealedCertificate); 200 when its guest is told, 404 when the instance's goal does not name it, 409 when its guest cannot be told now |
//! | `GET /v1/instances/{deployment}/{instance}/log` | the end of the instance's console, as text |

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use welkin_base::{Digest, Generation, InstanceId, NodeName, Sha1Thumbprint};

use crate::drain::{DrainObserved, Draining};
use crate::guest::{GuestGoal, RoleState};
use crate::internal::InternalNetwork;
use crate::probe::ProbeGoal;

/// Everything that one node must run. What it does not name, the node ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeGoal {
    /// The node that is meant: another refuses.
    pub node: NodeName,
    /// An older one than the node holds is refused.
    pub generation: Generation,
    /// The instances that the node runs.
    pub instances: Vec<InstanceGoal>,
    /// The virtual IPs that the node balances.
    pub vips: Vec<Vip>,
    /// Calls within each deployment of which the node has an instance.
    #[serde(default)]
    pub internal: Vec<InternalNetwork>,
    /// Instances of the whole cluster that get no new connections and are to lose those that they have.
    #[serde(default)]
    pub draining: Vec<Draining>,
}

/// One role instance on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceGoal {
    /// Which instance.
    pub id: InstanceId,
    /// Rises when the instance must begin anew (moved, reimaged): D, E and C are made again.
    pub incarnation: u64,
    /// Rises when the VM must boot again, with the drives that it has.
    #[serde(default)]
    pub boot: u64,
    /// Rises when D and E are to be made again; C stays.
    #[serde(default)]
    pub reimage: u64,
    /// Virtual processors.
    pub cores: u32,
    /// Memory of the VM.
    pub memory_mib: u32,
    /// Size of C.
    pub scratch_mib: u32,
    /// D: the guest OS.
    pub guest_os: GuestOs,
    /// E: the squashfs image of the role's files.
    pub application: Digest,
    /// The guest interface's address; locally administered.
    pub mac: String,
    /// What the GA is told.
    pub guest: GuestGoal,
    /// What the FA asks the instance on behalf of load balancers.
    #[serde(default)]
    pub probes: Vec<ProbeGoal>,
}

/// A version of the guest OS: three images that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestOs {
    /// Its version, such as `WELKIN-GUEST-OS-1.0_202611-01`.
    pub version: String,
    /// The kernel (`-kernel`).
    pub kernel: Digest,
    /// The initramfs with the GA (`-initrd`).
    pub initramfs: Digest,
    /// The root file system, squashfs.
    pub root: Digest,
}

/// A load-balanced endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vip {
    /// The virtual address.
    pub address: Ipv4Addr,
    /// The public port.
    pub port: u16,
    /// `tcp` or `udp`.
    pub transport: Transport,
    /// Who may reach it: the first rule that fits decides. Everyone may whom none fits.
    #[serde(default)]
    pub access: Vec<AccessRule>,
    /// Where connections go, as far as each is ready.
    pub backends: Vec<VipBackend>,
}

/// Whether the addresses of a network may reach a load-balanced endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessRule {
    /// They may.
    pub permit: bool,
    /// The network's address.
    pub network: Ipv4Addr,
    /// Bits of the network, 0 to 32.
    pub prefix_length: u8,
}

/// Transport protocol of a load-balanced endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// One instance behind a load-balanced endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VipBackend {
    /// Which instance. For one on this node the node's own view of readiness decides.
    pub instance: InstanceId,
    /// The instance's address.
    pub address: Ipv4Addr,
    /// The instance's port (`localPort`).
    pub port: u16,
    /// Whether it takes connections as the FC sees it, for an instance on another node.
    pub ready: bool,
    /// `ignoreRoleInstanceStatus`: in rotation even when the role is not ready.
    pub ignore_status: bool,
    /// It is out of the rotation of every node, whatever it says of itself: it drains, or has changed and is not known
    /// to be ready since. Connections that it has go on.
    #[serde(default)]
    pub out: bool,
    /// The probe of the instance that must pass, by its name, when the endpoint has one.
    #[serde(default)]
    pub probe: Option<String>,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeObserved {
    /// Its own name.
    pub node: NodeName,
    /// The generation of the goal that it holds; 0 for none.
    pub generation: Generation,
    /// What instances may use in all.
    pub capacity: NodeCapacity,
    /// How it runs VMs.
    pub accelerator: Accelerator,
    /// Every instance that it has, wanted or not yet ended.
    pub instances: Vec<InstanceObserved>,
    /// A trouble of the node itself (a missing program, a full disk), for people.
    pub trouble: Option<String>,
    /// The public key to which secrets for this node are sealed, 64 hexadecimal digits. The FA makes the pair when it
    /// starts and keeps it in memory only; that it is the FA's is shown by the certificate under which this is read.
    #[serde(default)]
    pub transport_recipient: String,
    /// What is left of the connections to each instance that the goal in force calls draining.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub draining: Vec<DrainObserved>,
}

/// What a node can give to instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeCapacity {
    /// Virtual processors.
    pub cores: u32,
    /// Memory.
    pub memory_mib: u32,
    /// Disk.
    pub disk_mib: u64,
}

/// How a node runs VMs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// Hardware virtualization: a VM was started with it and ran.
    Kvm,
    /// Emulation.
    Tcg,
}

/// What a node says of one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InstanceObserved {
    /// Which instance.
    pub id: InstanceId,
    /// The incarnation that exists on the node.
    pub incarnation: u64,
    /// The VM's state.
    pub vm: VmState,
    /// The role's state, once the guest has spoken in this boot.
    pub role: Option<RoleState>,
    /// The generation of the goal that the guest works on; 0 before it has spoken.
    #[serde(default)]
    pub generation: Generation,
    /// Why it is not ready, for people.
    pub message: String,
    /// Times that the node started the VM again.
    pub vm_restarts: u32,
    /// Times that the role was started again in this boot.
    pub role_restarts: u32,
    /// Certificates that its guest waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Sha1Thumbprint>,
    /// Names of the goal's probes that pass.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<String>,
}

/// State of a VM on its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VmState {
    /// Drives, tap or filter are being made, or images are missing.
    Preparing,
    /// The VM process runs and the guest has not spoken.
    Starting,
    /// The guest speaks.
    Running,
    /// The guest has been silent too long.
    Unresponsive,
    /// The VM process is being ended.
    Stopping,
    /// There is no VM process.
    Stopped,
    /// It cannot be started; the message says why.
    Failed,
}
