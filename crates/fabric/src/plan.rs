//! What the controller does next. Every decision is here and in what is called from here; the shell only executes.
//!
//! An answer of `plan` is of one kind: first what must be stored, and when nothing must, what is said to the nodes.
//! So a goal is stored before it is said, and a controller that ends in between goes on where it was.

use std::collections::BTreeSet;

use welkin_agent_wire::NodeGoal;
use welkin_base::{DeploymentId, Digest, NodeName, ServiceName, Timestamp};

use crate::cluster::{Cluster, Node, NodeRecord};
use crate::deployment::{Deployment, Leaving, Role};
use crate::drain::drain;
use crate::goal::{content_digest, node_goal};
use crate::healing::heal;
use crate::health::{Health, health, is_settled};
use crate::life;
use crate::reboot::{begin, note_restarts};
use crate::update::update;

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Commit a row, unless it changed since it was read, and plan again.
    Store(Change),
    /// Commit a row likewise once everything else of the plan was said: nothing waits for it.
    Note(Change),
    /// Give a node its goal.
    PushGoal(Box<NodeGoal>),
    /// Give a node an image, unless it has it.
    PushImage {
        /// The node.
        node: NodeName,
        /// The image.
        image: Digest,
    },
}

/// A change of a stored row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A deployment as it is now.
    Deployment(Box<Deployment>),
    /// Two deployments of one service that change places, in one commit.
    Swap(Box<[Deployment; 2]>),
    /// A deployment that is wholly gone.
    Remove(ServiceName, DeploymentId),
    /// A node's record as it is now.
    Node(NodeName, NodeRecord),
}

/// What to do at `now`.
#[must_use]
pub fn plan(cluster: &Cluster, now: Timestamp) -> Vec<Action> {
    if !is_settled(cluster, now) {
        return Vec::new();
    }
    let goals: Vec<(&Node, NodeGoal)> =
        cluster.nodes.values().map(|node| (node, node_goal(cluster, node, now))).collect();
    let records: Vec<Action> = goals.iter().filter_map(|(node, goal)| raise(node, goal)).collect();
    if !records.is_empty() {
        return records;
    }
    let changes = changes(cluster, now);
    if !changes.is_empty() {
        return changes.into_iter().map(Action::Store).collect();
    }
    let answering = goals.into_iter().filter(|(node, _)| health(cluster, node, now) == Health::Healthy);
    let said = answering.flat_map(|(node, goal)| pushes(cluster, node, goal));
    said.chain(life::notes(cluster, now).into_iter().map(Action::Note)).collect()
}

impl Cluster {
    /// Takes over what was stored.
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Deployment(deployment) => {
                self.put_deployment(*deployment);
            }
            Change::Swap(deployments) => {
                for deployment in *deployments {
                    self.put_deployment(deployment);
                }
            }
            Change::Remove(_, id) => {
                self.remove_deployment(&id);
            }
            Change::Node(name, record) => {
                if let Some(node) = self.nodes.get_mut(&name) {
                    node.record = record;
                }
                self.refresh(&name);
            }
        }
    }

    /// Every image that a deployment needs.
    #[must_use]
    pub fn images(&self) -> BTreeSet<Digest> {
        let versions = self.deployments.values().flat_map(|deployment| &deployment.versions);
        let roles = versions.flat_map(|version| &version.roles);
        let os = &self.guest_os;
        roles.flat_map(Role::images).chain([os.kernel, os.initramfs, os.root]).collect()
    }

    /// Every package that a deployment comes from.
    #[must_use]
    pub fn packages(&self) -> BTreeSet<Digest> {
        let of = |deployment: &Deployment| {
            let roles = deployment.versions.iter().flat_map(|version| &version.roles);
            let goal = &deployment.goal;
            roles.map(|role| role.package).chain([goal.package]).chain(goal.kept.values().copied()).collect()
        };
        self.deployments.values().flat_map(|deployment| -> Vec<Digest> { of(deployment) }).collect()
    }

    /// Every image that a node needs for what runs there, and for what an update makes of it.
    #[must_use]
    pub fn images_of(&self, node: &NodeName) -> BTreeSet<Digest> {
        let running = self.deployments.values().filter(|deployment| deployment.runs());
        running
            .flat_map(|deployment| {
                let here = deployment.instances.iter().filter(|instance| instance.node == *node);
                here.flat_map(|instance| {
                    [deployment.role_of(instance), deployment.role(&instance.role)].into_iter().flatten()
                })
            })
            .flat_map(Role::images)
            .collect()
    }
}

/// The node's record with the next generation, when its goal is another than the one last given.
fn raise(node: &Node, goal: &NodeGoal) -> Option<Action> {
    let digest = Some(content_digest(goal));
    (node.record.goal != digest).then(|| {
        let generation = node.record.generation.next();
        let record = NodeRecord { generation, goal: digest, ..node.record.clone() };
        Action::Store(Change::Node(node.name.clone(), record))
    })
}

fn changes(cluster: &Cluster, now: Timestamp) -> Vec<Change> {
    let left: Vec<Change> =
        cluster.deployments.values().filter_map(|deployment| leave(cluster, deployment, now)).collect();
    if !left.is_empty() {
        return left;
    }
    let put = |deployment| Change::Deployment(Box::new(deployment));
    let healed: Vec<Change> = heal(cluster, now).into_iter().map(put).collect();
    if !healed.is_empty() {
        return healed;
    }
    let noted: Vec<Change> = note_restarts(cluster, now).into_iter().map(put).collect();
    if !noted.is_empty() {
        return noted;
    }
    let begun: Vec<Change> = begin(cluster, now).into_iter().map(put).collect();
    if !begun.is_empty() {
        return begun;
    }
    let updated: Vec<Change> = update(cluster, now).into_iter().map(put).collect();
    if !updated.is_empty() {
        return updated;
    }
    drain(cluster, now).into_iter().map(put).chain(life::drained(cluster, now)).collect()
}

/// Gives back what nodes no longer hold; a deployment that is to be gone and holds nothing is removed.
fn leave(cluster: &Cluster, deployment: &Deployment, now: Timestamp) -> Option<Change> {
    let leaving: Vec<Leaving> =
        deployment.leaving.iter().filter(|left| !has_left(cluster, deployment, left, now)).cloned().collect();
    if deployment.deleting && leaving.is_empty() {
        return Some(Change::Remove(deployment.goal.service.clone(), deployment.id.clone()));
    }
    let less = leaving.len() < deployment.leaving.len();
    less.then(|| Change::Deployment(Box::new(Deployment { leaving, ..deployment.clone() })))
}

/// Whether the node has taken a goal without the instance and no longer reports it. Called only when each record
/// is of the current goal, so the generation tells. A deletion does not wait for a node that is lost: what is still
/// there is a stranger, which keeps new instances away until it has ended.
fn has_left(cluster: &Cluster, deployment: &Deployment, left: &Leaving, now: Timestamp) -> bool {
    let Some(node) = cluster.nodes.get(&left.node) else { return true };
    match health(cluster, node, now) {
        Health::Lost => return deployment.deleting || node.is_retired(),
        Health::Unknown | Health::Unhealthy => return false,
        Health::Healthy => {}
    }
    let holds_current = node.seen.state().is_some_and(|state| state.generation == node.record.generation);
    let seen = node.seen.instance(&deployment.instance_id(left.name.clone()));
    holds_current && seen.is_none_or(|seen| seen.incarnation > left.incarnation)
}

/// What is said to a node that answers: its goal when it holds an older one, and images that it lacks. The goal comes
/// first, because what it ends must not wait for what it begins.
fn pushes(cluster: &Cluster, node: &Node, goal: NodeGoal) -> Vec<Action> {
    let mut images = cluster.images_of(&node.name);
    images.retain(|image| !node.seen.has_image(image));
    let held = node.seen.state().map(|state| state.generation);
    let push_goal = (held != Some(goal.generation)).then(|| Action::PushGoal(Box::new(goal)));
    let push_images = images.into_iter().map(|image| Action::PushImage { node: node.name.clone(), image });
    push_goal.into_iter().chain(push_images).collect()
}
