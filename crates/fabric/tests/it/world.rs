//! Nodes that do what their goals say, a few seconds late, and tell the truth.

use std::collections::{BTreeMap, BTreeSet};

use welkin_agent_wire::{InstanceGoal, InstanceObserved, RoleState, VmState};
use welkin_base::{Digest, InstanceId};
use welkin_fabric::{Action, Change, Cluster, Deployment, Refused, Role, Turn, deploy, node_goal};
use welkin_fabric_wire::{DeploymentGoal, UpdateMode};

use crate::fixture::{at, cluster, id, observed, settle};

/// How long a guest takes from a change to ready.
const CHANGE_S: u64 = 4;

/// What a guest was begun with. The rest of a goal it takes as it runs.
fn recipe(goal: &InstanceGoal) -> (u64, u64, u64, Digest) {
    (goal.incarnation, goal.boot, goal.reimage, goal.application)
}

struct Guest {
    recipe: (u64, u64, u64, Digest),
    ready_at: u64,
    /// The update domain that was changed, when this is why it is not ready.
    changed: Option<u32>,
}

pub struct World {
    pub cluster: Cluster,
    pub second: u64,
    /// Applications that never get ready.
    pub broken: BTreeSet<Digest>,
    /// Connections that each node counts to an instance that drains.
    pub connections: Option<u32>,
    /// Nodes that do not answer.
    pub dead: BTreeSet<u8>,
    guests: BTreeMap<InstanceId, Guest>,
}

impl World {
    pub fn new(fault_domains: &[u32]) -> Self {
        let (broken, dead, guests) = (BTreeSet::new(), BTreeSet::new(), BTreeMap::new());
        Self { cluster: cluster(fault_domains), second: 0, broken, connections: Some(0), dead, guests }
    }

    pub fn deployment(&self) -> &Deployment {
        &self.cluster.deployments[&id(1)]
    }

    pub fn put(&mut self, goal: DeploymentGoal, roles: Vec<Role>) -> Result<(), Refused> {
        let deployment = deploy(&self.cluster, &id(1), goal, roles, 5, at(self.second))?;
        // What was let go is another one if it comes back.
        self.guests.retain(|id, _| deployment.leaving.iter().all(|left| left.name != *id.name()));
        self.cluster.apply(Change::Deployment(Box::new(deployment)));
        Ok(())
    }

    /// The controller does a round, then each node takes its goal and answers.
    pub fn tick(&mut self) {
        for action in settle(&mut self.cluster, self.second) {
            if let Action::PushImage { node, image } = action {
                self.cluster.image_arrived(&node, image);
            }
        }
        self.second += 1;
        let mut seen = BTreeSet::new();
        for number in 0..u8::try_from(self.cluster.nodes.len()).unwrap() {
            if self.dead.contains(&number) {
                continue;
            }
            let node = &self.cluster.nodes[&crate::fixture::node_name(number)];
            let goals = node_goal(&self.cluster, node, at(self.second)).instances;
            seen.extend(goals.iter().map(|goal| goal.id.clone()));
            let instances = goals.iter().map(|goal| self.guest(goal)).collect();
            let mut answer = observed(&self.cluster, number, instances);
            answer.draining.iter_mut().for_each(|said| said.connections = self.connections);
            self.cluster.observe(&answer.node.clone(), answer, at(self.second)).unwrap();
        }
        let dead = !self.dead.is_empty();
        self.guests.retain(|id, _| dead || seen.contains(id));
    }

    fn guest(&mut self, goal: &InstanceGoal) -> InstanceObserved {
        let now = self.second;
        let changes = self.guests.get(&goal.id).is_some_and(|guest| guest.recipe != recipe(goal));
        if changes || !self.guests.contains_key(&goal.id) {
            let old = self.guests.get(&goal.id).map(|guest| guest.recipe);
            let by_update = old.is_some_and(|old| old.3 != goal.application || old.0 != goal.incarnation);
            let changed = by_update.then_some(goal.guest.environment.update_domain);
            self.guests
                .insert(goal.id.clone(), Guest { recipe: recipe(goal), ready_at: now + CHANGE_S, changed });
        }
        let is_broken = self.broken.contains(&goal.application);
        let guest = self.guests.get_mut(&goal.id).unwrap();
        let ready = guest.ready_at <= now && !is_broken;
        if ready {
            guest.changed = None;
        }
        InstanceObserved {
            id: goal.id.clone(),
            incarnation: goal.incarnation,
            vm: VmState::Running,
            role: Some(if ready { RoleState::Ready } else { RoleState::Starting }),
            generation: goal.guest.generation,
            message: String::new(),
            vm_restarts: 0,
            role_restarts: 0,
            lacks: Vec::new(),
            passes: goal.probes.iter().map(|probe| probe.name.clone()).filter(|_| ready).collect(),
        }
    }

    /// Ticks until the condition holds; answers the domains that were down by an update meanwhile, in order.
    pub fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) -> Vec<u32> {
        let mut walked: Vec<u32> = Vec::new();
        for _ in 0..400 {
            if condition(self) {
                return walked;
            }
            self.tick();
            let down = self.down();
            let simultaneous = self.deployment().goal.update.mode == UpdateMode::Simultaneous;
            assert!(down.len() <= 1 || simultaneous, "second {}: {down:?} are down", self.second);
            walked
                .extend(down.into_iter().filter(|domain| walked.last() != Some(domain)).collect::<Vec<_>>());
        }
        panic!("never {what}: {:?}", self.deployment());
    }

    /// The update domains that are down because an update changed them.
    pub fn down(&self) -> BTreeSet<u32> {
        self.guests.values().filter_map(|guest| guest.changed).collect()
    }

    pub fn ready(&self) -> usize {
        self.guests
            .values()
            .filter(|guest| guest.ready_at <= self.second && !self.broken.contains(&guest.recipe.3))
            .count()
    }

    /// Everything follows the goal and is ready.
    pub fn is_at_rest(&self) -> bool {
        let deployment = self.deployment();
        let role_of = |instance| deployment.role_of(instance);
        welkin_fabric::update_observed(deployment).is_none()
            && self.ready() == deployment.instances.len()
            && deployment.instances.iter().all(|instance| {
                role_of(instance) == deployment.role(&instance.role) && instance.turn == Turn::None
            })
    }
}
