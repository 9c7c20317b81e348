//! Blocks: put one, commit a list of them, list them.
//!
//! Uncommitted blocks are rows of their own, so that many can be put at once without a conflict. Committing a
//! list checks each uncommitted block that it read, so that one put in between is neither lost nor used unseen.

use std::collections::HashMap;

use welkin_base::Timestamp;
use welkin_store::{Commit, ScanFrom};

use crate::blob::BlobError;
use crate::blob::condition::{Access, Conditions};
use crate::blob::content::{NewContent, Piece};
use crate::blob::state::{
    BlobRecord, Block, CHUNK_BLOCKS, Chunk, Content, Loaded, StagedBlock, chunk_key, staged_key,
};
use crate::blob::write::NewBlob;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record;
use crate::space::BLOBS;
use crate::{Storage, Uid};

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
    /// When there is no such container, or other ids of the blob have another length.
    pub async fn put_block(
        &self,
        (account, container, name): (Uid, &str, &str),
        id: &[u8],
        mut content: NewContent,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        let partition = self.container(account, container).await?.uid.key(name.as_bytes());
        let key = staged_key(id);
        self.check_id_length(&partition, id).await?;
        let block = StagedBlock { staged: now, piece: content.piece().clone() };
        for _ in 0..COMMIT_TRIES_MAX {
            let last = self.store().get(BLOBS, &partition, &key).await?;
            let commit = Commit::new(BLOBS, partition.clone());
            let commit = commit.check_unchanged(key.clone(), last.as_ref().map(|row| row.version));
            content.claim();
            if try_commit(self.store(), commit.put(key.clone(), record::encode(&block)?)).await?.is_some() {
                let replaced = last.map(|row| record::decode::<StagedBlock>(&row.value)).transpose()?;
                let extent = replaced.and_then(|block| block.piece.extent().cloned());
                self.releaser().free(extent.into_iter().collect());
                return Ok(());
            }
            content.unclaim();
        }
        Err(EngineError::Busy.into())
    }

    async fn check_id_length(&self, partition: &[u8], id: &[u8]) -> Result<(), BlobError> {
        let from = ScanFrom::Row(partition.to_vec().into(), b"u"[..].into());
        let rows = self.store().scan(BLOBS, from, 1).await?;
        match rows.first() {
            Some(row) if row.partition == partition && row.key.len() != 1 + id.len() => {
                Err(BlobError::BlockIdLengthDiffers)
            }
            _ => Ok(()),
        }
    }

    /// Put Block List: the blob consists of these blocks afterwards, and has no uncommitted ones.
    ///
    /// # Errors
    /// When a block does not exist, there is no such container, or a condition does not hold.
    pub async fn put_block_list(
        &self,
        (account, container, name): (Uid, &str, &str),
        list: &[(Source, Vec<u8>)],
        new: &NewBlob,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let partition = self.container(account, container).await?.uid.key(name.as_bytes());
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            new.check(&loaded)?;
            let blocks = choose(list, &loaded)?;
            let length_bytes = blocks.iter().map(Block::length_bytes).sum();
            let chunks: Vec<Chunk> = blocks.chunks(CHUNK_BLOCKS).map(|part| Chunk(part.to_vec())).collect();
            let count = u32::try_from(chunks.len()).map_err(|_| BlobError::InvalidBlockList)?;
            let head = new.head(&loaded, now, length_bytes, Content::Blocks { chunks: count });
            let mut commit = loaded.commit_without_rest(&partition, count);
            commit = commit.put(&b""[..], record::encode(&head)?);
            for (index, chunk) in (0..count).zip(&chunks) {
                commit = commit.put(chunk_key(index), record::encode(chunk)?);
            }
            if try_commit(self.store(), commit).await?.is_some() {
                self.free_unused(&loaded, &blocks);
                return Ok(head);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Get Block List.
    ///
    /// # Errors
    /// When there is no such container or blob, or a condition does not hold.
    pub async fn block_lists(
        &self,
        (account, container, name): (Uid, &str, &str),
        conditions: &Conditions,
    ) -> Result<BlockLists, BlobError> {
        let partition = self.container(account, container).await?.uid.key(name.as_bytes());
        let loaded = self.load_blob(&partition).await?;
        if loaded.head.is_none() && loaded.staged.is_empty() {
            return Err(BlobError::BlobNotFound);
        }
        conditions.check(loaded.state(), Access::Read)?;
        let staged = loaded.staged.into_iter();
        let uncommitted = staged.map(|staged| Block { id: staged.id, piece: staged.block.piece }).collect();
        Ok(BlockLists { blob: loaded.head.map(|(head, _)| head), committed: loaded.blocks, uncommitted })
    }

    /// Frees what the blob had before and the new list does not use.
    fn free_unused(&self, before: &Loaded, blocks: &[Block]) {
        let mut unused = before.committed_extents();
        unused.extend(before.staged_extents());
        for extent in blocks.iter().filter_map(|block| block.piece.extent()) {
            unused.remove(extent);
        }
        self.releaser().free(unused.into_iter().collect());
    }
}

/// The blocks that a list names, in its order.
fn choose(list: &[(Source, Vec<u8>)], loaded: &Loaded) -> Result<Vec<Block>, BlobError> {
    let committed: HashMap<&[u8], &Piece> =
        loaded.blocks.iter().map(|block| (block.id.as_slice(), &block.piece)).collect();
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
