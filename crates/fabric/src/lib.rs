//! The pure core of the fabric controller (FC). No I/O and no clock: what is known and the time are arguments.
//!
//! The shell reads the nodes ([`Cluster::observe`]), asks [`plan()`] what to do, commits and says it, and begins again.
//! Management's wishes come through [`deploy()`], [`delete`], [`swap()`] and [`restart`]; [`deployment_observed`] answers
//! it. A deployment whose goal changed is led there by [`update`], one update domain after the other.

mod access;
pub mod certificate;
pub mod cluster;
pub mod compile;
pub mod cycling;
pub mod deploy;
pub mod deployment;
pub mod drain;
mod endpoint;
pub mod goal;
pub mod healing;
pub mod health;
mod internal;
mod ledger;
pub mod life;
pub mod network;
pub mod observed;
pub mod placement;
pub mod plan;
pub mod quiet;
pub mod quota;
pub mod reboot;
pub mod rollback;
pub mod row;
pub mod status;
pub mod swap;
pub mod update;
pub mod vip;

pub use cluster::{Cluster, Node, NodeRecord, Usage};
pub use deploy::{Asked, Refused, compare, delete, deploy};
pub use deployment::{
    Beginning, Deployment, Instance, Leaving, Need, Reach, Role, RoleEndpoint, Task, Turn, Value, Version,
};
pub use goal::node_goal;
pub use healing::{Policy, healing_status};
pub use health::{Health, health};
pub use ledger::Deployments;
pub use life::{NotChanged, drain_node, retire_node, undrain_node};
pub use network::{Network, NetworkError};
pub use observed::{Lie, Seen};
pub use placement::{NoRoom, Place, Room, Rule, Spread, Wanted};
pub use plan::{Action, Change, plan};
pub use quota::{NoCores, check_cores, cores_used};
pub use reboot::{Begin, restart};
pub use status::{deployment_observed, node_status};
pub use swap::{NotSwapped, swap};
pub use update::update_observed;
pub use welkin_fabric_wire::{NodeKind, NodeState};
