//! Page blobs: pages of 512 bytes, written and cleared in any order.
//!
//! Pages lie in segments of 4 MiB, each a row of runs. A write reads and writes the rows of the segments that it
//! touches, and the head. See [`crate::blob::state`] for what epochs are.

pub(crate) mod edit;
pub mod range;
mod scan;
mod segment;

use std::ops::Range;

use bytes::Bytes;
use welkin_base::Timestamp;

use crate::Storage;
use crate::blob::condition::{Access, Conditions};
use crate::blob::content::NewContent;
use crate::blob::encryption::CustomerKey;
use crate::blob::hash::Wanted;
use crate::blob::load::{Head, Loaded};
use crate::blob::row::Run;
use crate::blob::state::{BlobRecord, Content, Properties};
use crate::blob::write::{NewBlob, Replacement};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{COMMIT_TRIES_MAX, EngineError};

use edit::Edit;

/// Bytes of a page (STORAGE, section 3: Put Page).
pub const PAGE_BYTES: u64 = 512;
/// The longest page blob (STORAGE, section 3: Put Blob).
pub const PAGE_BLOB_BYTES_MAX: u64 = 8 << 40;
/// The most bytes of one update (STORAGE, section 3: Put Page).
pub const UPDATE_BYTES_MAX: u64 = 4 << 20;
/// The highest sequence number.
pub const SEQUENCE_NUMBER_MAX: u64 = i64::MAX as u64;
/// Bytes of a segment.
pub(crate) const SEGMENT_BYTES: u64 = 4 << 20;

/// What to do with pages.
#[derive(Debug, Clone)]
pub enum PageWrite {
    /// They become these bytes.
    Update(Bytes),
    /// They become zeros, and take no space.
    Clear,
}

/// What must hold of the sequence number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SequenceConditions {
    /// It is at most this.
    pub at_most: Option<u64>,
    /// It is less than this.
    pub less_than: Option<u64>,
    /// It is this.
    pub equal: Option<u64>,
}

impl SequenceConditions {
    fn check(&self, number: u64) -> Result<(), BlobError> {
        let holds = self.at_most.is_none_or(|most| number <= most)
            && self.less_than.is_none_or(|bound| number < bound)
            && self.equal.is_none_or(|equal| number == equal);
        holds.then_some(()).ok_or(BlobError::SequenceNumberDiffers)
    }
}

/// How a sequence number changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceAction {
    /// To this, if that is more.
    Max(u64),
    /// To this.
    Update(u64),
    /// By one.
    Increment,
}

/// What Set Blob Properties changes of a page blob.
#[derive(Debug, Clone, Default)]
pub struct PageProperties {
    /// All properties.
    pub properties: Option<Properties>,
    /// The length.
    pub length_bytes: Option<u64>,
    /// The sequence number.
    pub sequence: Option<SequenceAction>,
}

impl Storage {
    /// Put Blob: a page blob of zeros.
    ///
    /// # Errors
    /// When there is no such container, or a condition does not hold.
    pub async fn put_page_blob(
        &self,
        path: BlobPath<'_>,
        length_bytes: u64,
        sequence_number: u64,
        new: &NewBlob,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let make = |loaded: &Loaded| {
            Ok(Replacement::of(Content::no_pages(loaded.new_epoch(), sequence_number), length_bytes))
        };
        self.replace_blob(path, &[], new, now, make).await
    }

    /// Put Page: updates or clears whole pages.
    ///
    /// # Errors
    /// When there is no such page blob, the range is not one of its pages, or a condition does not hold.
    pub async fn put_pages(
        &self,
        path: BlobPath<'_>,
        range: Range<u64>,
        write: &PageWrite,
        sequence: &SequenceConditions,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let whole = range.start.is_multiple_of(PAGE_BYTES) && range.end.is_multiple_of(PAGE_BYTES);
        if !whole || range.is_empty() {
            return Err(BlobError::InvalidPageRange);
        }
        let partition = self.blob_partition(path).await?;
        let key = conditions.customer_key.as_ref();
        let first = self.page_head(&partition, conditions, now).await?;
        check_pages(&first.record, &range, sequence)?;
        let (contents, runs) = match write {
            PageWrite::Update(bytes) => self.page_runs(range.start, bytes, key).await?,
            PageWrite::Clear => (Vec::new(), Vec::new()),
        };
        for _ in 0..COMMIT_TRIES_MAX {
            let head = self.page_head(&partition, conditions, now).await?;
            check_pages(&head.record, &range, sequence)?;
            let mut record = head.record.clone();
            record.properties.content_md5 = None;
            record.touch(now);
            let edit = Edit { cleared: range.clone(), runs: &runs, key };
            if let Some(record) = self.edit_pages(&partition, &head, record, edit, &contents).await? {
                self.confirm_container(path, &partition).await?;
                return Ok(record);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Set Blob Properties of a page blob: its length and sequence number, too.
    ///
    /// # Errors
    /// When there is no such page blob, or a condition does not hold.
    pub async fn set_page_properties(
        &self,
        path: BlobPath<'_>,
        change: &PageProperties,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let head = self.blob_head(&partition, Revision::Current, now).await?;
            conditions.check_blob(Some(&head.record), Access::Write, now)?;
            head.record.check_mutable(now)?;
            let mut record = head.record.clone();
            let Content::Pages { sequence_number, .. } = &mut record.content else {
                return Err(BlobError::InvalidBlobType);
            };
            if let Some(action) = change.sequence {
                *sequence_number = action.of(*sequence_number)?;
            }
            if let Some(properties) = &change.properties {
                record.properties.clone_from(properties);
            }
            record.length_bytes = change.length_bytes.unwrap_or(record.length_bytes);
            record.touch(now);
            let cleared = record.length_bytes..head.record.length_bytes.max(record.length_bytes);
            let edit = Edit { cleared, runs: &[], key: conditions.customer_key.as_ref() };
            if let Some(record) = self.edit_pages(&partition, &head, record, edit, &[]).await? {
                self.confirm_container(path, &partition).await?;
                return Ok(record);
            }
        }
        Err(EngineError::Busy.into())
    }

    async fn page_head(
        &self,
        partition: &[u8],
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<Head, BlobError> {
        let head = self.blob_head(partition, Revision::Current, now).await?;
        conditions.check_blob(Some(&head.record), Access::Write, now)?;
        head.record.check_key(conditions.customer_key.as_ref())?;
        head.record.check_mutable(now)?;
        Ok(head)
    }

    /// Makes bytes durable, those of each segment by themselves.
    pub(crate) async fn page_runs(
        &self,
        start: u64,
        bytes: &Bytes,
        key: Option<&CustomerKey>,
    ) -> Result<(Vec<NewContent>, Vec<(u32, Run)>), EngineError> {
        let (mut contents, mut runs) = (Vec::new(), Vec::new());
        let end = start + bytes.len() as u64;
        let mut at = start;
        while at < end {
            let part_end = ((at / SEGMENT_BYTES + 1) * SEGMENT_BYTES).min(end);
            let part = bytes.slice(small(at - start)..small(part_end - start));
            let length_bytes = part_end - at;
            let writer = self.append_writer(Some(length_bytes)).hashing(Wanted::default());
            let mut writer = writer.sealed_with(key)?;
            writer.write(part).await?;
            let content = writer.finish().await?;
            let run = Run {
                start_bytes: narrow(at % SEGMENT_BYTES),
                length_bytes: narrow(length_bytes),
                piece: content.piece().clone(),
                skipped_bytes: 0,
                epoch: 0,
            };
            runs.push((narrow(at / SEGMENT_BYTES), run));
            contents.push(content);
            at = part_end;
        }
        Ok((contents, runs))
    }
}

impl SequenceAction {
    fn of(self, number: u64) -> Result<u64, BlobError> {
        match self {
            Self::Max(other) => Ok(number.max(other)),
            Self::Update(other) => Ok(other),
            Self::Increment if number < SEQUENCE_NUMBER_MAX => Ok(number + 1),
            Self::Increment => Err(BlobError::SequenceNumberTooLarge),
        }
    }
}

fn check_pages(
    record: &BlobRecord,
    range: &Range<u64>,
    sequence: &SequenceConditions,
) -> Result<(), BlobError> {
    let number = record.sequence_number().ok_or(BlobError::InvalidBlobType)?;
    sequence.check(number)?;
    match range.end > record.length_bytes {
        true => Err(BlobError::InvalidPageRange),
        false => Ok(()),
    }
}

/// A number within a segment, or of one.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn small(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
