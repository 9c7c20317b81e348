//! Immutability policies and legal holds of a blob, a snapshot or a version (STORAGE, section 3).

use welkin_base::Timestamp;

use crate::Storage;
use crate::blob::condition::Conditions;
use crate::blob::state::{BlobRecord, Immutability};
use crate::blob::{BlobError, BlobPath, Revision};

impl BlobRecord {
    /// Whether an immutability policy or a legal hold protects it at this moment.
    pub(crate) fn is_protected(&self, now: Timestamp) -> bool {
        self.legal_hold || self.immutability.is_some_and(|policy| policy.until > now)
    }

    /// Whether it may be changed or deleted.
    ///
    /// # Errors
    /// When a policy or a legal hold protects it.
    pub(crate) fn check_mutable(&self, now: Timestamp) -> Result<(), BlobError> {
        match self.is_protected(now) {
            true => Err(BlobError::Immutable),
            false => Ok(()),
        }
    }
}

impl Storage {
    /// Set Blob Immutability Policy. A locked policy that has not ended can only be prolonged.
    ///
    /// # Errors
    /// When there is no such blob, a condition does not hold, or the policy is locked.
    pub async fn set_immutability(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        policy: Immutability,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        self.note_protection(path).await?;
        let change = |record: &mut BlobRecord| {
            if let Some(last) = record.immutability.filter(|last| last.locked && last.until > now)
                && (policy.until < last.until || !policy.locked)
            {
                return Err(BlobError::Immutable);
            }
            record.immutability = Some(policy);
            Ok(())
        };
        self.change_blob(path, revision, conditions, now, change).await
    }

    /// Delete Blob Immutability Policy.
    ///
    /// # Errors
    /// When there is no such blob, or the policy is locked and has not ended.
    pub async fn delete_immutability(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let change = |record: &mut BlobRecord| {
            if record.immutability.is_some_and(|last| last.locked && last.until > now) {
                return Err(BlobError::Immutable);
            }
            record.immutability = None;
            Ok(())
        };
        self.change_blob(path, revision, conditions, now, change).await
    }

    /// Set Blob Legal Hold.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub async fn set_legal_hold(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        hold: bool,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        if hold {
            self.note_protection(path).await?;
        }
        let change = |record: &mut BlobRecord| {
            record.legal_hold = hold;
            Ok(())
        };
        self.change_blob(path, revision, conditions, now, change).await
    }

    /// Set Blob Expiry: the blob ceases to exist at the moment that `expires` says of its creation.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub async fn set_blob_expiry(
        &self,
        path: BlobPath<'_>,
        expires: impl Fn(Timestamp) -> Option<Timestamp>,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let change = |record: &mut BlobRecord| {
            record.check_mutable(now)?;
            record.expires = expires(record.created);
            record.touch(now);
            Ok(())
        };
        self.change_blob(path, Revision::Current, conditions, now, change).await
    }
}
