//! Containers: create, delete, list; metadata and access.

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_store::{Commit, ScanFrom, Version};

use crate::access::AccessPolicy;
use crate::blob::condition::{Access, Conditions, ETag, next_etag};
use crate::blob::{BlobError, Page};
use crate::cleaner::Garbage;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record::{self, Record};
use crate::space::CONTAINERS;
use crate::{Storage, Uid};

/// Names and values, in the order given.
pub type Metadata = Vec<(String, String)>;

/// What anyone may read of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PublicAccess {
    /// Nothing.
    Private,
    /// Its blobs.
    Blobs,
    /// Its blobs, and the list of them.
    Container,
}

/// A container as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerRecord {
    /// What the keys of its blobs begin with.
    pub uid: Uid,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Changes with each write.
    pub etag: ETag,
    /// Its metadata.
    pub metadata: Metadata,
    /// What anyone may read.
    pub public_access: PublicAccess,
    /// Its stored access policies.
    pub policies: Vec<AccessPolicy>,
}

impl Record for ContainerRecord {
    const NOUN: &'static str = "container";
    const VERSION: u8 = 1;
}

/// A container that is to be made.
#[derive(Debug, Clone)]
pub struct NewContainer {
    /// A new uid.
    pub uid: Uid,
    /// Its metadata.
    pub metadata: Metadata,
    /// What anyone may read.
    pub public_access: PublicAccess,
}

impl Storage {
    /// Makes a container.
    ///
    /// # Errors
    /// When the name is taken.
    pub async fn create_container(
        &self,
        account: Uid,
        name: &str,
        new: NewContainer,
        now: Timestamp,
    ) -> Result<ContainerRecord, BlobError> {
        let record = ContainerRecord {
            uid: new.uid,
            created: now,
            modified: now,
            etag: next_etag(now, None),
            metadata: new.metadata,
            public_access: new.public_access,
            policies: Vec::new(),
        };
        let commit = Commit::new(CONTAINERS, account.key(name.as_bytes())).check_absent(&b""[..]);
        match try_commit(self.store(), commit.put(&b""[..], record::encode(&record)?)).await? {
            Some(_) => Ok(record),
            None => Err(BlobError::ContainerAlreadyExists),
        }
    }

    /// The container of that name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn container(&self, account: Uid, name: &str) -> Result<ContainerRecord, BlobError> {
        self.container_row(account, name).await.map(|(record, _)| record)
    }

    /// Replaces the container's metadata.
    ///
    /// # Errors
    /// When there is no such container, or a condition does not hold.
    pub async fn set_container_metadata(
        &self,
        account: Uid,
        name: &str,
        metadata: &Metadata,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<ContainerRecord, BlobError> {
        self.change_container(account, name, conditions, now, |record| record.metadata.clone_from(metadata))
            .await
    }

    /// Replaces the container's public access and stored access policies.
    ///
    /// # Errors
    /// When there is no such container, or a condition does not hold.
    pub async fn set_container_access(
        &self,
        account: Uid,
        name: &str,
        (public_access, policies): (PublicAccess, &[AccessPolicy]),
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<ContainerRecord, BlobError> {
        let change = |record: &mut ContainerRecord| {
            record.public_access = public_access;
            record.policies = policies.to_vec();
        };
        self.change_container(account, name, conditions, now, change).await
    }

    /// Deletes the container. Its blobs are out of reach at once, and removed by the cleaner.
    ///
    /// # Errors
    /// When there is no such container, or a condition does not hold.
    pub async fn delete_container(
        &self,
        account: Uid,
        name: &str,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let partition = account.key(name.as_bytes());
        for _ in 0..COMMIT_TRIES_MAX {
            let (record, version) = self.container_row(account, name).await?;
            conditions.check(Some((record.etag, record.modified)), Access::Write)?;
            self.add_garbage(record.uid, Garbage::container(partition.clone(), now)).await?;
            let commit = Commit::new(CONTAINERS, partition.clone()).check_version(&b""[..], version);
            if try_commit(self.store(), commit.delete(&b""[..])).await?.is_some() {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Up to `items_max` containers whose names begin with `prefix`, from `marker` on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_containers(
        &self,
        account: Uid,
        prefix: &str,
        marker: Option<&[u8]>,
        items_max: usize,
    ) -> Result<Page<(String, ContainerRecord)>, BlobError> {
        let start = marker.unwrap_or(b"").max(prefix.as_bytes());
        let from = ScanFrom::Partition(account.key(start).into());
        let within = account.key(prefix.as_bytes());
        let rows = self.store().scan(CONTAINERS, from, items_max + 1).await?;
        let mut page = Page { items: Vec::new(), next: None };
        for row in rows.iter().take_while(|row| row.partition.starts_with(&within)) {
            let Some((_, name)) = Uid::split(&row.partition) else {
                continue;
            };
            if page.items.len() == items_max {
                page.next = Some(name.to_vec());
                break;
            }
            page.items.push((String::from_utf8_lossy(name).into_owned(), record::decode(&row.value)?));
        }
        Ok(page)
    }

    async fn container_row(&self, account: Uid, name: &str) -> Result<(ContainerRecord, Version), BlobError> {
        let row = self.store().get(CONTAINERS, &account.key(name.as_bytes()), b"").await?;
        let row = row.ok_or(BlobError::ContainerNotFound)?;
        Ok((record::decode(&row.value)?, row.version))
    }

    async fn change_container(
        &self,
        account: Uid,
        name: &str,
        conditions: &Conditions,
        now: Timestamp,
        change: impl Fn(&mut ContainerRecord),
    ) -> Result<ContainerRecord, BlobError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let (mut record, version) = self.container_row(account, name).await?;
            conditions.check(Some((record.etag, record.modified)), Access::Write)?;
            change(&mut record);
            record.etag = next_etag(now, Some(record.etag));
            record.modified = now;
            let commit = Commit::new(CONTAINERS, account.key(name.as_bytes()));
            let commit = commit.check_version(&b""[..], version).put(&b""[..], record::encode(&record)?);
            if try_commit(self.store(), commit).await?.is_some() {
                return Ok(record);
            }
        }
        Err(EngineError::Busy.into())
    }
}
