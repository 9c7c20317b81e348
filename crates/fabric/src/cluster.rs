//! The cluster as the FC knows it: what is stored (deployments, each node's record) beside what was last read
//! from the nodes, which is forgotten when the FC ends.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use welkin_agent_wire::{GuestOs, NodeCapacity};
use welkin_base::{Digest, Generation, NodeName, Timestamp};
use welkin_fabric_wire::{HealthChange, NodeKind, NodeState};

use crate::deployment::{Deployment, Need};
use crate::healing::Policy;
use crate::ledger::{Deployments, Ledger};
use crate::network::Network;
use crate::observed::Seen;
use crate::quiet::DRAIN_MAX;
use crate::rollback::READY_MAX;

/// Everything that a decision of the FC rests on.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The cloud's addresses.
    pub network: Network,
    /// The guest OS that new instances get.
    pub guest_os: GuestOs,
    /// How long an instance drains, at most.
    pub drain_max: Duration,
    /// How much is healed before somebody has to look.
    pub policy: Policy,
    /// How long an instance that an update changed may take to get ready before the update goes back.
    pub ready_max: Duration,
    /// Since when this controller watches.
    pub since: Timestamp,
    /// When this controller was back after it had been stopped or cut off. What it noted of nodes before says nothing of them.
    pub back_since: Option<Timestamp>,
    /// Nodes by name.
    pub nodes: BTreeMap<NodeName, Node>,
    /// Deployments by id.
    pub deployments: Deployments,
    pub(crate) ledger: Ledger,
}

/// A node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// What it is for.
    pub kind: NodeKind,
    /// Its number, from which its addresses follow.
    pub number: u32,
    /// Its fault domain, counted from 0.
    pub fault_domain: u32,
    /// What is stored of it.
    pub record: NodeRecord,
    /// What was last read from it.
    pub seen: Seen,
}

/// The stored half of a node. Which goal it was given last is committed before the goal is pushed, so that no two
/// goals ever carry the same generation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeRecord {
    /// Generation of the last goal; 0 before the first.
    pub generation: Generation,
    /// Digest of that goal without its generation.
    pub goal: Option<Digest>,
    /// What the operator wants of it.
    #[serde(default)]
    pub state: NodeState,
    /// Since when.
    #[serde(default)]
    pub state_since: Option<Timestamp>,
    /// What it had when it answered last.
    #[serde(default)]
    pub capacity: Option<NodeCapacity>,
    /// When that was noted.
    #[serde(default)]
    pub capacity_at: Option<Timestamp>,
    /// How its health changed, oldest first.
    #[serde(default)]
    pub history: Vec<HealthChange>,
}

/// What is free on a node and who stands there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// What placed and leaving instances take.
    pub need: Need,
    /// Instances placed.
    pub instances: u32,
    /// Instances that may still be there.
    pub leaving: u32,
}

impl Cluster {
    /// A cluster with nothing in it.
    #[must_use]
    pub fn new(network: Network, guest_os: GuestOs, since: Timestamp) -> Self {
        let (nodes, deployments, ledger) = (BTreeMap::new(), Deployments::default(), Ledger::default());
        let policy = Policy::default();
        Self {
            network,
            guest_os,
            drain_max: DRAIN_MAX,
            ready_max: READY_MAX,
            policy,
            since,
            back_since: None,
            nodes,
            deployments,
            ledger,
        }
    }

    /// Adds a node of which nothing was read yet.
    pub fn add_node(
        &mut self,
        name: NodeName,
        kind: NodeKind,
        number: u32,
        fault_domain: u32,
        record: NodeRecord,
    ) {
        let node = Node { name: name.clone(), kind, number, fault_domain, record, seen: Seen::default() };
        self.ledger.introduce(number, name.clone());
        self.nodes.insert(name, node);
    }

    /// Addresses of instances, placed or leaving.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.deployments.values().flat_map(Deployment::holdings).map(|(_, _, address)| address)
    }

    /// Virtual IPs in use.
    pub fn vips(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.deployments.values().filter_map(|deployment| deployment.vip)
    }
}

impl Node {
    /// Whether it is to get instances, as far as the operator decides.
    #[must_use]
    pub fn takes_instances(&self) -> bool {
        self.kind == NodeKind::Compute && self.record.state == NodeState::Active
    }

    /// Whether the operator wants its instances elsewhere.
    #[must_use]
    pub fn is_left(&self) -> bool {
        matches!(self.record.state, NodeState::Draining | NodeState::Drained)
    }

    /// Whether it is no longer one of the cluster.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.record.state == NodeState::Retired
    }
}

impl Need {
    /// Adds another need.
    pub fn add(&mut self, other: Self) {
        self.cores = self.cores.saturating_add(other.cores);
        self.memory_mib = self.memory_mib.saturating_add(other.memory_mib);
        self.disk_mib = self.disk_mib.saturating_add(other.disk_mib);
    }

    /// What is left of it when `other` is taken away.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self {
            cores: self.cores.saturating_sub(other.cores),
            memory_mib: self.memory_mib.saturating_sub(other.memory_mib),
            disk_mib: self.disk_mib.saturating_sub(other.disk_mib),
        }
    }

    /// What is left of `capacity` beside this.
    #[must_use]
    pub fn free_of(self, capacity: NodeCapacity) -> Self {
        Self { cores: capacity.cores, memory_mib: capacity.memory_mib, disk_mib: capacity.disk_mib }
            .less(self)
    }

    /// How much of this is missing where `free` is free.
    #[must_use]
    pub fn missing_in(self, free: Self) -> Self {
        self.less(free)
    }

    /// Whether it is nothing.
    #[must_use]
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }
}
