//! Incremental copies of page blobs: each copies, of a snapshot, what changed since the one before, and makes a
//! snapshot of the blob.
//!
//! Where a copy was not carried out to its end, pages of it may lie in the blob. The next one takes them too: it
//! copies what changed in the source since the last snapshot, and what changed in the blob since its own.

use std::ops::Range;

use bytes::Bytes;
use welkin_base::Timestamp;

use crate::Storage;
use crate::blob::change::Next;
use crate::blob::condition::{Access, Conditions};
use crate::blob::copy::CopyError;
use crate::blob::copy::fill::{Filling, Stopped};
use crate::blob::copy::note::LocalSource;
use crate::blob::lease::{self, LeaseOf};
use crate::blob::load::Loaded;
use crate::blob::page::range::AskRanges;
use crate::blob::page::{PAGE_BLOB_BYTES_MAX, PAGE_BYTES};
use crate::blob::read::ByteRange;
use crate::blob::state::{BlobRecord, BlobType, Content, CopyState, CopyStatus, Incremental};
use crate::blob::write::{NewBlob, Replacement};
use crate::blob::{BlobError, BlobPath, Revision, retention};
use crate::error::{COMMIT_TRIES_MAX, EngineError};

/// Ranges that are looked up at a time.
const RANGES_MAX: usize = 1000;
/// Bytes that are read and written at a time.
const STEP_BYTES: u64 = 4 << 20;

impl Storage {
    /// Begins an incremental copy of a snapshot. The blob is made, or was made by such copies of the same source.
    ///
    /// # Errors
    /// When the blob is another one, a later snapshot was copied already, or a condition does not hold.
    pub async fn begin_incremental_copy(
        &self,
        path: BlobPath<'_>,
        new: &NewBlob,
        source: LocalSource,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let (Some(copy), Revision::Snapshot(at)) = (&new.copy, source.revision) else {
            return Err(CopyError::SourceNotSnapshot.into());
        };
        let mut new = new.clone();
        let copy =
            CopyState { incremental: Some(Incremental { source: at, snapshot: None }), ..copy.clone() };
        new.copy = Some(copy.clone());
        self.note_copy(path, &new, Some(source)).await?;
        let begun = self.begin_noted_copy(path, &new, &copy, now).await;
        self.unless_begun(path, &new, begun).await
    }

    async fn begin_noted_copy(
        &self,
        path: BlobPath<'_>,
        new: &NewBlob,
        copy: &CopyState,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            let Some(last) = loaded.visible(now) else {
                let make = |loaded: &Loaded| match loaded.visible(now) {
                    None => Ok(Replacement::of(Content::no_pages(loaded.new_epoch(), 0), 0)),
                    Some(_) => Err(EngineError::Busy.into()),
                };
                return self.replace_blob(path, &[], new, now, make).await;
            };
            let mut blob = last.clone();
            lease::check(blob.lease.as_ref(), new.conditions.lease, Access::Write, LeaseOf::Blob, now)?;
            new.conditions.check_headers(Some(&blob), Access::Write)?;
            blob.check_mutable(now)?;
            check_goes_on(&loaded, &blob, copy, now)?;
            blob.copy = Some(copy.clone());
            blob.touch(now);
            let mut next = Next::of(&loaded);
            next.put(Revision::Current, blob.clone());
            if self.commit_change(&partition, &loaded, &next, &[]).await? {
                return Ok(blob);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Carries out a pending incremental copy. Returns when it has succeeded, with the blob and its new snapshot.
    ///
    /// # Errors
    /// When the source cannot be read, the copy is no longer pending, or the store fails.
    pub async fn carry_out_incremental_copy(
        &self,
        path: BlobPath<'_>,
        id: &str,
        source: (BlobPath<'_>, Revision),
        clock: fn() -> Timestamp,
    ) -> Result<BlobRecord, Stopped> {
        let partition = self.copied_partition(path, id).await?;
        let mut filling = Filling::new(self, partition, id, clock);
        let (source_path, revision) = source;
        let unconditional = Conditions::default();
        let state = self.blob(source_path, revision, &unconditional, clock()).await.map_err(source_lost)?;
        let last = self.last_copied(&filling.partition, clock()).await?;
        let head = self.blob_head(&filling.partition, Revision::Current, clock()).await?;
        let end = head.record.length_bytes;
        // What a copy that was not carried out wrote behind the end.
        if end < PAGE_BLOB_BYTES_MAX {
            filling.edit(end..PAGE_BLOB_BYTES_MAX, &[], &[]).await?;
        }
        let from = (source, state.length_bytes);
        let own = last.and_then(|last| last.snapshot);
        filling.copy_changes((path, Revision::Current), own, from).await.map_err(unread)?;
        match filling.copy_changes(source, last.map(|last| last.source), from).await {
            // The source's last snapshot is gone, or the source was overwritten since: all of it is copied.
            Err(Changes::Blob(BlobError::PreviousSnapshotNotFound | BlobError::Overwritten)) => {
                filling.copy_pages(0..end.max(state.length_bytes), source, state.length_bytes).await?;
            }
            changed => changed.map_err(unread)?,
        }
        let blob = filling.finish_incremental(&state).await?;
        self.forget_copy(&filling.partition, id).await?;
        self.confirm_container(path, &filling.partition).await?;
        Ok(blob)
    }

    /// The incremental copy that succeeded last, by the newest snapshot of the blob.
    async fn last_copied(
        &self,
        partition: &[u8],
        now: Timestamp,
    ) -> Result<Option<Incremental>, EngineError> {
        let loaded = self.load_blob(partition).await?;
        Ok(last_of(&loaded, now))
    }
}

/// Whether a copy of this source's snapshot can follow what was copied.
fn check_goes_on(
    loaded: &Loaded,
    blob: &BlobRecord,
    copy: &CopyState,
    now: Timestamp,
) -> Result<(), BlobError> {
    blob.check_type(BlobType::Page)?;
    let Some(last) = blob.copy.as_ref().filter(|last| last.incremental.is_some()) else {
        return Err(CopyError::OtherSource.into());
    };
    if last.status == CopyStatus::Pending {
        return Err(CopyError::Pending.into());
    }
    let without_query = |url: &str| url.split('?').next().unwrap_or("").to_owned();
    if without_query(&last.source) != without_query(&copy.source) {
        return Err(CopyError::OtherSource.into());
    }
    let copied = last_of(loaded, now).map(|last| last.source);
    match copied >= copy.incremental.map(|incremental| incremental.source) {
        true => Err(CopyError::EarlierSnapshot.into()),
        false => Ok(()),
    }
}

fn last_of(loaded: &Loaded, now: Timestamp) -> Option<Incremental> {
    let snapshots = loaded
        .heads
        .iter()
        .filter(|head| matches!(head.revision, Revision::Snapshot(_)) && head.record.is_visible(now));
    let copied = snapshots.filter_map(|head| match (head.revision, &head.record.copy) {
        (Revision::Snapshot(at), Some(copy)) => Some(Incremental { snapshot: Some(at), ..copy.incremental? }),
        _ => None,
    });
    copied.max_by_key(|last| last.snapshot)
}

/// Why changes cannot be copied: they cannot be told, or the copy has stopped.
enum Changes {
    Blob(BlobError),
    Stopped(Stopped),
}

fn unread(changes: Changes) -> Stopped {
    match changes {
        Changes::Blob(error) => source_lost(error),
        Changes::Stopped(stopped) => stopped,
    }
}

fn source_lost(error: BlobError) -> Stopped {
    match error {
        BlobError::Engine(error) => error.into(),
        error => Stopped::Source(format!("The source cannot be read: {error}.")),
    }
}

impl Filling<'_> {
    /// Makes what changed of a blob since a snapshot, or is written at all, as it is in the source.
    async fn copy_changes(
        &mut self,
        (path, revision): (BlobPath<'_>, Revision),
        previous: Option<Timestamp>,
        (source, source_bytes): ((BlobPath<'_>, Revision), u64),
    ) -> Result<(), Changes> {
        let (mut from, conditions) = (Some(0), Conditions::default());
        while let Some(at) = from {
            let ask = AskRanges { range: None, from: at, ranges_max: RANGES_MAX, previous };
            let found = self.storage.page_ranges(path, revision, &ask, &conditions, self.now()).await;
            let found = found.map_err(Changes::Blob)?;
            for range in found.ranges {
                self.copy_pages(range.bytes, source, source_bytes).await.map_err(Changes::Stopped)?;
            }
            from = found.next;
        }
        Ok(())
    }

    /// Makes a range as it is in the source.
    async fn copy_pages(
        &mut self,
        range: Range<u64>,
        (path, revision): (BlobPath<'_>, Revision),
        source_bytes: u64,
    ) -> Result<(), Stopped> {
        let mut at = range.start;
        if at < source_bytes.min(range.end) {
            let asked = ByteRange { first: at, last: Some(range.end - 1) };
            let conditions = Conditions::default();
            let read = self.storage.read_blob(path, revision, Some(asked), &conditions, self.now());
            let (_, _, mut reader) = read.await.map_err(source_lost)?;
            loop {
                let zeros = reader.skip_zeros();
                if zeros > 0 {
                    self.edit(at..at + zeros, &[], &[]).await?;
                    at += zeros;
                    continue;
                }
                let Some(bytes) = reader.next().await? else { break };
                let end = at + bytes.len() as u64;
                self.rewrite(at..end, bytes).await?;
                at = end;
            }
        }
        match at < range.end {
            true => self.edit(at..range.end, &[], &[]).await,
            false => Ok(()),
        }
    }

    async fn rewrite(&mut self, range: Range<u64>, bytes: Bytes) -> Result<(), Stopped> {
        debug_assert!(range.end - range.start <= STEP_BYTES && range.start.is_multiple_of(PAGE_BYTES));
        self.copied_bytes += bytes.len() as u64;
        let (contents, runs) = self.storage.page_runs(range.start, &bytes, None).await?;
        self.edit(range, &runs, &contents).await
    }

    /// Ends an incremental copy: the blob is as the source's snapshot, and a snapshot of it says so.
    async fn finish_incremental(&self, source: &BlobRecord) -> Result<BlobRecord, Stopped> {
        let now = self.now();
        let finish = |loaded: &Loaded, next: &mut Next, blob: &mut BlobRecord| {
            let at = retention::free_moment(next, now);
            let copy = blob.pending(self.id)?;
            copy.total_bytes = source.length_bytes;
            *copy = copy.clone().ended(CopyStatus::Success, now);
            if let Some(incremental) = &mut copy.incremental {
                incremental.snapshot = Some(at);
            }
            blob.length_bytes = source.length_bytes;
            blob.properties.clone_from(&source.properties);
            if let (Content::Pages { sequence_number: own, .. }, Some(number)) =
                (&mut blob.content, source.sequence_number())
            {
                *own = number;
            }
            let snapshot = BlobRecord { lease: None, version: None, modified: now, ..blob.clone() };
            next.put(Revision::Snapshot(at), snapshot);
            blob.content = blob.content.after_snapshot(loaded.new_epoch());
            Ok(())
        };
        Ok(self.storage.change_copied(&self.partition, &[], now, finish).await?)
    }
}
