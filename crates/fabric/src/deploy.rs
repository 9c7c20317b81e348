//! What management asks for: a deployment is made, changed, or ended. Each answer is the deployment as it is to be
//! stored; nothing happens to a node before that.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use welkin_agent_wire::LocalResource;
use welkin_base::{DeploymentId, Generation, InstanceName, RoleName, Timestamp};
use welkin_fabric_wire::DeploymentGoal;

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Instance, Role, RoleEndpoint, Turn, Version};
use crate::placement::{NoRoom, Place, Room, Spread, Wanted};
use crate::update::{Difference, difference};

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
    /// The number of update domains is part of what a deployment is.
    #[error("upgradeDomainCount is {held} and cannot change while the deployment exists: write {held}")]
    UpdateDomains {
        /// What the deployment has.
        held: u32,
    },
    /// Local storage only grows.
    #[error(
        "role {role}: local storage {resource} has {held_mib} MiB and cannot shrink: write at least that"
    )]
    Shrinks {
        /// Which role.
        role: RoleName,
        /// Which resource.
        resource: String,
        /// Its size.
        held_mib: u32,
    },
    /// The VM is another one afterwards.
    #[error(
        "role {0}: another VM size or more local storage means that what its instances have on local storage is lost: \
         say that it may be (Force)"
    )]
    LosesLocalData(RoleName),
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
    if owner(&held.goal) == owner(goal) { Ok(Asked::Changed) } else { Err(Refused::Other) }
}

/// The deployment with `goal` and `roles`, every instance placed. `domains_max` is the configured number of
/// update domains; instances that exist stay where they are and follow their version until an update changes it.
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
    let version = Version { generation: goal.generation, update_domains_max: domains_max, roles };
    let mut deployment = match cluster.deployments.get(id) {
        Some(held) => renewed(held, goal, version)?,
        None => Deployment {
            id: id.clone(),
            goal,
            deleting: false,
            update_domains: 1,
            vip: None,
            versions: vec![version],
            instances: Vec::new(),
            leaving: Vec::new(),
            events: Vec::new(),
            rolled_back: None,
        },
    };
    let surplus: Vec<InstanceName> = surplus(&deployment);
    deployment.let_go(|instance| surplus.contains(&instance.name()));
    place_missing(cluster, &mut deployment, now)?;
    let largest = deployment.roles().iter().map(|role| role.count).max().unwrap_or(0);
    deployment.update_domains = domains_max.min(largest).max(1);
    for instance in &mut deployment.instances {
        instance.update_domain = instance.index % deployment.update_domains;
    }
    give_vip(cluster, &mut deployment)?;
    Ok(deployment)
}

/// A deployment that exists, with a new goal: with another version, where the goal means one.
fn renewed(held: &Deployment, goal: DeploymentGoal, version: Version) -> Result<Deployment, Refused> {
    let mut deployment = Deployment { goal, rolled_back: None, ..held.clone() };
    let Some(last) = deployment.versions.last_mut() else { return Err(Refused::Other) };
    if last.update_domains_max != version.update_domains_max {
        return Err(Refused::UpdateDomains { held: last.update_domains_max });
    }
    let alike = last.roles.len() == version.roles.len()
        && last.roles.iter().zip(&version.roles).all(|(old, new)| {
            let counted = Role { count: new.count, ..old.clone() };
            counted == *new
        });
    if alike {
        last.roles = version.roles;
        return Ok(deployment);
    }
    for old in &last.roles {
        let new = version.roles.iter().find(|role| role.name == old.name);
        new.map_or(Ok(()), |new| keeps_local_storage(old, new))?;
    }
    let loses = |instance: &&Instance| {
        let new = version.roles.iter().find(|role| role.name == instance.role);
        let old = held.role_of(instance);
        old.zip(new).is_some_and(|(old, new)| difference(old, new) == Difference::Anew)
    };
    if let Some(instance) = held.instances.iter().find(loses)
        && !deployment.goal.update.force
    {
        return Err(Refused::LosesLocalData(instance.role.clone()));
    }
    deployment.versions.push(version);
    Ok(deployment)
}

fn keeps_local_storage(old: &Role, new: &Role) -> Result<(), Refused> {
    for held in &old.local_resources {
        let shrinks = |wanted: &&LocalResource| wanted.name == held.name && wanted.size_mib < held.size_mib;
        if new.local_resources.iter().any(|wanted| shrinks(&wanted)) {
            let (role, resource) = (old.name.clone(), held.name.clone());
            return Err(Refused::Shrinks { role, resource, held_mib: held.size_mib });
        }
    }
    Ok(())
}

/// Instances that are more than their role has now. Those of a role that goes stay until the update is over: what
/// is not yet updated may need them.
fn surplus(deployment: &Deployment) -> Vec<InstanceName> {
    let stays = |instance: &&Instance| {
        let role = deployment.role(&instance.role);
        role.is_none_or(|role| numbers(deployment, role).contains(&instance.index))
    };
    deployment.instances.iter().filter(|instance| !stays(instance)).map(Instance::name).collect()
}

/// The numbers of a role's instances: the lowest, without those that were deleted by name.
fn numbers(deployment: &Deployment, role: &Role) -> Vec<u32> {
    let removed = &deployment.goal.removed;
    let count = usize::try_from(role.count).unwrap_or(usize::MAX);
    let is_free = |index: &u32| !removed.contains(&InstanceName::of(&role.name, *index));
    (0..u32::MAX).filter(is_free).take(count).collect()
}

/// The deployment with the goal that it be gone.
#[must_use]
pub fn delete(deployment: &Deployment) -> Deployment {
    let mut deleted = Deployment { deleting: true, ..deployment.clone() };
    deleted.let_go(|_| true);
    deleted
}

pub(crate) fn place_missing(
    cluster: &Cluster,
    deployment: &mut Deployment,
    now: Timestamp,
) -> Result<(), NoRoom> {
    let mut room = Room::new(cluster, now);
    let roles = deployment.roles().to_vec();
    for instance in &mut deployment.instances {
        let Some(role) = roles.iter().find(|role| role.name == instance.role) else { continue };
        let most = instance.need.most(role.need);
        let more = most.less(instance.need);
        if !more.is_nothing() {
            room.grow(instance, more, &role.size)?;
            instance.need = most;
        }
    }
    let mut by_size: Vec<&Role> = roles.iter().collect();
    // Large ones first: small ones fit into what they leave.
    by_size.sort_by_key(|role| Reverse((role.need.memory_mib, role.need.cores, role.need.disk_mib)));
    for role in by_size {
        let images = role.images();
        for index in numbers(deployment, role) {
            if deployment.instance(&InstanceName::of(&role.name, index)).is_some() {
                continue;
            }
            let wanted = Wanted {
                role: &role.name,
                size: &role.size,
                index,
                of: role.count,
                need: role.need,
                images: &images,
            };
            let place = room.take(wanted, &deployment.instances, Spread::Required)?;
            deployment.instances.push(placed(deployment, role, index, place));
        }
    }
    let order = |instance: &Instance| {
        let role = roles.iter().position(|role| role.name == instance.role);
        (role.unwrap_or(usize::MAX), instance.role.clone(), instance.index)
    };
    deployment.instances.sort_by_key(order);
    Ok(())
}

fn placed(deployment: &Deployment, role: &Role, index: u32, place: Place) -> Instance {
    Instance {
        role: role.name.clone(),
        index,
        node: place.node,
        fault_domain: place.fault_domain,
        update_domain: 0,
        address: place.address,
        incarnation: next_incarnation(deployment, &InstanceName::of(&role.name, index)),
        boot: 0,
        reimage: 0,
        need: role.need,
        version: deployment.wanted(),
        changed: Generation::default(),
        changed_at: None,
        turn: Turn::None,
        begins: None,
        vm_restarts: 0,
    }
}

/// An instance that was removed and comes back is another one than that which is still leaving.
fn next_incarnation(deployment: &Deployment, name: &InstanceName) -> u64 {
    let left = deployment.leaving.iter().filter(|left| left.name == *name).map(|left| left.incarnation);
    left.max().unwrap_or(0) + 1
}

fn give_vip(cluster: &Cluster, deployment: &mut Deployment) -> Result<(), Refused> {
    let has_input = deployment.roles().iter().flat_map(|role| &role.endpoints).any(RoleEndpoint::is_public);
    if has_input && deployment.vip.is_none() {
        let used: BTreeSet<_> = cluster.vips().collect();
        deployment.vip = Some(cluster.network.free_vip(&used).ok_or(Refused::NoVip)?);
    }
    Ok(())
}
