//! Renaming a container: its row goes to the partition of another name. Its blobs lie under its uid, and stay.
//!
//! A commit is of one partition, so that a rename takes three:
//!
//! 1. Under the new name, an *arrival* says what is to come, and from where. By itself it is nothing that anyone
//!    sees, and while it is there the name gets no container.
//! 2. Under the old name, the container gives way to a *forward*, which names the arrival by its
//!    version. This is the moment of the rename: the commit happens only if the container's row still has the
//!    version that the arrival says.
//! 3. Under the new name, the arrival becomes the container.
//!
//! Whoever finds an arrival looks for its forward. If it is there, the rename has happened, and the finder does
//! the third step. If it is not, the rename has not happened yet, and there is no container. Who wants the name
//! then first sees to it that it cannot happen any more: the container's row is written as it is, and so gets
//! another version. A rename that loses its arrival so starts over. Versions are never used again, so that an
//! arrival that is left from before can never take effect later.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_store::{Commit, Row, ScanFrom, Version};

use super::forward::{Forward, KEPT, forward_key};
use super::{ContainerRecord, Deletion};
use crate::blob::BlobError;
use crate::blob::condition::{Access, next_etag};
use crate::blob::lease::{self, LeaseId, LeaseOf};
use crate::due::Due;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record::{self, Record};
use crate::space::CONTAINERS;
use crate::{Storage, Uid};

/// The key of an arrival. It follows the container's own without a gap, and never are both there, so that the first
/// row of a name says whether it is taken.
pub(crate) const ARRIVAL: &[u8] = b"a";

/// A container is being renamed to the name that this lies under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Arrival {
    /// The partition of the name that it has.
    from: Vec<u8>,
    /// The version of its row there. The rename happens while the row has it, or never.
    leaving: u64,
    /// Its row as it will be.
    container: Vec<u8>,
}

impl Record for Arrival {
    const NOUN: &'static str = "container that is being renamed";
    const VERSION: u8 = 1;
}

impl Arrival {
    fn container(&self) -> Result<ContainerRecord, EngineError> {
        record::decode(&self.container)
    }
}

/// The uid of the container that a row is about; a forward is about one that is elsewhere.
pub(crate) fn container_of(row: &Row) -> Result<Option<Uid>, EngineError> {
    let container: ContainerRecord = match &row.key[..] {
        ARRIVAL => record::decode::<Arrival>(&row.value)?.container()?,
        key if key.is_empty() || Deletion::of_key(key).is_some() => record::decode(&row.value)?,
        _ => return Ok(None),
    };
    Ok(Some(container.uid))
}

/// One try of a rename.
struct Rename<'a> {
    storage: &'a Storage,
    from: &'a [u8],
    to: &'a [u8],
    leaving: Version,
    /// The container as it will be.
    container: ContainerRecord,
    now: Timestamp,
}

impl Storage {
    /// Rename Container: the container has the other name afterwards, with all that it has, its lease too. Its ETag
    /// and Last-Modified change.
    ///
    /// # Errors
    /// When there is no such container, its lease is not held, or the new name is taken.
    pub async fn rename_container(
        &self,
        account: Uid,
        (old, new): (&str, &str),
        lease: Option<LeaseId>,
        now: Timestamp,
    ) -> Result<ContainerRecord, BlobError> {
        let (from, to) = (account.key(old.as_bytes()), account.key(new.as_bytes()));
        for _ in 0..COMMIT_TRIES_MAX {
            let (mut container, leaving) = self.container_row(account, old).await?;
            lease::check(container.lease.as_ref(), lease, Access::Write, LeaseOf::Container, now)?;
            if self.settle(&to).await? {
                return Err(BlobError::ContainerAlreadyExists);
            }
            container.etag = next_etag(now, Some(container.etag));
            container.modified = now;
            let rename = Rename { storage: self, from: &from, to: &to, leaving, container, now };
            let Some(arrival) = rename.announce().await? else { continue };
            if rename.leave(arrival).await? {
                rename.arrive(arrival).await?;
                return Ok(rename.container);
            }
            rename.give_up(arrival).await?;
        }
        Err(EngineError::Busy.into())
    }

    /// The container's row of a name, when a rename to the name has happened and was not brought to its end.
    pub(super) async fn arrived(&self, partition: &[u8]) -> Result<Option<Row>, EngineError> {
        for _ in 0..COMMIT_TRIES_MAX {
            match self.first_row(partition).await? {
                Some(row) if row.key.is_empty() => return Ok(Some(row)),
                Some(row) if row.key == ARRIVAL && self.finish_rename(&row).await? => {}
                _ => return Ok(None),
            }
        }
        Err(EngineError::Busy)
    }

    /// Ends a rename to this name that is under way: it is finished when it has happened, and else prevented.
    /// True when the name has a container.
    pub(super) async fn settle(&self, partition: &[u8]) -> Result<bool, EngineError> {
        for _ in 0..COMMIT_TRIES_MAX {
            match self.first_row(partition).await? {
                Some(row) if row.key.is_empty() => return Ok(true),
                Some(row) if row.key == ARRIVAL => self.finish_or_prevent(&row).await?,
                _ => return Ok(false),
            }
        }
        Err(EngineError::Busy)
    }

    /// The third step, if an arrival's rename has happened. False when it has not happened; else the name is to be
    /// read again.
    pub(crate) async fn finish_rename(&self, row: &Row) -> Result<bool, EngineError> {
        let arrival: Arrival = record::decode(&row.value)?;
        let container = arrival.container()?.uid;
        if self.has_left(&arrival.from, container, row).await? {
            self.arrive(&row.partition, row.version, container, arrival.container.into()).await?;
            return Ok(true);
        }
        // Without the forward it has not happened, unless the container has arrived and gone on meanwhile.
        let now = self.store().get(CONTAINERS, &row.partition, ARRIVAL).await?;
        Ok(now.is_none_or(|now| now.version != row.version))
    }

    /// One step to that end; there may be more to do.
    async fn finish_or_prevent(&self, row: &Row) -> Result<(), EngineError> {
        let arrival: Arrival = record::decode(&row.value)?;
        let old = self.store().get(CONTAINERS, &arrival.from, b"").await?;
        if let Some(old) = old.filter(|old| old.version == Version(arrival.leaving)) {
            let commit = Commit::new(CONTAINERS, arrival.from).check_version(&b""[..], old.version);
            try_commit(self.store(), commit.put(&b""[..], old.value)).await?;
            return Ok(());
        }
        // From here on it cannot happen any more; but it may have.
        if !self.finish_rename(row).await? {
            self.delete_row(CONTAINERS, row).await?;
        }
        Ok(())
    }

    /// An arrival becomes the container, unless somebody else has seen to it. What led away from here before is
    /// over.
    async fn arrive(
        &self,
        partition: &[u8],
        arrival: Version,
        uid: Uid,
        container: Bytes,
    ) -> Result<(), EngineError> {
        let commit = Commit::new(CONTAINERS, partition.to_vec()).check_version(ARRIVAL, arrival);
        let commit = commit.delete(ARRIVAL).delete(forward_key(uid)).put(&b""[..], container);
        try_commit(self.store(), commit).await.map(|_| ())
    }

    async fn first_row(&self, partition: &[u8]) -> Result<Option<Row>, EngineError> {
        let from = ScanFrom::Partition(partition.to_vec().into());
        let rows = self.store().scan(CONTAINERS, from, 1).await?;
        Ok(rows.into_iter().next().filter(|row| row.partition == partition))
    }
}

impl Rename<'_> {
    /// The first step; `None` when the name was taken meanwhile. What a crash may leave is noted for the cleaner.
    async fn announce(&self) -> Result<Option<Version>, EngineError> {
        for name in [self.from, self.to] {
            self.storage.note_due(Due::Container, name, self.now.plus(KEPT)).await?;
        }
        let arrival = Arrival {
            from: self.from.to_vec(),
            leaving: self.leaving.0,
            container: record::encode(&self.container)?.to_vec(),
        };
        let commit = Commit::new(CONTAINERS, self.to.to_vec()).check_absent(&b""[..]).check_absent(ARRIVAL);
        try_commit(self.storage.store(), commit.put(ARRIVAL, record::encode(&arrival)?)).await
    }

    /// The second step: from here on the container has the other name. False when it changed meanwhile.
    async fn leave(&self, arrival: Version) -> Result<bool, EngineError> {
        let forward = Forward { to: self.to.to_vec(), arrival: arrival.0, since: self.now };
        let commit = Commit::new(CONTAINERS, self.from.to_vec()).check_version(&b""[..], self.leaving);
        let commit = commit.delete(&b""[..]).put(forward_key(self.container.uid), record::encode(&forward)?);
        Ok(try_commit(self.storage.store(), commit).await?.is_some())
    }

    /// The third step.
    async fn arrive(&self, arrival: Version) -> Result<(), EngineError> {
        let container = record::encode(&self.container)?;
        self.storage.arrive(self.to, arrival, self.container.uid, container).await
    }

    /// Takes the first step back.
    async fn give_up(&self, arrival: Version) -> Result<(), EngineError> {
        let commit = Commit::new(CONTAINERS, self.to.to_vec()).check_version(ARRIVAL, arrival);
        try_commit(self.storage.store(), commit.delete(ARRIVAL)).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests;
