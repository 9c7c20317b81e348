//! Containers and blobs: block, append and page blobs, their snapshots and versions.
//!
//! * [`container`]: create, delete, list; metadata and access.
//! * [`content`]: bytes on their way in. [`hash`]: their hashes. [`encryption`]: keys that clients bring.
//! * [`write`](mod@write), [`read`], [`list`], [`block_list`], [`snapshot`], [`delete`]: what is done with blobs.
//! * [`staged`]: how many uncommitted blocks a blob has. [`append`]: append blobs. [`page`]: page blobs, their ranges and differences.
//! * [`condition`]: ETags and conditions, evaluated with the write. [`lease`]: leases.
//! * [`tags`], [`tier`], [`immutability`]: attributes that do not change its content.
//! * [`copy`]: copies to a blob, pending until their bytes are there.
//! * [`state`]: what a blob is. `row`: how it lies in the store.
//! * `listed`: a range of a blob with a list of blocks. `load`: rows as read. `change`: the commit from rows as read to rows as they are to be. `retention`: what
//!   becomes of what is overwritten. `leftover`: rows that no head needs any more, for the cleaner.

pub mod append;
pub mod block_list;
mod change;
pub mod condition;
pub mod container;
pub mod content;
pub mod copy;
pub mod delete;
pub mod encryption;
pub mod hash;
pub mod immutability;
pub mod lease;
pub(crate) mod leftover;
pub mod list;
mod listed;
mod load;
pub mod page;
pub mod read;
mod retention;
pub(crate) mod row;
pub mod snapshot;
pub mod staged;
pub mod state;
pub mod tags;
pub mod tier;
pub mod write;

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;

use crate::Account;
use crate::error::EngineError;

pub use row::Block;

/// A blob's place.
#[derive(Debug, Clone, Copy)]
pub struct BlobPath<'a> {
    /// Its account.
    pub account: &'a Account,
    /// Its container's name.
    pub container: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// Which state of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Revision {
    /// What it is now.
    Current,
    /// The snapshot that was made at this moment.
    Snapshot(Timestamp),
    /// The version that was written at this moment.
    Version(Timestamp),
}

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
    /// The operation is not for this type of blob.
    #[error("the blob has another type")]
    InvalidBlobType,
    /// A blob of this type cannot have the access tier.
    #[error("a blob of this type cannot have the access tier")]
    InvalidBlobTier,
    /// A premium access tier only goes up.
    #[error("a premium access tier only goes up")]
    LowerTier,
    /// The blob is archived.
    #[error("the blob is archived")]
    Archived,
    /// The blob is sealed.
    #[error("the append blob is sealed")]
    Sealed,
    /// The append blob has as many blocks as it can.
    #[error("the append blob has as many blocks as it can")]
    TooManyBlocks,
    /// The append blob ends elsewhere than the client says.
    #[error("the append blob ends elsewhere")]
    AppendPositionDiffers,
    /// The append blob would be longer than the client permits.
    #[error("the append blob would be too long")]
    LengthMaxExceeded,
    /// The range is not one of whole pages within the blob.
    #[error("the range is not one of whole pages within the blob")]
    InvalidPageRange,
    /// The sequence number is not as the client says.
    #[error("the sequence number is not as the client says")]
    SequenceNumberDiffers,
    /// The sequence number cannot grow.
    #[error("the sequence number cannot grow")]
    SequenceNumberTooLarge,
    /// The snapshot to compare with does not exist.
    #[error("the snapshot to compare with does not exist")]
    PreviousSnapshotNotFound,
    /// The snapshot to compare with is the newer one.
    #[error("the snapshot to compare with is the newer one")]
    PreviousSnapshotNewer,
    /// The blob was overwritten after the snapshot.
    #[error("the blob was overwritten after the snapshot")]
    Overwritten,
    /// The blob is encrypted with a client's key, which the request does not bring.
    #[error("the blob is encrypted with a client's key")]
    CustomerKeyNeeded,
    /// The blob is encrypted with another key than the request brings.
    #[error("the blob is encrypted with another key")]
    CustomerKeyDiffers,
    /// The request brings a key, and the blob is not encrypted with one.
    #[error("the blob is not encrypted with a client's key")]
    NoCustomerKey,
    /// An immutability policy or a legal hold protects the blob.
    #[error("an immutability policy or a legal hold protects the blob")]
    Immutable,
    /// The blob has snapshots, which would stay, or would be of another type.
    #[error("the blob has snapshots")]
    SnapshotsPresent,
    /// The current version of a blob cannot be deleted as a version.
    #[error("the version is the current one")]
    NotOnCurrent,
    /// The account does not allow that what is kept is deleted for good.
    #[error("deleting for good is not allowed")]
    PermanentDeleteNotAllowed,
    /// A listing cannot go on from there.
    #[error("the marker was not made by this listing")]
    InvalidMarker,
    /// A copy to the blob cannot be made, or is in the way.
    #[error(transparent)]
    Copy(#[from] copy::CopyError),
    /// Something cannot be done with a lease, or without it.
    #[error(transparent)]
    Lease(#[from] lease::LeaseError),
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
