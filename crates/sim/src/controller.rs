//! A simulated controller: the real core of the FC over a disk of rows. It may end between any two commits.

use std::collections::BTreeMap;

use welkin_base::{DeploymentId, NodeName, Timestamp};
use welkin_fabric::row::{decode, encode};
use welkin_fabric::{Action, Change, Cluster, Deployment, NodeRecord, Turn, plan};

/// A bug that can be switched on, to see that the checks find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Canary {
    /// What an instance held before it was moved or removed is given away at once.
    ForgetsLeaving,
    /// Goals are said before their generation is stored.
    SaysBeforeStoring,
    /// A moved instance keeps its incarnation.
    KeepsIncarnation,
    /// An update does not wait until what it changed is ready.
    SkipsHealth,
}

/// The rows of the store, as bytes: what outlives the controller.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    nodes: BTreeMap<NodeName, Vec<u8>>,
    deployments: BTreeMap<DeploymentId, Vec<u8>>,
}

impl Disk {
    /// Commits a change.
    ///
    /// # Errors
    /// When it has no stored form.
    pub fn commit(&mut self, change: &Change) -> Result<(), String> {
        let failed = |error: welkin_fabric::row::RowError| error.to_string();
        match change {
            Change::Deployment(deployment) => {
                let row = encode(deployment).map_err(failed)?;
                self.deployments.insert(deployment.id.clone(), row);
            }
            Change::Swap(deployments) => {
                for deployment in deployments.iter() {
                    let row = encode(deployment).map_err(failed)?;
                    self.deployments.insert(deployment.id.clone(), row);
                }
            }
            Change::Remove(_, id) => {
                self.deployments.remove(id);
            }
            Change::Node(name, record) => {
                self.nodes.insert(name.clone(), encode(record).map_err(failed)?);
            }
        }
        Ok(())
    }

    /// Reads everything into a cluster that has its nodes.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn load(&self, cluster: &mut Cluster) -> Result<(), String> {
        for (name, row) in &self.nodes {
            let record: NodeRecord = decode(row).map_err(|error| error.to_string())?;
            cluster.apply(Change::Node(name.clone(), record));
        }
        for row in self.deployments.values() {
            let deployment: Deployment = decode(row).map_err(|error| error.to_string())?;
            cluster.apply(Change::Deployment(Box::new(deployment)));
        }
        Ok(())
    }
}

/// Plans and commits until nothing is left to store. Answers what is said to nodes then; `None` when the
/// controller ended first, after `commits_left` commits.
///
/// # Errors
/// When the planning does not come to an end.
pub fn reconcile(
    cluster: &mut Cluster,
    disk: &mut Disk,
    now: Timestamp,
    mut commits_left: u32,
    canary: Option<Canary>,
) -> Result<Option<Vec<Action>>, String> {
    const PLANS_MAX: u32 = 50;
    let mut unstored = Vec::new();
    for _ in 0..PLANS_MAX {
        let actions = plan(cluster, now);
        if !actions.iter().any(|action| matches!(action, Action::Store(_))) {
            for change in unstored.iter().filter(|_| commits_left > 0) {
                disk.commit(change)?;
            }
            let (noted, said): (Vec<_>, Vec<_>) =
                actions.into_iter().partition(|action| matches!(action, Action::Note(_)));
            for action in noted {
                let Action::Note(change) = action else { continue };
                disk.commit(&change)?;
                cluster.apply(change);
            }
            return Ok(Some(said));
        }
        for action in actions {
            let Action::Store(change) = action else { continue };
            let change = sabotaged(change, cluster, canary);
            if canary == Some(Canary::SaysBeforeStoring) && matches!(change, Change::Node(..)) {
                cluster.apply(change.clone());
                unstored.push(change);
                continue;
            }
            if commits_left == 0 {
                return Ok(None);
            }
            commits_left -= 1;
            disk.commit(&change)?;
            cluster.apply(change);
        }
    }
    Err("planning does not come to an end".to_owned())
}

/// A change with the bug in it that is switched on.
#[must_use]
pub fn sabotaged(change: Change, cluster: &Cluster, canary: Option<Canary>) -> Change {
    let Change::Deployment(mut deployment) = change else { return change };
    match canary {
        Some(Canary::ForgetsLeaving) => deployment.leaving.clear(),
        Some(Canary::KeepsIncarnation) => {
            let before = cluster.deployments.get(&deployment.id);
            for instance in &mut deployment.instances {
                let old = before.and_then(|before| before.instance(&instance.name()));
                instance.incarnation = old.map_or(instance.incarnation, |old| old.incarnation);
            }
        }
        Some(Canary::SkipsHealth) => {
            for instance in &mut deployment.instances {
                if matches!(instance.turn, Turn::Changing { .. }) {
                    instance.turn = Turn::None;
                }
            }
        }
        Some(Canary::SaysBeforeStoring) | None => {}
    }
    Change::Deployment(deployment)
}
