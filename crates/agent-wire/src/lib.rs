//! What the fabric controller (FC) says to a fabric agent (FA), what a fabric agent says to a
//! guest agent (GA), and what each observes.
//!
//! Goals flow down, observed state is read back up. Every type that comes from below denies
//! unknown fields, and [`limits`] bounds it: whoever reads it treats it as hostile.

pub mod certificate;
pub mod drain;
pub mod guest;
pub mod internal;
pub mod limits;
pub mod node;
pub mod probe;
pub mod role;

pub use certificate::{CertificateGoal, GuestCertificate, RoleCertificate, SealedCertificate};
pub use drain::{DrainObserved, Draining};
pub use guest::{FromGuest, GuestGoal, GuestObserved, RoleState, ToGuest};
pub use internal::{InternalEndpoint, InternalNetwork};
pub use node::{
    Accelerator, AccessRule, GuestOs, InstanceGoal, InstanceObserved, NodeCapacity, NodeGoal, NodeObserved,
    Vip, VipBackend, VmState,
};
pub use probe::{ProbeGoal, ProbeKind};
pub use role::{Endpoint, EnvironmentChange, LocalResource, Peer, RoleEnvironment, Values};
