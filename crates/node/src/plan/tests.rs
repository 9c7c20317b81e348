use proptest::prelude::*;
use welkin_agent_wire::{RoleState, VmState};

use super::samples::{digest, goal, heard, id, network, node};
use super::*;
use crate::limits::{BACKOFF_MS_MIN, GUEST_UNRESPONSIVE_MS, IMAGE_UNUSED_MS};
use crate::report::report;
use crate::restart::Restarts;

/// A node whose every action succeeds, and whose guests speak.
struct World {
    goal: NodeGoal,
    held: HeldNode,
    now_ms: u64,
}

impl World {
    fn new(goal: NodeGoal) -> Self {
        let images = (1..=6).map(|n| (digest(n), 0)).collect();
        Self { goal, held: HeldNode { images, ..HeldNode::default() }, now_ms: 1_000 }
    }

    fn plan(&self) -> Vec<Action> {
        let Self { goal, held, now_ms } = self;
        plan(&Situation { goal, held, network: &network(), now_ms: *now_ms })
    }

    fn apply(&mut self, action: Action) {
        let now_ms = self.now_ms;
        match action {
            Action::Create { id, slot, incarnation } => {
                assert!(self.held.instances.values().all(|h| h.slot != slot), "slot {slot} given twice");
                let restarts = Restarts::default();
                let held = Held { slot, incarnation, drives: None, vm: Vm::Stopped, restarts };
                assert!(self.held.instances.insert(id, held).is_none());
            }
            Action::MakeDrives { id, drives, .. } => {
                let held = self.instance(&id);
                assert_eq!(held.vm, Vm::Stopped, "drives are made under a running VM");
                held.drives = Some(drives);
            }
            Action::Start { id, shape } => {
                let held = self.instance(&id);
                assert_eq!((&held.vm, held.drives), (&Vm::Stopped, Some(shape.drives)));
                held.vm = Vm::Running(Box::new(RunningVm {
                    shape: Some(shape),
                    since_ms: now_ms,
                    adopted: false,
                    heard: None,
                    answers: BTreeMap::new(),
                    stop: None,
                }));
            }
            Action::Stop { id, stage } => self.stop(&id, stage),
            Action::Remove { id } => {
                assert_eq!(self.held.instances.remove(&id).map(|h| h.vm), Some(Vm::Stopped));
            }
            Action::RemoveImage { digest } => drop(self.held.images.remove(&digest)),
            Action::Filter { ruleset } => self.held.ruleset = Some(ruleset),
        }
    }

    fn stop(&mut self, id: &InstanceId, stage: StopStage) {
        let now_ms = self.now_ms;
        let held = self.instance(id);
        let Vm::Running(vm) = &mut held.vm else { panic!("{id} does not run") };
        assert!(vm.stop.is_none_or(|stop| stop.stage < stage), "the end of a VM goes forward only");
        vm.stop = Some(Stop { stage, at_ms: now_ms });
        if stage == StopStage::Killed {
            held.vm = Vm::Stopped;
        }
    }

    fn instance(&mut self, id: &InstanceId) -> &mut Held {
        self.held.instances.get_mut(id).unwrap()
    }

    fn vm(&mut self, index: u8) -> &mut RunningVm {
        match &mut self.instance(&id(index)).vm {
            Vm::Running(vm) => vm,
            Vm::Stopped => panic!("instance {index} is stopped"),
        }
    }

    fn speak(&mut self, role: RoleState) {
        let now_ms = self.now_ms;
        for held in self.held.instances.values_mut() {
            if let Vm::Running(vm) = &mut held.vm {
                vm.heard = Some(heard(now_ms, role));
            }
        }
    }

    /// Plans and does until there is nothing to do and no VM on its way out; guests ignore every request to
    /// stop, so that each stage of the ladder is used.
    fn settle(&mut self) {
        for _ in 0..100 {
            let actions = self.plan();
            let stopping =
                self.held.instances.values().any(|h| matches!(&h.vm, Vm::Running(vm) if vm.stop.is_some()));
            if actions.is_empty() && !stopping {
                return;
            }
            actions.into_iter().for_each(|action| self.apply(action));
            self.now_ms += 1_000;
            self.speak(RoleState::Ready);
        }
        panic!("does not converge: {:?}", self.plan());
    }

    fn states(&self) -> Vec<VmState> {
        report(&self.goal, &self.held, self.now_ms).into_iter().map(|o| o.vm).collect()
    }
}

fn settled(instances: u8) -> World {
    let mut world = World::new(goal(1, instances));
    world.settle();
    world
}

fn names(actions: &[Action]) -> Vec<&'static str> {
    let name = |action: &Action| match action {
        Action::Create { .. } => "create",
        Action::MakeDrives { .. } => "drives",
        Action::Start { .. } => "start",
        Action::Stop { stage: StopStage::Asked, .. } => "ask",
        Action::Stop { stage: StopStage::Quit, .. } => "quit",
        Action::Stop { stage: StopStage::Killed, .. } => "kill",
        Action::Remove { .. } => "remove",
        Action::RemoveImage { .. } => "remove image",
        Action::Filter { .. } => "filter",
    };
    actions.iter().map(name).collect()
}

#[test]
fn an_instance_comes_up_step_by_step() {
    let mut world = World::new(goal(1, 1));
    for expected in [vec!["filter", "create"], vec!["filter", "drives"], vec!["start"], vec![]] {
        let actions = world.plan();
        assert_eq!(names(&actions), expected);
        actions.into_iter().for_each(|action| world.apply(action));
    }
    assert_eq!(world.states(), [VmState::Starting]);
    world.speak(RoleState::Ready);
    assert_eq!(names(&world.plan()), ["filter"], "the load balancer follows readiness");
    assert_eq!(world.states(), [VmState::Running]);
}

#[test]
fn next_actions() {
    let check = |change: &dyn Fn(&mut World), expected: &[&str], state: VmState| {
        let mut world = settled(1);
        change(&mut world);
        assert_eq!((names(&world.plan()), world.states()), (expected.to_vec(), vec![state]));
    };
    use VmState::{Preparing, Running, Starting, Stopped, Stopping, Unresponsive};
    check(&|_| {}, &[], Running);
    check(&|w| w.now_ms += GUEST_UNRESPONSIVE_MS, &["filter"], Unresponsive);
    check(&|w| w.now_ms += GUEST_SILENT_MS_MAX, &["filter", "kill"], Unresponsive);
    check(&|w| w.vm(0).heard = None, &["filter"], Starting);
    check(&|w| (w.vm(0).heard = None, w.now_ms += BOOT_MS_MAX).1, &["filter", "kill"], Starting);
    check(&|w| w.goal.instances[0].application = digest(5), &["filter", "ask"], Stopping);
    check(&|w| w.goal.instances[0].boot += 1, &["filter", "ask"], Stopping);
    check(&|w| w.goal.instances[0].reimage += 1, &["filter", "ask"], Stopping);
    check(&|w| w.goal.instances[0].guest_os.root = digest(5), &["filter", "ask"], Stopping);
    check(&|w| w.goal.instances[0].guest_os.kernel = digest(5), &["filter", "ask"], Stopping);
    check(&|w| w.goal.instances[0].memory_mib = 256, &["filter", "ask"], Stopping);
    check(&|w| w.goal.instances[0].incarnation = 2, &["filter", "ask"], Stopping);
    check(&|w| w.goal.instances[0].guest.generation.0 += 1, &[], Running);
    check(&|w| w.goal.instances.clear(), &["filter", "ask"], Stopping);
    check(&|w| w.instance(&id(0)).vm = Vm::Stopped, &["filter", "start"], Preparing);
    let died = |w: &mut World| {
        let now_ms = w.now_ms;
        w.instance(&id(0)).vm = Vm::Stopped;
        w.instance(&id(0)).restarts.died(now_ms, 10, "killed".into());
    };
    check(&died, &["filter"], Stopped);
    check(&|w| (died(w), w.now_ms += BACKOFF_MS_MIN).1, &["filter", "start"], Stopped);
    let replaced = |w: &mut World| {
        w.instance(&id(0)).vm = Vm::Stopped;
        w.goal.instances[0].application = digest(5);
    };
    check(&replaced, &["filter", "drives"], Preparing);
    check(&|w| (replaced(w), w.held.images.remove(&digest(5))).0, &["filter"], Preparing);
}

#[test]
fn a_restarted_agent_waits_for_its_guests_before_it_changes_the_load_balancer() {
    let mut world = settled(1);
    world.held.ruleset = None;
    let now_ms = world.now_ms;
    *world.vm(0) = RunningVm { adopted: true, since_ms: now_ms, heard: None, ..world.vm(0).clone() };
    assert_eq!(names(&world.plan()), [""; 0]);
    world.now_ms += ADOPTION_MS;
    assert_eq!(names(&world.plan()), ["filter"]);
}

#[test]
fn only_drives_that_changed_are_made_and_c_survives() {
    let check = |change: &dyn Fn(&mut InstanceGoal), expected: &[Drive]| {
        let mut world = settled(1);
        change(&mut world.goal.instances[0]);
        let mut made = vec![];
        for _ in 0..50 {
            for action in world.plan() {
                if let Action::MakeDrives { make, .. } = &action {
                    made.extend(make.clone());
                }
                world.apply(action);
            }
            world.now_ms += 1_000;
        }
        assert_eq!(made, expected);
    };
    check(&|_| {}, &[]);
    check(&|g| g.memory_mib = 256, &[]);
    check(&|g| g.guest_os.root = digest(5), &[Drive::D]);
    check(&|g| g.application = digest(5), &[Drive::E]);
    check(&|g| g.incarnation = 7, &[Drive::D, Drive::E, Drive::C]);
}

#[test]
fn images_go_when_nothing_refers_to_them_for_long() {
    let mut world = settled(1);
    let used_ms = world.now_ms;
    world.held.images.values_mut().for_each(|used| *used = used_ms);
    world.goal.instances[0].application = digest(5);
    world.now_ms += IMAGE_UNUSED_MS - 1;
    world.speak(RoleState::Ready);
    assert!(!names(&world.plan()).contains(&"remove image"));
    world.now_ms += 1;
    // Image 4 is still under the running VM.
    let removed: Vec<_> =
        world.plan().into_iter().filter(|a| matches!(a, Action::RemoveImage { .. })).collect();
    assert_eq!(removed, [Action::RemoveImage { digest: digest(6) }]);
}

fn any_goal() -> impl Strategy<Value = NodeGoal> {
    proptest::collection::vec((0..8u8, 1..3u64, 3..6u8, 3..6u8, 128..130u32), 0..6).prop_map(|instances| {
        let mut goal = goal(1, 0);
        for (index, incarnation, root, application, memory_mib) in instances {
            let mut instance = samples::instance(index);
            instance.incarnation = incarnation;
            instance.guest_os.root = digest(root);
            instance.application = digest(application);
            instance.memory_mib = memory_mib;
            goal.instances.retain(|i| i.id != instance.id);
            goal.instances.push(instance);
        }
        goal.node = node();
        goal
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever was there, the node comes to match each goal, and a plan for a matching node is empty.
    #[test]
    fn every_goal_is_reached(goals in proptest::collection::vec((any_goal(), 0..3usize), 1..5)) {
        let mut world = World::new(goal(1, 0));
        for (goal, kills) in goals {
            world.goal = goal;
            for held in world.held.instances.values_mut().take(kills) {
                if matches!(held.vm, Vm::Running(_)) {
                    held.vm = Vm::Stopped;
                    held.restarts.died(world.now_ms, 10, "killed".into());
                }
            }
            world.now_ms += 1_500;
            world.settle();
            // Pauses before a restart may hold up a settled node.
            world.now_ms += 120_000;
            world.speak(RoleState::Ready);
            world.settle();
            prop_assert_eq!(world.plan(), vec![]);
            let wanted: BTreeSet<_> = world.goal.instances.iter().map(|i| i.id.clone()).collect();
            prop_assert_eq!(world.held.instances.keys().cloned().collect::<BTreeSet<_>>(), wanted);
            for instance in world.goal.instances.clone() {
                let held = &world.held.instances[&instance.id];
                prop_assert_eq!(held.incarnation, instance.incarnation);
                let Vm::Running(vm) = &held.vm else { panic!("{} is stopped", instance.id) };
                prop_assert_eq!(vm.shape.as_ref(), Some(&Shape::wanted(&instance)));
            }
        }
    }
}
