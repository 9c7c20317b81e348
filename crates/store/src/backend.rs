//! The handle that everyone uses, over one of the backends.

use std::path::Path;

use bytes::Bytes;

use crate::commit::{Commit, CommitError};
use crate::error::StoreError;
use crate::extent::{ExtentRef, ExtentWriter};
use crate::row::{Row, ScanFrom, Space, Version};

/// A store. Cheap to clone; all clones are the same store.
#[derive(Debug, Clone)]
pub struct Store {}

/// Placeholder of the backend's writer.
#[derive(Debug)]
pub(crate) struct WriterInner;

impl WriterInner {
    pub(crate) async fn write(&mut self, _: Bytes) -> Result<(), StoreError> {
        Err(StoreError::Full)
    }
    pub(crate) async fn finish(self) -> Result<ExtentRef, StoreError> {
        Err(StoreError::Full)
    }
}

impl Store {
    /// Opens the embedded store in `folder`, which is made when missing.
    ///
    /// # Errors
    /// When the folder is in use, damaged, or cannot be written.
    pub async fn open_local(folder: &Path) -> Result<Self, StoreError> {
        Err(StoreError::InUse { path: folder.to_owned() })
    }

    /// The row, or `None`. Sees every commit that was acknowledged before the call.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn get(
        &self,
        _space: Space,
        _partition: &[u8],
        _key: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        Err(StoreError::Full)
    }

    /// Up to `rows_max` rows of `space` from `from` on, in order of (partition, key), across
    /// partitions. Fewer than `rows_max` means that the space ended. One call sees one moment.
    ///
    /// # Errors
    /// When the disk fails or what is on it is damaged.
    pub async fn scan(
        &self,
        _space: Space,
        _from: ScanFrom,
        _rows_max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        Err(StoreError::Full)
    }

    /// Checks and writes, atomically; durable when it returns. The version is that of every
    /// row it wrote.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when a check did not hold.
    pub async fn commit(&self, _commit: Commit) -> Result<Version, CommitError> {
        Err(CommitError::Store(StoreError::Full))
    }

    /// Begins a new extent. `length_bytes` is the expected length, when known.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub async fn extent_writer(&self, _length_bytes: Option<u64>) -> Result<ExtentWriter, StoreError> {
        Err(StoreError::Full)
    }

    /// Reads `length_bytes` bytes of the extent from `offset_bytes` on; fewer at its end. Checksums are
    /// verified. Callers read in pieces of at most a few MiB, so that memory stays bounded.
    ///
    /// # Errors
    /// When the extent does not exist or is damaged.
    pub async fn read_extent(
        &self,
        _extent: &ExtentRef,
        _offset_bytes: u64,
        _length_bytes: usize,
    ) -> Result<Bytes, StoreError> {
        Err(StoreError::Full)
    }

    /// Gives the extent's space back. Call it after the commit that removed the last row that names it.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn release_extent(&self, _extent: &ExtentRef) -> Result<(), StoreError> {
        Err(StoreError::Full)
    }

    /// Makes everything durable and ends background work. Later calls fail.
    ///
    /// # Errors
    /// When the last flush fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
