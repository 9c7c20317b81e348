//! Append blobs: each appended block is a row, so that to append is one small commit, however long the blob is.

use std::collections::VecDeque;
use std::ops::Range;

use welkin_base::Timestamp;
use welkin_store::{Commit, ScanFrom};

use crate::Storage;
use crate::blob::condition::{Access, Conditions};
use crate::blob::content::NewContent;
use crate::blob::load::Loaded;
use crate::blob::read::Part;
use crate::blob::row::{Appended, RowKey};
use crate::blob::state::{BlobRecord, Content};
use crate::blob::write::{NewBlob, Replacement};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{COMMIT_TRIES_MAX, EngineError};
use crate::exchange::Exchange;
use crate::record;
use crate::space::BLOBS;

/// The most blocks of an append blob (STORAGE, section 3: Append Block).
pub const APPENDED_BLOCKS_MAX: u32 = 50_000;

/// Rows of one scan; a row has up to 16 KiB.
const SCAN_ROWS: usize = 256;

/// What must hold for a block to be appended, beside the usual conditions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AppendConditions {
    /// The blob has at most this many bytes afterwards.
    pub length_max_bytes: Option<u64>,
    /// The block begins here.
    pub position_bytes: Option<u64>,
}

impl AppendConditions {
    fn check(&self, blob: &BlobRecord, block_bytes: u64) -> Result<(), BlobError> {
        if self.position_bytes.is_some_and(|position| position != blob.length_bytes) {
            return Err(BlobError::AppendPositionDiffers);
        }
        let end = blob.length_bytes.saturating_add(block_bytes);
        match self.length_max_bytes.is_some_and(|max| end > max) {
            true => Err(BlobError::LengthMaxExceeded),
            false => Ok(()),
        }
    }
}

impl Storage {
    /// Put Blob: an append blob without blocks.
    ///
    /// # Errors
    /// When there is no such container, or a condition does not hold.
    pub async fn put_append_blob(
        &self,
        path: BlobPath<'_>,
        new: &NewBlob,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let make = |loaded: &Loaded| {
            Ok(Replacement::of(Content::Appended { list: loaded.new_list(), blocks: 0, sealed: false }, 0))
        };
        self.replace_blob(path, &[], new, now, make).await
    }

    /// Append Block: says where the block begins.
    ///
    /// # Errors
    /// When there is no such append blob, it is sealed or full, or a condition does not hold.
    pub async fn append_block(
        &self,
        path: BlobPath<'_>,
        content: NewContent,
        append: &AppendConditions,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<(BlobRecord, u64), BlobError> {
        let partition = self.blob_partition(path).await?;
        let block_bytes = content.piece().length_bytes();
        for _ in 0..COMMIT_TRIES_MAX {
            let mut head = self.blob_head(&partition, Revision::Current, now).await?;
            let blob = &mut head.record;
            conditions.check_blob(Some(blob), Access::Write, now)?;
            blob.check_key(conditions.customer_key.as_ref())?;
            blob.check_mutable(now)?;
            let offset_bytes = blob.length_bytes;
            let Content::Appended { list, blocks, sealed } = &mut blob.content else {
                return Err(BlobError::InvalidBlobType);
            };
            if *sealed {
                return Err(BlobError::Sealed);
            }
            if *blocks >= APPENDED_BLOCKS_MAX {
                return Err(BlobError::TooManyBlocks);
            }
            let row = RowKey::Appended { list: *list, index: *blocks }.to_bytes();
            *blocks += 1;
            append.check(blob, block_bytes)?;
            blob.length_bytes = offset_bytes.saturating_add(block_bytes);
            blob.properties.content_md5 = None;
            blob.touch(now);
            let block = Appended { offset_bytes, piece: content.piece().clone() };
            let commit = Commit::new(BLOBS, partition.clone()).check_version(Vec::new(), head.row);
            let commit = commit.put(row, record::encode(&block)?).put(Vec::new(), record::encode(blob)?);
            let new = content.unnamed().into_iter().collect();
            if self.exchange(Exchange { new, ..Exchange::of(commit) }).await? {
                self.confirm_container(path, &partition).await?;
                return Ok((head.record, offset_bytes));
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Append Blob Seal: nothing more is appended.
    ///
    /// # Errors
    /// When there is no such append blob, or a condition does not hold.
    pub async fn seal_blob(
        &self,
        path: BlobPath<'_>,
        append: &AppendConditions,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let change = |blob: &mut BlobRecord| {
            append.check(blob, 0)?;
            let Content::Appended { sealed, .. } = &mut blob.content else {
                return Err(BlobError::InvalidBlobType);
            };
            if !std::mem::replace(sealed, true) {
                blob.touch(now);
            }
            Ok(())
        };
        self.change_blob(path, Revision::Current, conditions, now, change).await
    }

    /// What the bytes of a range of an append blob are.
    pub(crate) async fn appended_parts(
        &self,
        partition: &[u8],
        list: u32,
        blocks: u32,
        range: &Range<u64>,
    ) -> Result<VecDeque<Part>, EngineError> {
        let mut parts = VecDeque::new();
        let mut next = self.appended_at(partition, list, blocks, range.start).await?;
        let mut offset = range.start;
        while offset < range.end && next < blocks {
            let key = RowKey::Appended { list, index: next }.to_bytes();
            let from = ScanFrom::Row(partition.to_vec().into(), key.into());
            let rows_max = SCAN_ROWS.min((blocks - next) as usize);
            let rows = self.store().scan(BLOBS, from, rows_max).await?;
            for row in &rows {
                let own = row.partition == partition
                    && RowKey::parse(&row.key) == Some(RowKey::Appended { list, index: next });
                if !own || offset >= range.end {
                    break;
                }
                let block: Appended = record::decode(&row.value)?;
                let end = (block.offset_bytes + block.piece.length_bytes()).min(range.end);
                if offset < end {
                    let within = offset - block.offset_bytes..end - block.offset_bytes;
                    parts.push_back(Part { piece: Some(block.piece), within });
                    offset = end;
                }
                next += 1;
            }
            if rows.len() < rows_max {
                break;
            }
        }
        match offset < range.end {
            // The blob was overwritten meanwhile: who asks sees that its head changed.
            true => Ok(VecDeque::new()),
            false => Ok(parts),
        }
    }

    /// The first of the blocks from which the bytes from this offset on can be read.
    async fn appended_at(
        &self,
        partition: &[u8],
        list: u32,
        blocks: u32,
        offset_bytes: u64,
    ) -> Result<u32, EngineError> {
        let (mut low, mut high) = (0, blocks);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let key = RowKey::Appended { list, index: middle }.to_bytes();
            let Some(row) = self.store().get(BLOBS, partition, &key).await? else { return Ok(0) };
            match record::decode::<Appended>(&row.value)?.offset_bytes <= offset_bytes {
                true => low = middle,
                false => high = middle,
            }
        }
        Ok(low)
    }
}
