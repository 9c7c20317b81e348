//! The update walk: how the instances of a deployment come to follow a changed goal.
//!
//! A goal whose roles differ adds a version; an instance follows one version at a time. Each update domain is taken out
//! of the load balancer, changed, and waited for until every instance of it is ready; then comes the next. What the
//! change leaves as it is follows without notice, and what differs in settings only stays in rotation: the guest asks
//! the role whether it takes them as it runs.
//!
//! Invariants:
//! * By an update, instances of at most one update domain are down, unless the customer asked for all at once. What an
//!   update has touched (its [`Turn`] is not `None`) is first made ready, even when a newer goal was laid over it.
//! * A domain that does not become ready stops the walk: the customer lays a new goal or the one before over it, or the
//!   [rollback](crate::rollback) does after a while, and only what was changed changes back.

use std::collections::BTreeSet;

use welkin_base::Timestamp;
use welkin_fabric_wire::{RebootReason, UpdateMode, UpdateObserved};

use crate::cluster::Cluster;
use crate::deployment::{Deployment, Instance, Need, Role, RoleEndpoint, Turn};
use crate::health::{Health, goal_given, health};
use crate::quiet::is_quiet;
use crate::rollback::rolled_back;
use crate::vip::{is_ready, passes_all};

/// What a change of version means for an instance, from the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// Nothing.
    None,
    /// Settings only: the role may take them as it runs.
    Settings,
    /// It begins again: its role in the guest, or its VM with D and E made anew where they differ.
    Restart,
    /// It begins anew, and what it has on C is lost.
    Anew,
}

/// How one version of a role differs from another. How many instances it has is no difference to an instance.
#[must_use]
pub fn difference(from: &Role, to: &Role) -> Difference {
    if (from.need.cores, from.need.memory_mib, from.scratch_mib)
        != (to.need.cores, to.need.memory_mib, to.scratch_mib)
    {
        return Difference::Anew;
    }
    let alike = Role {
        count: to.count,
        package: to.package,
        size: to.size.clone(),
        need: to.need,
        settings: to.settings.clone(),
        endpoints: if unguarded(from) == unguarded(to) { &to.endpoints } else { &from.endpoints }.clone(),
        ..from.clone()
    };
    match (alike == *to, from.settings == to.settings) {
        (false, _) => Difference::Restart,
        (true, false) => Difference::Settings,
        (true, true) => Difference::None,
    }
}

/// The endpoints of a role, whoever may reach them and whatever is asked there: nodes keep others out and ask, and
/// instances know nothing of it.
fn unguarded(role: &Role) -> Vec<RoleEndpoint> {
    let unguarded = |endpoint: &RoleEndpoint| RoleEndpoint {
        access: Vec::new(),
        probe: None,
        callers: None,
        ..endpoint.clone()
    };
    role.endpoints.iter().map(unguarded).collect()
}

/// The deployments that an update changes at `now`, as they are afterwards.
#[must_use]
pub fn update(cluster: &Cluster, now: Timestamp) -> Vec<Deployment> {
    let running = cluster.deployments.values().filter(|deployment| !deployment.deleting);
    running.filter_map(|deployment| advance(cluster, deployment, now)).collect()
}

/// The update that is in progress.
#[must_use]
pub fn update_observed(deployment: &Deployment) -> Option<UpdateObserved> {
    let by_update = |instance: &&Instance| instance.turn != Turn::None && !instance.turn.is_move();
    let open = deployment.instances.iter().filter(by_update).map(|instance| instance.update_domain).min();
    let domain = open.or_else(|| next_domain(deployment))?;
    let wanted = deployment.wanted();
    let moves = |instance: &&Instance| {
        instance.update_domain == domain
            && match instance.turn {
                Turn::None | Turn::Moving { .. } | Turn::Moved => false,
                Turn::Draining { .. } => true,
                Turn::Changing { .. } => instance.version == wanted,
            }
    };
    Some(UpdateObserved {
        mode: deployment.goal.update.mode,
        domain,
        during: deployment.instances.iter().any(|instance| moves(&instance)),
        all_changed: next_domain(deployment).is_none(),
    })
}

/// The next step of one deployment's update.
fn advance(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> Option<Deployment> {
    let mut next = rolled_back(cluster, deployment, now).unwrap_or_else(|| deployment.clone());
    follow_what_is_same(&mut next);
    end_turns(cluster, &mut next, now);
    if !next.runs() || next.goal.update.mode == UpdateMode::Simultaneous {
        let turn = if next.runs() { Turn::Changing { out: false } } else { Turn::None };
        change(cluster, &mut next, now, |_| Some(turn));
    } else if open_domains(&next).is_empty() {
        open(cluster, &mut next, now);
    } else {
        carry_on(cluster, &mut next, now);
    }
    if update_observed(&next).is_none() {
        finish(&mut next);
    }
    give_back(cluster, &mut next);
    (next != *deployment).then_some(next)
}

fn follow_what_is_same(deployment: &mut Deployment) {
    let wanted = deployment.wanted();
    for at in 0..deployment.instances.len() {
        if difference_of(deployment, &deployment.instances[at]) == Some(Difference::None) {
            deployment.instances[at].version = wanted;
        }
    }
}

/// How an instance's version differs from the one that is wanted; `None` when its role is to go.
fn difference_of(deployment: &Deployment, instance: &Instance) -> Option<Difference> {
    let to = deployment.role(&instance.role)?;
    Some(deployment.role_of(instance).map_or(Difference::Anew, |from| difference(from, to)))
}

/// A turn ends when the instance follows what is wanted and is ready since; or when nothing runs.
fn end_turns(cluster: &Cluster, deployment: &mut Deployment, now: Timestamp) {
    for at in 0..deployment.instances.len() {
        let instance = &deployment.instances[at];
        let ended = match instance.turn {
            Turn::None | Turn::Moving { .. } => false,
            Turn::Moved => is_ready_since(cluster, deployment, instance, now),
            Turn::Draining { .. } => {
                deployment.role(&instance.role).is_none() || !is_pending(deployment, instance)
            }
            Turn::Changing { .. } => {
                !is_pending(deployment, instance) && is_ready_since(cluster, deployment, instance, now)
            }
        };
        if ended || !deployment.runs() {
            deployment.instances[at].turn = Turn::None;
        }
    }
}

/// Whether the instance is ready and passes its probes, and its guest works on a goal that was given after the instance
/// changed.
pub(crate) fn is_ready_since(
    cluster: &Cluster,
    deployment: &Deployment,
    instance: &Instance,
    now: Timestamp,
) -> bool {
    let seen = cluster.nodes.get(&instance.node);
    let seen = seen.and_then(|node| node.seen.instance(&deployment.instance_id(instance.name())));
    is_ready(cluster, deployment, instance, now)
        && passes_all(cluster, deployment, instance, now)
        && seen.is_some_and(|seen| seen.generation > instance.changed)
}

/// Whether the instance follows another version than is wanted, of a role that stays.
fn is_pending(deployment: &Deployment, instance: &Instance) -> bool {
    instance.version != deployment.wanted() && deployment.role(&instance.role).is_some()
}

/// The domains that an update or a move has touched and not yet made ready.
pub(crate) fn open_domains(deployment: &Deployment) -> BTreeSet<u32> {
    let touched = deployment.instances.iter().filter(|instance| instance.turn != Turn::None);
    touched.map(|instance| instance.update_domain).collect()
}

/// The first domain with an instance that is to change.
fn next_domain(deployment: &Deployment) -> Option<u32> {
    let pending = deployment.instances.iter().filter(|instance| is_pending(deployment, instance));
    pending.map(|instance| instance.update_domain).min()
}

/// Whether the customer lets the domain change.
fn is_allowed(mode: UpdateMode, domain: u32) -> bool {
    match mode {
        UpdateMode::Automatic | UpdateMode::Simultaneous => true,
        UpdateMode::Manual { domain: allowed } => allowed == Some(domain),
    }
}

/// Begins with the next domain, once its nodes have the images: an instance is not down while they are copied.
fn open(cluster: &Cluster, deployment: &mut Deployment, now: Timestamp) {
    let mode = deployment.goal.update.mode;
    let Some(domain) = next_domain(deployment).filter(|domain| is_allowed(mode, *domain)) else { return };
    let here = |deployment: &Deployment, instance: &Instance| {
        instance.update_domain == domain && is_pending(deployment, instance)
    };
    let waits =
        |instance: &Instance| here(deployment, instance) && lacks_images(cluster, deployment, instance, now);
    if deployment.instances.iter().any(waits) {
        return;
    }
    for at in 0..deployment.instances.len() {
        let instance = &deployment.instances[at];
        if here(deployment, instance)
            && difference_of(deployment, instance).is_some_and(|difference| difference > Difference::Settings)
        {
            deployment.instances[at].turn = Turn::Draining { since: now };
        }
    }
    let turn = |instance: &Instance| {
        let live = instance.update_domain == domain && instance.turn == Turn::None;
        live.then_some(Turn::Changing { out: false })
    };
    change(cluster, deployment, now, turn);
}

/// Goes on with what is open: what has drained changes, and so does what a goal before this one had changed.
fn carry_on(cluster: &Cluster, deployment: &mut Deployment, now: Timestamp) {
    let mode = deployment.goal.update.mode;
    let allowed = |domain| is_allowed(mode, domain);
    for instance in &mut deployment.instances {
        if matches!(instance.turn, Turn::Draining { .. }) && !allowed(instance.update_domain) {
            instance.turn = Turn::None;
        }
    }
    let quiet: BTreeSet<_> = deployment
        .instances
        .iter()
        .filter(|instance| is_quiet(cluster, deployment, instance, now))
        .map(Instance::name)
        .collect();
    change(cluster, deployment, now, |instance| {
        let out = instance.turn.is_out();
        let due = match instance.turn {
            Turn::None | Turn::Moving { .. } => false,
            Turn::Changing { .. } | Turn::Moved => true,
            Turn::Draining { .. } => quiet.contains(&instance.name()),
        };
        (due && allowed(instance.update_domain)).then_some(Turn::Changing { out })
    });
}

/// Has every pending instance that `turn` chooses follow what is wanted.
fn change(
    cluster: &Cluster,
    deployment: &mut Deployment,
    now: Timestamp,
    turn: impl Fn(&Instance) -> Option<Turn>,
) {
    let wanted = deployment.wanted();
    for at in 0..deployment.instances.len() {
        let old = deployment.instances[at].clone();
        if !is_pending(deployment, &old) {
            continue;
        }
        let (Some(turn), Some(difference)) = (turn(&old), difference_of(deployment, &old)) else { continue };
        if deployment.runs() && begins_vm(deployment, &old, difference) {
            deployment.note(&old, RebootReason::Update, now);
        }
        let instance = &mut deployment.instances[at];
        instance.version = wanted;
        instance.changed = goal_given(cluster, &old.node);
        instance.changed_at = Some(now);
        instance.turn = turn;
        if difference == Difference::Anew {
            instance.incarnation += 1;
            instance.vm_restarts = 0;
        }
    }
}

/// Whether a change of version starts the VM again, rather than the role in it.
fn begins_vm(deployment: &Deployment, instance: &Instance, difference: Difference) -> bool {
    let (from, to) = (deployment.role_of(instance), deployment.role(&instance.role));
    difference == Difference::Anew || from.map(Role::images) != to.map(Role::images)
}

fn lacks_images(cluster: &Cluster, deployment: &Deployment, instance: &Instance, now: Timestamp) -> bool {
    let (Some(node), Some(role)) = (cluster.nodes.get(&instance.node), deployment.role(&instance.role))
    else {
        return false;
    };
    let same = deployment.role_of(instance).is_some_and(|from| from.images() == role.images());
    !same
        && health(cluster, node, now) == Health::Healthy
        && role.images().iter().any(|image| !node.seen.has_image(image))
}

/// The update is over: roles that are no longer wanted go, and what nothing follows is forgotten.
fn finish(deployment: &mut Deployment) {
    let roles: BTreeSet<_> = deployment.roles().iter().map(|role| role.name.clone()).collect();
    deployment.let_go(|instance| !roles.contains(&instance.role));
    let surplus = deployment.versions.len().saturating_sub(1);
    deployment.versions.drain(..surplus);
}

/// An instance that became smaller gives back what it no longer needs, once the larger VM is gone.
fn give_back(cluster: &Cluster, deployment: &mut Deployment) {
    let wanted = deployment.wanted();
    for at in 0..deployment.instances.len() {
        let instance = &deployment.instances[at];
        let need = deployment.role(&instance.role).map(|role| role.need);
        let Some(need) = need.filter(|need| *need != instance.need && instance.version == wanted) else {
            continue;
        };
        if is_replaced(cluster, deployment, instance) {
            deployment.instances[at].need = need;
        }
    }
}

fn is_replaced(cluster: &Cluster, deployment: &Deployment, instance: &Instance) -> bool {
    let Some(node) = cluster.nodes.get(&instance.node) else { return false };
    let took = node.seen.state().is_some_and(|state| {
        state.generation > instance.changed
            || (!deployment.runs() && state.generation == node.record.generation)
    });
    let seen = node.seen.instance(&deployment.instance_id(instance.name()));
    took && seen.is_none_or(|seen| seen.incarnation >= instance.incarnation)
}

impl Need {
    /// The most of both.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            cores: self.cores.max(other.cores),
            memory_mib: self.memory_mib.max(other.memory_mib),
            disk_mib: self.disk_mib.max(other.disk_mib),
        }
    }
}
