//! Blocks: put one, commit a list of them, list them.
//!
//! Uncommitted blocks are rows of their own, so that many can be put at once without a conflict. Committing a
//! list checks each uncommitted block that it read, so that one put in between is neither lost nor used unseen.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use welkin_base::Timestamp;
use welkin_store::{Commit, ScanFrom};

use crate::Storage;
use crate::blob::condition::{Access, Conditions};
use crate::blob::content::{NewContent, Piece};
use crate::blob::lease::{self, LeaseId, LeaseOf};
use crate::blob::load::Loaded;
use crate::blob::row::{Block, CHUNK_BLOCKS, RowKey, StagedBlock};
use crate::blob::state::{BlobRecord, BlobType, Content, Encryption};
use crate::blob::write::{NewBlob, Replacement};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::due::Due;
use crate::error::{COMMIT_TRIES_MAX, EngineError};
use crate::exchange::Exchange;
use crate::record;
use crate::space::BLOBS;

/// Uncommitted blocks go when none was put for this long (STORAGE, section 3: Put Block).
pub(crate) const STAGED_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Which block of an id a block list means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The committed one.
    Committed,
    /// The uncommitted one.
    Uncommitted,
    /// The uncommitted one, or else the committed one.
    Latest,
}

/// The blocks of a blob.
#[derive(Debug, Clone)]
pub struct BlockLists {
    /// The blob, if it was committed ever.
    pub blob: Option<BlobRecord>,
    /// Committed blocks, in the blob's order.
    pub committed: Vec<Block>,
    /// Uncommitted blocks, in the order of their ids.
    pub uncommitted: Vec<Block>,
}

impl Storage {
    /// Put Block: stages a block, in place of one of the same id.
    ///
    /// # Errors
    /// When there is no such container, other ids of the blob have another length, there are too many blocks, or
    /// someone else holds its lease.
    pub async fn put_block(
        &self,
        path: BlobPath<'_>,
        id: &[u8],
        content: NewContent,
        lease: Option<LeaseId>,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let partition = self.blob_partition(path).await?;
        let key = RowKey::Staged(id).to_bytes();
        self.check_takes_blocks(&partition, lease, now).await?;
        let any = self.has_staged(&partition, id).await?;
        if !any {
            self.note_due(Due::Blob, &partition, now.plus(STAGED_MAX)).await?;
        }
        let block = StagedBlock { staged: now, piece: content.piece().clone() };
        let mut counted = false;
        for _ in 0..COMMIT_TRIES_MAX {
            let last = self.store().get(BLOBS, &partition, &key).await?;
            if last.is_none() && !counted {
                self.count_staged(&partition, any).await?;
                counted = true;
            }
            let commit = Commit::new(BLOBS, partition.clone());
            let commit = commit.check_unchanged(key.clone(), last.as_ref().map(|row| row.version));
            let commit = commit.put(key.clone(), record::encode(&block)?);
            let replaced = last.map(|row| record::decode::<StagedBlock>(&row.value)).transpose()?;
            let freed = replaced.and_then(|block| block.piece.extent().cloned()).into_iter().collect();
            let new = content.unnamed().into_iter().collect();
            if self.exchange(Exchange { new, freed, ..Exchange::of(commit) }).await? {
                return self.confirm_container(path, &partition).await;
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Append and page blobs have no blocks that are staged, and only who holds the lease stages any.
    async fn check_takes_blocks(
        &self,
        partition: &[u8],
        lease: Option<LeaseId>,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let blob = match self.blob_head(partition, Revision::Current, now).await {
            Ok(head) => Some(head.record),
            Err(BlobError::BlobNotFound) => None,
            Err(error) => return Err(error),
        };
        let held = blob.as_ref().and_then(|blob| blob.lease.as_ref());
        lease::check(held, lease, Access::Write, LeaseOf::Blob, now)?;
        let check = |blob: BlobRecord| blob.check_no_copy().and_then(|()| blob.check_type(BlobType::Block));
        blob.map_or(Ok(()), check)
    }

    /// Whether the blob has uncommitted blocks.
    async fn has_staged(&self, partition: &[u8], id: &[u8]) -> Result<bool, BlobError> {
        let from = ScanFrom::Row(partition.to_vec().into(), b"u"[..].into());
        let rows = self.store().scan(BLOBS, from, 1).await?;
        let Some(row) = rows.first().filter(|row| row.partition == partition) else { return Ok(false) };
        match RowKey::parse(&row.key) {
            Some(RowKey::Staged(other)) if other.len() != id.len() => Err(BlobError::BlockIdLengthDiffers),
            Some(RowKey::Staged(_)) => Ok(true),
            _ => Ok(false),
        }
    }

    /// Put Block List: the blob consists of these blocks afterwards, and has no uncommitted ones.
    ///
    /// # Errors
    /// When a block does not exist, there is no such container, or a condition does not hold.
    pub async fn put_block_list(
        &self,
        path: BlobPath<'_>,
        list: &[(Source, Vec<u8>)],
        new: &NewBlob,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let make = |loaded: &Loaded| {
            loaded.visible(now).map_or(Ok(()), |blob| blob.check_type(BlobType::Block))?;
            let blocks = choose(list, loaded, now)?;
            let key = match new.encryption {
                Encryption::CustomerKey(sha256) => Some(sha256),
                _ => None,
            };
            if blocks.iter().any(|block| block.piece.key_sha256() != key) {
                return Err(BlobError::CustomerKeyDiffers);
            }
            let length_bytes = blocks.iter().map(Block::length_bytes).sum();
            let rows = (0..).zip(blocks.chunks(CHUNK_BLOCKS));
            let list = loaded.new_list();
            let lists: BTreeMap<_, _> = rows.map(|(row, part)| ((list, row), part.to_vec())).collect();
            let chunks = u32::try_from(lists.len()).map_err(|_| BlobError::InvalidBlockList)?;
            Ok(Replacement { length_bytes, content: Content::Blocks { list, chunks }, lists })
        };
        self.replace_blob(path, &[], new, now, make).await
    }

    /// Get Block List.
    ///
    /// # Errors
    /// When there is no such container or blob, or a condition does not hold.
    pub async fn block_lists(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlockLists, BlobError> {
        let partition = self.blob_partition(path).await?;
        if revision != Revision::Current {
            let (blob, committed) = self.blob_blocks(&partition, revision, now).await?;
            conditions.check_blob(Some(&blob), Access::Read, now)?;
            blob.check_type(BlobType::Block)?;
            return Ok(BlockLists { blob: Some(blob), committed, uncommitted: Vec::new() });
        }
        let loaded = self.load_blob(&partition).await?;
        let blob = loaded.visible(now);
        if blob.is_none() && loaded.staged.is_empty() {
            return Err(BlobError::BlobNotFound);
        }
        conditions.check_blob(blob, Access::Read, now)?;
        blob.map_or(Ok(()), |blob| blob.check_type(BlobType::Block))?;
        let committed = blob.map(|blob| loaded.blocks(blob).cloned().collect()).unwrap_or_default();
        let blob = blob.cloned();
        let staged = loaded.staged.into_iter();
        let uncommitted = staged.map(|staged| Block { id: staged.id, piece: staged.block.piece }).collect();
        Ok(BlockLists { blob, committed, uncommitted })
    }
}

/// The blocks that a list names, in its order.
fn choose(list: &[(Source, Vec<u8>)], loaded: &Loaded, now: Timestamp) -> Result<Vec<Block>, BlobError> {
    let blocks = loaded.visible(now).into_iter().flat_map(|blob| loaded.blocks(blob));
    let committed: HashMap<&[u8], &Piece> = blocks.map(|block| (block.id.as_slice(), &block.piece)).collect();
    let staged: HashMap<&[u8], &Piece> =
        loaded.staged.iter().map(|staged| (staged.id.as_slice(), &staged.block.piece)).collect();
    let find = |source: Source, id: &[u8]| match source {
        Source::Committed => committed.get(id),
        Source::Uncommitted => staged.get(id),
        Source::Latest => staged.get(id).or_else(|| committed.get(id)),
    };
    let block = |(source, id): &(Source, Vec<u8>)| {
        let piece = find(*source, id).ok_or(BlobError::InvalidBlockList)?;
        Ok(Block { id: id.clone(), piece: (*piece).clone() })
    };
    list.iter().map(block).collect()
}
