//! The controller's rows in the store. Each deployment and each node's record is a partition of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use welkin_base::NodeName;
use welkin_fabric::row::{RowError, decode, encode};
use welkin_fabric::{Change, Cluster, Deployment, NodeRecord};
use welkin_store::{Commit, CommitError, Row, ScanFrom, Space, Store, StoreError, Version};

const DEPLOYMENTS: Space = Space::new(1, "deployments");
const NODES: Space = Space::new(2, "nodes");
/// The one key of each partition.
const KEY: &[u8] = b"row";
/// Rows that are read at once.
const ROWS_MAX: usize = 256;

/// Why a row is not read or written.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// Another controller wrote in between: read again and decide anew.
    #[error("another fabric controller changed the row")]
    Conflict,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The row's bytes.
    #[error(transparent)]
    Row(#[from] RowError),
}

/// The rows, with the version of each as it was last read or written.
#[derive(Debug)]
pub struct Rows {
    store: Store,
    versions: BTreeMap<(Space, Bytes), Version>,
}

impl Rows {
    /// The rows of `store`, of which none was read yet.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, versions: BTreeMap::new() }
    }

    /// Reads everything into `cluster`. Nodes' records come first: then a goal that was computed from older
    /// deployments than another controller had meets an older record as well, and its commit is refused.
    ///
    /// # Errors
    /// When the store fails, or a row cannot be read.
    pub async fn load(&mut self, cluster: &mut Cluster) -> Result<(), RowsError> {
        self.versions.clear();
        for row in self.scan(NODES).await? {
            let record: NodeRecord = decode(&row.value)?;
            let name = std::str::from_utf8(&row.partition).ok().and_then(|text| NodeName::new(text).ok());
            if let Some(name) = name {
                cluster.apply(Change::Node(name, record));
            }
        }
        cluster.deployments.clear();
        for row in self.scan(DEPLOYMENTS).await? {
            let deployment: Deployment = decode(&row.value)?;
            cluster.apply(Change::Deployment(Box::new(deployment)));
        }
        Ok(())
    }

    /// Commits a change, unless the row changed since it was read; then takes it over into `cluster`.
    ///
    /// # Errors
    /// [`RowsError::Conflict`] when another controller was first.
    pub async fn commit(&mut self, cluster: &mut Cluster, change: Change) -> Result<(), RowsError> {
        let (space, partition, value) = match &change {
            Change::Deployment(deployment) => {
                (DEPLOYMENTS, Bytes::from(deployment.id.to_string()), Some(encode(deployment)?))
            }
            Change::Remove(id) => (DEPLOYMENTS, Bytes::from(id.to_string()), None),
            Change::Node(name, record) => (NODES, Bytes::from(name.to_string()), Some(encode(record)?)),
        };
        let place = (space, partition.clone());
        let read = self.versions.get(&place).copied();
        let commit = Commit::new(space, partition).check_unchanged(KEY, read);
        let deletes = value.is_none();
        let commit = match value {
            Some(value) => commit.put(KEY, value),
            None => commit.delete(KEY),
        };
        let version = self.store.commit(commit).await.map_err(|error| match error {
            CommitError::Conflict { .. } => RowsError::Conflict,
            CommitError::Store(error) => RowsError::Store(error),
        })?;
        if deletes {
            self.versions.remove(&place);
        } else {
            self.versions.insert(place, version);
        }
        cluster.apply(change);
        Ok(())
    }

    async fn scan(&mut self, space: Space) -> Result<Vec<Row>, RowsError> {
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let from = match rows.last() {
                None => ScanFrom::Start,
                Some(last) => ScanFrom::AfterRow(last.partition.clone(), last.key.clone()),
            };
            let more = self.store.scan(space, from, ROWS_MAX).await?;
            let ended = more.len() < ROWS_MAX;
            for row in &more {
                self.versions.insert((space, row.partition.clone()), row.version);
            }
            rows.extend(more);
            if ended {
                return Ok(rows);
            }
        }
    }
}
