//! The handle that everyone uses, over one of the backends.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::commit::{Commit, CommitError};
use crate::error::StoreError;
use crate::etcd::{Etcd, Term};
use crate::extent::{ExtentRef, ExtentWriter};
use crate::local::{CheckRange, CheckedRows, Local, LocalOptions, StoredRow, damaged_tables, is_store};
use crate::moment::{Moment, Snapshot};
use crate::row::{Row, ScanRange, Space, Version};
use crate::stats::StoreStats;

/// What a backend does. The contract of each method is that of the method of [`Store`]. A read without a moment is one
/// of all that was acknowledged before it.
pub(crate) trait Backend: std::fmt::Debug + Send + Sync {
    fn get<'a>(
        &'a self,
        moment: Option<Moment>,
        space: Space,
        partition: &'a [u8],
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Row>, StoreError>>;

    fn moment(&self) -> Moment;

    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, StoreError>>;

    fn read_extent_at<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        extent: &'a ExtentRef,
        offset_bytes: u64,
        length_bytes: usize,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>>;

    fn extents_at<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        after: Option<&'a ExtentRef>,
        extents_max: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>>;

    /// Rows of all spaces from a stored key on, at least one as long as there are any, and no more after `bytes_max`.
    fn stored_rows<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        from: Vec<u8>,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRow>, StoreError>>;

    /// A number that was drawn when the store was made.
    fn salt(&self) -> u64;

    fn check_rows<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        range: CheckRange,
        rows_max: usize,
    ) -> BoxFuture<'a, Result<CheckedRows, StoreError>>;

    fn damaged_files(&self) -> BoxFuture<'_, Result<Vec<StoreError>, StoreError>>;

    fn scan(
        &self,
        moment: Option<Moment>,
        space: Space,
        range: ScanRange,
        rows_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Row>, StoreError>>;

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>>;

    fn extent_writer(
        &self,
        length_bytes: Option<u64>,
    ) -> BoxFuture<'_, Result<Box<dyn ExtentSink>, StoreError>>;

    fn read_extent<'a>(
        &'a self,
        extent: &'a ExtentRef,
        offset_bytes: u64,
        length_bytes: usize,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>>;

    fn release_extent<'a>(&'a self, extent: &'a ExtentRef) -> BoxFuture<'a, Result<(), StoreError>>;

    fn live_extents<'a>(
        &'a self,
        after: Option<&'a ExtentRef>,
        extents_max: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>>;

    fn old_extents<'a>(
        &'a self,
        after: Option<&'a ExtentRef>,
        extents_max: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>>;

    fn stats(&self) -> StoreStats;

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// Takes the bytes of one extent; see [`ExtentWriter`].
pub(crate) trait ExtentSink: std::fmt::Debug + Send + Sync {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), StoreError>>;

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<ExtentRef, StoreError>>;
}

/// A store. Cheap to clone; all clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {
    backend: Arc<dyn Backend>,
}

impl Store {
    /// Opens the embedded store in `folder`, which is made when missing.
    ///
    /// # Errors
    /// When the folder is in use, damaged, or cannot be written.
    pub async fn open_local(folder: &Path) -> Result<Self, StoreError> {
        Self::open_local_with(folder, LocalOptions::default()).await
    }

    /// The rows that `etcd` keeps. With a `term`, a commit is one of its leader: refused once another leads.
    #[must_use]
    pub fn over_etcd(etcd: &Etcd, term: Option<&Term>) -> Self {
        Self { backend: Arc::new(etcd.backend(term)) }
    }

    /// Whether there is an embedded store in `folder`.
    ///
    /// # Errors
    /// When the folder may not be looked into.
    pub fn is_in(folder: &Path) -> Result<bool, StoreError> {
        is_store(folder)
    }

    /// Opens the embedded store with settings of its own.
    ///
    /// # Errors
    /// When the folder is in use, damaged, or cannot be written.
    pub async fn open_local_with(folder: &Path, options: LocalOptions) -> Result<Self, StoreError> {
        Ok(Self { backend: Arc::new(Local::open(folder, options).await?) })
    }

    pub(crate) fn backend(&self) -> &dyn Backend {
        &*self.backend
    }

    /// The row, or `None`. Sees every commit that was acknowledged before the call.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn get(&self, space: Space, partition: &[u8], key: &[u8]) -> Result<Option<Row>, StoreError> {
        self.backend.get(None, space, partition, key).await
    }

    /// Up to `rows_max` rows of `space` in the range, in order of (partition, key), across
    /// partitions. Fewer than `rows_max` means that the range ended. One call sees one moment.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn scan(
        &self,
        space: Space,
        range: impl Into<ScanRange>,
        rows_max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.backend.scan(None, space, range.into(), rows_max).await
    }

    /// What was committed by now, for reads that are to see the same. Of a store that others write as well: what this
    /// handle has read or committed.
    #[must_use]
    pub fn moment(&self) -> Moment {
        self.backend.moment()
    }

    /// What was committed by now, for reads that take long, such as a backup. It may take a while to get it, when
    /// tables are just being compacted.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.backend.snapshot().await
    }

    /// As [`Self::read_extent`], of an extent as of a snapshot: also when it was released since.
    ///
    /// # Errors
    /// When the extent did not exist or is damaged.
    pub async fn read_extent_at(
        &self,
        snapshot: &Snapshot,
        extent: &ExtentRef,
        offset_bytes: u64,
        length_bytes: usize,
    ) -> Result<Bytes, StoreError> {
        self.backend.read_extent_at(snapshot, extent, offset_bytes, length_bytes).await
    }

    /// As [`Self::live_extents`], as of a snapshot.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn extents_at(
        &self,
        snapshot: &Snapshot,
        after: Option<&ExtentRef>,
        extents_max: usize,
    ) -> Result<Vec<ExtentRef>, StoreError> {
        self.backend.extents_at(snapshot, after, extents_max).await
    }

    /// Looks at up to `rows_max` rows of the range one by one, and goes on after rows that are damaged.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn check_rows(
        &self,
        snapshot: &Snapshot,
        range: CheckRange,
        rows_max: usize,
    ) -> Result<CheckedRows, StoreError> {
        self.backend.check_rows(snapshot, range, rows_max).await
    }

    /// Reads all files of rows whole, and says which differ from what was written.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn damaged_files(&self) -> Result<Vec<StoreError>, StoreError> {
        self.backend.damaged_files().await
    }

    /// As [`Self::damaged_files`], of a folder that may be none that can be opened.
    ///
    /// # Errors
    /// When it is not known which files there should be.
    pub fn damaged_files_in(folder: &Path) -> Result<Vec<StoreError>, StoreError> {
        damaged_tables(&folder.join("tables"))
    }

    /// As [`Self::get`], of a moment of this store.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn get_at(
        &self,
        moment: &Moment,
        space: Space,
        partition: &[u8],
        key: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        self.backend.get(Some(moment.clone()), space, partition, key).await
    }

    /// As [`Self::scan`], of a moment of this store.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn scan_at(
        &self,
        moment: &Moment,
        space: Space,
        range: impl Into<ScanRange>,
        rows_max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.backend.scan(Some(moment.clone()), space, range.into(), rows_max).await
    }

    /// Checks and writes, atomically; durable when it returns. The version is that of every
    /// row it wrote.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when a check did not hold.
    pub async fn commit(&self, commit: Commit) -> Result<Version, CommitError> {
        self.backend.commit(commit).await
    }

    /// Begins a new extent. `length_bytes` is the expected length, when known.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub async fn extent_writer(&self, length_bytes: Option<u64>) -> Result<ExtentWriter, StoreError> {
        Ok(ExtentWriter { inner: self.backend.extent_writer(length_bytes).await? })
    }

    /// Reads `length_bytes` bytes of the extent from `offset_bytes` on; fewer at its end. Checksums are
    /// verified. Callers read in pieces of at most a few MiB, so that memory stays bounded; pieces of
    /// [`READ_BYTES`](crate::READ_BYTES) are the quickest.
    ///
    /// # Errors
    /// When the extent does not exist or is damaged.
    pub async fn read_extent(
        &self,
        extent: &ExtentRef,
        offset_bytes: u64,
        length_bytes: usize,
    ) -> Result<Bytes, StoreError> {
        self.backend.read_extent(extent, offset_bytes, length_bytes).await
    }

    /// Gives the extent's space back. Call it after the commit that removed the last row that names it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn release_extent(&self, extent: &ExtentRef) -> Result<(), StoreError> {
        self.backend.release_extent(extent).await
    }

    /// Up to `extents_max` extents after `after`, in the order in which they were finished. An extent
    /// that no row names, because its writer crashed before the commit, is found by this and released.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn live_extents(
        &self,
        after: Option<&ExtentRef>,
        extents_max: usize,
    ) -> Result<Vec<ExtentRef>, StoreError> {
        self.backend.live_extents(after, extents_max).await
    }

    /// As [`Store::live_extents`], and only those that were there when the store was opened.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn old_extents(
        &self,
        after: Option<&ExtentRef>,
        extents_max: usize,
    ) -> Result<Vec<ExtentRef>, StoreError> {
        self.backend.old_extents(after, extents_max).await
    }

    /// What the store counts.
    #[must_use]
    pub fn stats(&self) -> StoreStats {
        self.backend.stats()
    }

    /// Makes everything durable and ends background work. Later writes fail. The folder may be
    /// opened again when the last clone is dropped.
    ///
    /// # Errors
    /// When the last flush fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.backend.close().await
    }
}
