//! Copies to a blob that take their time: the blob is there from the beginning, empty and with the copy pending;
//! its bytes come, and with the last of them the copy has succeeded.
//!
//! While a copy is pending, nothing else writes the blob (see [`crate::blob::condition`]), and each step of the
//! copy happens only if the blob still has it pending: whoever aborts it wins. A note tells a server that starts
//! which copies were pending when it ended.
//!
//! * `source`: what is copied, when it lies in this store. `fill`: its bytes on their way into the blob.
//! * `note`: copies that are pending. `incremental`: what changed of a page blob, from snapshot to snapshot.

mod fill;
mod incremental;
mod note;
mod source;

use bytes::Bytes;
use welkin_base::Timestamp;

use crate::Storage;
use crate::blob::change::Next;
use crate::blob::condition::{Access, Conditions, ETag};
use crate::blob::content::{NewContent, Piece};
use crate::blob::lease::{self, LeaseOf};
use crate::blob::load::Loaded;
use crate::blob::state::{BlobRecord, Content, CopyState, CopyStatus, Encryption};
use crate::blob::write::{NewBlob, Replacement};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{COMMIT_TRIES_MAX, EngineError};

pub use fill::Stopped;
pub(crate) use note::read_note;
pub use note::{LocalSource, PendingCopy};
pub use source::{CopyPiece, CopySource, Layout, PieceSender, Pieces};

/// A copy cannot be made, aborted or gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// A copy to the blob is pending: it may not be written.
    #[error("a copy to the blob is pending")]
    Pending,
    /// No copy to the blob is pending.
    #[error("no copy to the blob is pending")]
    NonePending,
    /// Another copy to the blob is pending.
    #[error("another copy to the blob is pending")]
    OtherPending,
    /// The source of an incremental copy is no snapshot of a page blob.
    #[error("the source of an incremental copy must be a snapshot of a page blob")]
    SourceNotSnapshot,
    /// The blob was not made by incremental copies of this source.
    #[error("the blob was not made by incremental copies of this source")]
    OtherSource,
    /// A later snapshot of the source was copied already.
    #[error("a later snapshot of the source was copied already")]
    EarlierSnapshot,
    /// The blob takes nothing but incremental copies.
    #[error("the blob takes nothing but incremental copies")]
    IsIncremental,
}

impl BlobRecord {
    /// Whether a copy to it is pending.
    #[must_use]
    pub fn has_pending_copy(&self) -> bool {
        self.copy.as_ref().is_some_and(|copy| copy.status == CopyStatus::Pending)
    }

    /// Whether it may be written, as far as copies are concerned.
    pub(crate) fn check_no_copy(&self) -> Result<(), BlobError> {
        match &self.copy {
            Some(copy) if copy.status == CopyStatus::Pending => Err(CopyError::Pending.into()),
            _ => self.check_not_incremental(),
        }
    }

    /// A blob that is made by incremental copies can be deleted, and its snapshots read, and nothing else.
    pub(crate) fn check_not_incremental(&self) -> Result<(), BlobError> {
        match self.copy.as_ref().is_some_and(|copy| copy.incremental.is_some()) {
            true => Err(CopyError::IsIncremental.into()),
            false => Ok(()),
        }
    }

    /// The pending copy of this id.
    fn pending(&mut self, id: &str) -> Result<&mut CopyState, BlobError> {
        match self.copy.as_mut().filter(|copy| copy.status == CopyStatus::Pending) {
            Some(copy) if copy.id == id => Ok(copy),
            Some(_) => Err(CopyError::OtherPending.into()),
            None => Err(CopyError::NonePending.into()),
        }
    }
}

impl CopyState {
    /// A copy that begins.
    #[must_use]
    pub fn begun(id: String, source: String, total_bytes: u64) -> Self {
        Self {
            id,
            source,
            status: CopyStatus::Pending,
            copied_bytes: 0,
            total_bytes,
            completed: None,
            description: None,
            incremental: None,
        }
    }

    /// As it is when it has ended so.
    #[must_use]
    pub fn ended(self, status: CopyStatus, now: Timestamp) -> Self {
        let copied_bytes = if status == CopyStatus::Success { self.total_bytes } else { self.copied_bytes };
        Self { status, copied_bytes, completed: Some(now), ..self }
    }
}

/// How a copy ended that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Undone {
    Aborted,
    Failed(String),
}

impl Storage {
    /// Begins a copy: the blob is there afterwards, empty, with `new.copy` pending. A restarted server finds it by
    /// a note.
    ///
    /// # Errors
    /// When there is no such container, a condition does not hold, or the blob is of another type than the source.
    pub async fn begin_copy(
        &self,
        path: BlobPath<'_>,
        new: &NewBlob,
        layout: &Layout,
        source: Option<LocalSource>,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        self.note_copy(path, new, source).await?;
        let make = |loaded: &Loaded| {
            let content = layout.empty(loaded);
            if let Some(last) = loaded.visible(now) {
                last.check_type(content.blob_type())?;
            }
            Ok(Replacement::of(content, 0))
        };
        let begun = self.replace_blob(path, &[], new, now, make).await;
        self.unless_begun(path, new, begun).await
    }

    /// A copy that surely did not begin needs no note.
    async fn unless_begun(
        &self,
        path: BlobPath<'_>,
        new: &NewBlob,
        begun: Result<BlobRecord, BlobError>,
    ) -> Result<BlobRecord, BlobError> {
        match (&begun, &new.copy) {
            (Err(BlobError::Engine(_) | BlobError::ContainerNotFound) | Ok(_), _) | (_, None) => {}
            (Err(_), Some(copy)) => {
                let partition = self.blob_partition(path).await?;
                self.forget_copy(&partition, &copy.id).await?;
            }
        }
        begun
    }

    /// Copies a state of a blob over the blob itself, with other metadata or another tier: no bytes are copied.
    /// `None` where they must be, or where the state is no longer that of the ETag.
    ///
    /// # Errors
    /// When a condition does not hold.
    pub async fn copy_within(
        &self,
        path: BlobPath<'_>,
        (revision, etag): (Revision, ETag),
        new: &NewBlob,
        now: Timestamp,
    ) -> Result<Option<BlobRecord>, BlobError> {
        let shared = |loaded: &Loaded| -> Result<Option<Replacement>, BlobError> {
            let head = loaded.heads.iter().find(|head| head.revision == revision);
            let Some(source) = head.map(|head| &head.record).filter(|source| source.is_visible(now)) else {
                return Ok(None);
            };
            // What is encrypted with a client's key stays so, and the copy is not.
            if source.etag != etag || matches!(source.encryption, Encryption::CustomerKey(_)) {
                return Ok(None);
            }
            let last = loaded.visible(now);
            last.map_or(Ok(()), |last| last.check_type(source.blob_type()))?;
            let content = match &source.content {
                content @ (Content::Whole(_) | Content::Blocks { .. }) => content.clone(),
                // Rows after those of a snapshot belong to what came later.
                Content::Appended { .. } | Content::Pages { .. } if revision != Revision::Current => {
                    return Ok(None);
                }
                content => content.after_snapshot(loaded.new_epoch()),
            };
            Ok(Some(Replacement::of(content, source.length_bytes)))
        };
        let partition = self.blob_partition(path).await?;
        if shared(&self.load_blob(&partition).await?)?.is_none() {
            return Ok(None);
        }
        let make = |loaded: &Loaded| shared(loaded)?.ok_or(BlobError::ConditionNotMet);
        self.replace_blob(path, &[], new, now, make).await.map(Some)
    }

    /// Abort Copy Blob: the blob stays, empty, with its metadata.
    ///
    /// # Errors
    /// When this copy is not pending, or someone else holds the blob's lease.
    pub async fn abort_copy(
        &self,
        path: BlobPath<'_>,
        id: &str,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let partition = self.blob_partition(path).await?;
        let head = self.blob_head(&partition, Revision::Current, now).await?;
        lease::check(head.record.lease.as_ref(), conditions.lease, Access::Write, LeaseOf::Blob, now)?;
        self.undo_copy(&partition, id, &Undone::Aborted, now).await
    }

    /// The copy of this id cannot go on, for a reason that its owner reads.
    ///
    /// # Errors
    /// When this copy is not pending.
    pub async fn fail_copy(
        &self,
        path: BlobPath<'_>,
        id: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let partition = self.copied_partition(path, id).await?;
        self.undo_copy(&partition, id, &Undone::Failed(why.to_owned()), now).await
    }

    async fn undo_copy(
        &self,
        partition: &[u8],
        id: &str,
        undone: &Undone,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let change = |loaded: &Loaded, _: &mut Next, blob: &mut BlobRecord| {
            let copy = blob.pending(id)?;
            let status = if *undone == Undone::Aborted { CopyStatus::Aborted } else { CopyStatus::Failed };
            *copy = copy.clone().ended(status, now);
            if let Undone::Failed(why) = undone {
                copy.description = Some(why.clone());
            }
            if copy.incremental.is_none() {
                blob.content = blob.content.emptied(loaded);
            }
            Ok(())
        };
        let undone = self.change_copied(partition, &[], now, change).await.map(drop);
        if !matches!(undone, Err(BlobError::Engine(_))) {
            // It is not pending, whether or not it was until now.
            self.forget_copy(partition, id).await?;
        }
        undone
    }

    /// Changes the head of a blob with a pending copy, and what else of it there is.
    async fn change_copied(
        &self,
        partition: &[u8],
        contents: &[NewContent],
        now: Timestamp,
        change: impl Fn(&Loaded, &mut Next, &mut BlobRecord) -> Result<(), BlobError>,
    ) -> Result<BlobRecord, BlobError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(partition).await?;
            let mut blob = loaded.visible(now).ok_or(BlobError::BlobNotFound)?.clone();
            let mut next = Next::of(&loaded);
            change(&loaded, &mut next, &mut blob)?;
            blob.touch(now);
            next.put(Revision::Current, blob.clone());
            if self.commit_change(partition, &loaded, &next, contents).await? {
                return Ok(blob);
            }
        }
        Err(EngineError::Busy.into())
    }
}

impl Content {
    /// Nothing, of the same type.
    fn emptied(&self, loaded: &Loaded) -> Self {
        match self {
            Self::Whole(_) | Self::Blocks { .. } => Self::Whole(Piece::Inline(Bytes::new())),
            Self::Appended { .. } => Self::Appended { list: loaded.new_list(), blocks: 0, sealed: false },
            Self::Pages { sequence_number, .. } => Self::no_pages(loaded.new_epoch(), *sequence_number),
        }
    }
}
