//! A node, as the FC knows it: the inventory of a cluster.

use std::fmt;

use serde::{Deserialize, Serialize};
use welkin_base::{DeploymentId, NodeName, Timestamp};

/// What a node is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeKind {
    /// It runs instances, and balances the virtual IPs for what leaves it.
    #[default]
    Compute,
    /// It runs no instances: it only balances the virtual IPs for callers from outside.
    Edge,
}

/// What the operator wants of a node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// It gets instances.
    #[default]
    Active,
    /// It gets none, and those that it has move elsewhere, one update domain after the other.
    Draining,
    /// It was drained and is empty.
    Drained,
    /// It is no longer one of the cluster. What it may still have begins anew elsewhere.
    Retired,
}

/// Whether a node can be counted on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeHealth {
    /// The FC has just begun and has not read the node yet.
    Unknown,
    /// It answers.
    Healthy,
    /// It is silent, and its instances are out of the load balancer.
    Unhealthy,
    /// It has been silent for so long that its instances begin anew elsewhere.
    Lost,
}

/// A change of a node's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthChange {
    /// What it came to be.
    pub health: NodeHealth,
    /// When the FC noticed.
    pub at: Timestamp,
}

/// A node, as the FC knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeStatus {
    /// Its name.
    pub name: NodeName,
    /// What it is for.
    pub kind: NodeKind,
    /// Its number, from which its addresses follow.
    pub number: u32,
    /// Counted from 0.
    pub fault_domain: u32,
    /// What the operator wants of it.
    pub state: NodeState,
    /// Since when; none when it never was anything but active.
    pub state_since: Option<Timestamp>,
    /// Whether it answers: `health` is `healthy`.
    pub healthy: bool,
    /// Whether it can be counted on.
    pub health: NodeHealth,
    /// Its health of late, oldest first; the last entry says since when it is what it is.
    pub history: Vec<HealthChange>,
    /// `kvm` or `tcg`, once it has answered.
    pub accelerator: Option<String>,
    /// Virtual processors in all, as it said last, and in use.
    pub cores: u32,
    /// See `cores`.
    pub cores_used: u32,
    /// Memory in all and in use.
    pub memory_mib: u32,
    /// See `memory_mib`.
    pub memory_used_mib: u32,
    /// Disk in all and in use.
    pub disk_mib: u64,
    /// See `disk_mib`.
    pub disk_used_mib: u64,
    /// Instances placed on it.
    pub instances: u32,
    /// Instances that were on it and that it may still have.
    pub leaving: u32,
    /// A trouble that it reports, why it is unhealthy, or why it is not drained yet.
    pub trouble: Option<String>,
}

/// What the FC does not heal by itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealingStatus {
    /// Why nothing is healed at all, when too many nodes are lost.
    pub stopped: Option<String>,
    /// Deployments that used up what may move of them.
    pub deployments: Vec<HealingStop>,
}

/// A deployment that is not healed further.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealingStop {
    /// Which.
    pub deployment: DeploymentId,
    /// Why, and until when.
    pub why: String,
}

impl fmt::Display for NodeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Compute => "compute",
            Self::Edge => "edge",
        })
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Retired => "retired",
        })
    }
}

impl fmt::Display for NodeHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Lost => "lost",
        })
    }
}
