//! One node: read it, give it its goal, give it images. Two tasks each, so that a large image on its way does not make
//! the node look silent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use welkin_agent_wire::NodeGoal;
use welkin_base::{Generation, NodeName};
use welkin_fabric::health::was_away;

use crate::agent::Agent;
use crate::certificate;
use crate::controller::Controller;
use crate::reconcile::{INTERVAL, Mailbox, ended};

/// After an image was refused, so long is waited before the next attempt.
const IMAGE_PAUSE: Duration = Duration::from_secs(2);

/// Reads the node every second and gives it its goal, until `shutdown` says so.
pub(crate) async fn follow(
    controller: Arc<Controller>,
    name: NodeName,
    agent: Agent,
    mailbox: Mailbox,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut goals = mailbox.goal.subscribe();
    let mut given = Generation::default();
    let mut answers = true;
    loop {
        answers = read(&controller, &name, &agent, answers).await;
        if answers {
            certificate::supply(&controller, &name, &agent).await;
        }
        let goal = goals.borrow_and_update().clone();
        if let Some(goal) = goal
            && answers
            && give(&name, &agent, &goal).await
            && goal.generation > given
        {
            given = goal.generation;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(INTERVAL) => {}
            Ok(()) = goals.changed() => {}
            () = ended(&mut shutdown) => return,
        }
    }
}

/// Reads the node and takes in what it says. Answers whether it could be read; the log says so when that changes.
async fn read(controller: &Controller, name: &NodeName, agent: &Agent, answered: bool) -> bool {
    let observed = agent.observed().await;
    let mut state = controller.state().await;
    let why = match observed {
        Ok(observed) => {
            let now = controller.now();
            if was_away(&state.cluster, now) {
                tracing::warn!(
                    "every node was silent: this controller was stopped or cut off, and watches anew"
                );
                state.cluster.watch_anew(now);
            }
            state.cluster.observe(name, observed, now).err().map(|lie| lie.to_string())
        }
        Err(error) => {
            state.cluster.unreadable(name, &error.to_string());
            Some(error.to_string())
        }
    };
    drop(state);
    controller.changed.notify_one();
    match &why {
        Some(why) if answered => tracing::warn!(node = %name, why, "the node cannot be read"),
        None if !answered => tracing::info!(node = %name, "the node answers"),
        _ => {}
    }
    why.is_none()
}

async fn give(name: &NodeName, agent: &Agent, goal: &NodeGoal) -> bool {
    match agent.push_goal(goal).await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(node = %name, generation = %goal.generation, %error, "the node does not take its goal");
            false
        }
    }
}

/// Gives the node the images that it lacks, until `shutdown` says so.
pub(crate) async fn supply(
    controller: Arc<Controller>,
    name: NodeName,
    agent: Agent,
    mailbox: Mailbox,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut wanted = mailbox.images.subscribe();
    loop {
        let images = wanted.borrow_and_update().clone();
        let mut refused = false;
        for image in &images {
            let file = controller.images.file(image);
            let pushed = tokio::select! {
                pushed = agent.push_image(image, &file) => pushed,
                () = ended(&mut shutdown) => return,
            };
            match pushed {
                Ok(()) => {
                    tracing::info!(node = %name, %image, "the node has the image");
                    controller.state().await.cluster.image_arrived(&name, *image);
                }
                Err(error) => {
                    refused = true;
                    tracing::warn!(node = %name, %image, %error, "the node does not take an image");
                }
            }
        }
        if !images.is_empty() {
            controller.changed.notify_one();
        }
        tokio::select! {
            () = tokio::time::sleep(IMAGE_PAUSE), if refused => {}
            Ok(()) = wanted.changed() => {}
            () = ended(&mut shutdown) => return,
        }
    }
}
