//! Rows that no head needs any more and that may be many: appended blocks, and segments of page blobs.
//!
//! A commit that leaves such rows could not hold them all, so that it takes none of them away. The blob is noted
//! for the cleaner before, and a row of the blob keeps the numbers that its leftovers may have from being used
//! again. The cleaner comes twice: at once, and when everything that began before the note has ended.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_store::{Commit, ExtentRef, Row, ScanFrom};

use crate::Storage;
use crate::blob::Revision;
use crate::blob::load::Loaded;
use crate::blob::row::{Appended, RowKey, Segment};
use crate::blob::state::Content;
use crate::cleaner::Garbage;
use crate::error::{EngineError, try_commit};
use crate::exchange::Exchange;
use crate::record;
use crate::space::{BLOBS, GARBAGE};

/// Keys of appended blocks are the first that may be left.
const FIRST_KEY: &[u8] = b"a";
/// Keys of segments are the last that may be left.
const LAST_KIND: u8 = b'p';

/// How far the cleaner came with a blob.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Swept {
    /// Up to this key.
    UpTo(Vec<u8>),
    /// Through all rows.
    All,
    /// The blob changed meanwhile, and nothing was done.
    Disturbed,
}

impl Storage {
    /// Notes a blob for the cleaner: the next commit leaves rows of it. The cleaner puts the time in.
    pub(crate) async fn note_leftovers(&self, partition: &[u8]) -> Result<(), EngineError> {
        let note = record::encode(&Garbage::blob(Vec::new(), None))?;
        try_commit(self.store(), Commit::new(GARBAGE, partition.to_vec()).put(&b""[..], note)).await?;
        Ok(())
    }

    /// One step of the cleaner for a noted blob; `after` is the key it came to, and `swept` when it was through
    /// for the first time. True when there is more to do right away.
    pub(crate) async fn clean_blob(
        &self,
        note: &Row,
        after: &[u8],
        swept: Option<Timestamp>,
        now: Timestamp,
        rows_max: usize,
    ) -> Result<bool, EngineError> {
        if swept.is_some_and(|swept| now.since(swept) <= crate::cleaner::GRACE) {
            return Ok(false);
        }
        let commit = Commit::new(GARBAGE, note.partition.clone()).check_version(&b""[..], note.version);
        let commit = match self.sweep(&note.partition, after, rows_max).await? {
            Swept::Disturbed => return Ok(true),
            Swept::UpTo(key) => commit.put(&b""[..], record::encode(&Garbage::blob(key, swept))?),
            Swept::All if swept.is_none() => {
                commit.put(&b""[..], record::encode(&Garbage::blob(Vec::new(), Some(now)))?)
            }
            Swept::All => {
                if !self.forget_leftovers(&note.partition).await? {
                    return Ok(true);
                }
                commit.delete(&b""[..])
            }
        };
        try_commit(self.store(), commit).await?;
        Ok(swept.is_none())
    }

    /// Removes those of the next rows after a key that no head needs.
    pub(crate) async fn sweep(
        &self,
        partition: &[u8],
        after: &[u8],
        rows_max: usize,
    ) -> Result<Swept, EngineError> {
        let loaded = self.load_blob(partition).await?;
        let owned = Bytes::copy_from_slice(partition);
        let from = match after {
            [] => ScanFrom::Row(owned, FIRST_KEY.into()),
            after => ScanFrom::AfterRow(owned, after.to_vec().into()),
        };
        let mut rows = self.store().scan(BLOBS, from, rows_max).await?;
        let whole_batch = rows.len() == rows_max;
        rows.retain(|row| {
            row.partition == partition && row.key.first().is_some_and(|kind| *kind <= LAST_KIND)
        });
        let all = !whole_batch || rows.len() < rows_max;
        let Some(batch) = Batch::of(&rows, all)? else {
            // The rows of one segment fill the batch.
            return Box::pin(self.sweep(partition, after, rows_max * 2)).await;
        };
        let (keys, freed) = batch.unneeded(&loaded);
        if !keys.is_empty() {
            let commit = Commit::new(BLOBS, partition.to_vec());
            let commit = keys.into_iter().fold(check_heads(commit, &loaded)?, Commit::delete);
            if !self.exchange(Exchange { freed, ..Exchange::of(commit) }).await? {
                return Ok(Swept::Disturbed);
            }
        }
        Ok(if all { Swept::All } else { Swept::UpTo(batch.last) })
    }

    /// All leftovers are gone: their numbers may be used again. False when the blob changed meanwhile.
    pub(crate) async fn forget_leftovers(&self, partition: &[u8]) -> Result<bool, EngineError> {
        let loaded = self.load_blob(partition).await?;
        let Some((_, version)) = loaded.leftovers else { return Ok(true) };
        let key = RowKey::Leftovers.to_bytes();
        let commit = Commit::new(BLOBS, partition.to_vec()).check_version(key.clone(), version);
        let commit = check_heads(commit, &loaded)?.delete(key);
        Ok(try_commit(self.store(), commit).await?.is_some())
    }
}

/// The commit happens only if the heads are still as read; and of two at once, one does not.
pub(crate) fn check_heads(mut commit: Commit, loaded: &Loaded) -> Result<Commit, EngineError> {
    for head in &loaded.heads {
        let key = RowKey::Head(head.revision).to_bytes();
        commit = commit.check_version(key.clone(), head.row);
        if head.revision == Revision::Current {
            commit = commit.put(key, record::encode(&head.record)?);
        }
    }
    Ok(match loaded.current() {
        Some(_) => commit,
        None => commit.check_absent(Vec::new()),
    })
}

/// Rows that may be needed no more.
#[derive(Debug, Default)]
struct Batch {
    appended: BTreeMap<(u32, u32), Appended>,
    /// By segment and epoch; all epochs of each.
    segments: BTreeMap<(u32, u32), Segment>,
    last: Vec<u8>,
}

impl Batch {
    /// `None` when no segment is known to be whole, since more rows follow.
    fn of(rows: &[Row], all: bool) -> Result<Option<Self>, EngineError> {
        let mut batch = Self::default();
        let segment_of = |row: &Row| match RowKey::parse(&row.key) {
            Some(RowKey::Segment { segment, .. }) => Some(segment),
            _ => None,
        };
        let cut = rows.last().and_then(segment_of).filter(|_| !all);
        for row in rows {
            match RowKey::parse(&row.key) {
                Some(RowKey::Appended { list, index }) => {
                    batch.appended.insert((list, index), record::decode(&row.value)?);
                }
                Some(RowKey::Segment { segment, .. }) if Some(segment) == cut => break,
                Some(RowKey::Segment { segment, epoch }) => {
                    batch.segments.insert((segment, epoch), record::decode(&row.value)?);
                }
                _ => {}
            }
            batch.last = row.key.to_vec();
        }
        Ok((all || !batch.last.is_empty()).then_some(batch))
    }

    /// Keys of rows that no head needs, and extents that no other row names.
    fn unneeded(&self, loaded: &Loaded) -> (Vec<Vec<u8>>, Vec<ExtentRef>) {
        let contents: Vec<&Content> = loaded.heads.iter().map(|head| &head.record.content).collect();
        let (mut keys, mut freed) = (Vec::new(), BTreeSet::new());
        for ((list, index), block) in &self.appended {
            let needs = |content: &&Content| matches!(content, Content::Appended { list: of, blocks, .. } if of == list && index < blocks);
            if !contents.iter().any(needs) {
                keys.push(RowKey::Appended { list: *list, index: *index }.to_bytes());
                freed.extend(block.piece.extent().cloned());
            }
        }
        let mut kept = BTreeSet::new();
        for ((segment, epoch), row) in &self.segments {
            let later = (*segment, epoch.saturating_add(1))..=(*segment, u32::MAX);
            let following = self.segments.range(later).next().map(|((_, epoch), _)| *epoch);
            if contents.iter().any(|content| sees(content, *segment, *epoch, following)) {
                kept.extend(extents_of(row).cloned());
            } else {
                keys.push(RowKey::Segment { segment: *segment, epoch: *epoch }.to_bytes());
                freed.extend(extents_of(row).cloned());
            }
        }
        (keys, freed.difference(&kept).cloned().collect())
    }
}

/// Whether a content has the segment's row of an epoch, where the next row is of epoch `following`.
pub(crate) fn sees(content: &Content, segment: u32, epoch: u32, following: Option<u32>) -> bool {
    content.epochs_of(segment).is_some_and(|epochs| {
        epochs.contains(&epoch) && following.is_none_or(|following| following > *epochs.end())
    })
}

/// The extents that a segment names.
pub(crate) fn extents_of(segment: &Segment) -> impl Iterator<Item = &ExtentRef> {
    segment.0.iter().filter_map(|run| run.piece.extent())
}
