//! From a blob's rows as they were read and as they are to be: the commit that makes it so, and the extents that
//! no row names afterwards. A pure decision.

use std::collections::{BTreeMap, BTreeSet};

use welkin_base::Timestamp;
use welkin_store::{Commit, ExtentRef};

use crate::blob::Revision;
use crate::blob::load::{Loaded, list_of};
use crate::blob::row::{Block, Chunk, Leftovers, RowKey};
use crate::blob::state::{BlobRecord, Content};
use crate::error::EngineError;
use crate::record;
use crate::space::BLOBS;

/// What a blob is to be: its heads, and rows that are new. Rows that no head needs any more go by themselves: at
/// once, or later by the cleaner, where they may be many.
#[derive(Debug, Clone)]
pub(crate) struct Next {
    heads: BTreeMap<Vec<u8>, BlobRecord>,
    /// New rows of lists, by list and index.
    pub lists: BTreeMap<(u32, u32), Vec<Block>>,
    /// Whether uncommitted blocks stay.
    pub keeps_staged: bool,
}

impl Next {
    /// All as it was read.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let head =
            |head: &crate::blob::load::Head| (RowKey::Head(head.revision).to_bytes(), head.record.clone());
        Self { heads: loaded.heads.iter().map(head).collect(), lists: BTreeMap::new(), keeps_staged: true }
    }

    /// Nothing at all.
    pub(crate) fn nothing() -> Self {
        Self { heads: BTreeMap::new(), lists: BTreeMap::new(), keeps_staged: false }
    }

    /// All heads: the current state first, then snapshots, then versions.
    pub(crate) fn heads(&self) -> impl Iterator<Item = (Revision, &BlobRecord)> {
        self.heads.iter().filter_map(|(key, record)| match RowKey::parse(key) {
            Some(RowKey::Head(revision)) => Some((revision, record)),
            _ => None,
        })
    }

    /// Moments at which something of it ceases to exist, that were not known before.
    pub(crate) fn new_deadlines(&self, loaded: &Loaded) -> BTreeSet<Timestamp> {
        let of = |record: &BlobRecord| [record.expires, record.deleted.map(|deleted| deleted.until)];
        let known: BTreeSet<Timestamp> =
            loaded.heads.iter().flat_map(|head| of(&head.record)).flatten().collect();
        self.heads.values().flat_map(of).flatten().filter(|at| !known.contains(at)).collect()
    }

    /// The head of this revision.
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

    /// Numbers that no row has, before or after.
    fn numbers(&self, loaded: &Loaded) -> Leftovers {
        let mut numbers = Leftovers { next_list: loaded.new_list(), next_epoch: loaded.new_epoch() };
        for record in self.heads.values() {
            match record.content {
                Content::Blocks { list, .. } | Content::Appended { list, .. } => {
                    numbers.next_list = numbers.next_list.max(list + 1);
                }
                Content::Pages { epoch, .. } => numbers.next_epoch = numbers.next_epoch.max(epoch + 1),
                Content::Whole(_) => {}
            }
        }
        numbers
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
    /// Whether it leaves rows for the cleaner.
    pub leaves: bool,
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
    let mut ends: BTreeMap<u32, u64> = BTreeMap::new();
    for ((list, index), blocks) in &next.lists {
        after.extend(blocks.iter().filter_map(|block| block.piece.extent().cloned()));
        let end = ends.entry(*list).or_default();
        let row = record::encode(&Chunk { offset_bytes: Some(*end), blocks: blocks.clone() })?;
        *end += blocks.iter().map(Block::length_bytes).sum::<u64>();
        commit = commit.put(RowKey::List { list: *list, index: *index }.to_bytes(), row);
    }
    for staged in &loaded.staged {
        before.extend(staged.block.piece.extent().cloned());
        if next.keeps_staged {
            after.extend(staged.block.piece.extent().cloned());
        } else {
            let key = RowKey::Staged(&staged.id).to_bytes();
            commit = commit.check_version(key.clone(), staged.row).delete(key);
        }
    }
    let leaves = loaded.heads.iter().any(|head| leaves_rows(&head.record.content, next));
    if leaves {
        commit = commit.put(RowKey::Leftovers.to_bytes(), record::encode(&next.numbers(loaded))?);
    }
    Ok(Change { commit, freed: before.difference(&after).cloned().collect(), leaves })
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

/// Whether rows of this content may be needed by no head any more.
fn leaves_rows(content: &Content, next: &Next) -> bool {
    let needed = |next: &Content| match (content, next) {
        (Content::Appended { list, blocks, .. }, Content::Appended { list: of, blocks: up_to, .. }) => {
            list == of && blocks <= up_to
        }
        (Content::Pages { epoch, base, cuts, .. }, Content::Pages { epoch: e, base: b, cuts: c, .. }) => {
            (epoch, base, cuts) == (e, b, c)
        }
        _ => false,
    };
    let many = matches!(content, Content::Appended { .. } | Content::Pages { .. });
    many && !next.heads.values().any(|record| needed(&record.content))
}

fn whole_extent(record: &BlobRecord) -> Option<ExtentRef> {
    match &record.content {
        Content::Whole(piece) => piece.extent().cloned(),
        _ => None,
    }
}
