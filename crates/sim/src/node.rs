//! A simulated node: the real core of the fabric agent over an imagined machine.

use std::collections::{BTreeMap, BTreeSet};

use rand::Rng as _;
use rand::rngs::StdRng;
use welkin_agent_wire::{
    Accelerator, DrainObserved, GuestObserved, NodeCapacity, NodeGoal, NodeObserved, RoleState,
};
use welkin_base::{Generation, InstanceId, NodeName};
use welkin_node::{
    Action, Drives, Heard, Held, HeldNode, NodeNetwork, RunningVm, Situation, Stop, StopStage, Vm, check,
    drained, is_in_force, plan, report,
};

/// How long a guest takes from start to its first word, at most.
const BOOT_MS_MAX: u64 = 8_000;
/// How long a role takes from there to ready, at most.
const START_MS_MAX: u64 = 4_000;
/// How long a VM takes to end, at most. Some ignore a request to power off.
const END_MS_MAX: u64 = 2_000;

/// Whether a node works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Power {
    /// It works.
    On,
    /// It stands still with all that it runs, and goes on later.
    Paused,
    /// It is off: no VM runs.
    Off,
}

/// A node.
#[derive(Debug)]
pub struct SimNode {
    /// Its name.
    pub name: NodeName,
    /// Its number.
    pub number: u32,
    /// Its fault domain.
    pub fault_domain: u32,
    /// What instances may use.
    pub capacity: NodeCapacity,
    /// Whether it works.
    pub power: Power,
    /// Whether messages reach it.
    pub cut: bool,
    /// Whether its disk takes nothing more.
    pub full: bool,
    /// Whether its agent lies.
    pub lies: bool,
    /// Whether it ever did: what it said may have cost it what it had.
    pub lied: bool,
    /// The goal that it holds; on disk.
    pub goal: NodeGoal,
    /// What exists on it.
    pub held: HeldNode,
    network: NodeNetwork,
    guests: BTreeMap<InstanceId, Guest>,
    /// Instances that are not ready because an update changed what they are made of.
    updating: BTreeSet<InstanceId>,
}

/// What will become of a VM that runs.
#[derive(Debug, Clone)]
struct Guest {
    speaks_at_ms: u64,
    ready_at_ms: u64,
    ends_at_ms: Option<u64>,
    role_restarts: u32,
}

impl SimNode {
    /// A new node with an empty disk.
    #[must_use]
    pub fn new(
        name: NodeName,
        number: u32,
        fault_domain: u32,
        capacity: NodeCapacity,
        network: NodeNetwork,
    ) -> Self {
        Self {
            goal: nothing(&name),
            name,
            number,
            fault_domain,
            capacity,
            power: Power::On,
            cut: false,
            full: false,
            lies: false,
            lied: false,
            held: HeldNode::default(),
            network,
            guests: BTreeMap::new(),
            updating: BTreeSet::new(),
        }
    }

    /// Whether messages arrive and are answered.
    #[must_use]
    pub fn answers(&self) -> bool {
        self.power == Power::On && !self.cut
    }

    /// What it says of itself.
    #[must_use]
    pub fn observed(&self, now_ms: u64) -> NodeObserved {
        NodeObserved {
            node: self.name.clone(),
            generation: self.goal.generation,
            capacity: self.capacity,
            accelerator: Accelerator::Tcg,
            instances: report(&self.goal, &self.held, now_ms),
            trouble: self.full.then(|| "the disk is full".to_owned()),
            transport_recipient: String::new(),
            draining: self.draining(now_ms),
        }
    }

    /// No connection lasts here: what drains is quiet as soon as it is left out.
    fn draining(&self, now_ms: u64) -> Vec<DrainObserved> {
        if self.goal.draining.is_empty() {
            return Vec::new();
        }
        let situation = Situation { goal: &self.goal, held: &self.held, network: &self.network, now_ms };
        let quiet = self.goal.draining.iter().map(|draining| (draining.address, 0)).collect();
        drained(&self.goal, is_in_force(&situation), Some(&quiet))
    }

    /// Takes a goal, unless it holds a newer one.
    ///
    /// # Errors
    /// When the goal is one that no controller may give.
    pub fn take_goal(&mut self, goal: NodeGoal) -> Result<(), String> {
        if let Err(error) = check(&goal, &self.name, &self.network, &self.capacity) {
            return if self.lied { Ok(()) } else { Err(format!("{} refuses its goal: {error}", self.name)) };
        }
        if goal.generation == self.goal.generation && goal != self.goal {
            return Err(format!("{} got two goals of generation {}", self.name, goal.generation));
        }
        if goal.generation > self.goal.generation {
            self.goal = goal;
        }
        Ok(())
    }

    /// Instances that are not ready because an update changed what they are made of, and for no other reason.
    #[must_use]
    pub fn updating(&self) -> &BTreeSet<InstanceId> {
        &self.updating
    }

    fn note_updating(&mut self, now_ms: u64) {
        for goal in &self.goal.instances {
            let held = self.held.instances.get(&goal.id).filter(|held| held.incarnation == goal.incarnation);
            let Some(Held { vm: Vm::Running(vm), .. }) = held else { continue };
            let shape = vm.shape.as_ref();
            if shape.is_some_and(|shape| shape.drives.application != goal.application) {
                self.updating.insert(goal.id.clone());
            }
        }
        let ready = self.held.rotation(&self.goal, now_ms).ready;
        self.updating
            .retain(|id| !ready.contains(id) && self.goal.instances.iter().any(|goal| goal.id == *id));
    }

    /// Lets the machine work for a while.
    pub fn work(&mut self, now_ms: u64, rng: &mut StdRng) {
        if self.power != Power::On {
            return;
        }
        self.guests_live(now_ms);
        self.note_updating(now_ms);
        let actions = plan(&Situation { goal: &self.goal, held: &self.held, network: &self.network, now_ms });
        for action in actions {
            self.act(action, now_ms, rng);
        }
    }

    /// The machine loses power: VMs are gone, the disk stays.
    pub fn lose_power(&mut self) {
        self.power = Power::Off;
        self.guests.clear();
        self.updating.clear();
        self.held.ruleset = None;
        for held in self.held.instances.values_mut() {
            held.vm = Vm::Stopped;
        }
    }

    /// The machine comes back with another, empty disk.
    pub fn lose_disk(&mut self) {
        self.lose_power();
        self.held = HeldNode::default();
        self.goal = nothing(&self.name);
    }

    /// The agent ends and begins anew: it finds its VMs, and has heard nothing of them.
    pub fn restart_agent(&mut self, now_ms: u64) {
        self.held.ruleset = None;
        for held in self.held.instances.values_mut() {
            if let Vm::Running(vm) = &mut held.vm {
                **vm = RunningVm {
                    since_ms: now_ms,
                    adopted: true,
                    heard: None,
                    answers: BTreeMap::new(),
                    stop: None,
                    shape: vm.shape.clone(),
                };
            }
        }
    }

    /// One VM dies, or its role crashes.
    pub fn hurt_one(&mut self, now_ms: u64, rng: &mut StdRng) {
        let count = self.guests.len();
        if count == 0 {
            return;
        }
        let Some(id) = self.guests.keys().nth(rng.random_range(0..count)).cloned() else { return };
        self.updating.remove(&id);
        if rng.random_bool(0.5) {
            self.vm_died(&id, now_ms);
        } else if let Some(guest) = self.guests.get_mut(&id) {
            guest.role_restarts += 1;
            guest.ready_at_ms = now_ms + rng.random_range(500..START_MS_MAX);
        }
    }

    /// An image is lost from the disk, if nothing stands on it yet.
    pub fn lose_image(&mut self, rng: &mut StdRng) {
        let count = self.held.images.len();
        if count > 0
            && let Some(image) = self.held.images.keys().nth(rng.random_range(0..count)).copied()
        {
            self.held.images.remove(&image);
        }
    }

    fn guests_live(&mut self, now_ms: u64) {
        let ended: Vec<InstanceId> = self
            .guests
            .iter()
            .filter(|(_, guest)| guest.ends_at_ms.is_some_and(|at| at <= now_ms))
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            self.guests.remove(&id);
            if let Some(held) = self.held.instances.get_mut(&id) {
                held.vm = Vm::Stopped;
            }
        }
        for (id, guest) in &self.guests {
            let Some(Held { vm: Vm::Running(vm), .. }) = self.held.instances.get_mut(id) else { continue };
            if guest.speaks_at_ms <= now_ms {
                vm.heard = Some(Heard { at_ms: now_ms, observed: guest.says(self.goal.generation, now_ms) });
            }
        }
    }

    fn vm_died(&mut self, id: &InstanceId, now_ms: u64) {
        self.guests.remove(id);
        if let Some(held) = self.held.instances.get_mut(id)
            && let Vm::Running(vm) = &held.vm
        {
            let ran_ms = now_ms.saturating_sub(vm.since_ms);
            held.restarts.died(now_ms, ran_ms, "the VM died".to_owned());
            held.vm = Vm::Stopped;
        }
    }

    fn act(&mut self, action: Action, now_ms: u64, rng: &mut StdRng) {
        match action {
            Action::Create { .. } | Action::MakeDrives { .. } if self.full => {}
            Action::Create { id, slot, incarnation } => {
                let restarts = welkin_node::Restarts::default();
                let held = Held { slot, incarnation, drives: None, vm: Vm::Stopped, restarts };
                self.held.instances.insert(id, held);
            }
            Action::MakeDrives { id, drives, .. } => self.make_drives(&id, drives),
            Action::Start { id, shape } => {
                let speaks_at_ms = now_ms + rng.random_range(500..BOOT_MS_MAX);
                let ready_at_ms = speaks_at_ms + rng.random_range(500..START_MS_MAX);
                let guest = Guest { speaks_at_ms, ready_at_ms, ends_at_ms: None, role_restarts: 0 };
                self.guests.insert(id.clone(), guest);
                if let Some(held) = self.held.instances.get_mut(&id) {
                    let vm = RunningVm {
                        shape: Some(shape),
                        since_ms: now_ms,
                        adopted: false,
                        heard: None,
                        answers: BTreeMap::new(),
                        stop: None,
                    };
                    held.vm = Vm::Running(Box::new(vm));
                }
            }
            Action::Stop { id, stage } => self.stop(&id, stage, now_ms, rng),
            Action::Remove { id } => {
                self.held.instances.remove(&id);
            }
            Action::RemoveImage { digest } => {
                self.held.images.remove(&digest);
            }
            Action::Filter { ruleset } => self.held.ruleset = Some(ruleset),
        }
    }

    fn make_drives(&mut self, id: &InstanceId, drives: Drives) {
        if let Some(held) = self.held.instances.get_mut(id) {
            held.drives = Some(drives);
        }
    }

    fn stop(&mut self, id: &InstanceId, stage: StopStage, now_ms: u64, rng: &mut StdRng) {
        if let Some(Held { vm: Vm::Running(vm), .. }) = self.held.instances.get_mut(id) {
            vm.stop = Some(Stop { stage, at_ms: now_ms });
        }
        let obeys = stage == StopStage::Killed || rng.random_bool(0.8);
        if let Some(guest) = self.guests.get_mut(id).filter(|_| obeys) {
            guest.ends_at_ms = Some(now_ms + rng.random_range(100..END_MS_MAX));
        }
    }
}

impl Guest {
    fn says(&self, generation: Generation, now_ms: u64) -> GuestObserved {
        GuestObserved {
            generation,
            role: if self.ready_at_ms <= now_ms { RoleState::Ready } else { RoleState::Starting },
            message: String::new(),
            role_restarts: self.role_restarts,
            uptime_ms: now_ms.saturating_sub(self.speaks_at_ms),
            lacks: Vec::new(),
        }
    }
}

fn nothing(name: &NodeName) -> NodeGoal {
    NodeGoal {
        node: name.clone(),
        generation: Generation::default(),
        instances: Vec::new(),
        vips: Vec::new(),
        internal: Vec::new(),
        draining: Vec::new(),
    }
}
