//! What lasts, in the store.
//!
//! | space | partition | key | value |
//! |---|---|---|---|
//! | services | service name | `service` | [`HostedServiceRecord`](crate::hosted_service::HostedServiceRecord) |
//! | services | service name | `slot/production`, `slot/staging` | [`DeploymentRecord`](crate::deployment::DeploymentRecord) |
//! | services | service name | `certificate/<thumbprint>` | [`CertificateRecord`](crate::service_certificate::CertificateRecord) |
//! | accounts | account name | `account` | [`AccountRecord`](crate::storage_account::AccountRecord) |
//! | subscriptions | subscription | `subscription` | [`SubscriptionRecord`](crate::subscription::SubscriptionRecord) |
//! | subscriptions | subscription | `usage` | [`UsageRecord`](crate::quota::UsageRecord) |
//! | subscriptions | subscription | `certificate/<thumbprint>` | [`CertificateRecord`](crate::management_certificate::CertificateRecord) |
//! | subscriptions | subscription | `group/<name>` | [`GroupRecord`](crate::affinity_group::GroupRecord) |
//! | subscriptions | subscription | `service/<name>`, `account/<name>` | the affinity group that it is in, or nothing |
//! | subscriptions | subscription | `asked/<operation>` | where the operation's record is |
//! | services, accounts, subscriptions | as above | `operation/<id>` | [`OperationRecord`](crate::operation::OperationRecord) |
//! | certificates | thumbprint | subscription | nothing |
//! | format | `format` | `format` | [`FORMAT`], the form of all of this |
//!
//! A hosted service with its deployments is one partition, because its names and slots are checked together. An
//! operation's record stands beside what it changes, so that the change and the operation's end are one commit.
//!
//! The partition of a subscription says what it has. An entry is written, and counted against the quota, before what it
//! names is made, and removed after; so it may name what is not there, or what another subscription has by now. Readers
//! pass over it, and a start removes it ([`crate::quota`]).
//! Names are in lower case in partitions and keys: they are parts of DNS names.

use std::hash::{Hash as _, Hasher as _};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, MutexGuard};
use welkin_base::SubscriptionId;
use welkin_store::{Commit, Row, ScanFrom, Space, Store, Version};

use crate::failure::Failure;

/// Hosted services with their deployments.
pub const SERVICES: Space = Space::new(1, "services");
/// Storage accounts.
pub const ACCOUNTS: Space = Space::new(2, "accounts");
/// Subscriptions, and what each has.
pub const SUBSCRIPTIONS: Space = Space::new(3, "subscriptions");
/// The subscriptions on which a management certificate is registered. An entry is written before the certificate is and
/// removed after, so whoever finds one looks at the subscription too.
pub const CERTIFICATES: Space = Space::new(4, "certificates");
/// What says in which form all of this is.
const FORMATS: Space = Space::new(5, "format");
/// The form of all rows. A store that has another is not opened: nothing in it is misread.
const FORMAT: &str = "2";
/// Turns of subscriptions: those of two wait for each other by chance, and seldom.
const TURNS: usize = 64;
/// Rows read at once.
const SCAN_ROWS: usize = 256;

/// The state.
#[derive(Debug, Clone)]
pub struct State {
    store: Store,
    /// Whoever changes what a subscription counts takes a turn: those that would only lose a race wait instead. The
    /// commits' conditions are what keeps the counts right.
    turns: Arc<[Mutex<()>; TURNS]>,
    /// In tests: the service crashes.
    #[cfg(test)]
    pub crash: crate::walk::Crash,
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
    /// Affinity groups.
    Group,
    /// Management certificates.
    Certificate,
    /// Operations that were asked for.
    Operation,
}

impl Kind {
    /// What the keys of its entries begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Service => "service/",
            Self::Account => "account/",
            Self::Group => "group/",
            Self::Certificate => "certificate/",
            Self::Operation => "asked/",
        }
    }

    /// The key of an entry.
    pub fn key(self, name: &str) -> String {
        format!("{}{}", self.prefix(), name.to_ascii_lowercase())
    }
}

/// A record as the bytes of a row.
pub fn encode(record: &impl Serialize) -> Result<Bytes, Failure> {
    serde_json::to_vec(record).map(Bytes::from).map_err(|source| Failure::Row { space: "any", source })
}

/// The record of a row.
pub fn decode<T: DeserializeOwned>(space: Space, value: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(value).map_err(|source| Failure::Row { space: space.name, source })
}

impl State {
    /// The state that is kept in `store`; `Err` has the form of one that this version cannot read.
    pub async fn open(store: Store) -> Result<Result<Self, String>, Failure> {
        let state = Self {
            store,
            turns: Arc::new(std::array::from_fn(|_| Mutex::default())),
            #[cfg(test)]
            crash: crate::walk::Crash::default(),
        };
        if let Some(row) = state.store.get(FORMATS, b"format", b"format").await? {
            let found = String::from_utf8_lossy(&row.value).into_owned();
            return Ok(if found == FORMAT { Ok(state) } else { Err(found) });
        }
        // The first form did not say what it was.
        for space in [SERVICES, ACCOUNTS, SUBSCRIPTIONS] {
            if !state.store.scan(space, ScanFrom::Start, 1).await?.is_empty() {
                return Ok(Err("1".to_owned()));
            }
        }
        state.commit(Commit::new(FORMATS, "format").put("format", FORMAT)).await?;
        Ok(Ok(state))
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
        Ok(Some(Read { record: decode(space, &row.value)?, version: row.version }))
    }

    /// The records of a partition whose keys begin with `prefix`, in their order.
    pub async fn within<T: DeserializeOwned>(
        &self,
        space: Space,
        partition: &str,
        prefix: &str,
    ) -> Result<Vec<Read<T>>, Failure> {
        let partition = Bytes::from(partition.to_ascii_lowercase());
        let mut records = Vec::new();
        let mut from = ScanFrom::Row(partition.clone(), Bytes::from(prefix.to_owned()));
        loop {
            let rows = self.store.scan(space, from, SCAN_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(records) };
            from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
            for row in rows {
                if row.partition != partition || !row.key.starts_with(prefix.as_bytes()) {
                    return Ok(records);
                }
                records.push(Read { record: decode(space, &row.value)?, version: row.version });
            }
        }
    }

    /// The turn to change what a subscription counts.
    pub async fn turn(&self, subscription: &SubscriptionId) -> MutexGuard<'_, ()> {
        let mut hasher = std::hash::DefaultHasher::new();
        subscription.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or(0);
        self.turns[place].lock().await
    }

    /// Begins a commit in a partition.
    pub fn change(space: Space, partition: &str) -> Commit {
        Commit::new(space, partition.to_ascii_lowercase())
    }

    /// Commits.
    pub async fn commit(&self, commit: Commit) -> Result<(), Failure> {
        #[cfg(test)]
        self.crash.moment()?;
        self.store.commit(commit).await?;
        #[cfg(test)]
        self.crash.moment()?;
        Ok(())
    }

    /// Begins a commit in the partition of a subscription.
    pub fn change_subscription(subscription: &SubscriptionId) -> Commit {
        Commit::new(SUBSCRIPTIONS, subscription.as_str().to_owned())
    }

    /// What the entry of this name says.
    pub async fn entry(
        &self,
        subscription: &SubscriptionId,
        kind: Kind,
        name: &str,
    ) -> Result<Option<Row>, Failure> {
        let key = kind.key(name);
        Ok(self.store.get(SUBSCRIPTIONS, subscription.as_str().as_bytes(), key.as_bytes()).await?)
    }

    /// The names that a subscription has of a kind, in order.
    pub async fn names(&self, subscription: &SubscriptionId, kind: Kind) -> Result<Vec<String>, Failure> {
        let rows = self.entries(subscription, kind.prefix()).await?;
        let name = |row: Row| {
            let name = row.key.get(kind.prefix().len()..).unwrap_or_default();
            String::from_utf8_lossy(name).into_owned()
        };
        Ok(rows.into_iter().map(name).collect())
    }

    /// All rows of a subscription whose keys begin so, in order.
    pub async fn entries(&self, subscription: &SubscriptionId, prefix: &str) -> Result<Vec<Row>, Failure> {
        let mut entries = Vec::new();
        let mut after = None;
        loop {
            let page = self.page(subscription, prefix, after, SCAN_ROWS).await?;
            let Some(last) = page.last() else { return Ok(entries) };
            after = Some(last.key.clone());
            let ended = page.len() < SCAN_ROWS;
            entries.extend(page);
            if ended {
                return Ok(entries);
            }
        }
    }

    /// Up to `rows_max` rows of a subscription whose keys begin so, in order, from the first one after the key `after`.
    pub async fn page(
        &self,
        subscription: &SubscriptionId,
        prefix: &str,
        after: Option<Bytes>,
        rows_max: usize,
    ) -> Result<Vec<Row>, Failure> {
        let partition = Bytes::from(subscription.as_str().to_owned());
        let from = match after {
            Some(key) => ScanFrom::AfterRow(partition.clone(), key),
            None => ScanFrom::Row(partition.clone(), Bytes::from(prefix.to_owned())),
        };
        let rows = self.store.scan(SUBSCRIPTIONS, from, rows_max).await?;
        let own = |row: &Row| row.partition == partition && row.key.starts_with(prefix.as_bytes());
        Ok(rows.into_iter().take_while(own).collect())
    }

    /// The keys of a partition.
    pub async fn keys(&self, space: Space, partition: &str) -> Result<Vec<String>, Failure> {
        let partition = Bytes::from(partition.to_ascii_lowercase());
        let mut keys = Vec::new();
        let mut from = ScanFrom::Partition(partition.clone());
        loop {
            let rows = self.store.scan(space, from, SCAN_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(keys) };
            from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
            let ended = rows.len() < SCAN_ROWS;
            for row in rows {
                if row.partition != partition {
                    return Ok(keys);
                }
                keys.push(String::from_utf8_lossy(&row.key).into_owned());
            }
            if ended {
                return Ok(keys);
            }
        }
    }

    /// The subscriptions that have any row, whether or not they still exist.
    pub async fn subscriptions(&self) -> Result<Vec<SubscriptionId>, Failure> {
        let mut subscriptions = Vec::new();
        let mut from = ScanFrom::Start;
        while let Some(row) = self.store.scan(SUBSCRIPTIONS, from, 1).await?.pop() {
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
