//! The loop: plan, store what must be stored, hand each node what it must be told. On a timer and on a signal.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use welkin_agent_wire::NodeGoal;
use welkin_base::{Digest, NodeName};
use welkin_fabric::{Action, Change, plan, update_observed};
use welkin_fabric_wire::HealingStatus;

use welkin_store::StoreError;

use crate::controller::Controller;
use crate::inventory;
use crate::row::RowsError;

/// A plan is made at least this often.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);
/// What nothing refers to is looked for at least this often.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// Plans that are made in a row, each after what the one before had stored. A few are enough; the rest waits
/// for the next round.
const PLANS_MAX: usize = 16;

/// What one node is to be told, as of the last plan.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mailbox {
    /// Its goal, unless it holds it.
    pub goal: watch::Sender<Option<Arc<NodeGoal>>>,
    /// Images that it lacks.
    pub images: watch::Sender<BTreeSet<Digest>>,
}

/// Runs until `shutdown` says so.
pub(crate) async fn run(
    controller: Arc<Controller>,
    mailboxes: BTreeMap<NodeName, Mailbox>,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    let mut healing = HealingStatus::default();
    loop {
        match round(&controller, &mailboxes).await {
            Ok(Removed::Something) => sweep.reset_immediately(),
            Ok(Removed::Nothing) => {}
            Err(RowsError::Conflict) => {
                tracing::warn!("another fabric controller changed a row; planning anew");
            }
            Err(RowsError::Store(error @ (StoreError::Deposed | StoreError::Unavailable(_)))) => {
                tracing::warn!(%error, "the plan is not stored");
            }
            Err(error) => tracing::error!(%error, "the plan cannot be stored; trying again"),
        }
        inventory::watch(&controller.state().await.cluster, controller.now(), &mut healing);
        tokio::select! {
            () = controller.changed.notified() => {}
            () = tokio::time::sleep(INTERVAL) => {}
            _ = sweep.tick() => {
                if let Err(error) = controller.sweep().await {
                    tracing::warn!(%error, "cannot remove what nothing refers to");
                }
            }
            () = ended(&mut shutdown) => return,
        }
    }
}

/// Resolves once the controller ends.
pub(crate) async fn ended(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|ended| *ended).await;
}

enum Removed {
    Something,
    Nothing,
}

async fn round(
    controller: &Controller,
    mailboxes: &BTreeMap<NodeName, Mailbox>,
) -> Result<Removed, RowsError> {
    let mut state = controller.state().await;
    state.refresh().await?;
    let mut removed = Removed::Nothing;
    for _ in 0..PLANS_MAX {
        let mut said = Vec::new();
        let mut noted = Vec::new();
        let mut stored = false;
        for action in plan(&state.cluster, controller.now()) {
            let change = match action {
                Action::Store(change) => change,
                Action::Note(change) => {
                    noted.push(change);
                    continue;
                }
                Action::PushGoal(_) | Action::PushImage { .. } => {
                    said.push(action);
                    continue;
                }
            };
            log(&change);
            if matches!(change, Change::Remove(..)) {
                removed = Removed::Something;
            }
            state.commit(change).await?;
            stored = true;
        }
        if !stored {
            deliver(mailboxes, said);
            for change in noted {
                state.commit(change).await?;
            }
            break;
        }
    }
    Ok(removed)
}

/// Puts into each node's mailbox what the plan has for it; what it no longer has is taken out.
fn deliver(mailboxes: &BTreeMap<NodeName, Mailbox>, said: Vec<Action>) {
    let mut goals = BTreeMap::new();
    let mut images: BTreeMap<NodeName, BTreeSet<Digest>> = BTreeMap::new();
    for action in said {
        match action {
            Action::Store(_) | Action::Note(_) => {}
            Action::PushGoal(goal) => {
                goals.insert(goal.node.clone(), Arc::new(*goal));
            }
            Action::PushImage { node, image } => {
                images.entry(node).or_default().insert(image);
            }
        }
    }
    for (name, mailbox) in mailboxes {
        let goal = goals.remove(name);
        mailbox.goal.send_if_modified(|held| {
            let generation = |goal: &Option<Arc<NodeGoal>>| goal.as_ref().map(|goal| goal.generation);
            let modified = generation(held) != generation(&goal);
            *held = goal;
            modified
        });
        let wanted = images.remove(name).unwrap_or_default();
        mailbox.images.send_if_modified(|held| {
            let modified = *held != wanted;
            *held = wanted;
            modified
        });
    }
}

fn log(change: &Change) {
    match change {
        Change::Deployment(deployment) => {
            let update = update_observed(deployment);
            tracing::info!(
                deployment = %deployment.id, leaving = deployment.leaving.len(), ?update, "the deployment moves on"
            );
        }
        Change::Swap(deployments) => {
            let [one, other] = &**deployments;
            tracing::info!(deployment = %one.id, other = %other.id, "two deployments change places");
        }
        Change::Remove(_, id) => tracing::info!(deployment = %id, "the deployment is gone"),
        Change::Node(node, record) => {
            tracing::info!(%node, generation = %record.generation, state = %record.state, "the node gets a new goal or state");
        }
    }
}
