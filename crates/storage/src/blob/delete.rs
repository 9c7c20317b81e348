//! Delete Blob and Undelete Blob.

use welkin_base::Timestamp;

use crate::blob::block_list::STAGED_MAX;
use crate::blob::change::Next;
use crate::blob::condition::{Access, Conditions};
use crate::blob::copy::CopyError;
use crate::blob::leftover::Swept;
use crate::blob::load::Loaded;
use crate::blob::state::BlobRecord;
use crate::blob::{BlobError, BlobPath, Revision, retention};
use crate::due::Due;
use crate::error::{COMMIT_TRIES_MAX, EngineError};
use crate::space::BLOBS;
use crate::{Account, Storage, Uid};

/// What is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleting {
    /// The blob, which has no snapshots.
    Blob,
    /// The blob and its snapshots.
    WithSnapshots,
    /// The blob's snapshots.
    OnlySnapshots,
    /// A snapshot or a version.
    One(Revision),
    /// A snapshot or a version that was deleted and is kept: for good.
    ForGood(Revision),
}

/// What became of what was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is gone.
    Gone,
    /// It can be restored, or stays as a version.
    Kept,
}

impl Storage {
    /// Delete Blob. The blob's uncommitted blocks go with it.
    ///
    /// # Errors
    /// When there is no such blob, a condition does not hold, or the blob has snapshots that would stay.
    pub async fn delete_blob(
        &self,
        path: BlobPath<'_>,
        deleting: Deleting,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<Outcome, BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            let mut next = Next::of(&loaded);
            retention::purge(&mut next, now);
            let outcome = delete(&mut next, &loaded, path.account, deleting, conditions, now)?;
            if self.commit_change(&partition, &loaded, &next, &[]).await? {
                return Ok(outcome);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Undelete Blob: all of it that was deleted and is kept is there again. Versions stay versions: where there
    /// is no blob beside them, there is none afterwards.
    ///
    /// # Errors
    /// When there is no such blob, deleted or not.
    pub async fn undelete_blob(&self, path: BlobPath<'_>, now: Timestamp) -> Result<(), BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            let mut next = Next::of(&loaded);
            retention::purge(&mut next, now);
            if next.heads().next().is_none() {
                return Err(BlobError::BlobNotFound);
            }
            let deleted: Vec<_> = next.heads().filter(|(_, record)| record.deleted.is_some()).collect();
            let restored: Vec<_> = deleted
                .into_iter()
                .map(|(revision, record)| (revision, BlobRecord { deleted: None, ..record.clone() }))
                .collect();
            if restored.is_empty() {
                return Ok(());
            }
            for (revision, record) in restored {
                next.put(revision, record);
            }
            if self.commit_change(&partition, &loaded, &next, &[]).await? {
                return self.confirm_container(path, &partition).await;
            }
        }
        Err(EngineError::Busy.into())
    }

    /// For the cleaner: removes what is over of a blob, and uncommitted blocks that nobody cared for; false when the
    /// blob changed meanwhile.
    pub(crate) async fn remove_due_of_blob(
        &self,
        partition: &[u8],
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let loaded = self.load_blob(partition).await?;
        let mut next = Next::of(&loaded);
        retention::purge(&mut next, now);
        if next.heads().any(|(_, record)| record.expires.is_some_and(|expires| expires <= now)) {
            // Its time is over, and it is protected: it goes when it no longer is.
            self.note_due(Due::Blob, partition, retention::until(now, 1)).await?;
        }
        if let Some(last) = loaded.staged.iter().map(|staged| staged.block.staged).max() {
            let until = last.plus(STAGED_MAX);
            next.keeps_staged = until > now;
            if next.keeps_staged {
                self.note_due(Due::Blob, partition, until).await?;
            }
        }
        match next.heads().count() == loaded.heads.len() && next.keeps_staged {
            true => Ok(true),
            false => self.commit_change(partition, &loaded, &next, &[]).await,
        }
    }

    /// For the cleaner: removes blobs of a deleted container; says how many rows.
    pub(crate) async fn remove_blobs(&self, container: Uid, rows_max: usize) -> Result<usize, EngineError> {
        let mut rows = self.rows_under(BLOBS, container, rows_max).await?;
        rows.dedup_by(|a, b| a.partition == b.partition);
        for row in &rows {
            let loaded = self.load_blob(&row.partition).await?;
            self.commit_change(&row.partition, &loaded, &Next::nothing(), &[]).await?;
            if self.sweep(&row.partition, &[], rows_max).await? == Swept::All {
                self.forget_leftovers(&row.partition).await?;
            }
        }
        Ok(rows.len())
    }
}

/// What the rows are to be after a deletion.
fn delete(
    next: &mut Next,
    loaded: &Loaded,
    account: &Account,
    deleting: Deleting,
    conditions: &Conditions,
    now: Timestamp,
) -> Result<Outcome, BlobError> {
    let outcome = match retention::kept(account, now) {
        Some(_) => Outcome::Kept,
        None => Outcome::Gone,
    };
    match deleting {
        Deleting::One(revision) => {
            delete_one(next, revision, account, conditions, now)?;
            Ok(outcome)
        }
        Deleting::ForGood(revision) => {
            delete_for_good(next, revision, account, conditions, now)?;
            Ok(Outcome::Gone)
        }
        Deleting::Blob | Deleting::WithSnapshots | Deleting::OnlySnapshots => {
            let blob = loaded.visible(now).ok_or(BlobError::BlobNotFound)?;
            match conditions.check_blob(Some(blob), Access::Write, now) {
                Err(BlobError::Copy(CopyError::IsIncremental)) => {}
                checked => checked?,
            }
            let snapshots: Vec<Revision> = next.live_snapshots().collect();
            if deleting == Deleting::Blob && !snapshots.is_empty() {
                return Err(BlobError::SnapshotsPresent);
            }
            for snapshot in snapshots {
                if let Some(record) = next.head(snapshot) {
                    record.check_mutable(now)?;
                }
                retention::revision_deleted(next, snapshot, account, now);
            }
            if deleting == Deleting::OnlySnapshots {
                return Ok(outcome);
            }
            let versioning = account.settings.versioning;
            if !versioning {
                blob.check_mutable(now)?;
            }
            retention::deleted(next, account, now);
            next.keeps_staged = false;
            Ok(if versioning { Outcome::Kept } else { outcome })
        }
    }
}

fn delete_one(
    next: &mut Next,
    revision: Revision,
    account: &Account,
    conditions: &Conditions,
    now: Timestamp,
) -> Result<(), BlobError> {
    let named =
        Some(revision) != next.head(Revision::Current).and_then(|blob| blob.version).map(Revision::Version);
    if revision == Revision::Current || !named {
        return Err(BlobError::NotOnCurrent);
    }
    let record =
        next.head(revision).filter(|record| record.deleted.is_none()).ok_or(BlobError::BlobNotFound)?;
    // The lease is the blob's, and does not protect its snapshots and versions.
    conditions.check_headers(Some(record), Access::Write)?;
    record.check_mutable(now)?;
    retention::revision_deleted(next, revision, account, now);
    Ok(())
}

fn delete_for_good(
    next: &mut Next,
    revision: Revision,
    account: &Account,
    conditions: &Conditions,
    now: Timestamp,
) -> Result<(), BlobError> {
    let allowed =
        account.blob_service.delete_retention.as_ref().is_some_and(|kept| kept.allow_permanent_delete);
    if !allowed || revision == Revision::Current {
        return Err(BlobError::PermanentDeleteNotAllowed);
    }
    let record =
        next.head(revision).filter(|record| record.deleted.is_some()).ok_or(BlobError::BlobNotFound)?;
    conditions.check_headers(Some(record), Access::Write)?;
    record.check_mutable(now)?;
    next.remove(revision);
    Ok(())
}
