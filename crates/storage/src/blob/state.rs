//! A blob's state: what its head row holds, for the blob itself and for each snapshot and version of it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;

use crate::blob::BlobError;
use crate::blob::condition::ETag;
use crate::blob::container::Metadata;
use crate::blob::content::Piece;
use crate::blob::lease::Lease;
use crate::record::Record;

/// Properties that a client gives a blob. An absent one is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Properties {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Content-MD5` of the whole blob.
    pub content_md5: Option<[u8; 16]>,
}

/// Index tags: keys and values, in the order of keys.
pub type Tags = Vec<(String, String)>;

/// A blob, a snapshot or a version, as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobRecord {
    /// When it was made.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
    /// Changes with each write.
    pub etag: ETag,
    /// Its length.
    pub length_bytes: u64,
    /// Its properties.
    pub properties: Properties,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its bytes.
    pub(crate) content: Content,
    /// Its version id, where it was written while the account kept versions.
    pub version: Option<Timestamp>,
    /// It is a version that is not the current one.
    pub superseded: bool,
    /// Its lease; snapshots and versions have none.
    pub lease: Option<Lease>,
    /// Its index tags.
    pub tags: Tags,
    /// Its access tier.
    pub tier: Tier,
    /// The last copy to it.
    pub copy: Option<CopyState>,
    /// Until when it may not be changed or deleted.
    pub immutability: Option<Immutability>,
    /// It may not be changed or deleted while this holds.
    pub legal_hold: bool,
    /// When it ceases to exist.
    pub expires: Option<Timestamp>,
    /// How its bytes are encrypted.
    pub encryption: Encryption,
    /// It was deleted, and is kept for a while.
    pub deleted: Option<SoftDeleted>,
}

/// The three types of blobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobType {
    /// Blocks, committed as a list.
    Block,
    /// Blocks, each appended.
    Append,
    /// Pages of 512 bytes, written in any order.
    Page,
}

impl BlobRecord {
    /// Its type.
    #[must_use]
    pub fn blob_type(&self) -> BlobType {
        self.content.blob_type()
    }

    /// Whether it is of the type that an operation is for.
    ///
    /// # Errors
    /// When it is of another.
    pub(crate) fn check_type(&self, wanted: BlobType) -> Result<(), BlobError> {
        match self.blob_type() == wanted {
            true => Ok(()),
            false => Err(BlobError::InvalidBlobType),
        }
    }

    /// The number of appended blocks, and whether it is sealed, of an append blob.
    #[must_use]
    pub fn appended(&self) -> Option<(u32, bool)> {
        match self.content {
            Content::Appended { blocks, sealed, .. } => Some((blocks, sealed)),
            _ => None,
        }
    }

    /// The sequence number of a page blob.
    #[must_use]
    pub fn sequence_number(&self) -> Option<u64> {
        match self.content {
            Content::Pages { sequence_number, .. } => Some(sequence_number),
            _ => None,
        }
    }
}

/// Where a blob's bytes are. A *list* is a number of rows of the blob's partition that hold blocks; lists are
/// numbered, and a snapshot shares the list of the blob that it was taken of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// A block blob that is one piece: what Put Blob makes.
    Whole(Piece),
    /// A block blob of this list, which has this many rows and never changes.
    Blocks { list: u32, chunks: u32 },
    /// An append blob: the first appended blocks of this list, one in each row. Appending adds rows, so that a
    /// snapshot shares those that were there before it.
    Appended { list: u32, blocks: u32, sealed: bool },
    /// A page blob: of each segment, the row of the highest epoch up to this one. A snapshot keeps its epoch, and
    /// the blob goes on in the next, so that a write after a snapshot copies only the segment that it changes.
    /// What lies before `base` belongs to a blob that was overwritten.
    Pages { epoch: u32, sequence_number: u64, base: u32, cuts: Vec<Cut> },
}

/// A page blob was cut: its segments from this one on are of this epoch at least, up to another segment. A cut takes no rows away, however
/// many there are; the cleaner does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cut {
    pub epoch: u32,
    pub segment: u32,
    pub end: u32,
}

impl Content {
    /// Its type.
    pub(crate) fn blob_type(&self) -> BlobType {
        match self {
            Self::Whole(_) | Self::Blocks { .. } => BlobType::Block,
            Self::Appended { .. } => BlobType::Append,
            Self::Pages { .. } => BlobType::Page,
        }
    }

    /// A page blob without pages.
    pub(crate) fn no_pages(epoch: u32, sequence_number: u64) -> Self {
        Self::Pages { epoch, sequence_number, base: epoch, cuts: Vec::new() }
    }

    /// How a blob goes on after a snapshot of this content: a page blob in a new epoch, and others as they are.
    pub(crate) fn after_snapshot(&self, new_epoch: u32) -> Self {
        let mut content = self.clone();
        if let Self::Pages { epoch, .. } = &mut content {
            *epoch = new_epoch;
        }
        content
    }

    /// The epochs of which a segment's rows are this content's; `None` has no segments.
    pub(crate) fn epochs_of(&self, segment: u32) -> Option<RangeInclusive<u32>> {
        let Self::Pages { epoch, base, cuts, .. } = self else { return None };
        let cuts = cuts.iter().filter(|cut| (cut.segment..cut.end).contains(&segment)).map(|cut| cut.epoch);
        Some(cuts.chain([*base]).max().unwrap_or(*base)..=*epoch)
    }
}

/// Access tiers that a client can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessTier {
    /// For what is read often.
    Hot,
    /// For what is read seldom.
    Cool,
    /// For what is read rarely.
    Cold,
    /// For what is not read before it is rehydrated.
    Archive,
    /// A premium tier of page blobs, `P4` to `P80`.
    Premium(u8),
}

/// A blob's access tier.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The tier; `None` is the account's default, `Hot`.
    pub access: Option<AccessTier>,
    /// When it was set.
    pub changed: Option<Timestamp>,
}

/// A copy to the blob, as its headers tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyState {
    /// Its id, a GUID.
    pub id: String,
    /// The URL of the source, without what is secret in it.
    pub source: String,
    /// How far it is.
    pub status: CopyStatus,
    /// Bytes copied.
    pub copied_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// Why it failed.
    pub description: Option<String>,
    /// The blob is made by incremental copies.
    pub incremental: Option<Incremental>,
}

/// An incremental copy: of a snapshot, what changed since the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Incremental {
    /// The snapshot that is copied.
    pub source: Timestamp,
    /// The snapshot that the copy made of the blob, when it had succeeded.
    pub snapshot: Option<Timestamp>,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CopyStatus {
    /// Under way.
    Pending,
    /// Done.
    Success,
    /// Ended by the client.
    Aborted,
    /// Ended by an error.
    Failed,
}

/// A policy that keeps a blob from being changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Immutability {
    /// Until when.
    pub until: Timestamp,
    /// Whether it cannot be shortened or removed.
    pub locked: bool,
}

/// How a blob's bytes are encrypted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Encryption {
    /// As the account's.
    #[default]
    Account,
    /// With a key that each request brings; its SHA-256.
    CustomerKey([u8; 32]),
    /// Under a scope of the account.
    Scope(String),
}

/// A deleted blob that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SoftDeleted {
    /// When it was deleted.
    pub at: Timestamp,
    /// From when on it is gone.
    pub until: Timestamp,
}

impl Record for BlobRecord {
    const NOUN: &'static str = "blob";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, fields: &[u8]) -> Option<Result<Self, postcard::Error>> {
        (version == 1).then(|| postcard::from_bytes::<BlobRecordV1>(fields).map(Into::into))
    }
}

impl BlobRecord {
    /// A blob with content and nothing else.
    pub(crate) fn new(created: Timestamp, etag: ETag, length_bytes: u64, content: Content) -> Self {
        Self {
            created,
            modified: created,
            etag,
            length_bytes,
            properties: Properties::default(),
            metadata: Metadata::new(),
            content,
            version: None,
            superseded: false,
            lease: None,
            tags: Tags::new(),
            tier: Tier::default(),
            copy: None,
            immutability: None,
            legal_hold: false,
            expires: None,
            encryption: Encryption::Account,
            deleted: None,
        }
    }
}

/// The first shape: block blobs alone, with one list of blocks, which is now list 0.
#[derive(Serialize, Deserialize)]
struct BlobRecordV1 {
    created: Timestamp,
    modified: Timestamp,
    etag: ETag,
    length_bytes: u64,
    properties: Properties,
    metadata: Metadata,
    content: ContentV1,
}

#[derive(Serialize, Deserialize)]
enum ContentV1 {
    Whole(Piece),
    Blocks { chunks: u32 },
}

impl From<BlobRecordV1> for BlobRecord {
    fn from(old: BlobRecordV1) -> Self {
        let content = match old.content {
            ContentV1::Whole(piece) => Content::Whole(piece),
            ContentV1::Blocks { chunks } => Content::Blocks { list: 0, chunks },
        };
        Self {
            modified: old.modified,
            properties: old.properties,
            metadata: old.metadata,
            ..Self::new(old.created, old.etag, old.length_bytes, content)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record;

    #[test]
    fn old_shapes_are_read() {
        let (created, modified) = (Timestamp::from_ticks(1), Timestamp::from_ticks(2));
        let properties = Properties { content_type: Some("text/plain".to_owned()), ..Properties::default() };
        let metadata = vec![("a".to_owned(), "b".to_owned())];
        let old = BlobRecordV1 {
            created,
            modified,
            etag: 3,
            length_bytes: 4,
            properties: properties.clone(),
            metadata: metadata.clone(),
            content: ContentV1::Blocks { chunks: 5 },
        };
        let row = postcard::to_extend(&old, vec![1]).unwrap();
        let content = Content::Blocks { list: 0, chunks: 5 };
        let expected =
            BlobRecord { modified, properties, metadata, ..BlobRecord::new(created, 3, 4, content) };
        assert_eq!(record::decode::<BlobRecord>(&row).unwrap(), expected);
    }
}
