//! What a node holds: what the shell observed of its own machine before it asks for a plan.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use welkin_agent_wire::{GuestObserved, InstanceGoal, NodeGoal, ProbeGoal, RoleState, VipBackend};
use welkin_base::{Digest, InstanceId};

use crate::drive::Drives;
use crate::limits::GUEST_UNRESPONSIVE_MS;
use crate::probe::Answers;
use crate::restart::Restarts;
use crate::slot::Slot;

/// Everything that exists on a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldNode {
    /// The instances that have a folder.
    pub instances: BTreeMap<InstanceId, Held>,
    /// The images in the store, and when each was last referred to.
    pub images: BTreeMap<Digest, u64>,
    /// The ruleset that was last applied since the FA started.
    pub ruleset: Option<String>,
}

/// One instance as it exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Its slot.
    pub slot: Slot,
    /// The incarnation that its drives belong to.
    pub incarnation: u64,
    /// The bases of its drives; `None` until they are made.
    pub drives: Option<Drives>,
    /// Its VM.
    pub vm: Vm,
    /// Its VM's deaths.
    pub restarts: Restarts,
}

/// A VM process, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vm {
    /// There is no process.
    Stopped,
    /// The process runs.
    Running(Box<RunningVm>),
}

/// A VM process that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningVm {
    /// What it was started with; `None` when the record of it was lost.
    pub shape: Option<Shape>,
    /// When it was started, or found running.
    pub since_ms: u64,
    /// It ran before the FA did.
    pub adopted: bool,
    /// The guest's last word.
    pub heard: Option<Heard>,
    /// What it answered to each probe that it was asked.
    pub answers: BTreeMap<ProbeGoal, Answers>,
    /// How far the VM's end has come.
    pub stop: Option<Stop>,
}

/// The last word of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// When.
    pub at_ms: u64,
    /// What.
    pub observed: GuestObserved,
}

/// How far the end of a VM has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// What was done last.
    pub stage: StopStage,
    /// When.
    pub at_ms: u64,
}

/// The steps by which a VM ends, each harder than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopStage {
    /// The guest was asked to power off.
    Asked,
    /// QEMU was told to quit (SIGTERM): it flushes its drives and ends.
    Quit,
    /// The process was killed.
    Killed,
}

/// What a VM is started with. Another shape needs another start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// The kernel.
    pub kernel: Digest,
    /// The initramfs.
    pub initramfs: Digest,
    /// D and E.
    pub drives: Drives,
    /// Virtual processors.
    pub cores: u32,
    /// Memory.
    pub memory_mib: u32,
    /// The guest interface's address.
    pub mac: String,
    /// Rises when the VM must boot again.
    #[serde(default)]
    pub boot: u64,
}

impl Shape {
    /// What the goal wants.
    #[must_use]
    pub fn wanted(goal: &InstanceGoal) -> Self {
        Self {
            kernel: goal.guest_os.kernel,
            initramfs: goal.guest_os.initramfs,
            drives: Drives::wanted(goal),
            cores: goal.cores,
            memory_mib: goal.memory_mib,
            mac: goal.mac.clone(),
            boot: goal.boot,
        }
    }
}

impl RunningVm {
    /// How long the guest has been silent.
    #[must_use]
    pub fn silent_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_sub(self.heard.as_ref().map_or(self.since_ms, |h| h.at_ms.max(self.since_ms)))
    }

    /// Whether the guest speaks.
    #[must_use]
    pub fn responsive(&self, now_ms: u64) -> bool {
        self.heard.is_some() && self.silent_ms(now_ms) < GUEST_UNRESPONSIVE_MS
    }

    /// Whether the VM is the one that the goal wants, rather than one that is to be ended.
    #[must_use]
    pub fn is_wanted(&self, goal: &InstanceGoal) -> bool {
        self.shape.as_ref() == Some(&Shape::wanted(goal))
    }

    /// Names of the probes that the instance passes. One that is being ended passes none.
    pub fn passes<'a>(&'a self, goal: &'a InstanceGoal, now_ms: u64) -> impl Iterator<Item = &'a String> {
        let passes = move |probe: &&ProbeGoal| {
            let answers = self.answers.get(probe);
            self.stop.is_none() && answers.is_some_and(|answers| answers.passes(probe, now_ms))
        };
        goal.probes.iter().filter(passes).map(|probe| &probe.name)
    }

    /// Whether the role takes traffic: it says so, it said so lately, and nobody is stopping it.
    #[must_use]
    pub fn ready(&self, now_ms: u64) -> bool {
        self.stop.is_none()
            && self.responsive(now_ms)
            && self.heard.as_ref().is_some_and(|h| h.observed.role == RoleState::Ready)
    }
}

/// Who of a node's instances may have connections.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Instances whose role is ready.
    pub ready: BTreeSet<InstanceId>,
    /// Instances that pass a probe, and its name.
    pub passing: BTreeSet<(InstanceId, String)>,
}

impl Rotation {
    /// Whether an instance of this node takes connections.
    #[must_use]
    pub fn takes(&self, backend: &VipBackend) -> bool {
        let passes = |probe: &String| self.passing.contains(&(backend.instance.clone(), probe.clone()));
        (backend.ignore_status || self.ready.contains(&backend.instance))
            && backend.probe.as_ref().is_none_or(passes)
    }
}

impl Held {
    /// The VM of the instance, when it is the one that `goal` wants.
    #[must_use]
    pub fn wanted_vm(&self, goal: &InstanceGoal) -> Option<&RunningVm> {
        match &self.vm {
            Vm::Running(vm) if self.incarnation == goal.incarnation && vm.is_wanted(goal) => Some(vm),
            _ => None,
        }
    }
}

impl HeldNode {
    /// Who takes connections: those whose VM is the one that `goal` wants, as far as they are ready and pass.
    #[must_use]
    pub fn rotation(&self, goal: &NodeGoal, now_ms: u64) -> Rotation {
        let mut rotation = Rotation::default();
        for goal in &goal.instances {
            let held = self.instances.get(&goal.id);
            let Some(vm) = held.and_then(|held| held.wanted_vm(goal)) else { continue };
            if vm.ready(now_ms) {
                rotation.ready.insert(goal.id.clone());
            }
            rotation.passing.extend(vm.passes(goal, now_ms).map(|name| (goal.id.clone(), name.clone())));
        }
        rotation
    }

    /// The slot of each instance.
    #[must_use]
    pub fn slots(&self) -> BTreeMap<InstanceId, Slot> {
        self.instances.iter().map(|(id, held)| (id.clone(), held.slot)).collect()
    }
}
