//! What a node must do next to match its goal.
//!
//! Each instance gets at most one action, the next on its way; the shell does it, observes, and asks again. A
//! plan for a node that matches its goal is empty.

use std::collections::{BTreeMap, BTreeSet};

use welkin_agent_wire::{InstanceGoal, NodeGoal};
use welkin_base::{Digest, InstanceId};

use crate::drive::{Drive, Drives, to_make};
use crate::filter::{NodeNetwork, ruleset};
use crate::held::{Held, HeldNode, RunningVm, Shape, Stop, StopStage, Vm};
use crate::image;
use crate::limits::{ADOPTION_MS, BOOT_MS_MAX, GUEST_SILENT_MS_MAX, QUIT_GRACE_MS, SHUTDOWN_GRACE_MS};
use crate::slot::Slot;

/// What a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// What the node must run.
    pub goal: &'a NodeGoal,
    /// What exists.
    pub held: &'a HeldNode,
    /// The node's own network.
    pub network: &'a NodeNetwork,
    /// Milliseconds on a clock that does not go back.
    pub now_ms: u64,
}

/// One thing to do. Nothing is left to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Make the instance's folder.
    Create {
        /// Which instance.
        id: InstanceId,
        /// The slot it gets.
        slot: Slot,
        /// The incarnation that begins.
        incarnation: u64,
    },
    /// Make drives of a stopped instance.
    MakeDrives {
        /// Which instance.
        id: InstanceId,
        /// Which drives.
        make: Vec<Drive>,
        /// What they stand on.
        drives: Drives,
        /// Size of C.
        scratch_mib: u32,
    },
    /// Start the VM.
    Start {
        /// Which instance.
        id: InstanceId,
        /// With what.
        shape: Shape,
    },
    /// Do the next step of the VM's end.
    Stop {
        /// Which instance.
        id: InstanceId,
        /// Which step.
        stage: StopStage,
    },
    /// Remove a stopped instance with all that belongs to it.
    Remove {
        /// Which instance.
        id: InstanceId,
    },
    /// Remove an image.
    RemoveImage {
        /// Which one.
        digest: Digest,
    },
    /// Replace the packet filter and load balancer.
    Filter {
        /// The whole of it, for `nft -f -`.
        ruleset: String,
    },
}

/// The next actions.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Vec<Action> {
    let Situation { goal, held, now_ms, .. } = *situation;
    let goals: BTreeMap<&InstanceId, &InstanceGoal> = goal.instances.iter().map(|g| (&g.id, g)).collect();
    let mut actions = vec![];
    // The filter comes first: no VM starts before the rules that bind it are in force.
    actions.extend(filter(situation));
    for (id, instance) in &held.instances {
        actions.extend(match goals.get(id) {
            Some(goal) if goal.incarnation == instance.incarnation => keep(situation, goal, instance),
            _ => end(id, instance, now_ms),
        });
    }
    actions.extend(create(goal, held));
    actions
        .extend(image::unused(goal, held, now_ms).into_iter().map(|digest| Action::RemoveImage { digest }));
    actions
}

fn create(goal: &NodeGoal, held: &HeldNode) -> Vec<Action> {
    let mut taken: BTreeSet<Slot> = held.instances.values().map(|h| h.slot).collect();
    let mut actions = vec![];
    for goal in goal.instances.iter().filter(|g| !held.instances.contains_key(&g.id)) {
        let Some(slot) = Slot::free(&taken) else { break };
        taken.insert(slot);
        actions.push(Action::Create { id: goal.id.clone(), slot, incarnation: goal.incarnation });
    }
    actions
}

/// The next step of an instance that stays.
fn keep(situation: &Situation<'_>, goal: &InstanceGoal, instance: &Held) -> Option<Action> {
    let now_ms = situation.now_ms;
    let id = goal.id.clone();
    let wanted = Shape::wanted(goal);
    match &instance.vm {
        Vm::Running(vm) if vm.stop.is_some() => next_stop(&goal.id, vm, now_ms),
        Vm::Running(vm) if !vm.is_wanted(goal) => next_stop(&goal.id, vm, now_ms),
        Vm::Running(vm) => hung(vm, now_ms).then_some(Action::Stop { id, stage: StopStage::Killed }),
        Vm::Stopped if image::missing(goal, situation.held).is_some() => None,
        Vm::Stopped if now_ms < instance.restarts.not_before_ms => None,
        Vm::Stopped => {
            let make = to_make(instance.drives.as_ref(), &wanted.drives);
            if !make.is_empty() {
                let (drives, scratch_mib) = (wanted.drives, goal.scratch_mib);
                return Some(Action::MakeDrives { id, make, drives, scratch_mib });
            }
            Some(Action::Start { id, shape: wanted })
        }
    }
}

fn hung(vm: &RunningVm, now_ms: u64) -> bool {
    let limit_ms = if vm.heard.is_some() { GUEST_SILENT_MS_MAX } else { BOOT_MS_MAX };
    vm.silent_ms(now_ms) >= limit_ms
}

/// The next step of an instance that goes.
fn end(id: &InstanceId, instance: &Held, now_ms: u64) -> Option<Action> {
    match &instance.vm {
        Vm::Stopped => Some(Action::Remove { id: id.clone() }),
        Vm::Running(vm) => next_stop(id, vm, now_ms),
    }
}

/// Asks, then insists, then kills. A guest that has never spoken has nothing to save and is not asked.
fn next_stop(id: &InstanceId, vm: &RunningVm, now_ms: u64) -> Option<Action> {
    let waited = |stop: &Stop, limit_ms: u64| now_ms.saturating_sub(stop.at_ms) >= limit_ms;
    let stage = match vm.stop {
        None if vm.responsive(now_ms) => StopStage::Asked,
        None => StopStage::Quit,
        Some(stop @ Stop { stage: StopStage::Asked, .. }) if waited(&stop, SHUTDOWN_GRACE_MS) => {
            StopStage::Quit
        }
        Some(stop @ Stop { stage: StopStage::Quit, .. }) if waited(&stop, QUIT_GRACE_MS) => StopStage::Killed,
        Some(_) => return None,
    };
    Some(Action::Stop { id: id.clone(), stage })
}

/// Whether the packet filter and load balancer that are in force are those of the goal.
#[must_use]
pub fn is_in_force(situation: &Situation<'_>) -> bool {
    situation.held.ruleset.is_some() && filter(situation).is_none()
}

fn filter(situation: &Situation<'_>) -> Option<Action> {
    let Situation { goal, held, network, now_ms } = *situation;
    if held.ruleset.is_none() && is_adopting(situation) {
        return None;
    }
    let ruleset = ruleset(goal, network, &held.slots(), &held.rotation(goal, now_ms));
    (held.ruleset.as_ref() != Some(&ruleset)).then_some(Action::Filter { ruleset })
}

/// Whether a VM that was found running has not yet spoken, or not yet been asked what its goal has it asked.
fn is_adopting(situation: &Situation<'_>) -> bool {
    let Situation { goal, held, now_ms, .. } = *situation;
    held.instances.iter().any(|(id, instance)| {
        let Vm::Running(vm) = &instance.vm else { return false };
        let goal = goal.instances.iter().find(|goal| goal.id == *id);
        let mut probes = goal.into_iter().flat_map(|goal| &goal.probes);
        let is_unknown = vm.heard.is_none() || probes.any(|probe| !vm.answers.contains_key(probe));
        vm.adopted && is_unknown && now_ms.saturating_sub(vm.since_ms) < ADOPTION_MS
    })
}

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;
