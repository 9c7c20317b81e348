//! Containers, block blobs, their blocks and contents.
//!
//! * [`container`]: create, delete, list; metadata and access.
//! * [`content`]: bytes on their way in.
//! * [`write`](mod@write), [`read`], [`list`], [`block_list`]: what is done with blobs.
//! * [`condition`]: ETags and conditions, evaluated with the write.
//! * [`state`]: how a blob lies in the store.

pub mod block_list;
pub mod condition;
pub mod container;
pub mod content;
pub mod list;
pub mod read;
pub mod state;
pub mod write;

use crate::error::EngineError;

/// Why a container or blob cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No such container.
    #[error("the container does not exist")]
    ContainerNotFound,
    /// The container's name is taken.
    #[error("the container exists already")]
    ContainerAlreadyExists,
    /// No such blob.
    #[error("the blob does not exist")]
    BlobNotFound,
    /// The write asked that there be no blob.
    #[error("the blob exists already")]
    BlobAlreadyExists,
    /// Who writes may create blobs, but not overwrite them.
    #[error("the blob exists and may not be overwritten")]
    OverwriteNotAllowed,
    /// A condition does not hold.
    #[error("a condition does not hold")]
    ConditionNotMet,
    /// A reader has the current state already.
    #[error("the blob is not modified")]
    NotModified,
    /// The block list names a block that does not exist.
    #[error("the block list names a block that does not exist")]
    InvalidBlockList,
    /// The block ids of one blob have different lengths.
    #[error("the block ids of one blob must have one length")]
    BlockIdLengthDiffers,
    /// The blob ends before the range begins.
    #[error("the blob has only {length_bytes} bytes")]
    InvalidRange {
        /// Its length.
        length_bytes: u64,
    },
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<welkin_store::StoreError> for BlobError {
    fn from(error: welkin_store::StoreError) -> Self {
        Self::Engine(error.into())
    }
}

/// A page of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What was found, in order.
    pub items: Vec<T>,
    /// Where the next page begins; opaque. `None` at the end.
    pub next: Option<Vec<u8>>,
}
