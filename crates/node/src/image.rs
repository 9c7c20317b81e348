//! Which images a node needs, and which it may forget.

use std::collections::BTreeSet;

use welkin_agent_wire::{InstanceGoal, NodeGoal};
use welkin_base::Digest;

use crate::held::{HeldNode, Vm};
use crate::limits::IMAGE_UNUSED_MS;

/// The images that one instance is made of.
#[must_use]
pub fn of_instance(goal: &InstanceGoal) -> [Digest; 4] {
    [goal.guest_os.kernel, goal.guest_os.initramfs, goal.guest_os.root, goal.application]
}

/// The first image of an instance that the node does not have.
#[must_use]
pub fn missing(goal: &InstanceGoal, held: &HeldNode) -> Option<Digest> {
    of_instance(goal).into_iter().find(|digest| !held.images.contains_key(digest))
}

/// Every image that the goal names or that an existing VM stands on.
#[must_use]
pub fn referenced(goal: &NodeGoal, held: &HeldNode) -> BTreeSet<Digest> {
    let wanted = goal.instances.iter().flat_map(of_instance);
    let used = held.instances.values().flat_map(|held| {
        let drives = held.drives.iter().flat_map(|d| [d.guest_os, d.application]);
        let boot = match &held.vm {
            Vm::Running(vm) => vm.shape.as_ref().map(|s| [s.kernel, s.initramfs]),
            Vm::Stopped => None,
        };
        drives.chain(boot.into_iter().flatten())
    });
    wanted.chain(used).collect()
}

/// Images that nothing has referred to for so long that they may go.
#[must_use]
pub fn unused(goal: &NodeGoal, held: &HeldNode, now_ms: u64) -> Vec<Digest> {
    let referenced = referenced(goal, held);
    held.images
        .iter()
        .filter(|(digest, _)| !referenced.contains(digest))
        .filter(|(_, used_ms)| now_ms.saturating_sub(**used_ms) >= IMAGE_UNUSED_MS)
        .map(|(digest, _)| *digest)
        .collect()
}
