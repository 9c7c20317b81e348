//! Draining: the instances of a node that the operator wants empty begin anew elsewhere.
//!
//! Per deployment one update domain at a time moves, and only while no update is under way in another one: it is taken
//! out of the load balancer, waits until connections have ended, begins anew on another node, and is waited for until
//! ready. An instance that takes traffic moves only while those of its role in all other domains do too, so that no
//! draining takes the last one that works away.

use std::collections::BTreeSet;

use welkin_base::{NodeName, Timestamp};
use welkin_fabric_wire::{NodeState, RebootReason};

use crate::cluster::{Cluster, Node};
use crate::deployment::{Deployment, Instance, Role, Turn};
use crate::health::relocate;
use crate::placement::{NoRoom, Place, Room, Spread, Wanted};
use crate::quiet::is_quiet;
use crate::update::open_domains;
use crate::vip::is_ready;

/// Deployments of which instances move at once. Each of them starts virtual machines somewhere.
pub const MOVING_MAX: usize = 8;

/// The deployments of which something moves off nodes that are drained, as they are afterwards.
#[must_use]
pub fn drain(cluster: &Cluster, now: Timestamp) -> Vec<Deployment> {
    let left = left_nodes(cluster);
    let concerned = |deployment: &&Deployment| {
        let on_left = |instance: &Instance| left.contains(&instance.node) || instance.turn.is_move();
        !deployment.deleting && deployment.instances.iter().any(on_left)
    };
    let concerned: Vec<&Deployment> = cluster.deployments.values().filter(concerned).collect();
    if concerned.is_empty() {
        return Vec::new();
    }
    let mut moving = concerned.iter().filter(|deployment| is_moving(deployment)).count();
    let mut room = Room::new(cluster, now);
    let mut moved = Vec::new();
    for deployment in concerned {
        let mut step = Step { cluster, left: &left, now, next: deployment.clone() };
        step.take(&mut room, moving < MOVING_MAX);
        moving += usize::from(is_moving(&step.next) && !is_moving(deployment));
        if step.next != *deployment {
            moved.push(step.next);
        }
    }
    moved
}

/// Why a node that is drained still has instances; `None` when nothing is in the way.
#[must_use]
pub fn obstacle(cluster: &Cluster, node: &Node, now: Timestamp) -> Option<String> {
    if node.record.state != NodeState::Draining {
        return None;
    }
    let left = left_nodes(cluster);
    let mut room = Room::new(cluster, now);
    let here = |deployment: &&Deployment| {
        !deployment.deleting && deployment.instances.iter().any(|instance| instance.node == node.name)
    };
    cluster.deployments.values().filter(here).find_map(|deployment| {
        let step = Step { cluster, left: &left, now, next: deployment.clone() };
        step.obstacle(&mut room).map(|why| format!("deployment {}: {why}", deployment.id))
    })
}

fn left_nodes(cluster: &Cluster) -> BTreeSet<NodeName> {
    cluster.nodes.values().filter(|node| node.is_left()).map(|node| node.name.clone()).collect()
}

fn is_moving(deployment: &Deployment) -> bool {
    deployment.instances.iter().any(|instance| instance.turn.is_move())
}

/// What is done with one deployment in one plan.
struct Step<'a> {
    cluster: &'a Cluster,
    left: &'a BTreeSet<NodeName>,
    now: Timestamp,
    next: Deployment,
}

impl Step<'_> {
    fn take(&mut self, room: &mut Room<'_>, may_begin: bool) {
        for instance in &mut self.next.instances {
            let stays = !self.left.contains(&instance.node);
            if stays && matches!(instance.turn, Turn::Moving { .. }) {
                instance.turn = Turn::None;
            }
        }
        if !self.next.runs() {
            self.relocate(room, |_| Some(Turn::None));
            return;
        }
        let open = open_domains(&self.next);
        if open.is_empty() {
            if may_begin {
                self.begin(room);
            }
            return;
        }
        let due: Vec<Option<Turn>> = self.next.instances.iter().map(|instance| self.due(instance)).collect();
        self.relocate(room, |at| due.get(at).copied().flatten());
    }

    /// What an instance's turn is once it has moved; `None` while it is not to move.
    fn due(&self, instance: &Instance) -> Option<Turn> {
        let serves = self.serves(instance);
        match instance.turn {
            Turn::Moving { .. } => {
                let quiet = is_quiet(self.cluster, &self.next, instance, self.now);
                (!serves || quiet).then_some(Turn::Moved)
            }
            // An update does not get on with it here; elsewhere it may.
            Turn::Changing { out } => (!serves).then_some(Turn::Changing { out }),
            Turn::None | Turn::Draining { .. } | Turn::Moved => None,
        }
    }

    fn serves(&self, instance: &Instance) -> bool {
        is_ready(self.cluster, &self.next, instance, self.now)
    }

    /// Takes the first domain that may move out of rotation.
    fn begin(&mut self, room: &mut Room<'_>) {
        let Some(domain) = self.domains().into_iter().find(|domain| self.may_move(*domain)) else { return };
        let mut trial = self.next.clone();
        for at in self.here(Some(domain)) {
            if place(&trial, at, room).is_err() {
                return;
            }
            trial.instances[at].turn = Turn::Moving { since: self.now };
        }
        self.next = trial;
    }

    /// Domains with something on nodes that are drained: first those that serve nobody anyway.
    fn domains(&self) -> Vec<u32> {
        let here = self.here(None);
        let domains: BTreeSet<(bool, u32)> = here
            .iter()
            .map(|at| &self.next.instances[*at])
            .map(|instance| (self.serves(instance), instance.update_domain))
            .collect();
        domains.into_iter().map(|(_, domain)| domain).collect()
    }

    /// Positions of the instances on nodes that are drained, of one domain or of all.
    fn here(&self, domain: Option<u32>) -> Vec<usize> {
        let instances = self.next.instances.iter().enumerate();
        let chosen = instances.filter(|(_, instance)| {
            self.left.contains(&instance.node) && domain.is_none_or(|domain| domain == instance.update_domain)
        });
        chosen.map(|(at, _)| at).collect()
    }

    fn may_move(&self, domain: u32) -> bool {
        self.here(Some(domain)).iter().all(|at| self.waits_for(&self.next.instances[*at]).is_none())
    }

    /// The instance of another domain that must serve before this one, which serves, may go.
    fn waits_for(&self, instance: &Instance) -> Option<&Instance> {
        let of_role = self.next.instances.iter().filter(|other| other.role == instance.role);
        let mut others = of_role.filter(|other| other.update_domain != instance.update_domain);
        if self.serves(instance) { others.find(|other| !self.serves(other)) } else { None }
    }

    fn relocate(&mut self, room: &mut Room<'_>, turn: impl Fn(usize) -> Option<Turn>) {
        for at in self.here(None) {
            let Some(turn) = turn(at) else { continue };
            match place(&self.next, at, room) {
                Ok(place) => {
                    let why = RebootReason::Drained;
                    relocate(self.cluster, &mut self.next, at, place, why, self.now);
                    self.next.instances[at].turn = turn;
                }
                // Back into rotation: room was lost since it was looked for.
                Err(_) if self.next.instances[at].turn.is_move() => {
                    self.next.instances[at].turn = Turn::None;
                }
                Err(_) => {}
            }
        }
    }

    fn obstacle(&self, room: &mut Room<'_>) -> Option<String> {
        if is_moving(&self.next) {
            return None;
        }
        if self.next.runs() && !open_domains(&self.next).is_empty() {
            return Some("waits for the end of an update".to_owned());
        }
        let waits =
            |at: &usize| Some((&self.next.instances[*at], self.waits_for(&self.next.instances[*at])?));
        for at in self.here(None) {
            if let Some((instance, other)) = waits(&at) {
                return Some(format!("{} waits until {} is ready", instance.name(), other.name()));
            }
            if let Err(no_room) = place(&self.next, at, room) {
                return Some(no_room.to_string());
            }
        }
        None
    }
}

/// A place for an instance, elsewhere than where it is.
fn place(deployment: &Deployment, at: usize, room: &mut Room<'_>) -> Result<Place, NoRoom> {
    let old = &deployment.instances[at];
    let role = deployment.role_of(old);
    let size = role.map(|role| role.size.as_str()).unwrap_or_default();
    let of = role.map_or(1, |role| role.count);
    let others: Vec<Instance> =
        deployment.instances.iter().filter(|other| other.name() != old.name()).cloned().collect();
    let images = role.map(Role::images).unwrap_or([deployment.goal.package; 4]);
    let wanted = Wanted { role: &old.role, size, index: old.index, of, need: old.need, images: &images };
    room.take(wanted, &others, Spread::Required)
}
