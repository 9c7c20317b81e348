//! Placement: on which node each new instance stands.
//!
//! Hard rules, which a placement never breaks:
//! 1. The node runs instances, is not drained, answers, and holds nothing that this controller does not know.
//! 2. Capacity: cores, memory, disk and addresses of the node suffice for all that is placed or leaving there.
//! 3. A role of several instances stands in at least two fault domains where the cluster has two: one fault domain
//!    holds at most half of the role, rounded up (SERVICEMODEL §6, "n mod 2").
//!
//! Preferences, which order what the rules allow: fewest of the role in the fault domain, then fewest of the role
//! on the node, then the node that is left the fullest (best fit), then the lowest number. Update domains are
//! `n mod count` and bind no node.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

use welkin_agent_wire::limits::INSTANCES_PER_NODE_MAX;
use welkin_base::{InstanceName, NodeName, RoleName, Timestamp};
use welkin_fabric_wire::NodeKind;

use crate::cluster::{Cluster, Node, Usage};
use crate::deployment::{Instance, Need};
use crate::health::{Health, health};

/// Whether the fault-domain rule binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// A new placement: it binds.
    Required,
    /// Healing: an instance in a bad place is better than none.
    Preferred,
}

/// The hard rule that left no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// No node answers and takes instances; the names of those that do not.
    NoNode(Vec<NodeName>),
    /// No node has enough free; what is missing on the node that comes nearest.
    Capacity {
        /// The node that comes nearest.
        node: NodeName,
        /// What is missing there.
        missing: Need,
    },
    /// Every address of each node that has room is in use.
    Addresses,
    /// Room is left only in fault domains that already hold their share of the role.
    FaultDomains {
        /// Instances of the role that one fault domain may hold.
        instances_max: u32,
        /// What is missing in the other fault domains, on the node that comes nearest.
        missing: Option<(NodeName, Need)>,
    },
}

/// An instance for which there is no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoRoom {
    /// Which instance.
    pub instance: InstanceName,
    /// Its size.
    pub size: String,
    /// The rule.
    pub rule: Rule,
}

/// What is being placed: an instance of a role of `of` instances in all.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Its role.
    pub role: &'a RoleName,
    /// `vmsize`, for people.
    pub size: &'a str,
    /// Its number.
    pub index: u32,
    /// Instances of the role in all.
    pub of: u32,
    /// What it takes.
    pub need: Need,
}

/// A node for an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The node.
    pub node: NodeName,
    /// Its fault domain.
    pub fault_domain: u32,
    /// A free address on it.
    pub address: Ipv4Addr,
}

/// What is free while a plan is made: each place that is taken makes it less.
#[derive(Debug)]
pub struct Room<'a> {
    cluster: &'a Cluster,
    nodes: Vec<(&'a Node, Need)>,
    unfit: Vec<NodeName>,
    used: BTreeMap<&'a NodeName, Usage>,
    addresses: BTreeSet<Ipv4Addr>,
}

impl<'a> Room<'a> {
    /// What is free in `cluster`.
    #[must_use]
    pub fn new(cluster: &'a Cluster, now: Timestamp) -> Self {
        let used = cluster.usage();
        let mut room =
            Self { cluster, nodes: Vec::new(), unfit: Vec::new(), used, addresses: BTreeSet::new() };
        room.addresses.extend(cluster.addresses());
        for node in cluster.nodes.values().filter(|node| node.kind == NodeKind::Compute) {
            match node.seen.state() {
                Some(state)
                    if node.takes_instances()
                        && health(cluster, node, now) == Health::Healthy
                        && !cluster.has_strangers(node) =>
                {
                    let taken = room.used.get(&node.name).copied().unwrap_or_default();
                    room.nodes.push((node, taken.need.free_of(state.capacity)));
                }
                _ => room.unfit.push(node.name.clone()),
            }
        }
        room
    }

    /// Takes a place for `wanted`, whose role's other instances are `placed`.
    ///
    /// # Errors
    /// When a hard rule leaves no node.
    pub fn take(&mut self, wanted: Wanted<'_>, placed: &[Instance], spread: Spread) -> Result<Place, NoRoom> {
        let of_role = || placed.iter().filter(|instance| instance.role == *wanted.role);
        let in_domain = |domain: u32| count(of_role().filter(|i| i.fault_domain == domain));
        let on_node = |name: &NodeName| count(of_role().filter(|i| i.node == *name));
        let share = self.share(wanted.of, spread);
        let best = self
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, (node, free))| {
                wanted.need.missing_in(*free).is_nothing() && in_domain(node.fault_domain) < share
            })
            .filter_map(|(at, (node, free))| Some((at, node, free, self.address(node)?)))
            .min_by_key(|(_, node, free, _)| {
                let left = left_over(**free, wanted.need);
                (in_domain(node.fault_domain), on_node(&node.name), left, node.number)
            })
            .map(|(at, node, _, address)| (at, *node, address));
        let Some((at, node, address)) = best else {
            return Err(NoRoom {
                instance: InstanceName::of(wanted.role, wanted.index),
                size: wanted.size.to_owned(),
                rule: self.broken(wanted, share, &in_domain),
            });
        };
        if let Some((_, free)) = self.nodes.get_mut(at) {
            *free = free.less(wanted.need);
        }
        self.used.entry(&node.name).or_default().instances += 1;
        self.addresses.insert(address);
        Ok(Place { node: node.name.clone(), fault_domain: node.fault_domain, address })
    }

    /// Takes more of a node for an instance that stands there and stays.
    ///
    /// # Errors
    /// When the node does not have so much, or takes no instances.
    pub fn grow(&mut self, instance: &Instance, more: Need, size: &str) -> Result<(), NoRoom> {
        let at = self.nodes.iter().position(|(node, _)| node.name == instance.node);
        let rule = match at.and_then(|at| self.nodes.get_mut(at)) {
            None => Rule::NoNode(vec![instance.node.clone()]),
            Some((_, free)) => {
                let missing = more.missing_in(*free);
                if missing.is_nothing() {
                    *free = free.less(more);
                    return Ok(());
                }
                Rule::Capacity { node: instance.node.clone(), missing }
            }
        };
        Err(NoRoom { instance: instance.name(), size: size.to_owned(), rule })
    }

    /// How many of a role's `of` instances one fault domain may hold.
    fn share(&self, of: u32, spread: Spread) -> u32 {
        let domains: BTreeSet<u32> = self.nodes.iter().map(|(node, _)| node.fault_domain).collect();
        if spread == Spread::Required && domains.len() >= 2 { of.div_ceil(2) } else { u32::MAX }
    }

    fn address(&self, node: &Node) -> Option<Ipv4Addr> {
        let instances = self.used.get(&node.name).map_or(0, |usage| usage.instances);
        if usize::try_from(instances).unwrap_or(usize::MAX) >= INSTANCES_PER_NODE_MAX {
            return None;
        }
        self.cluster.network.free_instance_address(node.number, &self.addresses)
    }

    /// Which rule left no node for `wanted`, and how much is missing.
    fn broken(&self, wanted: Wanted<'_>, share: u32, in_domain: &dyn Fn(u32) -> u32) -> Rule {
        let open = |node: &Node| in_domain(node.fault_domain) < share;
        if self.nodes.is_empty() {
            return Rule::NoNode(self.unfit.clone());
        }
        let fits_but_for_share =
            self.nodes.iter().any(|(node, free)| !open(node) && wanted.need.missing_in(*free).is_nothing());
        let nearest = |allowed: &dyn Fn(&Node) -> bool| {
            self.nodes
                .iter()
                .filter(|(node, _)| allowed(node))
                .map(|(node, free)| (node, wanted.need.missing_in(*free)))
                .min_by_key(|(node, missing)| {
                    (missing.memory_mib, missing.cores, missing.disk_mib, node.number)
                })
                .map(|(node, missing)| (node.name.clone(), missing))
        };
        if fits_but_for_share {
            return Rule::FaultDomains { instances_max: share, missing: nearest(&open) };
        }
        match nearest(&|_| true) {
            Some((node, missing)) if !missing.is_nothing() => Rule::Capacity { node, missing },
            _ => Rule::Addresses,
        }
    }
}

/// How full a node is left, as a key: less is fuller. Memory is what runs out first on most machines.
fn left_over(free: Need, need: Need) -> (u32, u32) {
    (free.memory_mib.saturating_sub(need.memory_mib), free.cores.saturating_sub(need.cores))
}

fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no room for {} of size {}: ", self.instance, self.size)?;
        match &self.rule {
            Rule::NoNode(unfit) => {
                let names: Vec<_> = unfit.iter().map(NodeName::as_str).collect();
                write!(f, "no node takes instances ({}); see the nodes' state", names.join(", "))
            }
            Rule::Capacity { node, missing } => {
                write!(f, "capacity: {node}, which comes nearest, lacks {missing}")
            }
            Rule::Addresses => f.write_str("addresses: every node with room has all its addresses in use"),
            Rule::FaultDomains { instances_max, missing } => {
                write!(f, "fault domains: one holds at most {instances_max} of the role")?;
                match missing {
                    Some((node, missing)) if !missing.is_nothing() => {
                        write!(f, "; in another, {node}, which comes nearest, lacks {missing}")
                    }
                    _ => f.write_str("; the others have no free address"),
                }
            }
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            (u64::from(self.cores), "cores"),
            (u64::from(self.memory_mib), "MiB of memory"),
            (self.disk_mib, "MiB of disk"),
        ];
        let said: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, unit)| format!("{n} {unit}")).collect();
        f.write_str(&said.join(", "))
    }
}
