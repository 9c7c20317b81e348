//! Changing pages: the rows of the segments that a write touches, and the head.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;

use welkin_store::{Commit, ExtentRef};

use crate::Storage;
use crate::blob::Revision;
use crate::blob::content::NewContent;
use crate::blob::encryption::CustomerKey;
use crate::blob::hash::Wanted;
use crate::blob::leftover::{extents_of, sees};
use crate::blob::load::Head;
use crate::blob::page::scan::{SegmentScan, segments_of};
use crate::blob::page::segment::{Epochs, is_inline, seen};
use crate::blob::page::{SEGMENT_BYTES, narrow};
use crate::blob::read::{BlobReader, Part};
use crate::blob::row::{Leftovers, RowKey, Run, Segment};
use crate::blob::state::{BlobRecord, Content, Cut};
use crate::error::EngineError;
use crate::exchange::Exchange;
use crate::record;
use crate::space::BLOBS;

/// A row of a segment holds this much of small writes; then they go to an extent together.
const INLINE_BYTES_MAX: u64 = 32 * 1024;
/// A segment of more runs is written anew, if that makes them half as many at least.
const RUNS_MAX: usize = 512;
/// Clearing more rows than this is left to the cleaner.
const CLEARED_ROWS_MAX: usize = 256;
/// A head has at most this many cuts; each hides more rows than [`CLEARED_ROWS_MAX`].
const CUTS_MAX: usize = 1000;

/// A change of pages: first all of a range becomes zeros, then these runs lie in it.
#[derive(Debug)]
pub(crate) struct Edit<'a> {
    pub cleared: Range<u64>,
    pub runs: &'a [(u32, Run)],
    pub key: Option<&'a CustomerKey>,
}

/// A commit under way.
#[derive(Debug)]
struct Rows {
    commit: Commit,
    freed: BTreeSet<ExtentRef>,
    compacted: Vec<NewContent>,
}

impl Storage {
    /// Commits the change and the new head; `None` when the blob changed since its head was read.
    pub(crate) async fn edit_pages(
        &self,
        partition: &[u8],
        head: &Head,
        mut record: BlobRecord,
        edit: Edit<'_>,
        contents: &[NewContent],
    ) -> Result<Option<BlobRecord>, EngineError> {
        let mut commit = Commit::new(BLOBS, partition.to_vec());
        let groups = match self.groups(partition, segments_of(&edit.cleared)).await? {
            Some(groups) => groups,
            None => {
                let numbers;
                (commit, numbers) = self.cut(partition, commit, head, &mut record, &edit.cleared).await?;
                commit = commit.put(RowKey::Leftovers.to_bytes(), record::encode(&numbers)?);
                self.edges(partition, &edit.cleared).await?
            }
        };
        let others = self.other_contents(partition, &record.content, &groups).await?;
        let mut rows = Rows { commit, freed: BTreeSet::new(), compacted: Vec::new() };
        for segment in segments_touched(&groups, &edit) {
            let group = groups.get(&segment).cloned().unwrap_or_default();
            self.edit_segment(&mut rows, segment, &group, &record.content, &others, &edit).await?;
        }
        let commit = rows.commit.check_version(Vec::new(), head.row);
        let commit = commit.put(Vec::new(), record::encode(&record)?);
        let new = contents.iter().chain(&rows.compacted).filter_map(NewContent::unnamed).collect();
        let freed = rows.freed.into_iter().collect();
        let is_done = self.exchange(Exchange { new, freed, ..Exchange::of(commit) }).await?;
        Ok(is_done.then_some(record))
    }

    /// The rows of segments; `None` when they are many.
    async fn groups(
        &self,
        partition: &[u8],
        segments: Range<u32>,
    ) -> Result<Option<BTreeMap<u32, Epochs>>, EngineError> {
        let few = segments.len() <= 2;
        let mut scan = SegmentScan::new(self, partition, segments);
        let mut groups = BTreeMap::new();
        let mut rows = 0;
        while let Some(batch) = scan.next().await? {
            rows += batch.iter().map(|(_, epochs)| epochs.len()).sum::<usize>();
            groups.extend(batch);
            if !few && rows > CLEARED_ROWS_MAX {
                return Ok(None);
            }
        }
        Ok(Some(groups))
    }

    /// The rows of the first and last segment of a range, of which only parts may be in it.
    async fn edges(
        &self,
        partition: &[u8],
        range: &Range<u64>,
    ) -> Result<BTreeMap<u32, Epochs>, EngineError> {
        let all = segments_of(range);
        let mut groups = BTreeMap::new();
        for segment in [all.start, all.end - 1] {
            groups.extend(self.groups(partition, segment..segment + 1).await?.unwrap_or_default());
        }
        Ok(groups)
    }

    /// Hides the whole segments of a range, whatever rows they have, and leaves the rows to the cleaner.
    async fn cut(
        &self,
        partition: &[u8],
        commit: Commit,
        head: &Head,
        record: &mut BlobRecord,
        range: &Range<u64>,
    ) -> Result<(Commit, Leftovers), EngineError> {
        let loaded = self.load_blob(partition).await?;
        let new_epoch = loaded.new_epoch();
        let segments = narrow(range.start.div_ceil(SEGMENT_BYTES))
            ..match range.end >= head.record.length_bytes {
                true => u32::MAX,
                false => narrow(range.end / SEGMENT_BYTES),
            };
        if let Content::Pages { epoch, cuts, .. } = &mut record.content {
            *epoch = new_epoch;
            cuts.retain(|cut| cut.segment < segments.start || cut.end > segments.end);
            cuts.push(Cut { epoch: new_epoch, segment: segments.start, end: segments.end });
            if cuts.len() > CUTS_MAX {
                return Err(EngineError::Busy);
            }
        }
        self.note_leftovers(partition).await?;
        Ok((commit, Leftovers { next_list: loaded.new_list(), next_epoch: new_epoch + 1 }))
    }

    /// What snapshots and versions have, where a segment is copied from an earlier epoch: only then may a row
    /// become one that none needs.
    async fn other_contents(
        &self,
        partition: &[u8],
        content: &Content,
        groups: &BTreeMap<u32, Epochs>,
    ) -> Result<Vec<Content>, EngineError> {
        let Content::Pages { epoch, .. } = content else { return Ok(Vec::new()) };
        let copies = |(segment, rows): (&u32, &Epochs)| {
            seen(content, *segment, rows).is_some_and(|(from, _)| from != *epoch)
        };
        if !groups.iter().any(copies) {
            return Ok(Vec::new());
        }
        let heads = self.load_blob(partition).await?.heads.into_iter();
        let others = heads.filter(|head| head.revision != Revision::Current);
        Ok(others.map(|head| head.record.content).collect())
    }

    async fn edit_segment(
        &self,
        rows: &mut Rows,
        segment: u32,
        group: &Epochs,
        content: &Content,
        others: &[Content],
        edit: &Edit<'_>,
    ) -> Result<(), EngineError> {
        let Content::Pages { epoch, .. } = *content else { return Ok(()) };
        let old = seen(content, segment, group);
        let mut new = old.map(|(_, row)| row.clone()).unwrap_or_default();
        new = new.without(&within(&edit.cleared, segment));
        for (_, run) in edit.runs.iter().filter(|(of, _)| *of == segment) {
            new = new.with(Run { epoch, ..run.clone() });
        }
        let (new, compacted) = self.compact(new, edit.key).await?;
        rows.compacted.extend(compacted);
        let mut after = group.clone();
        let key = |epoch| RowKey::Segment { segment, epoch }.to_bytes();
        let mut commit = std::mem::replace(&mut rows.commit, Commit::new(BLOBS, Vec::new()));
        if let Some((from, _)) = old.filter(|(from, _)| *from != epoch)
            && !others.iter().any(|other| sees(other, segment, from, Some(epoch)))
        {
            after.remove(&from);
            commit = commit.delete(key(from));
        }
        let older = content
            .epochs_of(segment)
            .is_some_and(|epochs| after.range(epochs).any(|(older, _)| *older != epoch));
        if new.0.is_empty() && !older {
            after.remove(&epoch);
            commit = commit.delete(key(epoch));
        } else {
            commit = commit.put(key(epoch), record::encode(&new)?);
            after.insert(epoch, new);
        }
        rows.commit = commit;
        let kept: BTreeSet<&ExtentRef> = after.values().flat_map(extents_of).collect();
        let gone = group.values().flat_map(extents_of).filter(|extent| !kept.contains(extent));
        rows.freed.extend(gone.cloned());
        Ok(())
    }

    /// Moves small writes out of the row when they are much, and writes a segment anew that has many runs.
    async fn compact(
        &self,
        mut segment: Segment,
        key: Option<&CustomerKey>,
    ) -> Result<(Segment, Option<NewContent>), EngineError> {
        let all = segment.0.len() > RUNS_MAX && segment.0.len() > 2 * segment.stretches();
        if !all && segment.inline_bytes() <= INLINE_BYTES_MAX {
            return Ok((segment, None));
        }
        let chosen = |run: &&mut Run| all || is_inline(run);
        let mut parts = VecDeque::new();
        let mut length_bytes = 0;
        for run in segment.0.iter_mut().filter(|run| chosen(run)) {
            let start = u64::from(run.skipped_bytes);
            let within = start..start + u64::from(run.length_bytes);
            parts.push_back(Part { piece: Some(run.piece.clone()), within });
            length_bytes += u64::from(run.length_bytes);
        }
        let mut reader = BlobReader::over(self, parts, key.cloned());
        let writer = self.block_writer(Some(length_bytes)).hashing(Wanted::default());
        let mut writer = writer.sealed_with(key)?;
        while let Some(bytes) = reader.next().await? {
            writer.write(bytes).await?;
        }
        let content = writer.finish().await?;
        let mut skipped_bytes = 0;
        for run in segment.0.iter_mut().filter(|run| all || is_inline(run)) {
            run.piece = content.piece().clone();
            run.skipped_bytes = skipped_bytes;
            skipped_bytes += run.length_bytes;
        }
        let mut runs: Vec<Run> = Vec::new();
        for run in segment.0 {
            match runs.last_mut() {
                Some(last) if last.goes_on(&run) => last.length_bytes += run.length_bytes,
                _ => runs.push(run),
            }
        }
        Ok((Segment(runs), Some(content)))
    }
}

/// The segments whose rows change: those that have some, and those that get runs.
fn segments_touched(groups: &BTreeMap<u32, Epochs>, edit: &Edit<'_>) -> BTreeSet<u32> {
    groups.keys().copied().chain(edit.runs.iter().map(|(segment, _)| *segment)).collect()
}

/// What a range has of a segment.
fn within(range: &Range<u64>, segment: u32) -> Range<u32> {
    let base = u64::from(segment) * SEGMENT_BYTES;
    let local = |offset: u64| narrow(offset.saturating_sub(base).min(SEGMENT_BYTES));
    local(range.start)..local(range.end)
}
