//! Reading segments in order, and the bytes of a range of pages.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use welkin_store::ScanFrom;

use crate::Storage;
use crate::blob::page::segment::{Epochs, seen};
use crate::blob::page::{SEGMENT_BYTES, narrow};
use crate::blob::read::Part;
use crate::blob::row::RowKey;
use crate::blob::state::Content;
use crate::error::EngineError;
use crate::record;
use crate::space::BLOBS;

/// Rows of one scan; a row has up to some hundred KiB.
const SCAN_ROWS: usize = 64;

/// Reads the rows of segments, segment by segment.
#[derive(Debug)]
pub(crate) struct SegmentScan<'a> {
    storage: &'a Storage,
    partition: Bytes,
    end: u32,
    from: Option<ScanFrom>,
    held: Option<(u32, Epochs)>,
}

impl<'a> SegmentScan<'a> {
    pub(crate) fn new(storage: &'a Storage, partition: &[u8], segments: Range<u32>) -> Self {
        let partition = Bytes::copy_from_slice(partition);
        let key = RowKey::Segment { segment: segments.start, epoch: 0 }.to_bytes();
        let from = (!segments.is_empty()).then(|| ScanFrom::Row(partition.clone(), key.into()));
        Self { storage, partition, end: segments.end, from, held: None }
    }

    /// The rows of the next segments that have any, whole segments only; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<(u32, Epochs)>>, EngineError> {
        loop {
            let Some(from) = self.from.take() else {
                return Ok(self.held.take().map(|last| vec![last]));
            };
            let rows = self.storage.store().scan(BLOBS, from, SCAN_ROWS).await?;
            let mut whole = Vec::new();
            let mut ended = rows.len() < SCAN_ROWS;
            for row in &rows {
                let key = Some(row).filter(|row| row.partition == self.partition);
                let Some(RowKey::Segment { segment, epoch }) = key.and_then(|row| RowKey::parse(&row.key))
                else {
                    ended = true;
                    break;
                };
                if segment >= self.end {
                    ended = true;
                    break;
                }
                if self.held.as_ref().is_some_and(|(held, _)| *held != segment) {
                    whole.extend(self.held.take());
                }
                let (_, epochs) = self.held.get_or_insert_with(|| (segment, Epochs::new()));
                epochs.insert(epoch, record::decode(&row.value)?);
            }
            self.from = rows
                .last()
                .filter(|_| !ended)
                .map(|row| ScanFrom::AfterRow(self.partition.clone(), row.key.clone()));
            if !whole.is_empty() {
                return Ok(Some(whole));
            }
        }
    }
}

/// The segments that a range of bytes touches.
pub(crate) fn segments_of(range: &Range<u64>) -> Range<u32> {
    narrow(range.start / SEGMENT_BYTES)..narrow(range.end.div_ceil(SEGMENT_BYTES))
}

impl Storage {
    /// What the bytes of a range of pages are.
    pub(crate) async fn page_parts(
        &self,
        partition: &[u8],
        content: &Content,
        range: &Range<u64>,
    ) -> Result<VecDeque<Part>, EngineError> {
        let mut parts = VecDeque::new();
        let mut at = range.start;
        let mut scan = SegmentScan::new(self, partition, segments_of(range));
        while let Some(segments) = scan.next().await? {
            for (segment, rows) in &segments {
                let base = u64::from(*segment) * SEGMENT_BYTES;
                for run in seen(content, *segment, rows).iter().flat_map(|(_, row)| &row.0) {
                    let own = run.range();
                    let start = (base + u64::from(own.start)).max(at);
                    let end = (base + u64::from(own.end)).min(range.end);
                    if start >= end {
                        continue;
                    }
                    if at < start {
                        parts.push_back(Part { piece: None, within: 0..start - at });
                    }
                    let skipped = u64::from(run.skipped_bytes) + start - (base + u64::from(own.start));
                    let within = skipped..skipped + (end - start);
                    parts.push_back(Part { piece: Some(run.piece.clone()), within });
                    at = end;
                }
            }
        }
        if at < range.end {
            parts.push_back(Part { piece: None, within: 0..range.end - at });
        }
        Ok(parts)
    }
}
