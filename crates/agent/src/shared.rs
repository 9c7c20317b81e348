//! What the server and the reconcile loop share: the goal goes one way, the observed state the other.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc};
use welkin_agent_wire::{NodeGoal, NodeObserved};
use welkin_base::InstanceId;
use welkin_node::Slot;

use crate::certificate::SecretLine;

/// A clock that does not go back; it begins with the agent.
#[derive(Debug, Clone, Copy)]
pub struct Clock(Instant);

impl Clock {
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn now_ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// What both sides see.
#[derive(Debug)]
pub struct Shared {
    goal: Mutex<Option<Arc<NodeGoal>>>,
    observed: Mutex<Published>,
    /// Wakes the reconcile loop.
    pub wake: Notify,
}

/// What the loop last observed.
#[derive(Debug, Clone)]
pub struct Published {
    /// For the fabric controller.
    pub node: NodeObserved,
    /// Where each instance's folder is.
    pub slots: BTreeMap<InstanceId, Slot>,
    /// Where secrets go for each instance whose VM runs.
    pub guests: BTreeMap<InstanceId, mpsc::Sender<SecretLine>>,
}

impl Published {
    /// A node without instances.
    pub fn new(node: NodeObserved) -> Self {
        Self { node, slots: BTreeMap::new(), guests: BTreeMap::new() }
    }
}

impl Shared {
    pub fn new(goal: Option<NodeGoal>, published: Published) -> Self {
        Self { goal: Mutex::new(goal.map(Arc::new)), observed: Mutex::new(published), wake: Notify::new() }
    }

    pub fn goal(&self) -> Option<Arc<NodeGoal>> {
        lock(&self.goal).clone()
    }

    pub fn set_goal(&self, goal: NodeGoal) {
        *lock(&self.goal) = Some(Arc::new(goal));
        self.wake.notify_one();
    }

    /// What was last observed, with the generation that the node holds by now.
    pub fn observed(&self) -> Published {
        let mut published = lock(&self.observed).clone();
        published.node.generation = self.goal().map(|goal| goal.generation).unwrap_or_default();
        published
    }

    pub fn publish(&self, published: Published) {
        *lock(&self.observed) = published;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
