//! VMs that start again: because the customer asks, or because their node saw them end. Each is noted as an event.

use serde::{Deserialize, Serialize};
use welkin_base::{InstanceName, Timestamp};
use welkin_fabric_wire::RebootReason;

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Instance};
use crate::health::goal_given;
use crate::quiet::is_quiet;
use crate::update::is_ready_since;

/// How an instance begins again (SERVICEMODEL §6, "Local data"), from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Begin {
    /// Its VM boots again, with the drives that it has.
    Reboot,
    /// D and E are made again, C stays.
    Reimage,
    /// All three drives are made again.
    Rebuild,
}

/// An instance that the customer asked to begin again. It is out of rotation until it has and is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beginning {
    /// How.
    pub how: Begin,
    /// When it was asked.
    pub since: Timestamp,
    /// Whether its node was told; before, its connections come to their end.
    pub begun: bool,
}

/// The deployment with one instance asked to begin again; `None` when it has no such instance. What is more than was asked
/// before replaces it.
#[must_use]
pub fn restart(
    deployment: &Deployment,
    name: &InstanceName,
    how: Begin,
    now: Timestamp,
) -> Option<Deployment> {
    let mut asked = deployment.clone();
    let instance = asked.instances.iter_mut().find(|instance| instance.name() == *name)?;
    instance.begins = Some(match instance.begins {
        Some(waiting) if !waiting.begun => Beginning { how: how.max(waiting.how), ..waiting },
        _ => Beginning { how, since: now, begun: false },
    });
    Some(asked)
}

/// The deployments of which an instance that was asked to begins again, or is ready since it did.
#[must_use]
pub fn begin(cluster: &Cluster, now: Timestamp) -> Vec<Deployment> {
    let asked = cluster.deployments.values().filter(|deployment| !deployment.deleting);
    asked.filter_map(|deployment| begin_those_of(cluster, deployment, now)).collect()
}

fn begin_those_of(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> Option<Deployment> {
    let mut next = deployment.clone();
    for at in 0..next.instances.len() {
        let old = deployment.instances[at].clone();
        let Some(asked) = old.begins else { continue };
        if !asked.begun && (!deployment.runs() || is_quiet(cluster, deployment, &old, now)) {
            next.note(&old, RebootReason::Asked, now);
            let instance = &mut next.instances[at];
            match asked.how {
                Begin::Reboot => instance.boot += 1,
                Begin::Reimage => instance.reimage += 1,
                Begin::Rebuild => {
                    instance.incarnation += 1;
                    instance.vm_restarts = 0;
                }
            }
            instance.changed = goal_given(cluster, &instance.node);
            instance.begins = Some(Beginning { begun: true, ..asked });
        }
        if asked.begun && (!deployment.runs() || is_ready_since(cluster, deployment, &old, now)) {
            next.instances[at].begins = None;
        }
    }
    (next != *deployment).then_some(next)
}

/// The deployments of which nodes say that a VM was started again, with that noted.
#[must_use]
pub fn note_restarts(cluster: &Cluster, now: Timestamp) -> Vec<Deployment> {
    let running = cluster.deployments.values().filter(|deployment| !deployment.deleting);
    running.filter_map(|deployment| note_restarts_of(cluster, deployment, now)).collect()
}

fn note_restarts_of(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> Option<Deployment> {
    let counted = |instance: &Instance| {
        let seen =
            cluster.nodes.get(&instance.node)?.seen.instance(&deployment.instance_id(instance.name()))?;
        (seen.incarnation == instance.incarnation).then_some(seen.vm_restarts)
    };
    let mut noted = deployment.clone();
    for at in 0..noted.instances.len() {
        let old = noted.instances[at].clone();
        let Some(count) = counted(&old).filter(|count| *count > old.vm_restarts) else { continue };
        noted.note(&old, RebootReason::Failed, now);
        noted.instances[at].vm_restarts = count;
    }
    (noted.events != deployment.events || noted.instances != deployment.instances).then_some(noted)
}
