//! A simulated controller: the real core of the FC over a disk of rows. It may end between any two commits, and another
//! may take the lead between any two: then it goes on to read and command nodes until the store refuses it.

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
    /// A controller that was deposed still writes.
    WritesDeposed,
}

impl Canary {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ForgetsLeaving,
        Self::SaysBeforeStoring,
        Self::KeepsIncarnation,
        Self::SkipsHealth,
        Self::WritesDeposed,
    ];
}

/// A row's place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Node(NodeName),
    Deployment(DeploymentId),
}

/// The rows of the store, as bytes: what outlives the controllers.
#[derive(Debug, Clone, Default)]
pub struct Disk {
    rows: BTreeMap<Key, Vec<u8>>,
    /// The number of the last election: only who won it may write, as with the real store of several controllers.
    term: u64,
    /// What was committed since the last look.
    pub log: Vec<Change>,
}

/// Why nothing was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uncommitted {
    /// Another controller leads.
    Deposed,
    /// It has no stored form.
    Unstorable(String),
}

/// A controller that runs.
#[derive(Debug)]
pub struct Controller {
    /// What it knows.
    pub cluster: Cluster,
    /// The time on its clock when the simulation began.
    pub epoch: Timestamp,
    term: u64,
    /// Whether the store has refused it.
    pub deposed: bool,
}

impl Disk {
    /// Commits a change unless another controller won an election since.
    fn commit(&mut self, term: u64, change: &Change) -> Result<(), Uncommitted> {
        let failed = |error: welkin_fabric::row::RowError| Uncommitted::Unstorable(error.to_string());
        let put = |deployment: &Deployment| {
            Ok((Key::Deployment(deployment.id.clone()), Some(encode(deployment).map_err(failed)?)))
        };
        let writes = match change {
            Change::Deployment(deployment) => vec![put(deployment)?],
            Change::Swap(deployments) => deployments.iter().map(put).collect::<Result<_, _>>()?,
            Change::Remove(_, id) => vec![(Key::Deployment(id.clone()), None)],
            Change::Node(name, record) => {
                vec![(Key::Node(name.clone()), Some(encode(record).map_err(failed)?))]
            }
        };
        if term != self.term {
            return Err(Uncommitted::Deposed);
        }
        for (key, row) in writes {
            match row {
                Some(row) => self.rows.insert(key, row),
                None => self.rows.remove(&key),
            };
        }
        self.log.push(change.clone());
        Ok(())
    }
}

impl Controller {
    /// A controller that takes the lead, with a cluster that has its nodes, and reads everything.
    ///
    /// # Errors
    /// When a row cannot be read.
    pub fn begin(cluster: Cluster, epoch: Timestamp, disk: &mut Disk) -> Result<Self, String> {
        disk.term += 1;
        let mut controller = Self { cluster, epoch, term: disk.term, deposed: false };
        for (key, row) in &disk.rows {
            let change = match key {
                Key::Node(name) => {
                    let record: NodeRecord = decode(row).map_err(|error| error.to_string())?;
                    Change::Node(name.clone(), record)
                }
                Key::Deployment(_) => {
                    Change::Deployment(Box::new(decode(row).map_err(|error| error.to_string())?))
                }
            };
            controller.cluster.apply(change);
        }
        Ok(controller)
    }

    /// It finds out by itself that another one leads: its lease is not renewed.
    pub fn look(&mut self, disk: &Disk) {
        self.deposed |= self.term != disk.term;
    }

    /// Commits a change and takes it over; answers whether it was committed.
    ///
    /// # Errors
    /// When it has no stored form.
    pub fn commit(
        &mut self,
        disk: &mut Disk,
        change: Change,
        canary: Option<Canary>,
    ) -> Result<bool, String> {
        let term = if canary == Some(Canary::WritesDeposed) { disk.term } else { self.term };
        match disk.commit(term, &change) {
            Ok(()) => {
                self.cluster.apply(change);
                Ok(true)
            }
            Err(Uncommitted::Deposed) => {
                self.deposed = true;
                Ok(false)
            }
            Err(Uncommitted::Unstorable(why)) => Err(why),
        }
    }

    /// Plans and commits until nothing is left to store. Answers what is said to nodes then; `None` when the
    /// controller ended first, after `commits_left` commits. One that is deposed says nothing more.
    ///
    /// # Errors
    /// When the planning does not come to an end.
    pub fn reconcile(
        &mut self,
        disk: &mut Disk,
        now: Timestamp,
        mut commits_left: u32,
        canary: Option<Canary>,
    ) -> Result<Option<Vec<Action>>, String> {
        const PLANS_MAX: u32 = 50;
        let mut unstored = Vec::new();
        for _ in 0..PLANS_MAX {
            let actions = plan(&self.cluster, now);
            if !actions.iter().any(|action| matches!(action, Action::Store(_))) {
                return self.end_round(disk, actions, unstored, commits_left, canary);
            }
            for action in actions {
                let Action::Store(change) = action else { continue };
                let change = sabotaged(change, &self.cluster, canary);
                if canary == Some(Canary::SaysBeforeStoring) && matches!(change, Change::Node(..)) {
                    self.cluster.apply(change.clone());
                    unstored.push(change);
                    continue;
                }
                if commits_left == 0 {
                    return Ok(None);
                }
                commits_left -= 1;
                if !self.commit(disk, change, canary)? {
                    return Ok(Some(Vec::new()));
                }
            }
        }
        Err("planning does not come to an end".to_owned())
    }

    /// What nothing waits for is stored last.
    fn end_round(
        &mut self,
        disk: &mut Disk,
        actions: Vec<Action>,
        unstored: Vec<Change>,
        commits_left: u32,
        canary: Option<Canary>,
    ) -> Result<Option<Vec<Action>>, String> {
        for change in unstored.into_iter().filter(|_| commits_left > 0) {
            self.commit(disk, change, canary)?;
        }
        let (noted, said): (Vec<_>, Vec<_>) =
            actions.into_iter().partition(|action| matches!(action, Action::Note(_)));
        for action in noted {
            let Action::Note(change) = action else { continue };
            if !self.commit(disk, change, canary)? {
                break;
            }
        }
        Ok(Some(said))
    }
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
        Some(Canary::SaysBeforeStoring | Canary::WritesDeposed) | None => {}
    }
    Change::Deployment(deployment)
}
