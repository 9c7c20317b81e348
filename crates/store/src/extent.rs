//! Extents: immutable runs of bytes.

use bytes::Bytes;

use crate::error::StoreError;

/// Names an extent. Opaque: a row keeps its bytes and gives them back to the store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct ExtentRef {
    /// Where it is; the backend's own numbers.
    pub(crate) place: (u64, u64),
    /// Its length.
    pub(crate) length_bytes: u64,
}

impl ExtentRef {
    /// Length of the extent.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }
}

/// Takes the bytes of one new extent, in order. Dropped before [`ExtentWriter::finish`], it
/// leaves nothing that can be read, and its space is reused.
#[derive(Debug)]
pub struct ExtentWriter {
    pub(crate) inner: Box<dyn crate::backend::ExtentSink>,
}

impl ExtentWriter {
    /// Takes the next bytes. Returns when they are buffered or written, so a slow disk slows
    /// the sender: memory stays bounded.
    ///
    /// # Errors
    /// When the disk fails or is full.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.write(bytes).await
    }

    /// Makes the extent durable and names it.
    ///
    /// # Errors
    /// When the disk fails or is full; then there is no extent.
    pub async fn finish(self) -> Result<ExtentRef, StoreError> {
        self.inner.finish().await
    }
}
