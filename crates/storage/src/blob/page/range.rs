//! Which pages are written, and which changed since a snapshot.

use std::ops::Range;

use welkin_base::Timestamp;

use crate::Storage;
use crate::blob::condition::{Access, Conditions};
use crate::blob::page::SEGMENT_BYTES;
use crate::blob::page::scan::{SegmentScan, segments_of};
use crate::blob::page::segment::{Epochs, seen};
use crate::blob::read::ByteRange;
use crate::blob::row::Segment;
use crate::blob::state::{BlobRecord, Content};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{COMMIT_TRIES_MAX, EngineError};

/// What is asked of page ranges.
#[derive(Debug, Clone, Copy)]
pub struct AskRanges {
    /// Only of these bytes.
    pub range: Option<ByteRange>,
    /// Where to go on, from the last answer.
    pub from: u64,
    /// At most so many ranges.
    pub ranges_max: usize,
    /// Only what changed since this snapshot.
    pub previous: Option<Timestamp>,
}

/// Consecutive pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRange {
    /// Which bytes.
    pub bytes: Range<u64>,
    /// They were cleared since the snapshot; else, they are written.
    pub cleared: bool,
}

/// Page ranges, in order.
#[derive(Debug, Clone)]
pub struct PageRanges {
    /// The blob.
    pub blob: BlobRecord,
    /// The ranges.
    pub ranges: Vec<PageRange>,
    /// Where the next answer begins; `None` at the end.
    pub next: Option<u64>,
}

impl Storage {
    /// Get Page Ranges, or their difference to a snapshot.
    ///
    /// # Errors
    /// When there is no such page blob or snapshot, or a condition does not hold.
    pub async fn page_ranges(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        ask: &AskRanges,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<PageRanges, BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let head = self.blob_head(&partition, revision, now).await?;
            conditions.check_blob(Some(&head.record), Access::Read, now)?;
            let blob = head.record;
            let Content::Pages { .. } = blob.content else { return Err(BlobError::InvalidBlobType) };
            let previous = match ask.previous {
                Some(at) => Some(self.previous(&partition, at, &blob, now).await?),
                None => None,
            };
            let mut range = match ask.range {
                Some(range) => range.within(blob.length_bytes)?,
                None => 0..blob.length_bytes,
            };
            range.start = range.start.max(ask.from).min(range.end);
            let mut found = Found { range, ranges: Vec::new(), ranges_max: ask.ranges_max, next: None };
            let mut scan = SegmentScan::new(self, &partition, segments_of(&found.range));
            'scan: while let Some(segments) = scan.next().await? {
                for (segment, rows) in &segments {
                    if !found.take(*segment, rows, &blob.content, previous.as_ref()) {
                        break 'scan;
                    }
                }
            }
            // The rows are the head's if it is still there after they were read.
            if self.blob_head(&partition, revision, now).await?.row == head.row {
                return Ok(PageRanges { blob, ranges: found.ranges, next: found.next });
            }
        }
        Err(EngineError::Busy.into())
    }

    /// The content of an earlier snapshot of the same pages.
    async fn previous(
        &self,
        partition: &[u8],
        at: Timestamp,
        blob: &BlobRecord,
        now: Timestamp,
    ) -> Result<Content, BlobError> {
        let head =
            self.blob_head(partition, Revision::Snapshot(at), now).await.map_err(|error| match error {
                BlobError::BlobNotFound => BlobError::PreviousSnapshotNotFound,
                error => error,
            })?;
        match (&blob.content, &head.record.content) {
            (Content::Pages { base, .. }, Content::Pages { base: old, .. }) if base != old => {
                Err(BlobError::Overwritten)
            }
            (Content::Pages { epoch, .. }, Content::Pages { epoch: old, .. }) if old > epoch => {
                Err(BlobError::PreviousSnapshotNewer)
            }
            (_, Content::Pages { .. }) => Ok(head.record.content),
            _ => Err(BlobError::Overwritten),
        }
    }
}

/// Ranges as they are found.
struct Found {
    range: Range<u64>,
    ranges: Vec<PageRange>,
    ranges_max: usize,
    next: Option<u64>,
}

impl Found {
    /// Takes a segment; false when no more fits.
    fn take(&mut self, segment: u32, rows: &Epochs, content: &Content, previous: Option<&Content>) -> bool {
        let base = u64::from(segment) * SEGMENT_BYTES;
        let row = seen(content, segment, rows).map(|(_, row)| row);
        let ranges = match previous {
            None => row.iter().flat_map(|row| &row.0).map(|run| (run.range(), false)).collect(),
            Some(previous) => changed(row, seen(previous, segment, rows).map(|(_, row)| row), previous),
        };
        ranges.into_iter().all(|(range, cleared)| {
            let start = (base + u64::from(range.start)).max(self.range.start);
            let end = (base + u64::from(range.end)).min(self.range.end);
            start >= end || self.push(start..end, cleared)
        })
    }

    fn push(&mut self, bytes: Range<u64>, cleared: bool) -> bool {
        let full = self.ranges.len() == self.ranges_max;
        match self.ranges.last_mut() {
            Some(last) if last.cleared == cleared && last.bytes.end == bytes.start => {
                last.bytes.end = bytes.end;
            }
            _ if full => {
                self.next = Some(bytes.start);
                return false;
            }
            _ => self.ranges.push(PageRange { bytes, cleared }),
        }
        true
    }
}

/// What was written, and what was cleared (`true`), since the snapshot, in order.
fn changed(now: Option<&Segment>, then: Option<&Segment>, previous: &Content) -> Vec<(Range<u32>, bool)> {
    let Content::Pages { epoch, .. } = *previous else { return Vec::new() };
    let runs = || now.iter().flat_map(|row| &row.0);
    let mut ranges: Vec<_> = runs().filter(|run| run.epoch > epoch).map(|run| (run.range(), false)).collect();
    let gone = runs().fold(then.cloned().unwrap_or_default(), |row, run| row.without(&run.range()));
    ranges.extend(gone.0.iter().map(|run| (run.range(), true)));
    ranges.sort_by_key(|(range, _)| range.start);
    ranges
}
