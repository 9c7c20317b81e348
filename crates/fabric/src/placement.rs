//! Placement: on which node each new instance stands.
//!
//! Hard rules, which a placement never breaks:
//! 1. The node runs instances, is not drained, answers, and holds nothing that this controller does not know.
//! 2. Capacity: cores, memory, disk and addresses of the node suffice for all that is placed or leaving there.
//! 3. A role of several instances stands in at least two fault domains where the cluster has two: one fault domain
//!    holds at most half of the role, rounded up (SERVICEMODEL §6, "n mod 2").
//!
//! Preferences, which order what the rules allow: fewest of the role in the fault domain, then fewest of the role
//! on the node, then the node that is left with the fewest cores, then one that has the role's images, then the one
//! that is left with the least memory, then the lowest number. Update domains are `n mod count` and bind no node.

pub mod index;
mod room;

use std::fmt;
use std::net::Ipv4Addr;

use welkin_base::{Digest, InstanceName, NodeName, RoleName};

use crate::deployment::Need;

pub use room::Room;

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
    /// What it is made of: a node that has these already is preferred to one as good.
    pub images: &'a [Digest],
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
