//! Extents that no row names: a crash between an extent's last byte and the commit that would have named it, or
//! between a commit and the release of what it freed, leaves them. They are found once after each start, in the
//! background, and released.
//!
//! Only extents from before the start are looked at: whoever held them is gone. They are compared with what the rows
//! name, so many at a time that memory stays bounded. While the rows are read, a commit may move an extent from a
//! row that was not read yet to one that was; what commits name meanwhile therefore counts as named.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{RwLock, RwLockReadGuard};
use welkin_store::{ExtentRef, Row, ScanFrom};

use crate::Storage;
use crate::blob::leftover::extents_of;
use crate::blob::row::{Appended, Chunk, RowKey, Segment, StagedBlock};
use crate::blob::state::{BlobRecord, Content};
use crate::error::EngineError;
use crate::record;
use crate::space::BLOBS;

/// Extents that are compared at a time: some tens of MiB.
const EXTENTS_AT_ONCE: usize = 250_000;
/// Extents of one list.
const EXTENTS_LISTED: usize = 10_000;
/// Rows of one scan.
const SCAN_ROWS: usize = 500;
/// After each scan, the disk and the processors are others' for this long.
const BREATH: Duration = Duration::from_millis(2);

/// What commits named while rows are read; `None` while none are.
#[derive(Debug, Default)]
pub(crate) struct Named {
    extents: Mutex<Option<HashSet<ExtentRef>>>,
    /// Held by each commit that moves extents, from before they are noted until it has ended.
    commits: RwLock<()>,
}

impl Named {
    fn lock(&self) -> MutexGuard<'_, Option<HashSet<ExtentRef>>> {
        self.extents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A commit is about to name these; hold what is returned until it has ended.
    pub(crate) async fn add<'a>(
        &self,
        extents: impl Iterator<Item = &'a ExtentRef>,
    ) -> RwLockReadGuard<'_, ()> {
        let commit = self.commits.read().await;
        if let Some(named) = self.lock().as_mut() {
            named.extend(extents.cloned());
        }
        commit
    }
}

/// Ends the noting of what is named, however the search ends.
struct Noting<'a>(&'a Named);

impl<'a> Noting<'a> {
    /// Begins when no commit is under way that was not noted.
    async fn begin(named: &'a Named) -> Self {
        let _none = named.commits.write().await;
        *named.lock() = Some(HashSet::new());
        Self(named)
    }
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Storage {
    /// Releases the extents from before the start that no row names; says how many. Call it once, after a start; it
    /// takes its time.
    ///
    /// # Errors
    /// When the store fails, or a row is damaged: then it is not known what the row names, and nothing more is released.
    pub async fn release_orphans(&self) -> Result<u64, EngineError> {
        let (mut after, mut released) = (None, 0);
        loop {
            let mut extents = HashSet::new();
            while extents.len() < EXTENTS_AT_ONCE {
                let listed = self.store().old_extents(after.as_ref(), EXTENTS_LISTED).await?;
                let Some(last) = listed.last() else { break };
                after = Some(last.clone());
                extents.extend(listed);
            }
            if extents.is_empty() {
                return Ok(released);
            }
            for orphan in self.unnamed(extents).await? {
                tracing::info!(bytes = orphan.length_bytes(), "an extent that no row names is released");
                self.store().release_extent(&orphan).await?;
                released += 1;
            }
        }
    }

    /// Those of the extents that no row names.
    async fn unnamed(&self, mut extents: HashSet<ExtentRef>) -> Result<HashSet<ExtentRef>, EngineError> {
        let noting = Noting::begin(self.named()).await;
        let mut from = ScanFrom::Start;
        while !extents.is_empty() {
            let rows = self.store().scan(BLOBS, from, SCAN_ROWS).await?;
            for row in &rows {
                for extent in named_by(row)? {
                    extents.remove(&extent);
                }
            }
            match rows.last() {
                Some(last) if rows.len() == SCAN_ROWS => {
                    from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
                }
                _ => break,
            }
            tokio::time::sleep(BREATH).await;
        }
        if let Some(named) = noting.0.lock().as_ref() {
            extents.retain(|extent| !named.contains(extent));
        }
        Ok(extents)
    }
}

/// The extents that a row of a blob names.
pub(crate) fn named_by(row: &Row) -> Result<Vec<ExtentRef>, EngineError> {
    let found = match RowKey::parse(&row.key) {
        Some(RowKey::Head(_)) => match record::decode::<BlobRecord>(&row.value)?.content {
            Content::Whole(piece) => piece.extent().cloned().into_iter().collect(),
            Content::Blocks { .. } | Content::Appended { .. } | Content::Pages { .. } => Vec::new(),
        },
        Some(RowKey::List { .. }) => {
            let blocks = record::decode::<Chunk>(&row.value)?.blocks;
            blocks.iter().filter_map(|block| block.piece.extent().cloned()).collect()
        }
        Some(RowKey::Appended { .. }) => {
            record::decode::<Appended>(&row.value)?.piece.extent().cloned().into_iter().collect()
        }
        Some(RowKey::Staged(_)) => {
            record::decode::<StagedBlock>(&row.value)?.piece.extent().cloned().into_iter().collect()
        }
        Some(RowKey::Segment { .. }) => {
            extents_of(&record::decode::<Segment>(&row.value)?).cloned().collect()
        }
        Some(RowKey::Leftovers) => Vec::new(),
        None => return Err(EngineError::Damaged { noun: "blob", why: "a row has no known key".to_owned() }),
    };
    Ok(found)
}
