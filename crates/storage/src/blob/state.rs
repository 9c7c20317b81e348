//! A blob as it lies in the store, and reading all its rows.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_store::{Commit, ExtentRef, Row, ScanFrom, Version};

use crate::Storage;
use crate::blob::BlobError;
use crate::blob::condition::ETag;
use crate::blob::container::Metadata;
use crate::blob::content::Piece;
use crate::error::EngineError;
use crate::record::{self, Record};
use crate::space::BLOBS;

/// Blocks in one row of the committed block list: a row of about 100 KiB.
pub(crate) const CHUNK_BLOCKS: usize = 1000;
/// Rows of the first scan of a blob: its head, and whether there is more.
const FIRST_ROWS: usize = 3;
/// Rows of each further scan.
const MORE_ROWS: usize = 1000;

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

/// A blob as it lies in the store.
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
}

impl Record for BlobRecord {
    const NOUN: &'static str = "blob";
    const VERSION: u8 = 1;
}

/// Where a blob's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// One piece: what Put Blob makes.
    Whole(Piece),
    /// Blocks, in this many rows.
    Blocks { chunks: u32 },
}

/// A committed block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its id, decoded.
    pub id: Vec<u8>,
    /// Its bytes.
    pub(crate) piece: Piece,
}

impl Block {
    /// Its length.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.piece.length_bytes()
    }
}

/// A row of the committed block list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk(pub Vec<Block>);

impl Record for Chunk {
    const NOUN: &'static str = "block list";
    const VERSION: u8 = 1;
}

/// An uncommitted block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StagedBlock {
    pub staged: Timestamp,
    pub piece: Piece,
}

impl Record for StagedBlock {
    const NOUN: &'static str = "uncommitted block";
    const VERSION: u8 = 1;
}

/// The key of a row of the committed block list.
pub(crate) fn chunk_key(index: u32) -> Vec<u8> {
    [&b"l"[..], &index.to_be_bytes()].concat()
}

/// The key of an uncommitted block.
pub(crate) fn staged_key(id: &[u8]) -> Vec<u8> {
    [b"u", id].concat()
}

/// An uncommitted block as read.
#[derive(Debug)]
pub(crate) struct Staged {
    pub id: Vec<u8>,
    pub block: StagedBlock,
    pub version: Version,
}

/// All rows of a blob, as read. What is committed is of one moment if the head's version still holds.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub head: Option<(BlobRecord, Version)>,
    pub blocks: Vec<Block>,
    pub staged: Vec<Staged>,
}

impl Loaded {
    fn take(&mut self, row: &Row) -> Result<(), EngineError> {
        match row.key.split_first() {
            None => self.head = Some((record::decode(&row.value)?, row.version)),
            Some((b'l', _)) => self.blocks.append(&mut record::decode::<Chunk>(&row.value)?.0),
            Some((_, id)) => {
                let block = record::decode(&row.value)?;
                self.staged.push(Staged { id: id.to_vec(), block, version: row.version });
            }
        }
        Ok(())
    }

    /// What conditions are checked against.
    pub(crate) fn state(&self) -> Option<(ETag, Timestamp)> {
        self.head.as_ref().map(|(head, _)| (head.etag, head.modified))
    }

    pub(crate) fn head_version(&self) -> Option<Version> {
        self.head.as_ref().map(|(_, version)| *version)
    }

    pub(crate) fn chunk_count(&self) -> u32 {
        match &self.head {
            Some((BlobRecord { content: Content::Blocks { chunks }, .. }, _)) => *chunks,
            _ => 0,
        }
    }

    /// Extents that the committed blob names; each once, however often it names them.
    pub(crate) fn committed_extents(&self) -> BTreeSet<ExtentRef> {
        let whole = match &self.head {
            Some((BlobRecord { content: Content::Whole(piece), .. }, _)) => piece.extent(),
            _ => None,
        };
        let blocks = self.blocks.iter().filter_map(|block| block.piece.extent());
        blocks.chain(whole).cloned().collect()
    }

    /// Extents that uncommitted blocks name.
    pub(crate) fn staged_extents(&self) -> impl Iterator<Item = ExtentRef> {
        self.staged.iter().filter_map(|staged| staged.block.piece.extent().cloned())
    }

    /// A commit that holds only if the head is as read, and removes all other rows that were read.
    pub(crate) fn commit_without_rest(&self, partition: &[u8], chunks_kept: u32) -> Commit {
        let commit = Commit::new(BLOBS, partition.to_vec());
        let mut commit = commit.check_unchanged(&b""[..], self.head_version());
        for index in chunks_kept..self.chunk_count() {
            commit = commit.delete(chunk_key(index));
        }
        for staged in &self.staged {
            let key = Bytes::from(staged_key(&staged.id));
            commit = commit.check_version(key.clone(), staged.version).delete(key);
        }
        commit
    }
}

impl Storage {
    /// All rows of a blob.
    pub(crate) async fn load_blob(&self, partition: &[u8]) -> Result<Loaded, EngineError> {
        let partition = Bytes::copy_from_slice(partition);
        let mut loaded = Loaded::default();
        let mut from = ScanFrom::Row(partition.clone(), Bytes::new());
        let mut rows_max = FIRST_ROWS;
        loop {
            let rows = self.store().scan(BLOBS, from, rows_max).await?;
            for row in rows.iter().take_while(|row| row.partition == partition) {
                loaded.take(row)?;
            }
            match rows.last() {
                Some(last) if rows.len() == rows_max && last.partition == partition => {
                    from = ScanFrom::AfterRow(partition.clone(), last.key.clone());
                    rows_max = MORE_ROWS;
                }
                _ => return Ok(loaded),
            }
        }
    }

    /// A blob's head.
    pub(crate) async fn blob_head(&self, partition: &[u8]) -> Result<(BlobRecord, Version), BlobError> {
        let row = self.store().get(BLOBS, partition, b"").await?.ok_or(BlobError::BlobNotFound)?;
        Ok((record::decode(&row.value)?, row.version))
    }

    /// A blob's head and committed blocks, of one moment.
    pub(crate) async fn blob_blocks(&self, partition: &[u8]) -> Result<(BlobRecord, Vec<Block>), BlobError> {
        let (head, _) = self.blob_head(partition).await?;
        let Content::Blocks { chunks } = head.content else {
            return Ok((head, Vec::new()));
        };
        let mut rows_max = 1 + chunks as usize;
        loop {
            let from = ScanFrom::Row(Bytes::copy_from_slice(partition), Bytes::new());
            let rows = self.store().scan(BLOBS, from, rows_max).await?;
            let mut loaded = Loaded::default();
            for row in rows.iter().take_while(|row| row.partition == partition && !row.key.starts_with(b"u"))
            {
                loaded.take(row)?;
            }
            let needed = 1 + loaded.chunk_count() as usize;
            let (head, _) = loaded.head.ok_or(BlobError::BlobNotFound)?;
            if needed <= rows_max {
                return Ok((head, loaded.blocks));
            }
            // It was replaced by a longer list in between.
            rows_max = needed;
        }
    }
}
