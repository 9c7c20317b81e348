//! What the FA and the GA say to each other: lines of JSON over the private virtio port.
//!
//! The port is the virtio-serial port named [`PORT_NAME`]. What the host sends before the guest
//! has opened the port is lost (VM, "Guest channel"), so the FA repeats [`ToGuest::Goal`] about once a
//! second until an observation carries the goal's generation, and again whenever it reconnects.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use welkin_base::{Generation, Sha1Thumbprint};

use crate::certificate::{CertificateGoal, GuestCertificate};
use crate::role::{RoleEnvironment, Values};

/// The virtio-serial port's name.
pub const PORT_NAME: &str = "org.welkin.agent";
/// The GA reports at least this often, and at once when something changes.
pub const HEARTBEAT_INTERVAL_MS: u64 = 1_000;

/// A line from the FA to the GA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ToGuest {
    /// The whole of what the guest must do.
    Goal(Box<GuestGoal>),
    /// A certificate that the guest has said it lacks.
    Certificate(Box<GuestCertificate>),
    /// Stop the role in order (OnStop), sync and power the VM off.
    Shutdown,
}

/// A line from the GA to the FA.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "kebab-case", deny_unknown_fields)]
pub enum FromGuest {
    /// The guest's state: a heartbeat, and at once at each change.
    Observed(GuestObserved),
}

/// What one VM must run. The GA compares it with what runs and changes only what differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestGoal {
    /// The generation of the node goal that this came with.
    pub generation: Generation,
    /// The guest's own network.
    pub network: GuestNetwork,
    /// What the role sees.
    pub environment: RoleEnvironment,
    /// Run before the role, in order.
    pub startup_tasks: Vec<StartupTask>,
    /// The role's program; `None` for a role that has none, which is then ready at once.
    pub program: Option<Program>,
    /// Variables of `Runtime/Environment`, values resolved.
    pub variables: Values,
    /// Certificates that the role is to have before it starts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<CertificateGoal>,
}

/// Address and route of a guest's only interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestNetwork {
    /// The instance's address.
    pub address: Ipv4Addr,
    /// Bits of the network.
    pub prefix_length: u8,
    /// The default route.
    pub gateway: Ipv4Addr,
}

/// A startup task (SERVICEMODEL, "Role lifecycle").
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StartupTask {
    /// Run by `/bin/sh -c` in `/app`.
    pub command_line: String,
    /// Run as root rather than as the role's user.
    pub elevated: bool,
    /// How the next task and the role wait for this one.
    pub kind: TaskKind,
    /// Extra variables.
    pub variables: Values,
}

/// `taskType` of a startup task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// Blocks what follows; an exit code other than 0 blocks the instance.
    Simple,
    /// Runs beside the role.
    Background,
    /// Runs beside the role, and delays its recycling until it ends.
    Foreground,
}

/// `ProgramEntryPoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Program {
    /// Command line, relative to `/app`; split at blanks, no shell.
    pub command_line: String,
    /// `Runtime executionContext="elevated"`.
    pub elevated: bool,
    /// Ready as soon as the process runs; otherwise ready when the role says so on its socket
    /// (`POST /v1/ready`) .
    pub ready_on_start: bool,
}

/// What the GA says of its VM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestObserved {
    /// The generation of the goal that the guest works on; 0 before the first. A goal about which the role is still
    /// being asked is not worked on yet.
    pub generation: Generation,
    /// The role's state.
    pub role: RoleState,
    /// Why, when the role is not ready: for people, at most [`crate::limits::MESSAGE_BYTES_MAX`].
    pub message: String,
    /// Times that the role was started again since the VM booted.
    pub role_restarts: u32,
    /// Milliseconds since the VM booted.
    pub uptime_ms: u64,
    /// Certificates of the goal that the guest does not have yet: it waits for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacks: Vec<Sha1Thumbprint>,
}

/// State of the role inside its VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleState {
    /// No goal has arrived, or startup tasks run.
    Starting,
    /// The role runs but is not yet ready, or has said that it is busy.
    Busy,
    /// The role runs and takes traffic.
    Ready,
    /// The role exited and waits out its back-off.
    Recycling,
    /// A startup task failed, or the program cannot be started.
    Failed,
    /// The role is being stopped.
    Stopping,
}
