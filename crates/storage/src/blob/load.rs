//! Reading a blob: one head, the blocks of a list, or all rows.

use std::collections::BTreeMap;

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_store::{Row, ScanFrom, Version};

use crate::Storage;
use crate::blob::row::{Block, Chunk, Leftovers, RowKey, StagedBlock};
use crate::blob::state::{BlobRecord, Content};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::EngineError;
use crate::record;
use crate::space::BLOBS;

/// Rows of the first scan of a blob: its head, and whether there is more.
const FIRST_ROWS: usize = 3;
/// Rows of each further scan.
const MORE_ROWS: usize = 1000;

/// A head as read.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub revision: Revision,
    pub record: BlobRecord,
    pub row: Version,
}

/// An uncommitted block as read.
#[derive(Debug)]
pub(crate) struct Staged {
    pub id: Vec<u8>,
    pub block: StagedBlock,
    pub row: Version,
}

/// The rows of a blob, as read, without appended blocks and segments, which may be many. They are of one moment if
/// the heads' versions still hold.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    /// The blob first, if there is one; then its snapshots, then its versions, the oldest first.
    pub heads: Vec<Head>,
    /// Rows of lists, by list and index.
    pub lists: BTreeMap<(u32, u32), Vec<Block>>,
    /// Uncommitted blocks, in the order of their ids.
    pub staged: Vec<Staged>,
    /// What the cleaner has left to do.
    pub leftovers: Option<(Leftovers, Version)>,
}

impl Loaded {
    fn take(&mut self, row: &Row) -> Result<(), EngineError> {
        match RowKey::parse(&row.key) {
            Some(RowKey::Head(revision)) => {
                let record = record::decode(&row.value)?;
                self.heads.push(Head { revision, record, row: row.version });
            }
            Some(RowKey::List { list, index }) => {
                self.lists.insert((list, index), record::decode::<Chunk>(&row.value)?.blocks);
            }
            Some(RowKey::Leftovers) => self.leftovers = Some((record::decode(&row.value)?, row.version)),
            Some(RowKey::Appended { .. } | RowKey::Segment { .. }) => {}
            Some(RowKey::Staged(id)) => {
                let block = record::decode(&row.value)?;
                self.staged.push(Staged { id: id.to_vec(), block, row: row.version });
            }
            None => {
                return Err(EngineError::Damaged { noun: "blob", why: "a row has no known key".to_owned() });
            }
        }
        Ok(())
    }

    /// The current state, even when it is deleted and kept.
    pub(crate) fn current(&self) -> Option<&BlobRecord> {
        self.heads.first().filter(|head| head.revision == Revision::Current).map(|head| &head.record)
    }

    /// The blob that a client sees at this moment.
    pub(crate) fn visible(&self, now: Timestamp) -> Option<&BlobRecord> {
        self.current().filter(|record| record.is_visible(now))
    }

    /// The blocks of a block blob that has a list, in order.
    pub(crate) fn blocks(&self, record: &BlobRecord) -> impl Iterator<Item = &Block> {
        let (list, rows) = list_of(&record.content).unwrap_or((0, 0));
        self.lists.range((list, 0)..(list, rows)).flat_map(|(_, blocks)| blocks)
    }

    /// A list that no row has.
    pub(crate) fn new_list(&self) -> u32 {
        let named = self.heads.iter().filter_map(|head| match head.record.content {
            Content::Blocks { list, .. } | Content::Appended { list, .. } => Some(list),
            Content::Whole(_) | Content::Pages { .. } => None,
        });
        let next = named.chain(self.lists.keys().map(|(list, _)| *list)).max().map_or(0, |last| last + 1);
        next.max(self.leftovers.map_or(0, |(left, _)| left.next_list))
    }

    /// An epoch after all that rows have.
    pub(crate) fn new_epoch(&self) -> u32 {
        let named = self.heads.iter().filter_map(|head| match head.record.content {
            Content::Pages { epoch, .. } => Some(epoch),
            _ => None,
        });
        let next = named.max().map_or(0, |last| last + 1);
        next.max(self.leftovers.map_or(0, |(left, _)| left.next_epoch))
    }
}

/// A key after all appended blocks, or all segments, for a key of one of them: loading leaps over them.
fn after_many(key: &[u8]) -> Option<Bytes> {
    match key.first() {
        Some(b'a') => Some(Bytes::from_static(b"b")),
        Some(b'p') => Some(Bytes::from_static(b"q")),
        _ => None,
    }
}

/// The list of a block blob that has one, and the number of its rows.
pub(crate) fn list_of(content: &Content) -> Option<(u32, u32)> {
    match content {
        Content::Blocks { list, chunks } => Some((*list, *chunks)),
        Content::Whole(_) | Content::Appended { .. } | Content::Pages { .. } => None,
    }
}

impl BlobRecord {
    /// Whether it ceased to exist. A protected blob does not, as long as it is protected.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now) && !self.is_protected(now)
    }

    /// Whether a client sees it at this moment: not deleted, and not expired.
    #[must_use]
    pub fn is_visible(&self, now: Timestamp) -> bool {
        self.deleted.is_none() && !self.has_expired(now)
    }
}

impl Storage {
    /// The partition that all rows of a blob are in, whether or not there is such a blob.
    pub(crate) async fn blob_partition(&self, path: BlobPath<'_>) -> Result<Vec<u8>, BlobError> {
        let container = self.container(path.account.uid, path.container).await?;
        Ok(container.uid.key(path.name.as_bytes()))
    }

    /// The rows of a blob, as of one moment.
    pub(crate) async fn load_blob(&self, partition: &[u8]) -> Result<Loaded, EngineError> {
        let partition = Bytes::copy_from_slice(partition);
        let mut loaded = Loaded::default();
        let mut from = ScanFrom::Row(partition.clone(), Bytes::new());
        let mut rows_max = FIRST_ROWS;
        let moment = self.store().moment();
        loop {
            let range = from.until(ScanFrom::AfterPartition(partition.clone()));
            let rows = self.store().scan_at(&moment, BLOBS, range, rows_max).await?;
            let mut leap = None;
            for row in &rows {
                leap = after_many(&row.key);
                if leap.is_some() {
                    break;
                }
                loaded.take(row)?;
            }
            (from, rows_max) = match (leap, rows.last()) {
                (Some(key), _) => (ScanFrom::Row(partition.clone(), key), FIRST_ROWS),
                (None, Some(last)) if rows.len() == rows_max => {
                    (ScanFrom::AfterRow(partition.clone(), last.key.clone()), MORE_ROWS)
                }
                _ => return Ok(loaded),
            };
        }
    }

    /// One head that clients see: the blob, a snapshot or a version.
    ///
    /// The current state is also found by its version id.
    pub(crate) async fn blob_head(
        &self,
        partition: &[u8],
        revision: Revision,
        now: Timestamp,
    ) -> Result<Head, BlobError> {
        let key = RowKey::Head(revision).to_bytes();
        let Some(row) = self.store().get(BLOBS, partition, &key).await? else {
            if let Revision::Version(_) = revision
                && let Some(row) = self.store().get(BLOBS, partition, b"").await?
                && let record = record::decode::<BlobRecord>(&row.value)?
                && record.version.map(Revision::Version) == Some(revision)
                && record.is_visible(now)
            {
                return Ok(Head { revision: Revision::Current, record, row: row.version });
            }
            return Err(BlobError::BlobNotFound);
        };
        let record: BlobRecord = record::decode(&row.value)?;
        match record.is_visible(now) {
            true => Ok(Head { revision, record, row: row.version }),
            false => Err(BlobError::BlobNotFound),
        }
    }

    /// The blocks of a list, or of as much of it as is there.
    pub(crate) async fn list_blocks(
        &self,
        partition: &[u8],
        list: u32,
        rows_max: u32,
    ) -> Result<Vec<Block>, EngineError> {
        let partition = Bytes::copy_from_slice(partition);
        let mut key = RowKey::List { list, index: 0 }.to_bytes();
        let mut from = ScanFrom::Row(partition.clone(), key.clone().into());
        let mut blocks = Vec::new();
        let mut found = 0;
        while found < rows_max {
            // Between the rows of one list may lie a row of another, whose key begins alike.
            let wanted = (rows_max - found) as usize + 1;
            let range = from.until(ScanFrom::AfterPartition(partition.clone()));
            let rows = self.store().scan(BLOBS, range, wanted.min(MORE_ROWS)).await?;
            for row in &rows {
                match RowKey::parse(&row.key) {
                    Some(RowKey::List { list: of, index }) if of == list && index < rows_max => {
                        blocks.append(&mut record::decode::<Chunk>(&row.value)?.blocks);
                        found += 1;
                    }
                    Some(RowKey::List { .. }) => {}
                    _ => return Ok(blocks),
                }
            }
            match rows.last() {
                Some(last) => key = last.key.to_vec(),
                None => return Ok(blocks),
            }
            from = ScanFrom::AfterRow(partition.clone(), key.clone().into());
        }
        Ok(blocks)
    }
}
