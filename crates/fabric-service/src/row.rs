//! The controller's rows in the store.
//!
//! | space | partition | key | value |
//! |---|---|---|---|
//! | deployments | the hosted service's name | the deployment's id | the deployment |
//! | nodes | the node's name | `row` | the node's record |
//!
//! The deployments of a service are one partition, so that two of them can change places in one commit.

use std::collections::BTreeMap;

use bytes::Bytes;
use welkin_base::{DeploymentId, NodeName, ServiceName};
use welkin_fabric::row::{RowError, decode, encode};
use welkin_fabric::{Change, Cluster, Deployment, NodeRecord};
use welkin_store::{Commit, CommitError, Row, ScanFrom, Space, Store, StoreError, Version};

const DEPLOYMENTS: Space = Space::new(1, "deployments");
const NODES: Space = Space::new(2, "nodes");
/// The one key of a node.
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

/// A row's space, partition and key.
type Place = (Space, Bytes, Bytes);

/// The rows, with the version of each as it was last read or written.
#[derive(Debug)]
pub struct Rows {
    store: Store,
    versions: BTreeMap<Place, Version>,
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
        let (nodes, deployments) = (self.scan(NODES).await?, self.scan(DEPLOYMENTS).await?);
        // Not before all could be read: otherwise everything stays as it was.
        let rows = |space: Space, rows: &[Row]| -> Vec<(Place, Version)> {
            rows.iter().map(|row| ((space, row.partition.clone(), row.key.clone()), row.version)).collect()
        };
        self.versions = rows(NODES, &nodes).into_iter().chain(rows(DEPLOYMENTS, &deployments)).collect();
        for row in nodes {
            let record: NodeRecord = decode(&row.value)?;
            let name = std::str::from_utf8(&row.partition).ok().and_then(|text| NodeName::new(text).ok());
            if let Some(name) = name {
                cluster.apply(Change::Node(name, record));
            }
        }
        cluster.forget_deployments();
        for row in deployments {
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
        let puts = writes(&change)?;
        let Some(((space, partition, _), _)) = puts.first() else { return Ok(()) };
        let mut commit = Commit::new(*space, partition.clone());
        for ((space, partition, key), value) in &puts {
            let place = (*space, partition.clone(), key.clone());
            commit = commit.check_unchanged(key.clone(), self.versions.get(&place).copied());
            commit = match value {
                Some(value) => commit.put(key.clone(), value.clone()),
                None => commit.delete(key.clone()),
            };
        }
        let version = self.store.commit(commit).await.map_err(|error| match error {
            CommitError::Conflict { .. } => RowsError::Conflict,
            CommitError::Store(error) => RowsError::Store(error),
        })?;
        for (place, value) in puts {
            match value {
                Some(_) => self.versions.insert(place, version),
                None => self.versions.remove(&place),
            };
        }
        cluster.apply(change);
        Ok(())
    }

    async fn scan(&self, space: Space) -> Result<Vec<Row>, RowsError> {
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let from = match rows.last() {
                None => ScanFrom::Start,
                Some(last) => ScanFrom::AfterRow(last.partition.clone(), last.key.clone()),
            };
            let more = self.store.scan(space, from, ROWS_MAX).await?;
            let ended = more.len() < ROWS_MAX;
            rows.extend(more);
            if ended {
                return Ok(rows);
            }
        }
    }
}

/// What a change writes: rows of one partition, and what each is afterwards.
fn writes(change: &Change) -> Result<Vec<(Place, Option<Bytes>)>, RowError> {
    let put = |deployment: &Deployment| {
        let place = place(&deployment.goal.service, &deployment.id);
        Ok((place, Some(Bytes::from(encode(deployment)?))))
    };
    Ok(match change {
        Change::Deployment(deployment) => vec![put(deployment)?],
        Change::Swap(deployments) => deployments.iter().map(put).collect::<Result<_, RowError>>()?,
        Change::Remove(service, id) => vec![(place(service, id), None)],
        Change::Node(name, record) => {
            let place = (NODES, Bytes::from(name.to_string()), Bytes::from_static(KEY));
            vec![(place, Some(Bytes::from(encode(record)?)))]
        }
    })
}

fn place(service: &ServiceName, id: &DeploymentId) -> Place {
    let service = service.as_str().to_ascii_lowercase();
    (DEPLOYMENTS, Bytes::from(service), Bytes::from(id.to_string()))
}
