//! An update that fails goes back by itself: what it changed follows the version before again, one update domain after the
//! other, so that nobody need be awake for it.
//!
//! It goes back once, to the last version that every instance followed, and only an automatic update: in the other modes
//! the customer says what happens next. The goal stays what the customer asked for; a later one is laid over as ever.

use std::time::Duration;

use welkin_base::Timestamp;
use welkin_fabric_wire::UpdateMode;

use crate::cluster::Cluster;
use crate::deploy::place_missing;
use crate::deployment::{Deployment, Instance, Turn};
use crate::health::{Health, health};
use crate::update::is_ready_since;

/// How long an instance that was changed may take to get ready. The classic controller waited as long (SERVICEMODEL §6) and
/// then went on to the next update domain.
pub const READY_MAX: Duration = Duration::from_secs(30 * 60);

/// The deployment with the version before its update wanted again, when the update has failed and there is room for that.
pub(crate) fn rolled_back(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> Option<Deployment> {
    let is_automatic = deployment.goal.update.mode == UpdateMode::Automatic;
    if !deployment.runs()
        || !is_automatic
        || deployment.rolled_back.is_some()
        || deployment.versions.len() < 2
    {
        return None;
    }
    let failed =
        deployment.instances.iter().find(|instance| has_failed(cluster, deployment, instance, now))?;
    let mut back = deployment.clone();
    let mut healthy = back.versions.remove(0);
    for role in &mut healthy.roles {
        // How many instances there are is no fault of the version.
        role.count = deployment.role(&role.name).map_or(role.count, |wanted| wanted.count);
    }
    back.versions.push(healthy);
    place_missing(cluster, &mut back, now).ok()?;
    let minutes = cluster.ready_max.as_secs() / 60;
    back.rolled_back = Some(format!(
        "the update went back to the version before by itself: {} was not ready {minutes} min after it had changed",
        failed.name()
    ));
    Some(back)
}

/// Whether an instance follows what is wanted for too long without getting ready, and its node is not to blame.
fn has_failed(cluster: &Cluster, deployment: &Deployment, instance: &Instance, now: Timestamp) -> bool {
    let node = cluster.nodes.get(&instance.node);
    let late = |since: Timestamp| now.since(since) >= cluster.ready_max;
    matches!(instance.turn, Turn::Changing { .. })
        && instance.version == deployment.wanted()
        && instance.changed_at.is_some_and(late)
        && node.is_some_and(|node| health(cluster, node, now) == Health::Healthy)
        && !is_ready_since(cluster, deployment, instance, now)
}
