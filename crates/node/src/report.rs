//! What a node says of its instances to the fabric controller.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use welkin_agent_wire::limits::MESSAGE_BYTES_MAX;
use welkin_agent_wire::{DrainObserved, InstanceGoal, InstanceObserved, NodeGoal, VmState};
use welkin_base::{Generation, InstanceId, Sha1Thumbprint};

use crate::held::{Heard, Held, HeldNode, RunningVm, Vm};
use crate::image;

/// Every instance that is wanted or exists.
#[must_use]
pub fn report(goal: &NodeGoal, held: &HeldNode, now_ms: u64) -> Vec<InstanceObserved> {
    let goals: BTreeMap<&InstanceId, &InstanceGoal> = goal.instances.iter().map(|g| (&g.id, g)).collect();
    let existing = held
        .instances
        .iter()
        .map(|(id, instance)| existing(id, instance, goals.get(id).copied(), held, now_ms));
    let wanted = goal.instances.iter().filter(|g| !held.instances.contains_key(&g.id));
    existing.chain(wanted.map(|g| not_yet(g, held))).collect()
}

fn not_yet(goal: &InstanceGoal, held: &HeldNode) -> InstanceObserved {
    InstanceObserved {
        id: goal.id.clone(),
        incarnation: goal.incarnation,
        vm: VmState::Preparing,
        role: None,
        generation: Generation::default(),
        message: waits_for(goal, held).unwrap_or_default(),
        vm_restarts: 0,
        role_restarts: 0,
        lacks: vec![],
        passes: vec![],
    }
}

fn waits_for(goal: &InstanceGoal, held: &HeldNode) -> Option<String> {
    image::missing(goal, held).map(|digest| format!("waits for image {digest}"))
}

fn existing(
    id: &InstanceId,
    instance: &Held,
    goal: Option<&InstanceGoal>,
    held: &HeldNode,
    now_ms: u64,
) -> InstanceObserved {
    let heard = match &instance.vm {
        Vm::Running(vm) => vm.heard.as_ref(),
        Vm::Stopped => None,
    };
    let wanted = goal.and_then(|goal| Some((goal, instance.wanted_vm(goal)?)));
    let passes = wanted.map(|(goal, vm)| vm.passes(goal, now_ms).cloned().collect());
    let (vm, message) = match &instance.vm {
        Vm::Running(vm) => running(vm, wanted.is_some(), now_ms),
        Vm::Stopped => stopped(instance, goal, held, now_ms),
    };
    InstanceObserved {
        id: id.clone(),
        incarnation: instance.incarnation,
        vm,
        role: heard.map(|h| h.observed.role),
        generation: heard.map(|h| h.observed.generation).unwrap_or_default(),
        message: bounded(message),
        vm_restarts: instance.restarts.total,
        role_restarts: heard.map_or(0, |h| h.observed.role_restarts),
        lacks: heard.map(|h| lacking(h, goal)).unwrap_or_default(),
        passes: passes.unwrap_or_default(),
    }
}

/// What is left of the connections to each instance that drains. `counts` is empty when the node cannot count. Until the
/// load balancer of this goal is in force there is nothing to say: new connections may still come.
#[must_use]
pub fn drained(
    goal: &NodeGoal,
    is_in_force: bool,
    counts: Option<&BTreeMap<Ipv4Addr, u32>>,
) -> Vec<DrainObserved> {
    let draining = goal.draining.iter().filter(|_| is_in_force);
    draining
        .map(|draining| DrainObserved {
            instance: draining.instance.clone(),
            since: draining.since,
            connections: counts.and_then(|counts| counts.get(&draining.address).copied()),
        })
        .collect()
}

/// Certificates that a guest says it lacks, as far as its goal names them: a guest may ask for what it likes.
fn lacking(heard: &Heard, goal: Option<&InstanceGoal>) -> Vec<Sha1Thumbprint> {
    let named = goal.iter().flat_map(|goal| &goal.guest.certificates).map(|named| named.thumbprint);
    let named: BTreeSet<Sha1Thumbprint> = named.collect();
    named.into_iter().filter(|named| heard.observed.lacks.contains(named)).collect()
}

/// A VM that is not the one that is wanted is as good as stopping: it must not be taken for what replaces it.
fn running(vm: &RunningVm, wanted: bool, now_ms: u64) -> (VmState, String) {
    let said = vm.heard.as_ref().map(|h| h.observed.message.clone()).unwrap_or_default();
    match vm {
        vm if !wanted || vm.stop.is_some() => (VmState::Stopping, said),
        vm if vm.heard.is_none() => (VmState::Starting, String::new()),
        vm if !vm.responsive(now_ms) => (
            VmState::Unresponsive,
            format!("the guest has been silent for {} s", vm.silent_ms(now_ms) / 1_000),
        ),
        _ => (VmState::Running, said),
    }
}

fn stopped(instance: &Held, goal: Option<&InstanceGoal>, held: &HeldNode, now_ms: u64) -> (VmState, String) {
    let Some(goal) = goal else { return (VmState::Stopped, String::new()) };
    if let Some(message) = waits_for(goal, held) {
        return (VmState::Preparing, message);
    }
    let restarts = &instance.restarts;
    if restarts.in_a_row == 0 {
        return (VmState::Preparing, String::new());
    }
    let state = if restarts.failed() { VmState::Failed } else { VmState::Stopped };
    let pause_ms = restarts.not_before_ms.saturating_sub(now_ms);
    (state, format!("{}; starts again in {} s", restarts.reason, pause_ms.div_ceil(1_000)))
}

/// Messages may quote a guest or QEMU: only so much of them goes up.
fn bounded(mut message: String) -> String {
    if message.len() > MESSAGE_BYTES_MAX {
        let end = (0..=MESSAGE_BYTES_MAX).rev().find(|i| message.is_char_boundary(*i)).unwrap_or(0);
        message.truncate(end);
    }
    message
}
