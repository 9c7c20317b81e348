//! What management asks for: a deployment is made, changed, or ended. Each answer is the deployment as it is to be
//! stored; nothing happens to a node before that.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use welkin_base::{DeploymentId, Generation, InstanceName, Timestamp};
use welkin_fabric_wire::DeploymentGoal;

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Instance, Reach, Role};
use crate::placement::{NoRoom, Room, Spread, Wanted};

/// Why a goal is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Older than the one held, or another one with the same generation.
    #[error(
        "the goal has generation {asked} and the deployment is at {held}: read it again and ask with a higher one"
    )]
    Stale {
        /// Generation of the goal that was sent.
        asked: Generation,
        /// Generation of the goal that is held.
        held: Generation,
    },
    /// It is being deleted.
    #[error("the deployment is being deleted; create another one under a new id")]
    Deleting,
    /// The goal belongs to another subscription, service or slot than the deployment.
    #[error("the deployment belongs to another subscription, hosted service or slot")]
    Other,
    /// The update walk does not exist yet.
    #[error("a running deployment cannot change its package yet: delete it and create it anew")]
    Upgrade,
    /// No virtual IP is free.
    #[error(
        "every virtual IP of the cloud's network is in use; delete a deployment that has an input endpoint"
    )]
    NoVip,
    /// The cluster has no room.
    #[error(transparent)]
    NoRoom(#[from] NoRoom),
}

/// Whether a goal changes anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The deployment does not exist.
    New,
    /// It exists with an older goal.
    Changed,
    /// It exists with this very goal.
    Same,
}

/// Compares a goal with what is held.
///
/// # Errors
/// When the goal cannot be taken whatever its content.
pub fn compare(cluster: &Cluster, id: &DeploymentId, goal: &DeploymentGoal) -> Result<Asked, Refused> {
    let Some(held) = cluster.deployments.get(id) else { return Ok(Asked::New) };
    if held.deleting {
        return Err(Refused::Deleting);
    }
    if held.goal == *goal {
        return Ok(Asked::Same);
    }
    if held.goal.generation >= goal.generation {
        return Err(Refused::Stale { asked: goal.generation, held: held.goal.generation });
    }
    let owner = |goal: &DeploymentGoal| (goal.subscription.clone(), goal.service.clone(), goal.slot);
    if owner(&held.goal) != owner(goal) {
        return Err(Refused::Other);
    }
    if held.goal.package == goal.package { Ok(Asked::Changed) } else { Err(Refused::Upgrade) }
}

/// The deployment with `goal` and `roles`, every instance placed. `domains_max` is the configured number of
/// update domains; instances that exist stay where they are.
///
/// # Errors
/// When it cannot be taken, or one of its instances finds no place; then nothing is changed.
pub fn deploy(
    cluster: &Cluster,
    id: &DeploymentId,
    goal: DeploymentGoal,
    roles: Vec<Role>,
    domains_max: u32,
    now: Timestamp,
) -> Result<Deployment, Refused> {
    compare(cluster, id, &goal)?;
    let largest = roles.iter().map(|role| role.count).max().unwrap_or(0);
    let update_domains = domains_max.min(largest).max(1);
    let mut deployment = match cluster.deployments.get(id) {
        Some(held) => Deployment { goal, update_domains, ..held.clone() },
        None => Deployment {
            id: id.clone(),
            goal,
            deleting: false,
            update_domains,
            vip: None,
            roles: Vec::new(),
            instances: Vec::new(),
            leaving: Vec::new(),
        },
    };
    let wanted = |instance: &Instance| {
        roles.iter().any(|role| role.name == instance.role && instance.index < role.count)
    };
    deployment.let_go(|instance| !wanted(instance));
    deployment.roles = roles;
    place_missing(cluster, &mut deployment, now)?;
    for instance in &mut deployment.instances {
        instance.update_domain = instance.index % update_domains;
    }
    give_vip(cluster, &mut deployment)?;
    Ok(deployment)
}

/// The deployment with the goal that it be gone.
#[must_use]
pub fn delete(deployment: &Deployment) -> Deployment {
    let mut deleted = Deployment { deleting: true, ..deployment.clone() };
    deleted.let_go(|_| true);
    deleted
}

/// The deployment with one instance begun anew; `None` when it has no such instance.
#[must_use]
pub fn reimage(deployment: &Deployment, name: &InstanceName) -> Option<Deployment> {
    let mut changed = deployment.clone();
    let instance = changed.instances.iter_mut().find(|instance| instance.name() == *name)?;
    instance.incarnation += 1;
    Some(changed)
}

fn place_missing(cluster: &Cluster, deployment: &mut Deployment, now: Timestamp) -> Result<(), NoRoom> {
    let mut room = Room::new(cluster, now);
    let roles = deployment.roles.clone();
    let mut by_size: Vec<&Role> = roles.iter().collect();
    // Large ones first: small ones fit into what they leave.
    by_size.sort_by_key(|role| Reverse((role.need.memory_mib, role.need.cores, role.need.disk_mib)));
    for role in by_size {
        for index in 0..role.count {
            if deployment.instance(&InstanceName::of(&role.name, index)).is_some() {
                continue;
            }
            let wanted =
                Wanted { role: &role.name, size: &role.size, index, of: role.count, need: role.need };
            let place = room.take(wanted, &deployment.instances, Spread::Required)?;
            deployment.instances.push(Instance {
                role: role.name.clone(),
                index,
                node: place.node,
                fault_domain: place.fault_domain,
                update_domain: 0,
                address: place.address,
                incarnation: next_incarnation(deployment, &InstanceName::of(&role.name, index)),
            });
        }
    }
    let order = |instance: &Instance| {
        let role = roles.iter().position(|role| role.name == instance.role);
        (role, instance.index)
    };
    deployment.instances.sort_by_key(order);
    Ok(())
}

/// An instance that was removed and comes back is another one than that which is still leaving.
fn next_incarnation(deployment: &Deployment, name: &InstanceName) -> u64 {
    let left = deployment.leaving.iter().filter(|left| left.name == *name).map(|left| left.incarnation);
    left.max().unwrap_or(0) + 1
}

fn give_vip(cluster: &Cluster, deployment: &mut Deployment) -> Result<(), Refused> {
    let has_input = deployment
        .roles
        .iter()
        .flat_map(|role| &role.endpoints)
        .any(|endpoint| matches!(endpoint.reach, Reach::Input { .. }));
    if has_input && deployment.vip.is_none() {
        let used: BTreeSet<_> = cluster.vips().collect();
        deployment.vip = Some(cluster.network.free_vip(&used).ok_or(Refused::NoVip)?);
    }
    Ok(())
}
