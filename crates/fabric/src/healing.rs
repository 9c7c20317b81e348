//! Healing: the instances of a lost node begin anew on others, within a budget and under a brake.
//!
//! *The brake.* When more of the nodes than [`Policy::nodes_lost_percent_max`] are lost or were within a window, the
//! controller is likelier cut off than they are dead: nothing is moved, and instances on silent nodes stay in the load
//! balancer, since to turn everything away would be worse than to try.
//!
//! *The budget.* Of one deployment only so many instances move within a window. One that brings node after node down
//! ends there, and an operator has to look.

use std::time::Duration;

use welkin_base::{NodeName, Timestamp};
use welkin_fabric_wire::{HealingStatus, HealingStop, NodeKind, RebootReason};

use crate::cluster::{Cluster, Node};
use crate::deployment::Deployment;
use crate::health::{Health, apart, health, relocate};
use crate::placement::{Room, Spread, Wanted};

/// How much is healed before somebody has to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Nodes that are lost or were within the window, in percent of all: above it nothing is moved.
    pub nodes_lost_percent_max: u32,
    /// That window.
    pub nodes_window: Duration,
    /// Instances of one deployment that move within their window, in percent: above it no more do.
    pub moves_percent_max: u32,
    /// So many may, however few instances it has.
    pub moves_min: u32,
    /// That window.
    pub moves_window: Duration,
}

impl Default for Policy {
    /// Half of the nodes, since a cluster of two must survive one; and what stands in the largest fault domain that a
    /// role may have (half, rounded up), with a second loss beside it.
    fn default() -> Self {
        Self {
            nodes_lost_percent_max: 50,
            nodes_window: Duration::from_secs(2 * 60),
            moves_percent_max: 75,
            moves_min: 4,
            moves_window: Duration::from_secs(10 * 60),
        }
    }
}

/// Nodes that count, and those of them that fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    failing: u64,
    all: u64,
}

impl Share {
    fn of(cluster: &Cluster, fails: impl Fn(&Node) -> bool) -> Self {
        let counted =
            cluster.nodes.values().filter(|node| node.kind == NodeKind::Compute && !node.is_retired());
        counted.fold(Self { failing: 0, all: 0 }, |sum, node| Self {
            failing: sum.failing + u64::from(fails(node)),
            all: sum.all + 1,
        })
    }

    fn exceeds(self, percent: u32) -> bool {
        self.failing * 100 > self.all * u64::from(percent)
    }
}

/// Why nothing is healed, when the brake is on.
#[must_use]
pub fn brake(cluster: &Cluster, now: Timestamp) -> Option<String> {
    let Policy { nodes_lost_percent_max: percent, nodes_window: window, .. } = cluster.policy;
    let lately = |node: &Node| {
        let noted = node
            .record
            .history
            .iter()
            .filter(|change| cluster.back_since.is_none_or(|back| change.at > back));
        let lost = noted.filter(|change| change.health == Health::Lost);
        lost.into_iter().any(|change| apart(change.at, now) <= window)
    };
    let share = Share::of(cluster, |node| health(cluster, node, now) == Health::Lost || lately(node));
    let Share { failing, all } = share;
    share.exceeds(percent).then(|| {
        format!(
            "{failing} of {all} nodes are lost or were within {} s, more than {percent} %: the controller may be cut \
             off; bring nodes back, or retire those that are gone",
            window.as_secs()
        )
    })
}

/// Whether so many nodes are silent that instances there stay in the load balancer.
#[must_use]
pub fn trusts_the_silent(cluster: &Cluster, now: Timestamp) -> bool {
    let silent = |node: &Node| matches!(health(cluster, node, now), Health::Unhealthy | Health::Lost);
    Share::of(cluster, silent).exceeds(cluster.policy.nodes_lost_percent_max)
}

/// The deployments whose instances on lost nodes find a place elsewhere, as they are afterwards.
#[must_use]
pub fn heal(cluster: &Cluster, now: Timestamp) -> Vec<Deployment> {
    let lost = |deployment: &&Deployment| {
        !deployment.deleting && deployment.instances.iter().any(|one| is_lost(cluster, &one.node, now))
    };
    let concerned: Vec<&Deployment> = cluster.deployments.values().filter(lost).collect();
    if concerned.is_empty() || brake(cluster, now).is_some() {
        return Vec::new();
    }
    let mut room = Room::new(cluster, now);
    concerned.into_iter().filter_map(|deployment| heal_one(cluster, deployment, &mut room, now)).collect()
}

/// What healing does not do, and why.
#[must_use]
pub fn healing_status(cluster: &Cluster, now: Timestamp) -> HealingStatus {
    let stop = |deployment: &Deployment| {
        let waits = deployment.instances.iter().any(|one| is_lost(cluster, &one.node, now));
        let why = over_budget(cluster, deployment, now).filter(|_| waits && !deployment.deleting)?;
        Some(HealingStop { deployment: deployment.id.clone(), why })
    };
    HealingStatus {
        stopped: brake(cluster, now),
        deployments: cluster.deployments.values().filter_map(stop).collect(),
    }
}

fn is_lost(cluster: &Cluster, name: &NodeName, now: Timestamp) -> bool {
    let node = cluster.nodes.get(name);
    node.is_none_or(|node| node.is_retired() || health(cluster, node, now) == Health::Lost)
}

/// How many more instances of a deployment may move.
fn moves_left(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> usize {
    let policy = cluster.policy;
    let moved = deployment
        .events
        .iter()
        .filter(|event| event.reason == RebootReason::Moved && apart(event.at, now) <= policy.moves_window);
    let share = (deployment.instances.len() * policy.moves_percent_max as usize).div_ceil(100);
    share.max(policy.moves_min as usize).saturating_sub(moved.count())
}

/// Why no more instances of a deployment move, when its budget is used up.
fn over_budget(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> Option<String> {
    let Policy { moves_percent_max: percent, moves_min, moves_window, .. } = cluster.policy;
    (moves_left(cluster, deployment, now) == 0).then(|| {
        format!(
            "{percent} % of its instances, and at least {moves_min}, were moved within {} s: it may be what nodes fail \
             of; the rest moves when that time is over",
            moves_window.as_secs()
        )
    })
}

fn heal_one(
    cluster: &Cluster,
    deployment: &Deployment,
    room: &mut Room<'_>,
    now: Timestamp,
) -> Option<Deployment> {
    let mut healed = deployment.clone();
    let mut moves_left = moves_left(cluster, deployment, now);
    for at in 0..healed.instances.len() {
        let old = healed.instances[at].clone();
        let Some(role) = deployment.role_of(&old) else { continue };
        if moves_left == 0 || !is_lost(cluster, &old.node, now) {
            continue;
        }
        let images = role.images();
        let wanted = Wanted {
            role: &role.name,
            size: &role.size,
            index: old.index,
            of: role.count,
            need: old.need,
            images: &images,
        };
        let others: Vec<_> = healed.instances.iter().filter(|i| i.name() != old.name()).cloned().collect();
        let place = room
            .find(wanted, &others, Spread::Required)
            .or_else(|| room.find(wanted, &others, Spread::Preferred));
        let Some(place) = place else { continue };
        relocate(cluster, &mut healed, at, place, RebootReason::Moved, now);
        moves_left -= 1;
    }
    (healed.instances != deployment.instances).then_some(healed)
}
