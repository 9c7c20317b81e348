//! The load balancer: which instances a virtual IP's connections go to, as nftables rules.
//!
//! The kernel spreads new connections in turn; one that exists keeps its instance by connection tracking,
//! whatever the rules become.

use std::collections::BTreeMap;

use welkin_agent_wire::node::Transport;
use welkin_agent_wire::{NodeGoal, Vip};
use welkin_base::InstanceId;

use crate::held::Rotation;
use crate::slot::Slot;

/// One rule for each endpoint that has an instance to go to.
#[must_use]
pub fn rules(goal: &NodeGoal, slots: &BTreeMap<InstanceId, Slot>, rotation: &Rotation) -> Vec<String> {
    goal.vips.iter().filter_map(|vip| rule(vip, goal, slots, rotation)).collect()
}

/// One rule for each access rule of an endpoint: `return` lets the packet go on to the load balancer.
pub fn access_rules(vip: &Vip) -> impl Iterator<Item = String> {
    let head = head(vip);
    vip.access.iter().map(move |rule| {
        let verdict = if rule.permit { "return" } else { "counter drop comment \"access control\"" };
        format!("{head} ip saddr {}/{} {verdict}", rule.network, rule.prefix_length)
    })
}

/// What a packet to the endpoint is known by.
fn head(vip: &Vip) -> String {
    format!("ip daddr {} {} dport {}", vip.address, protocol(vip.transport), vip.port)
}

/// As the packet filter calls it.
pub fn protocol(transport: Transport) -> &'static str {
    match transport {
        Transport::Tcp => "tcp",
        Transport::Udp => "udp",
    }
}

fn rule(
    vip: &Vip,
    goal: &NodeGoal,
    slots: &BTreeMap<InstanceId, Slot>,
    rotation: &Rotation,
) -> Option<String> {
    let here = |id: &InstanceId| goal.instances.iter().any(|i| i.id == *id) || slots.contains_key(id);
    let targets: Vec<_> = vip
        .backends
        .iter()
        .filter(|b| !b.out && if here(&b.instance) { rotation.takes(b) } else { b.ready })
        .map(|b| (b.address, b.port))
        .collect();
    let head = head(vip);
    match targets.as_slice() {
        [] => None,
        [(address, port)] => Some(format!("{head} dnat to {address}:{port}")),
        several => {
            let map: Vec<String> = several
                .iter()
                .enumerate()
                .map(|(i, (address, port))| format!("{i} : {address} . {port}"))
                .collect();
            Some(format!("{head} dnat ip to numgen inc mod {} map {{ {} }}", several.len(), map.join(", ")))
        }
    }
}
