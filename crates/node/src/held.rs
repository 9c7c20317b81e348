//! What a node holds: what the shell observed of its own machine before it asks for a plan.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use welkin_agent_wire::{GuestObserved, InstanceGoal, NodeGoal, RoleState};
use welkin_base::{Digest, InstanceId};

use crate::drive::Drives;
use crate::limits::GUEST_UNRESPONSIVE_MS;
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

    /// Whether the role takes traffic: it says so, it said so lately, and nobody is stopping it.
    #[must_use]
    pub fn ready(&self, now_ms: u64) -> bool {
        self.stop.is_none()
            && self.responsive(now_ms)
            && self.heard.as_ref().is_some_and(|h| h.observed.role == RoleState::Ready)
    }
}

impl HeldNode {
    /// The instances that take traffic: those whose VM is ready, and is the one that `goal` wants.
    #[must_use]
    pub fn ready(&self, goal: &NodeGoal, now_ms: u64) -> BTreeSet<InstanceId> {
        let ready = |goal: &&InstanceGoal| {
            self.instances.get(&goal.id).is_some_and(|held| {
                held.incarnation == goal.incarnation
                    && matches!(&held.vm, Vm::Running(vm) if vm.is_wanted(goal) && vm.ready(now_ms))
            })
        };
        goal.instances.iter().filter(ready).map(|goal| goal.id.clone()).collect()
    }

    /// The slot of each instance.
    #[must_use]
    pub fn slots(&self) -> BTreeMap<InstanceId, Slot> {
        self.instances.iter().map(|(id, held)| (id.clone(), held.slot)).collect()
    }
}
