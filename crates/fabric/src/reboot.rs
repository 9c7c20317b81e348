//! VMs that start again: because the customer asks, or because their node saw them end. Each is noted as an event.

use welkin_base::{InstanceName, Timestamp};
use welkin_fabric_wire::RebootReason;

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Instance};

/// How an instance begins again (SERVICEMODEL §6, "Local data").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// Its VM boots again, with the drives that it has.
    Reboot,
    /// D and E are made again, C stays.
    Reimage,
    /// All three drives are made again.
    Rebuild,
}

/// The deployment with one instance begun again; `None` when it has no such instance.
#[must_use]
pub fn restart(
    deployment: &Deployment,
    name: &InstanceName,
    begin: Begin,
    now: Timestamp,
) -> Option<Deployment> {
    let mut changed = deployment.clone();
    let old = deployment.instance(name)?;
    let instance = changed.instances.iter_mut().find(|instance| instance.name() == *name)?;
    match begin {
        Begin::Reboot => instance.boot += 1,
        Begin::Reimage => instance.reimage += 1,
        Begin::Rebuild => {
            instance.incarnation += 1;
            instance.vm_restarts = 0;
        }
    }
    changed.note(old, RebootReason::Asked, now);
    Some(changed)
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
