//! What lasts, in the store.
//!
//! | space | partition | key | value |
//! |---|---|---|---|
//! | services | service name | `service` | [`HostedServiceRecord`](crate::hosted_service::HostedServiceRecord) |
//! | services | service name | `slot/production`, `slot/staging` | [`DeploymentRecord`](crate::deployment::DeploymentRecord) |
//! | accounts | account name | `account` | [`AccountRecord`](crate::storage_account::AccountRecord) |
//! | services, accounts | as above | `operation/<id>` | [`OperationRecord`](crate::operation::OperationRecord) |
//! | index | subscription | `service/<name>`, `account/<name>` | nothing |
//! | index | subscription | `operation/<id>` | where its record is, and since when |
//!
//! A hosted service with its deployments is one partition, because its names and slots are checked together. An
//! operation's record stands beside what it changes, so that the change and the operation's end are one commit. The
//! index says what a subscription has. An entry is written before what it names and removed after, so it may name
//! what is not there, or what another subscription has by now; readers pass over it.
//! Names are in lower case in partitions and keys: they are parts of DNS names.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use welkin_base::SubscriptionId;
use welkin_store::{Commit, ScanFrom, Space, Store, Version};

use crate::failure::Failure;

/// Hosted services with their deployments.
pub const SERVICES: Space = Space::new(1, "services");
/// Storage accounts.
pub const ACCOUNTS: Space = Space::new(2, "accounts");
/// What each subscription has.
const INDEX: Space = Space::new(3, "index");
/// Rows read at once.
const SCAN_ROWS: usize = 256;

/// The state.
#[derive(Debug, Clone)]
pub struct State {
    store: Store,
}

/// A record as read, to be changed on the condition that it is still so.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// The record.
    pub record: T,
    /// Its version.
    pub version: Version,
}

/// A kind of entry in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Hosted services.
    Service,
    /// Storage accounts.
    Account,
    /// Operations.
    Operation,
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Service => "service/",
            Self::Account => "account/",
            Self::Operation => "operation/",
        }
    }

    fn key(self, name: &str) -> String {
        format!("{}{}", self.prefix(), name.to_ascii_lowercase())
    }
}

/// A record as the bytes of a row.
pub fn encode(record: &impl Serialize) -> Result<Bytes, Failure> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|source| Failure::Row { space: "any", source })
}

impl State {
    /// The state that is kept in `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Reads a record.
    pub async fn get<T: DeserializeOwned>(
        &self,
        space: Space,
        partition: &str,
        key: &str,
    ) -> Result<Option<Read<T>>, Failure> {
        let partition = partition.to_ascii_lowercase();
        let Some(row) = self.store.get(space, partition.as_bytes(), key.as_bytes()).await? else {
            return Ok(None);
        };
        let record = serde_json::from_slice(&row.value)
            .map_err(|source| Failure::Row { space: space.name, source })?;
        Ok(Some(Read { record, version: row.version }))
    }

    /// Begins a commit in the partition of a service or account.
    pub fn change(space: Space, partition: &str) -> Commit {
        Commit::new(space, partition.to_ascii_lowercase())
    }

    /// Commits.
    pub async fn commit(&self, commit: Commit) -> Result<(), Failure> {
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Puts an entry into the index, before what it names is made.
    pub async fn enter(
        &self,
        subscription: &SubscriptionId,
        kind: Kind,
        name: &str,
        place: &str,
    ) -> Result<(), Failure> {
        let commit = Commit::new(INDEX, subscription.as_str().to_owned());
        self.commit(commit.put(kind.key(name), place.as_bytes().to_vec())).await
    }

    /// The version of an entry, to be read before the commit that removes what it names: see [`Self::leave`].
    pub async fn entry(
        &self,
        subscription: &SubscriptionId,
        kind: Kind,
        name: &str,
    ) -> Result<Option<Version>, Failure> {
        let row = self.store.get(INDEX, subscription.as_str().as_bytes(), kind.key(name).as_bytes()).await?;
        Ok(row.map(|row| row.version))
    }

    /// Removes an entry after what it names is gone, unless somebody has entered the name again since.
    pub async fn leave(
        &self,
        subscription: &SubscriptionId,
        kind: Kind,
        name: &str,
        entry: Option<Version>,
    ) -> Result<(), Failure> {
        let Some(version) = entry else { return Ok(()) };
        let commit = Commit::new(INDEX, subscription.as_str().to_owned());
        let commit = commit.check_version(kind.key(name), version).delete(kind.key(name));
        match self.commit(commit).await {
            Err(Failure::Raced) => Ok(()),
            other => other,
        }
    }

    /// Where the index says that something is.
    pub async fn place(
        &self,
        subscription: &SubscriptionId,
        kind: Kind,
        name: &str,
    ) -> Result<Option<String>, Failure> {
        let row = self.store.get(INDEX, subscription.as_str().as_bytes(), kind.key(name).as_bytes()).await?;
        Ok(row.map(|row| String::from_utf8_lossy(&row.value).into_owned()))
    }

    /// The names that a subscription has of a kind, in order.
    pub async fn names(&self, subscription: &SubscriptionId, kind: Kind) -> Result<Vec<String>, Failure> {
        let partition = Bytes::from(subscription.as_str().to_owned());
        let mut names = Vec::new();
        let mut from = ScanFrom::Row(partition.clone(), Bytes::from_static(kind.prefix().as_bytes()));
        loop {
            let rows = self.store.scan(INDEX, from, SCAN_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(names) };
            from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
            let ended = rows.len() < SCAN_ROWS;
            for row in rows {
                let name = row.key.strip_prefix(kind.prefix().as_bytes());
                let Some(name) = name.filter(|_| row.partition == partition) else { return Ok(names) };
                names.push(String::from_utf8_lossy(name).into_owned());
            }
            if ended {
                return Ok(names);
            }
        }
    }

    /// The subscriptions that have anything, configured or not.
    pub async fn subscriptions(&self) -> Result<Vec<SubscriptionId>, Failure> {
        let mut subscriptions = Vec::new();
        let mut from = ScanFrom::Start;
        while let Some(row) = self.store.scan(INDEX, from, 1).await?.pop() {
            subscriptions.extend(SubscriptionId::new(&String::from_utf8_lossy(&row.partition)).ok());
            from = ScanFrom::AfterPartition(row.partition);
        }
        Ok(subscriptions)
    }

    /// Makes everything durable.
    pub async fn close(&self) -> Result<(), Failure> {
        Ok(self.store.close().await?)
    }
}
