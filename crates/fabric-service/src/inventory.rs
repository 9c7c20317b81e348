//! The nodes of the cluster: what each is, and what the operator wants of it.

use http::{Response, StatusCode};
use welkin_base::{NodeName, Timestamp};
use welkin_fabric::{
    Cluster, NotChanged, drain_node, healing_status, node_status, retire_node, undrain_node,
};
use welkin_fabric_wire::{HealingStatus, HealingStop};
use welkin_transport::{Body, json, text};

use crate::api::reply;
use crate::controller::Controller;
use crate::deployment::{Answer, unable};
use crate::row::RowsError;

/// What is to become of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Nothing new on it, and what is there moves.
    Drain,
    /// It gets instances again.
    Undrain,
    /// It is no longer one of the cluster.
    Retire,
}

impl Order {
    /// The order that a path names.
    pub fn of(text: &str) -> Option<Self> {
        Some(match text {
            "drain" => Self::Drain,
            "undrain" => Self::Undrain,
            "retire" => Self::Retire,
            _ => return None,
        })
    }
}

/// Every node.
pub(crate) async fn list(controller: &Controller) -> Response<Body> {
    let state = controller.state().await;
    let nodes = state.cluster.nodes.values().map(|node| node_status(&state.cluster, node, controller.now()));
    json(StatusCode::OK, &nodes.collect::<Vec<_>>())
}

/// What the controller does not heal by itself.
pub(crate) async fn healing(controller: &Controller) -> Response<Body> {
    let state = controller.state().await;
    json(StatusCode::OK, &healing_status(&state.cluster, controller.now()))
}

/// Says in the log when healing stops and when it goes on. `known` is what was said last.
pub(crate) fn watch(cluster: &Cluster, now: Timestamp, known: &mut HealingStatus) {
    let status = healing_status(cluster, now);
    match (&known.stopped, &status.stopped) {
        (None, Some(why)) => tracing::error!(why, "healing stops"),
        (Some(_), None) => tracing::info!("healing goes on"),
        _ => {}
    }
    let is_known =
        |stop: &&HealingStop| known.deployments.iter().any(|one| one.deployment == stop.deployment);
    for HealingStop { deployment, why } in status.deployments.iter().filter(|stop| !is_known(stop)) {
        tracing::error!(%deployment, why, "the deployment is not healed further");
    }
    *known = status;
}

/// Changes what is wanted of a node, and answers the node as it is then.
pub(crate) async fn change(
    controller: &Controller,
    name: &NodeName,
    order: Order,
    force: bool,
) -> Response<Body> {
    let mut state = controller.state().await;
    let now = controller.now();
    let wanted = match order {
        Order::Drain => drain_node(&state.cluster, name, now),
        Order::Undrain => undrain_node(&state.cluster, name, now),
        Order::Retire => retire_node(&state.cluster, name, force, now),
    };
    match wanted {
        Ok(None) => {}
        Ok(Some(change)) => {
            tracing::info!(node = %name, ?order, force, "the operator changes what is wanted of a node");
            match state.commit(change).await {
                Ok(()) => controller.changed.notify_one(),
                Err(error @ RowsError::Conflict) => return text(StatusCode::CONFLICT, error.to_string()),
                Err(RowsError::Store(error)) => return reply(unable(&error)),
                Err(error @ RowsError::Row(_)) => {
                    tracing::error!(node = %name, %error, "a node's state cannot be stored");
                    return reply(Answer::Failed);
                }
            }
        }
        Err(why @ NotChanged::Missing(_)) => return text(StatusCode::NOT_FOUND, why.to_string()),
        Err(why) => return text(StatusCode::CONFLICT, why.to_string()),
    }
    match state.cluster.nodes.get(name) {
        Some(node) => json(StatusCode::OK, &node_status(&state.cluster, node, now)),
        None => text(StatusCode::NOT_FOUND, "there is no such node"),
    }
}
