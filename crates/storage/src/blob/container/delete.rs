//! Deleting a container, and restoring it.

use welkin_base::Timestamp;
use welkin_store::{Commit, Row, ScanFrom};

use super::{ARRIVAL, ContainerRecord};
use crate::blob::BlobError;
use crate::blob::condition::{Access, Conditions};
use crate::blob::retention::until;
use crate::blob::row::RowKey;
use crate::blob::state::{BlobRecord, SoftDeleted};
use crate::cleaner::Garbage;
use crate::due::Due;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record;
use crate::space::{BLOBS, CONTAINERS};
use crate::{Account, Storage, Uid};

/// What the key of a deleted container begins with; the moment of the deletion follows.
const DELETED: u8 = b'd';
/// Rows of one scan.
const SCAN_ROWS: usize = 100;

/// A deletion, as the protocol names it: the *version* of a deleted container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deletion(pub Timestamp);

impl Deletion {
    pub(super) fn key(self) -> Vec<u8> {
        [&[DELETED], &self.0.ticks().to_be_bytes()[..]].concat()
    }

    /// Reads a row's key; `None` is that of a container that is not deleted.
    pub(super) fn of_key(key: &[u8]) -> Option<Self> {
        let moment = key.strip_prefix(&[DELETED])?.try_into().ok().map(i64::from_be_bytes)?;
        Some(Self(Timestamp::from_ticks(moment)))
    }
}

impl Storage {
    /// Deletes the container. Its blobs are out of reach at once, and removed by the cleaner: right away, or when
    /// the account's time for restoring is over.
    ///
    /// # Errors
    /// When there is no such container, a condition does not hold, or a blob of it is protected.
    pub async fn delete_container(
        &self,
        account: &Account,
        name: &str,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let partition = account.uid.key(name.as_bytes());
        for _ in 0..COMMIT_TRIES_MAX {
            let (mut record, version) = self.container_row(account.uid, name).await?;
            record.check(conditions, Access::Write, now)?;
            if record.may_protect {
                self.check_blobs_mutable(record.uid, now).await?;
            }
            let mut commit = Commit::new(CONTAINERS, partition.clone()).check_version(&b""[..], version);
            match account.settings.container_retention_days {
                None => self.add_garbage(record.uid, Garbage::container(partition.clone(), now)).await?,
                Some(days) => {
                    let deleted = SoftDeleted { at: now, until: until(now, days) };
                    self.note_due(Due::Container, &partition, deleted.until).await?;
                    record.deleted = Some(deleted);
                    record.lease = None;
                    let key = self.free_deletion(&partition, now).await?.key();
                    commit = commit.check_absent(key.clone()).put(key, record::encode(&record)?);
                }
            }
            if try_commit(self.store(), commit.delete(&b""[..])).await?.is_some() {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Whether no blob, snapshot or version of the container is protected. A protection that comes later changes
    /// the container's row first, so that a deletion that did not see it is done anew.
    pub(super) async fn check_blobs_mutable(&self, container: Uid, now: Timestamp) -> Result<(), BlobError> {
        let mut from = ScanFrom::Partition(container.as_bytes().to_vec().into());
        loop {
            let rows = self.store().scan(BLOBS, from, SCAN_ROWS).await?;
            for row in &rows {
                if !row.partition.starts_with(container.as_bytes()) {
                    return Ok(());
                }
                if let Some(RowKey::Head(_)) = RowKey::parse(&row.key) {
                    record::decode::<BlobRecord>(&row.value)?.check_mutable(now)?;
                }
            }
            match rows.last() {
                Some(last) if rows.len() == SCAN_ROWS => {
                    from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
                }
                _ => return Ok(()),
            }
        }
    }

    /// Restore Container: the container that was deleted then is there again, with all its blobs.
    ///
    /// # Errors
    /// When nothing of that name was deleted then or its time is over, or the name is taken.
    pub async fn restore_container(
        &self,
        account: &Account,
        name: &str,
        deletion: Deletion,
        now: Timestamp,
    ) -> Result<ContainerRecord, BlobError> {
        let (partition, key) = (account.uid.key(name.as_bytes()), deletion.key());
        for _ in 0..COMMIT_TRIES_MAX {
            let row = self.store().get(CONTAINERS, &partition, &key).await?;
            let row = row.ok_or(BlobError::ContainerNotFound)?;
            let mut record: ContainerRecord = record::decode(&row.value)?;
            if record.deleted.is_none_or(|deleted| deleted.until <= now) {
                return Err(BlobError::ContainerNotFound);
            }
            record.deleted = None;
            let commit = Commit::new(CONTAINERS, partition.clone()).check_version(key.clone(), row.version);
            let commit = commit.check_absent(&b""[..]).check_absent(ARRIVAL).delete(key.clone());
            let commit = commit.put(&b""[..], record::encode(&record)?);
            if try_commit(self.store(), commit).await?.is_some() {
                return Ok(record);
            }
            if self.settle(&partition).await? {
                return Err(BlobError::ContainerAlreadyExists);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// A moment at which nothing of the name was deleted.
    async fn free_deletion(&self, partition: &[u8], now: Timestamp) -> Result<Deletion, EngineError> {
        let last = self.deleted_containers(partition).await?.into_iter().next_back();
        let last = last.and_then(|row| Deletion::of_key(&row.key));
        let after = |Deletion(at): Deletion| Timestamp::from_ticks(at.ticks().saturating_add(1));
        Ok(Deletion(last.map_or(now, |last| after(last).max(now))))
    }

    async fn deleted_containers(&self, partition: &[u8]) -> Result<Vec<Row>, EngineError> {
        let mut rows = self.rows_of_name(partition).await?;
        rows.retain(|row| Deletion::of_key(&row.key).is_some());
        Ok(rows)
    }

    /// For the cleaner: what of a name is over. Containers whose time for restoring is become garbage; a rename that
    /// was broken off comes to an end; and forwards that nobody needs go. False when something must wait.
    pub(crate) async fn remove_due_containers(
        &self,
        partition: &[u8],
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        self.settle(partition).await?;
        let mut all = self.remove_forwards(partition, now).await?;
        for row in self.deleted_containers(partition).await? {
            let record: ContainerRecord = record::decode(&row.value)?;
            if record.deleted.is_none_or(|deleted| deleted.until <= now) {
                self.add_garbage(record.uid, Garbage::container(partition.to_vec(), now)).await?;
                all &= self.delete_row(CONTAINERS, &row).await?;
            }
        }
        Ok(all)
    }
}
