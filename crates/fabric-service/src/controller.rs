//! The controller: what it knows, and the one way to change it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, Notify, RwLock};
use welkin_base::{NodeName, Timestamp};
use welkin_fabric::health::is_settled;
use welkin_fabric::{Change, Cluster, Deployment};
use welkin_store::StoreError;

use crate::agent::Agent;
use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::content::ContentFolder;
use crate::error::ContentError;
use crate::key::PackageKey;
use crate::peer::Peers;
use crate::replica::Replica;
use crate::row::{Rows, RowsError};

/// A package that nothing refers to is kept this long: it is sent before the deployment that needs it.
pub(crate) const PACKAGE_GRACE: Duration = Duration::from_secs(10 * 60);
/// After a start, so long is waited for the nodes' first answers before a deployment is placed.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often that is looked at.
const SETTLE_INTERVAL: Duration = Duration::from_millis(50);

/// Everything that the controller's tasks share.
#[derive(Debug)]
pub(crate) struct Controller {
    state: Mutex<State>,
    pub packages: ContentFolder,
    pub images: ContentFolder,
    /// Folder for what is only needed while a deployment is made ready.
    pub work: PathBuf,
    pub key: Arc<PackageKey>,
    pub peers: Peers,
    pub certificates: Certificates,
    pub clock: Clock,
    pub agents: BTreeMap<NodeName, Agent>,
    /// Signals that something changed and a plan is due.
    pub changed: Notify,
    /// Held for reading while images are made that no row names yet, so that they are not swept.
    pub preparing: RwLock<()>,
}

/// What is known, and the rows that it was read from.
#[derive(Debug)]
pub(crate) struct State {
    pub cluster: Cluster,
    rows: Rows,
    /// A commit failed and the rows could not be read since.
    is_stale: bool,
}

impl State {
    /// What `rows` hold, in a cluster that has its nodes.
    pub async fn load(mut cluster: Cluster, mut rows: Rows) -> Result<Self, RowsError> {
        rows.load(&mut cluster).await?;
        Ok(Self { cluster, rows, is_stale: false })
    }

    /// Reads the rows again, if they could not be read when they should have been: nothing is decided before.
    pub async fn refresh(&mut self) -> Result<(), RowsError> {
        if self.is_stale {
            self.rows.load(&mut self.cluster).await?;
            self.is_stale = false;
        }
        Ok(())
    }

    /// Commits a change and takes it over. After a failure everything is read again, because another controller was
    /// first, or whether the commit happened is not known; what then is as it was to be did happen.
    pub async fn commit(&mut self, change: Change) -> Result<(), RowsError> {
        self.refresh().await?;
        let Err(error) = self.rows.commit(&mut self.cluster, change.clone()).await else { return Ok(()) };
        if matches!(error, RowsError::Store(StoreError::Deposed)) {
            return Err(error);
        }
        self.is_stale = true;
        self.refresh().await?;
        let in_doubt = matches!(error, RowsError::Store(StoreError::Unavailable(_)));
        if in_doubt && holds(&self.cluster, &change) { Ok(()) } else { Err(error) }
    }
}

/// Whether the rows are as the change makes them.
fn holds(cluster: &Cluster, change: &Change) -> bool {
    let has = |deployment: &Deployment| cluster.deployments.get(&deployment.id) == Some(deployment);
    match change {
        Change::Deployment(deployment) => has(deployment),
        Change::Swap(deployments) => deployments.iter().all(has),
        Change::Remove(_, id) => !cluster.deployments.contains_key(id),
        Change::Node(name, record) => cluster.nodes.get(name).is_some_and(|node| node.record == *record),
    }
}

impl Controller {
    pub fn new(replica: &Replica, state: State, certificates: Certificates) -> Self {
        Self {
            state: Mutex::new(state),
            packages: replica.packages.clone(),
            images: replica.images.clone(),
            work: replica.work.clone(),
            key: Arc::clone(&replica.key),
            peers: replica.peers.clone(),
            certificates,
            clock: replica.clock,
            agents: replica.agents.clone(),
            changed: Notify::new(),
            preparing: RwLock::new(()),
        }
    }

    /// What is known. Held over nothing but a commit.
    pub async fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().await
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Waits until each node was read or is known to be silent.
    pub async fn settled(&self) {
        let settled = async {
            while !is_settled(&self.state().await.cluster, self.now()) {
                tokio::time::sleep(SETTLE_INTERVAL).await;
            }
        };
        // Without an answer it is decided without one: the refusal then names the node.
        let _ = tokio::time::timeout(SETTLE_TIMEOUT, settled).await;
    }

    /// Removes packages and images that nothing refers to any more.
    pub async fn sweep(&self) -> Result<(), ContentError> {
        let _nobody_prepares = self.preparing.write().await;
        let (packages, images) = {
            let state = self.state().await;
            (state.cluster.packages(), state.cluster.images())
        };
        self.packages.sweep(&packages, PACKAGE_GRACE).await?;
        self.images.sweep(&images, Duration::ZERO).await
    }
}
