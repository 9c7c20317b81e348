//! From a blob's rows as they were read and as they are to be: the commit that makes it so, and the extents that
//! no row names afterwards. A pure decision.

use std::collections::{BTreeMap, BTreeSet};

use welkin_store::{Commit, ExtentRef};

use crate::blob::Revision;
use crate::blob::load::{Loaded, list_of};
use crate::blob::row::{Block, Chunk, RowKey, Segment};
use crate::blob::state::{BlobRecord, Content};
use crate::error::EngineError;
use crate::record;
use crate::space::BLOBS;

/// What a blob is to be: its heads, and rows that are new. Rows that no head needs any more go by themselves.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    heads: BTreeMap<Vec<u8>, BlobRecord>,
    /// New rows of lists, by list and index.
    pub lists: BTreeMap<(u32, u32), Vec<Block>>,
    /// New rows of segments, by segment and epoch.
    pub segments: BTreeMap<(u32, u32), Segment>,
    /// Whether uncommitted blocks stay.
    pub keeps_staged: bool,
}

impl Next {
    /// All as it was read.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let head =
            |head: &crate::blob::load::Head| (RowKey::Head(head.revision).to_bytes(), head.record.clone());
        Self {
            heads: loaded.heads.iter().map(head).collect(),
            lists: BTreeMap::new(),
            segments: BTreeMap::new(),
            keeps_staged: true,
        }
    }

    /// Nothing at all.
    pub(crate) fn nothing() -> Self {
        Self {
            heads: BTreeMap::new(),
            lists: BTreeMap::new(),
            segments: BTreeMap::new(),
            keeps_staged: false,
        }
    }

    /// The head of this revision.
    #[allow(dead_code, reason = "for retention")]
    pub(crate) fn head(&self, revision: Revision) -> Option<&BlobRecord> {
        self.heads.get(&RowKey::Head(revision).to_bytes())
    }

    /// Gives the blob a head in place of one of this revision.
    pub(crate) fn put(&mut self, revision: Revision, record: BlobRecord) {
        self.heads.insert(RowKey::Head(revision).to_bytes(), record);
    }

    /// Takes a head away.
    pub(crate) fn remove(&mut self, revision: Revision) -> Option<BlobRecord> {
        self.heads.remove(&RowKey::Head(revision).to_bytes())
    }

    fn needs_list_row(&self, list: u32, index: u32) -> bool {
        let lists = self.heads.values().filter_map(|record| list_of(&record.content));
        lists.into_iter().any(|(named, rows)| named == list && index < rows)
    }
}

/// A commit, and what is freed when it happens.
#[derive(Debug)]
pub(crate) struct Change {
    pub commit: Commit,
    pub freed: Vec<ExtentRef>,
}

/// The change from what was read to what is to be. It happens only if all heads are still as read; the current
/// head is written even when it stays the same, so that of two changes at once one is done anew.
pub(crate) fn change(partition: &[u8], loaded: &Loaded, next: &Next) -> Result<Change, EngineError> {
    let mut commit = Commit::new(BLOBS, partition.to_vec());
    let mut before = BTreeSet::new();
    let mut after = BTreeSet::new();
    commit = change_heads(commit, loaded, next)?;
    for head in &loaded.heads {
        before.extend(whole_extent(&head.record));
    }
    after.extend(next.heads.values().filter_map(whole_extent));
    for ((list, index), blocks) in &loaded.lists {
        let extents = blocks.iter().filter_map(|block| block.piece.extent());
        before.extend(extents.clone().cloned());
        if next.needs_list_row(*list, *index) {
            after.extend(extents.cloned());
        } else if !next.lists.contains_key(&(*list, *index)) {
            commit = commit.delete(RowKey::List { list: *list, index: *index }.to_bytes());
        }
    }
    for ((list, index), blocks) in &next.lists {
        after.extend(blocks.iter().filter_map(|block| block.piece.extent().cloned()));
        let row = record::encode(&Chunk(blocks.clone()))?;
        commit = commit.put(RowKey::List { list: *list, index: *index }.to_bytes(), row);
    }
    commit = change_segments(commit, loaded, next, &mut before, &mut after)?;
    for staged in &loaded.staged {
        before.extend(staged.block.piece.extent().cloned());
        if next.keeps_staged {
            after.extend(staged.block.piece.extent().cloned());
        } else {
            let key = RowKey::Staged(&staged.id).to_bytes();
            commit = commit.check_version(key.clone(), staged.row).delete(key);
        }
    }
    Ok(Change { commit, freed: before.difference(&after).cloned().collect() })
}

fn change_heads(mut commit: Commit, loaded: &Loaded, next: &Next) -> Result<Commit, EngineError> {
    let mut read = BTreeMap::new();
    for head in &loaded.heads {
        let key = RowKey::Head(head.revision).to_bytes();
        commit = commit.check_version(key.clone(), head.row);
        read.insert(key, &head.record);
    }
    if loaded.current().is_none() {
        commit = commit.check_absent(Vec::new());
    }
    for (key, record) in &next.heads {
        let last = read.remove(key);
        if last.is_none() && !key.is_empty() {
            commit = commit.check_absent(key.clone());
        }
        if key.is_empty() || last != Some(record) {
            commit = commit.put(key.clone(), record::encode(record)?);
        }
    }
    Ok(read.into_keys().fold(commit, Commit::delete))
}

/// Of each segment, a row stays if some head sees it: a head of an epoch sees the row of the highest epoch up to
/// its own.
fn change_segments(
    mut commit: Commit,
    loaded: &Loaded,
    next: &Next,
    before: &mut BTreeSet<ExtentRef>,
    after: &mut BTreeSet<ExtentRef>,
) -> Result<Commit, EngineError> {
    let epochs: BTreeSet<u32> = next.heads.values().filter_map(epoch_of).collect();
    let mut rows = loaded.segments.clone();
    for segment in loaded.segments.values() {
        before.extend(extents_of(segment).cloned());
    }
    rows.extend(next.segments.clone());
    for (key, segment) in &rows {
        let (number, epoch) = *key;
        let following =
            rows.range((number, epoch + 1)..=(number, u32::MAX)).next().map(|((_, epoch), _)| *epoch);
        let seen = epochs.range(epoch..following.unwrap_or(u32::MAX)).next().is_some();
        let row = RowKey::Segment { segment: number, epoch }.to_bytes();
        match (seen, next.segments.contains_key(key)) {
            (true, true) => commit = commit.put(row, record::encode(segment)?),
            (true, false) => {}
            (false, _) => {
                commit = commit.delete(row);
                continue;
            }
        }
        after.extend(extents_of(segment).cloned());
    }
    Ok(commit)
}

fn epoch_of(record: &BlobRecord) -> Option<u32> {
    match record.content {
        Content::Pages { epoch, .. } => Some(epoch),
        _ => None,
    }
}

fn extents_of(segment: &Segment) -> impl Iterator<Item = &ExtentRef> {
    segment.0.iter().filter_map(|run| run.piece.extent())
}

fn whole_extent(record: &BlobRecord) -> Option<ExtentRef> {
    match &record.content {
        Content::Whole(piece) => piece.extent().cloned(),
        _ => None,
    }
}
