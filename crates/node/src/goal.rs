//! Whether a node's goal is one that this node can hold.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use welkin_agent_wire::limits::{
    DRAINING_MAX, INSTANCES_PER_NODE_MAX, PROBE_NAME_BYTES_MAX, PROBES_PER_INSTANCE_MAX,
};
use welkin_agent_wire::{InstanceGoal, NodeCapacity, NodeGoal, ProbeGoal, ProbeKind};
use welkin_base::{InstanceId, NodeName};

use crate::filter::{NodeNetwork, gateway_mac};
use crate::limits::{CORES, MEMORY_MIB, SCRATCH_MIB};

/// Why a node refuses a goal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GoalError {
    /// It is for another node.
    #[error("this goal is for node {wanted}, and this is node {actual}")]
    OtherNode {
        /// Whom it is for.
        wanted: NodeName,
        /// Who reads it.
        actual: NodeName,
    },
    /// More than a node holds.
    #[error("the goal has {0} instances; a node holds at most {INSTANCES_PER_NODE_MAX}")]
    TooMany(usize),
    /// The node has less memory.
    #[error("the goal needs {wanted_mib} MiB of memory; this node has {capacity_mib} MiB")]
    NoMemory {
        /// Sum over all instances.
        wanted_mib: u64,
        /// What instances may use.
        capacity_mib: u32,
    },
    /// An instance that cannot be.
    #[error("instance {id}: {why}")]
    Instance {
        /// Which one.
        id: Box<InstanceId>,
        /// What is wrong.
        why: String,
    },
    /// More drain than a node is told of.
    #[error("the goal has {0} instances that drain; a node is told of at most {DRAINING_MAX}")]
    TooManyDrain(usize),
    /// An internal endpoint that cannot be.
    #[error("the internal endpoint at {address} has no ports from {port} on")]
    Internal {
        /// The instance's address.
        address: Ipv4Addr,
        /// The first port.
        port: u16,
    },
    /// A load-balanced endpoint that cannot be.
    #[error("virtual IP {address} port {port}: {why}")]
    Vip {
        /// The address.
        address: Ipv4Addr,
        /// The port.
        port: u16,
        /// What is wrong.
        why: &'static str,
    },
}

/// Checks a goal before the node takes it, so that all that follows may rely on it.
///
/// # Errors
/// When the goal is for another node, or asks for what cannot be.
pub fn check(
    goal: &NodeGoal,
    node: &NodeName,
    network: &NodeNetwork,
    capacity: &NodeCapacity,
) -> Result<(), GoalError> {
    if goal.node != *node {
        return Err(GoalError::OtherNode { wanted: goal.node.clone(), actual: node.clone() });
    }
    if goal.instances.len() > INSTANCES_PER_NODE_MAX {
        return Err(GoalError::TooMany(goal.instances.len()));
    }
    if goal.draining.len() > DRAINING_MAX {
        return Err(GoalError::TooManyDrain(goal.draining.len()));
    }
    let wanted_mib = goal.instances.iter().map(|i| u64::from(i.memory_mib)).sum();
    if wanted_mib > u64::from(capacity.memory_mib) {
        return Err(GoalError::NoMemory { wanted_mib, capacity_mib: capacity.memory_mib });
    }
    let mut taken = Taken::new(network);
    for instance in &goal.instances {
        taken
            .take(instance, network)
            .map_err(|why| GoalError::Instance { id: Box::new(instance.id.clone()), why })?;
    }
    check_internal(goal)?;
    check_vips(goal, network)
}

fn check_internal(goal: &NodeGoal) -> Result<(), GoalError> {
    let mut endpoints = goal.internal.iter().flat_map(|network| &network.endpoints);
    match endpoints.find(|endpoint| endpoint.first_port == 0 || endpoint.first_port > endpoint.last_port) {
        None => Ok(()),
        Some(endpoint) => Err(GoalError::Internal { address: endpoint.address, port: endpoint.first_port }),
    }
}

/// What may not be given twice.
struct Taken<'a> {
    ids: BTreeSet<&'a InstanceId>,
    addresses: BTreeSet<Ipv4Addr>,
    macs: BTreeSet<String>,
}

impl<'a> Taken<'a> {
    fn new(network: &NodeNetwork) -> Self {
        Self {
            ids: BTreeSet::new(),
            addresses: BTreeSet::from([network.bridge]),
            macs: BTreeSet::from([gateway_mac(network.bridge)]),
        }
    }

    fn take(&mut self, instance: &'a InstanceGoal, network: &NodeNetwork) -> Result<(), String> {
        let guest = &instance.guest.network;
        if !self.ids.insert(&instance.id) {
            return Err("named twice".to_owned());
        }
        if !CORES.contains(&instance.cores) {
            return Err(format!("{} cores; a VM has {} to {}", instance.cores, CORES.start(), CORES.end()));
        }
        if !MEMORY_MIB.contains(&instance.memory_mib) {
            return Err(format!(
                "{} MiB of memory; a VM has at least {}",
                instance.memory_mib,
                MEMORY_MIB.start()
            ));
        }
        if !SCRATCH_MIB.contains(&instance.scratch_mib) {
            return Err(format!(
                "C of {} MiB; it has at least {}",
                instance.scratch_mib,
                SCRATCH_MIB.start()
            ));
        }
        if guest.gateway != network.bridge || guest.prefix_length != network.prefix_length {
            return Err(format!("gateway must be {}/{}", network.bridge, network.prefix_length));
        }
        if !network.is_guest(guest.address) {
            return Err(format!("{} is not an address of a guest of this node", guest.address));
        }
        if !is_private_mac(&instance.mac) {
            return Err(format!(
                "{:?} is not a locally administered MAC address in lower case",
                instance.mac
            ));
        }
        if !self.addresses.insert(guest.address) {
            return Err(format!("address {} is taken", guest.address));
        }
        if !self.macs.insert(instance.mac.clone()) {
            return Err(format!("MAC address {} is taken", instance.mac));
        }
        check_probes(&instance.probes)
    }
}

fn check_probes(probes: &[ProbeGoal]) -> Result<(), String> {
    if probes.len() > PROBES_PER_INSTANCE_MAX {
        return Err(format!("{} probes; an instance has at most {PROBES_PER_INSTANCE_MAX}", probes.len()));
    }
    let mut names = BTreeSet::new();
    for ProbeGoal { name, kind, port, interval_seconds, timeout_seconds } in probes {
        if name.len() > PROBE_NAME_BYTES_MAX || !names.insert(name) {
            return Err("a probe's name is too long, or given twice".to_owned());
        }
        let is_path = match kind {
            ProbeKind::Tcp => true,
            ProbeKind::Http { path } => path.starts_with('/') && path.bytes().all(|b| b.is_ascii_graphic()),
        };
        if *port == 0 || *interval_seconds == 0 || *timeout_seconds == 0 || !is_path {
            return Err(format!("the probe {name:?} cannot be asked"));
        }
    }
    Ok(())
}

/// `xx:xx:xx:xx:xx:xx` in lower case, unicast, locally administered. The text goes into rules and command
/// lines, so its form matters.
fn is_private_mac(text: &str) -> bool {
    let octets: Vec<&str> = text.split(':').collect();
    let hex = |o: &str| o.len() == 2 && o.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    octets.len() == 6
        && octets.iter().all(|o| hex(o))
        && u8::from_str_radix(octets[0], 16).is_ok_and(|first| first & 0b11 == 0b10)
}

/// Access rules of an endpoint, at most: the 50 of a service configuration and the one that closes the rest, with room.
const ACCESS_RULES_MAX: usize = 64;

fn check_vips(goal: &NodeGoal, network: &NodeNetwork) -> Result<(), GoalError> {
    let mut taken = BTreeSet::new();
    for vip in &goal.vips {
        let fail = |why| Err(GoalError::Vip { address: vip.address, port: vip.port, why });
        if vip.port == 0 || vip.backends.iter().any(|b| b.port == 0) {
            return fail("port 0 cannot be reached");
        }
        if vip.access.len() > ACCESS_RULES_MAX || vip.access.iter().any(|rule| rule.prefix_length > 32) {
            return fail("its access rules are too many, or of no network");
        }
        if !taken.insert((vip.address, vip.port, vip.transport)) {
            return fail("given twice");
        }
        let special = vip.address.is_unspecified() || vip.address.is_loopback() || vip.address.is_multicast();
        let storage = network.storage.iter().any(|s| *s.ip() == vip.address);
        if special || storage || network.contains(vip.address) {
            return fail("the address has another use");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use welkin_agent_wire::AccessRule;

    use super::*;
    use crate::plan::samples;

    fn check_change(change: impl FnOnce(&mut NodeGoal), expected: Option<&str>) {
        let mut goal = samples::goal(1, 2);
        change(&mut goal);
        let capacity = NodeCapacity { cores: 2, memory_mib: 1024, disk_mib: 1024 };
        let result = check(&goal, &samples::node(), &samples::network(), &capacity);
        match (result, expected) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) => assert!(error.to_string().contains(part), "{error}"),
            (result, expected) => panic!("{result:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn goals() {
        check_change(|_| {}, None);
        check_change(|g| g.node = NodeName::new("other").unwrap(), Some("for node other"));
        check_change(|g| g.instances[1].id = g.instances[0].id.clone(), Some("named twice"));
        check_change(|g| g.instances[1].mac = g.instances[0].mac.clone(), Some("MAC address"));
        check_change(|g| g.instances[0].mac = "02:00:00:00:00:0G".into(), Some("locally administered"));
        check_change(|g| g.instances[0].mac = "03:00:00:00:00:01".into(), Some("locally administered"));
        check_change(|g| g.instances[0].mac = "00:00:00:00:00:01".into(), Some("locally administered"));
        check_change(|g| g.instances[0].mac = gateway_mac(samples::network().bridge), Some("is taken"));
        check_change(|g| g.instances[0].memory_mib = 8, Some("8 MiB of memory"));
        check_change(|g| g.instances[0].memory_mib = 1000, Some("needs 1192 MiB"));
        check_change(|g| g.instances[0].cores = 0, Some("0 cores"));
        check_change(|g| g.instances[0].scratch_mib = 0, Some("C of 0 MiB"));
        let address = |n| Ipv4Addr::new(10, 177, 16, n);
        check_change(
            |g| g.instances[0].guest.network.address = address(1),
            Some("not an address of a guest"),
        );
        check_change(
            |g| g.instances[0].guest.network.address = address(255),
            Some("not an address of a guest"),
        );
        check_change(|g| g.instances[0].guest.network.address = address(3), Some("is taken"));
        check_change(|g| g.instances[0].guest.network.gateway = address(9), Some("gateway must be"));
        let probe = |name: &str, path: &str| ProbeGoal {
            name: name.into(),
            kind: ProbeKind::Http { path: path.into() },
            port: 80,
            interval_seconds: 5,
            timeout_seconds: 11,
        };
        check_change(|g| g.instances[0].probes = vec![probe("a", "/"), probe("b", "/live?x=1")], None);
        check_change(|g| g.instances[0].probes = vec![probe("a", "/"), probe("a", "/")], Some("given twice"));
        check_change(|g| g.instances[0].probes = vec![probe("a", "/ HTTP/1.1")], Some("cannot be asked"));
        check_change(|g| g.instances[0].probes = vec![probe("a", "live")], Some("cannot be asked"));
        check_change(|g| g.instances[0].probes = vec![probe("a", "/"); 26], Some("26 probes"));
        check_change(|g| g.vips[0].port = 0, Some("port 0"));
        check_change(|g| g.vips.push(g.vips[0].clone()), Some("given twice"));
        let rule = |prefix_length| AccessRule { permit: false, network: address(0), prefix_length };
        check_change(|g| g.vips[0].access = vec![rule(32); 64], None);
        check_change(|g| g.vips[0].access = vec![rule(33)], Some("access rules"));
        check_change(|g| g.vips[0].access = vec![rule(8); 65], Some("access rules"));
        check_change(|g| g.vips[0].address = address(7), Some("another use"));
        check_change(|g| g.vips[0].address = Ipv4Addr::new(10, 177, 0, 1), Some("another use"));
    }
}
