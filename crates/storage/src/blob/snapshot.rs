//! Snapshot Blob, and what else keeps the state before as a version.

use welkin_base::Timestamp;

use crate::Storage;
use crate::blob::change::Next;
use crate::blob::condition::{Access, Conditions};
use crate::blob::container::Metadata;
use crate::blob::lease::{self, LeaseOf};
use crate::blob::state::BlobRecord;
use crate::blob::{BlobError, BlobPath, Revision, retention};
use crate::error::{COMMIT_TRIES_MAX, EngineError};

/// A snapshot that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment that names it.
    pub at: Timestamp,
    /// The snapshot.
    pub record: BlobRecord,
    /// The version id of the blob, where the account keeps versions.
    pub version: Option<Timestamp>,
}

impl Storage {
    /// Snapshot Blob: the blob as it is now stays readable under a moment, with its own metadata where some is
    /// given.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub async fn snapshot_blob(
        &self,
        path: BlobPath<'_>,
        metadata: Option<&Metadata>,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<Snapshot, BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            let blob = loaded.visible(now).ok_or(BlobError::BlobNotFound)?;
            // Whoever does not hold the lease may still make a snapshot, as he may read.
            lease::check(blob.lease.as_ref(), conditions.lease, Access::Read, LeaseOf::Blob, now)?;
            conditions.check_headers(Some(blob), Access::Write)?;
            blob.check_no_copy()?;
            let mut next = Next::of(&loaded);
            retention::purge(&mut next, now);
            let at = retention::free_moment(&next, now);
            let record = snapshot_of(blob, metadata, now);
            next.put(Revision::Snapshot(at), record.clone());
            let mut goes_on = blob.clone();
            goes_on.content = blob.content.after_snapshot(loaded.new_epoch());
            if path.account.settings.versioning {
                retention::keep_version(&mut next, blob.clone());
                goes_on.version = retention::new_version(&next, path.account, now);
            }
            let version = goes_on.version;
            next.put(Revision::Current, goes_on);
            if self.commit_change(&partition, &loaded, &next, &[]).await? {
                self.confirm_container(path, &partition).await?;
                return Ok(Snapshot { at, record, version });
            }
        }
        Err(EngineError::Busy.into())
    }

    /// A change of a blob that is a write of its own, and not of its content: where the account keeps versions,
    /// the state before stays as one.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub(crate) async fn write_blob(
        &self,
        path: BlobPath<'_>,
        conditions: &Conditions,
        now: Timestamp,
        change: impl Fn(&mut BlobRecord) -> Result<(), BlobError>,
    ) -> Result<BlobRecord, BlobError> {
        if !path.account.settings.versioning {
            return self.change_blob(path, Revision::Current, conditions, now, change).await;
        }
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            let blob = loaded.visible(now).ok_or(BlobError::BlobNotFound)?;
            conditions.check_blob(Some(blob), Access::Write, now)?;
            let mut record = blob.clone();
            change(&mut record)?;
            record.content = blob.content.after_snapshot(loaded.new_epoch());
            let mut next = Next::of(&loaded);
            retention::overwritten(&mut next, path.account, now);
            record.version = retention::new_version(&next, path.account, now);
            next.put(Revision::Current, record.clone());
            if self.commit_change(&partition, &loaded, &next, &[]).await? {
                self.confirm_container(path, &partition).await?;
                return Ok(record);
            }
        }
        Err(EngineError::Busy.into())
    }
}

fn snapshot_of(blob: &BlobRecord, metadata: Option<&Metadata>, now: Timestamp) -> BlobRecord {
    let mut record = BlobRecord { lease: None, version: None, expires: None, ..blob.clone() };
    if let Some(metadata) = metadata {
        // Only then is it another state than the blob's.
        record.metadata.clone_from(metadata);
        record.touch(now);
    }
    record
}
