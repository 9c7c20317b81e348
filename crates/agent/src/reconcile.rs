//! The loop: observe, plan, do, and say what is. It runs on a timer and when something changes.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use tokio::sync::watch;
use welkin_agent_wire::{Accelerator, NodeCapacity, NodeGoal, NodeObserved};
use welkin_base::{Digest, InstanceId};
use welkin_node::{Action, HeldNode, Shape, Situation, StopStage, drained, is_in_force, plan, report};

use crate::instance::{Instance, InstanceError, Place};
use crate::program::ProgramError;
use crate::shared::Published;
use crate::{accelerator, connections, filter};

/// The timer.
const INTERVAL_MS: u64 = 500;
/// The pause between passes, however often something changes: a guest cannot keep its node busy by changing its
/// mind.
const PAUSE_MS: u64 = 100;
/// Rounds of one pass. A plan gives each instance one action, and an instance needs at most six to match a goal.
const ROUNDS_MAX: u32 = 32;

/// Why an action failed.
#[derive(Debug, thiserror::Error)]
enum ActionError {
    /// An instance's.
    #[error("instance {0}: {1}")]
    Instance(InstanceId, InstanceError),
    /// An image's.
    #[error("image {0} cannot be removed: {1}")]
    Image(Digest, io::Error),
    /// The filter.
    #[error("the packet filter cannot be set: {0}")]
    Filter(ProgramError),
}

/// Everything that the agent holds of its node.
#[derive(Debug)]
pub struct Reconciler {
    place: Place,
    capacity: NodeCapacity,
    /// What secrets for this node are sealed to.
    recipient: String,
    instances: BTreeMap<InstanceId, Instance>,
    /// When each image was last referred to.
    images_used_ms: BTreeMap<Digest, u64>,
    ruleset: Option<String>,
    accelerator: Option<Accelerator>,
    trouble: Option<String>,
}

impl Reconciler {
    /// Takes over what is there.
    pub async fn new(place: Place, capacity: NodeCapacity, recipient: String) -> io::Result<Self> {
        let instances = place.adopt().await?;
        let accelerator = accelerator::known(&place.config, &place.folder);
        Ok(Self {
            place,
            capacity,
            recipient,
            instances,
            images_used_ms: BTreeMap::new(),
            ruleset: None,
            accelerator,
            trouble: None,
        })
    }

    /// Runs until `stop` changes. VMs go on.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            self.pass().await;
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
            tokio::select! {
                () = self.place.shared.wake.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(INTERVAL_MS)) => {}
                _ = stop.changed() => return,
            }
        }
    }

    /// Does what there is to do now. A node that was never given a goal does nothing.
    async fn pass(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let goal = self.place.shared.goal();
            let now_ms = self.place.clock.now_ms();
            let held = self.observe(goal.as_deref(), now_ms);
            self.publish(goal.as_deref(), &held, now_ms).await;
            let Some(goal) = goal else { return };
            let network = &self.place.config.network();
            let actions = plan(&Situation { goal: &goal, held: &held, network, now_ms });
            if actions.is_empty() {
                // An instance that waits out a pause is the trouble that it was before.
                if held.instances.values().all(|instance| instance.restarts.in_a_row == 0) {
                    self.trouble = None;
                }
                return;
            }
            if !self.act(actions).await {
                return;
            }
        }
    }

    fn observe(&mut self, goal: Option<&NodeGoal>, now_ms: u64) -> HeldNode {
        let mut held = HeldNode { ruleset: self.ruleset.clone(), ..HeldNode::default() };
        for (id, instance) in &mut self.instances {
            instance.observe(&self.place);
            held.instances.insert(id.clone(), instance.held());
        }
        let Some(goal) = goal else { return held };
        for goal in &goal.instances {
            if let Some(instance) = self.instances.get_mut(&goal.id) {
                instance.tell(goal);
            }
        }
        let images = self.place.images.list().unwrap_or_default();
        let referenced = welkin_node::image::referenced(goal, &held);
        self.images_used_ms.retain(|digest, _| images.contains(digest));
        for digest in images {
            let used_ms = self.images_used_ms.entry(digest).or_insert(now_ms);
            if referenced.contains(&digest) {
                *used_ms = now_ms;
            }
        }
        held.images.clone_from(&self.images_used_ms);
        held
    }

    async fn publish(&self, goal: Option<&NodeGoal>, held: &HeldNode, now_ms: u64) {
        let config = &self.place.config;
        let nothing = NodeGoal {
            node: config.node.clone(),
            generation: welkin_base::Generation(0),
            instances: vec![],
            vips: vec![],
            internal: vec![],
            draining: vec![],
        };
        let goal = goal.unwrap_or(&nothing);
        let network = &config.network();
        let is_in_force =
            !goal.draining.is_empty() && is_in_force(&Situation { goal, held, network, now_ms });
        // Whoever connected before the filter left it out is among those that are counted now.
        let counts = connections::count(goal).await;
        let node = NodeObserved {
            node: config.node.clone(),
            generation: goal.generation,
            capacity: self.capacity,
            accelerator: self.accelerator.unwrap_or(Accelerator::Tcg),
            instances: report(goal, held, now_ms),
            trouble: self.trouble.clone(),
            transport_recipient: self.recipient.clone(),
            draining: drained(goal, is_in_force, counts.as_ref()),
        };
        let guests = self.instances.iter().filter_map(|(id, instance)| Some((id.clone(), instance.guest()?)));
        self.place.shared.publish(Published { node, slots: held.slots(), guests: guests.collect() });
    }

    /// Does a plan. Returns whether all of it worked; what did not is tried again on the timer.
    async fn act(&mut self, actions: Vec<Action>) -> bool {
        let mut trouble = vec![];
        for action in actions {
            // Without the filter that binds it no VM starts.
            let starts = matches!(action, Action::Start { .. });
            if starts && !trouble.is_empty() {
                continue;
            }
            if let Err(error) = self.act_once(action).await {
                tracing::error!(%error, "could not do what the plan says");
                trouble.push(error.to_string());
            }
        }
        self.trouble = (!trouble.is_empty()).then(|| trouble.join("; "));
        trouble.is_empty()
    }

    async fn act_once(&mut self, action: Action) -> Result<(), ActionError> {
        tracing::info!(action = name(&action), instance = ?instance_of(&action), "acting");
        match action {
            Action::Filter { ruleset } => {
                filter::apply(&ruleset).await.map_err(ActionError::Filter)?;
                self.ruleset = Some(ruleset);
                Ok(())
            }
            Action::RemoveImage { digest } => {
                self.place.images.remove(&digest).map_err(|error| ActionError::Image(digest, error))
            }
            Action::Create { id, slot, incarnation } => {
                let instance = Instance::create(&self.place, id.clone(), slot, incarnation)
                    .map_err(|error| ActionError::Instance(id.clone(), error))?;
                self.instances.insert(id, instance);
                Ok(())
            }
            Action::MakeDrives { id, make, drives, scratch_mib } => {
                let Some(instance) = self.instances.get_mut(&id) else { return Ok(()) };
                let result = instance.make_drives(&self.place, &make, drives, scratch_mib).await;
                settle(&self.place, instance, id, result)
            }
            Action::Start { id, shape } => {
                let accelerator = self.accelerator(&shape).await;
                let Some(instance) = self.instances.get_mut(&id) else { return Ok(()) };
                let result = instance.start(&self.place, shape, accelerator).await;
                settle(&self.place, instance, id, result)
            }
            Action::Stop { id, stage } => {
                if let Some(instance) = self.instances.get_mut(&id) {
                    instance.stop(stage, self.place.clock.now_ms());
                }
                Ok(())
            }
            Action::Remove { id } => {
                let Some(instance) = self.instances.get_mut(&id) else { return Ok(()) };
                let result = instance.remove(&self.place).await;
                let removed = result.is_ok();
                settle(&self.place, instance, id.clone(), result)?;
                removed.then(|| self.instances.remove(&id));
                Ok(())
            }
        }
    }

    /// How VMs run here; the first that starts makes the node find out.
    async fn accelerator(&mut self, shape: &Shape) -> Accelerator {
        if let Some(known) = self.accelerator {
            return known;
        }
        let Place { config, folder, images, .. } = &self.place;
        let found = match accelerator::known(config, folder) {
            // Another node of the machine found out meanwhile.
            Some(known) => known,
            None => accelerator::probe(config, folder, images, shape).await.unwrap_or_else(|error| {
                tracing::warn!(%error, "what the probe of KVM found cannot be kept");
                Accelerator::Tcg
            }),
        };
        self.accelerator = Some(found);
        found
    }
}

/// An instance to which something could not be done is tried again after a pause.
fn settle(
    place: &Place,
    instance: &mut Instance,
    id: InstanceId,
    result: Result<(), InstanceError>,
) -> Result<(), ActionError> {
    result.map_err(|error| {
        instance.failed(place, error.to_string());
        ActionError::Instance(id, error)
    })
}

/// An action for the log.
fn name(action: &Action) -> &'static str {
    match action {
        Action::Create { .. } => "create",
        Action::MakeDrives { .. } => "make drives",
        Action::Start { .. } => "start",
        Action::Stop { stage: StopStage::Asked, .. } => "ask to power off",
        Action::Stop { stage: StopStage::Quit, .. } => "quit",
        Action::Stop { stage: StopStage::Killed, .. } => "kill",
        Action::Remove { .. } => "remove",
        Action::RemoveImage { .. } => "remove image",
        Action::Filter { .. } => "set filter",
    }
}

fn instance_of(action: &Action) -> Option<String> {
    match action {
        Action::Create { id, .. }
        | Action::MakeDrives { id, .. }
        | Action::Start { id, .. }
        | Action::Stop { id, .. }
        | Action::Remove { id } => Some(id.to_string()),
        Action::RemoveImage { .. } | Action::Filter { .. } => None,
    }
}
