//! Containers: create, metadata, access, lease. `delete`, `list`, `rename`: what is done with whole containers.
//!
//! The rows of a name: the container; those that were deleted and can be restored, each under the moment of its
//! deletion; a container that is being renamed to this name; and forwards of containers that were renamed.

mod delete;
mod forward;
mod list;
mod rename;

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_store::{Commit, Version};

use crate::blob::condition::{Access, Conditions, ETag, next_etag};
use crate::blob::lease::{self, Lease, LeaseAction, LeaseOf, Leased};
use crate::blob::state::SoftDeleted;
use crate::blob::{BlobError, BlobPath};
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record::{self, Record};
use crate::space::CONTAINERS;
use crate::{Storage, Uid};
use welkin_storage_wire::sas::StoredAccessPolicy;

pub use delete::Deletion;
pub(crate) use forward::{Whereabouts, is_forward, read_forward};
pub use list::{ListContainers, ListedContainer};
pub(crate) use rename::{ARRIVAL, container_of};

/// Containers of one list, where all are looked at.
const CONTAINERS_AT_ONCE: usize = 1000;

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
    pub policies: Vec<StoredAccessPolicy>,
    /// Its lease.
    pub lease: Option<Lease>,
    /// The encryption scope of blobs that name none.
    pub encryption_scope: Option<String>,
    /// Blobs may not name another scope.
    pub denies_other_scopes: bool,
    /// It was deleted, and can be restored for a while.
    pub deleted: Option<SoftDeleted>,
    /// Some blob of it was protected once by an immutability policy or a legal hold, and may still be: whoever
    /// deletes it must look.
    pub may_protect: bool,
}

impl Record for ContainerRecord {
    const NOUN: &'static str = "container";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, fields: &[u8]) -> Option<Result<Self, postcard::Error>> {
        (version == 1).then(|| postcard::from_bytes::<ContainerRecordV1>(fields).map(Into::into))
    }
}

/// The first shape: no lease, no scope, and no restoring.
#[derive(Serialize, Deserialize)]
struct ContainerRecordV1 {
    uid: Uid,
    created: Timestamp,
    modified: Timestamp,
    etag: ETag,
    metadata: Metadata,
    public_access: PublicAccess,
    policies: Vec<StoredAccessPolicy>,
}

impl From<ContainerRecordV1> for ContainerRecord {
    fn from(old: ContainerRecordV1) -> Self {
        Self {
            uid: old.uid,
            created: old.created,
            modified: old.modified,
            etag: old.etag,
            metadata: old.metadata,
            public_access: old.public_access,
            policies: old.policies,
            lease: None,
            encryption_scope: None,
            denies_other_scopes: false,
            deleted: None,
            may_protect: false,
        }
    }
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
    /// The encryption scope of blobs that name none.
    pub encryption_scope: Option<String>,
    /// Blobs may not name another scope.
    pub denies_other_scopes: bool,
}

impl NewContainer {
    /// A private container without metadata.
    #[must_use]
    pub fn private(uid: Uid) -> Self {
        Self {
            uid,
            metadata: Metadata::new(),
            public_access: PublicAccess::Private,
            encryption_scope: None,
            denies_other_scopes: false,
        }
    }
}

impl ContainerRecord {
    /// Whether a request that changes it may: its lease protects only its deletion, but an id that is given must
    /// be right.
    fn check(&self, conditions: &Conditions, lease: Access, now: Timestamp) -> Result<(), BlobError> {
        lease::check(self.lease.as_ref(), conditions.lease, lease, LeaseOf::Container, now)?;
        conditions.check(Some((self.etag, self.modified)), Access::Write)
    }
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
            lease: None,
            encryption_scope: new.encryption_scope,
            denies_other_scopes: new.denies_other_scopes,
            deleted: None,
            may_protect: false,
        };
        let partition = account.key(name.as_bytes());
        let commit = Commit::new(CONTAINERS, partition.clone()).check_absent(&b""[..]).check_absent(ARRIVAL);
        let commit = commit.put(&b""[..], record::encode(&record)?);
        for _ in 0..COMMIT_TRIES_MAX {
            if try_commit(self.store(), commit.clone()).await?.is_some() {
                return Ok(record);
            }
            if self.settle(&partition).await? {
                return Err(BlobError::ContainerAlreadyExists);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// The container of that name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn container(&self, account: Uid, name: &str) -> Result<ContainerRecord, BlobError> {
        self.container_row(account, name).await.map(|(record, _)| record)
    }

    /// The container of that name, for a request that may say that it holds its lease.
    ///
    /// # Errors
    /// When there is none, or the lease is not held.
    pub async fn leased_container(
        &self,
        account: Uid,
        name: &str,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<ContainerRecord, BlobError> {
        let record = self.container(account, name).await?;
        lease::check(record.lease.as_ref(), conditions.lease, Access::Read, LeaseOf::Container, now)?;
        Ok(record)
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
        (public_access, policies): (PublicAccess, &[StoredAccessPolicy]),
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<ContainerRecord, BlobError> {
        let change = |record: &mut ContainerRecord| {
            record.public_access = public_access;
            record.policies = policies.to_vec();
        };
        self.change_container(account, name, conditions, now, change).await
    }

    /// Lease Container. Neither the ETag nor Last-Modified change.
    ///
    /// # Errors
    /// When there is no such container, a condition does not hold, or the lease does not allow the action.
    pub async fn lease_container(
        &self,
        account: Uid,
        name: &str,
        action: LeaseAction,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<Leased, BlobError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let (mut record, version) = self.container_row(account, name).await?;
            conditions.check(Some((record.etag, record.modified)), Access::Write)?;
            record.lease = lease::act(record.lease.as_ref(), action, now)?;
            if self.put_container(account, name, version, &record).await? {
                return Ok(Leased { lease: record.lease, etag: record.etag, modified: record.modified });
            }
        }
        Err(EngineError::Busy.into())
    }

    /// After a write to a blob was committed: the container must be the one that the write began with. A commit
    /// is of one partition, and the container is in another, so that it may have been deleted in between. Then the
    /// write went to where nobody can read it and the cleaner removes it, and must not be acknowledged. A container
    /// that was renamed in between is the same container: a name is resolved once, when the write begins.
    pub(crate) async fn confirm_container(
        &self,
        path: BlobPath<'_>,
        blob_partition: &[u8],
    ) -> Result<(), BlobError> {
        let Some((uid, _)) = Uid::split(blob_partition) else { return Err(BlobError::ContainerNotFound) };
        match self.container(path.account.uid, path.container).await {
            Ok(container) if container.uid == uid => return Ok(()),
            Ok(_) | Err(BlobError::ContainerNotFound) => {}
            Err(error) => return Err(error),
        }
        let partition = path.account.uid.key(path.container.as_bytes());
        match self.whereabouts(&partition, uid).await? {
            Whereabouts::There => Ok(()),
            Whereabouts::Deleted | Whereabouts::Gone => Err(BlobError::ContainerNotFound),
        }
    }

    /// Before a blob is protected: from then on the container is not deleted unseen. Neither its ETag nor its
    /// Last-Modified change.
    pub(crate) async fn note_protection(&self, path: BlobPath<'_>) -> Result<(), BlobError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let (mut record, version) = self.container_row(path.account.uid, path.container).await?;
            if record.may_protect {
                return Ok(());
            }
            record.may_protect = true;
            if self.put_container(path.account.uid, path.container, version, &record).await? {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Whether no blob of the account is protected. One that is protected while this looks may be missed.
    pub(crate) async fn check_containers_mutable(
        &self,
        account: Uid,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let mut ask = ListContainers {
            items_max: CONTAINERS_AT_ONCE,
            deleted: true,
            system: true,
            ..Default::default()
        };
        loop {
            let page = self.list_containers(account, &ask, now).await?;
            for container in page.items.iter().filter(|container| container.record.may_protect) {
                self.check_blobs_mutable(container.record.uid, now).await?;
            }
            match page.next {
                Some(marker) => ask.marker = Some(marker),
                None => return Ok(()),
            }
        }
    }

    async fn container_row(&self, account: Uid, name: &str) -> Result<(ContainerRecord, Version), BlobError> {
        let partition = account.key(name.as_bytes());
        let row = match self.store().get(CONTAINERS, &partition, b"").await? {
            Some(row) => row,
            None => self.arrived(&partition).await?.ok_or(BlobError::ContainerNotFound)?,
        };
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
            record.check(conditions, Access::Read, now)?;
            change(&mut record);
            record.etag = next_etag(now, Some(record.etag));
            record.modified = now;
            if self.put_container(account, name, version, &record).await? {
                return Ok(record);
            }
        }
        Err(EngineError::Busy.into())
    }

    async fn put_container(
        &self,
        account: Uid,
        name: &str,
        read: Version,
        record: &ContainerRecord,
    ) -> Result<bool, EngineError> {
        let commit = Commit::new(CONTAINERS, account.key(name.as_bytes())).check_version(&b""[..], read);
        Ok(try_commit(self.store(), commit.put(&b""[..], record::encode(record)?)).await?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_shapes_are_read() {
        let old = ContainerRecordV1 {
            uid: Uid::from_bytes([7; 16]),
            created: Timestamp::from_ticks(1),
            modified: Timestamp::from_ticks(2),
            etag: 3,
            metadata: vec![("a".to_owned(), "b".to_owned())],
            public_access: PublicAccess::Blobs,
            policies: Vec::new(),
        };
        let row = postcard::to_extend(&old, vec![1]).unwrap();
        assert_eq!(record::decode::<ContainerRecord>(&row).unwrap(), ContainerRecord::from(old));
    }
}
