//! Gives deleted bytes back to the file system: what is in the way at the end of a file is moved to
//! free pages elsewhere, and the file is cut.
//!
//! It takes at most the bytes per second of [`LocalOptions::compaction_bytes_per_second`] and rests
//! three times as long as it worked, so it slows down by itself when the disk has other things to do.
//! Pages at the end that is to be cut are withheld from writers, until one finds no other: then they
//! are his, and the round ends.

use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

#[cfg(doc)]
use crate::LocalOptions;
use crate::error::StoreError;
use crate::local::extents::layout::{EXTENTS, PAGE_BYTES};
use crate::local::extents::moving::{Move, Moved, overlaps};
use crate::local::extents::region::{Fill, choose};
use crate::local::extents::space::Run;
use crate::local::extents::{Extents, lock, parse_id, parse_layout};
use crate::local::run_blocking;
use crate::row::{Row, ScanFrom};

/// How often it is looked whether much is free: often enough that deleted bytes are soon back.
const LOOK: Duration = Duration::from_millis(250);
/// Pause after a round that gave nothing back, because somebody writes what is in the way. It doubles
/// with each such round...
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// ...up to this: a round may read the rows of all extents.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// So many times as long as it worked it rests.
const REST: u32 = 3;
/// Rows of extents read at a time.
const ROWS_AT_A_TIME: usize = 1000;
/// Extents whose copies share a flush and a group of the log, at most so many...
const BATCH_EXTENTS_MAX: usize = 256;
/// ...and about so many bytes.
const BATCH_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The task, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Compaction(Mutex<Option<JoinHandle<()>>>);

impl Compaction {
    /// Starts the task, unless the options forbid it.
    pub(crate) fn start(extents: &Arc<Extents>) -> Self {
        let rate = extents.options.compaction_bytes_per_second;
        let weak = Arc::downgrade(extents);
        Self(Mutex::new((rate > 0).then(|| tokio::spawn(run(weak, rate)))))
    }

    /// Ends the task.
    pub(crate) async fn close(&self) {
        let task = lock(&self.0).take();
        if let Some(task) = task {
            task.abort();
            // It was told to end; that is its only error.
            let _ = task.await;
        }
    }
}

impl Drop for Compaction {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.0).take() {
            task.abort();
        }
    }
}

async fn run(extents: Weak<Extents>, rate: u64) {
    let mut wait = LOOK;
    loop {
        tokio::time::sleep(wait).await;
        let Some(extents) = extents.upgrade() else { return };
        if extents.health.is_poisoned() {
            return;
        }
        wait = match round(&extents, &Budget { rate }).await {
            Ok(None) => LOOK,
            Ok(Some(0)) => longer(wait),
            Ok(Some(bytes)) => {
                tracing::debug!(bytes, "space of deleted extents is the file system's again");
                Duration::ZERO
            }
            Err(StoreError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot give the space of deleted extents back");
                longer(wait)
            }
        };
    }
}

fn longer(wait: Duration) -> Duration {
    (wait * 2).clamp(PAUSE_MIN, PAUSE_MAX)
}

/// How fast it may go.
struct Budget {
    rate: u64,
}

impl Budget {
    /// Rests after having handled `bytes` bytes since `start`.
    async fn rest(&self, bytes: u64, start: Instant) {
        let worked = start.elapsed();
        let due = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        tokio::time::sleep(due.saturating_sub(worked).max(worked * REST)).await;
    }
}

/// What is withheld is offered again, however the round ends.
struct Withheld<'a>(&'a Extents);

impl Drop for Withheld<'_> {
    fn drop(&mut self) {
        lock(&self.0.space).offer();
    }
}

/// Gives the end of one file back; answers how many bytes, or that nothing is to be done.
async fn round(extents: &Arc<Extents>, budget: &Budget) -> Result<Option<u64>, StoreError> {
    let Some(region) = extents.choose_region()? else {
        return Ok(None);
    };
    lock(&extents.space).withhold(region);
    let _withheld = Withheld(extents);
    evacuate(extents, region, budget).await?;
    let extents = extents.clone();
    let bytes = run_blocking(move || {
        let bytes = extents.cut()?;
        extents.counters.extent_bytes_returned.add(bytes);
        Ok(bytes)
    });
    bytes.await.map(Some)
}

/// Moves everything out of the region that can be moved.
async fn evacuate(extents: &Arc<Extents>, region: Run, budget: &Budget) -> Result<(), StoreError> {
    let mut from = ScanFrom::Start;
    let mut batch = Batch::default();
    loop {
        let start = Instant::now();
        if lock(&extents.space).pages_within(region) == u64::from(region.pages) {
            break;
        }
        let tables = extents.tables.clone();
        let rows = run_blocking(move || tables.scan(&tables.moment(), EXTENTS, &from.into(), ROWS_AT_A_TIME))
            .await?;
        budget.rest(rows.iter().map(|row| row.value.len() as u64).sum(), start).await;
        for row in &rows {
            match batch.take(extents, row, region, budget).await {
                Ok(()) => {}
                // A writer needs the space, or it is in too small pieces.
                Err(StoreError::Full) => return batch.commit(extents, budget).await,
                Err(error) => return Err(error),
            }
        }
        match rows.last() {
            Some(last) if rows.len() == ROWS_AT_A_TIME => {
                from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
            }
            _ => break,
        }
    }
    batch.commit(extents, budget).await
}

/// Copied extents that wait for their flush.
#[derive(Default)]
struct Batch {
    moves: Vec<Moved>,
    bytes: u64,
}

impl Batch {
    /// Copies what the extent of this row has in the region.
    async fn take(
        &mut self,
        extents: &Arc<Extents>,
        row: &Row,
        region: Run,
        budget: &Budget,
    ) -> Result<(), StoreError> {
        let id = parse_id(&row.key)?;
        let layout = parse_layout(id, &row.value)?;
        let is_logged = !lock(&extents.unlogged).contains_key(&id);
        if !is_logged || !layout.runs.iter().any(|&run| overlaps(run, region)) {
            return Ok(());
        }
        let mut moving = Move::new(extents, id, row.version.0, layout, region);
        loop {
            if lock(&extents.space).withheld() != Some(region) {
                return Err(StoreError::Full);
            }
            let start = Instant::now();
            match moving.step(extents).await {
                Ok(0) => break,
                Ok(bytes) => {
                    extents.counters.extent_bytes_moved.add(bytes);
                    self.bytes += bytes;
                    budget.rest(bytes, start).await;
                }
                // Released meanwhile, or damaged: whoever reads it is told.
                Err(StoreError::Damaged { .. } | StoreError::Io { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.moves.push(moving.end());
        if self.moves.len() >= BATCH_EXTENTS_MAX || self.bytes >= BATCH_BYTES_MAX {
            self.commit(extents, budget).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, extents: &Arc<Extents>, budget: &Budget) -> Result<(), StoreError> {
        let moves = std::mem::take(&mut self.moves);
        self.bytes = 0;
        if moves.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        extents.commit_moves(moves).await?;
        budget.rest(0, start).await;
        Ok(())
    }
}

impl Extents {
    /// The end of a file that is to be given back; none when little is free or somebody holds pages.
    fn choose_region(&self) -> Result<Option<Run>, StoreError> {
        let step = (self.options.extent_step_bytes / PAGE_BYTES as u64).max(1);
        let free = lock(&self.space).pages();
        if free < step || lock(&self.deferred).is_held() {
            return Ok(None);
        }
        let files = self.file_pages()?;
        let total = files.iter().map(|&(_, pages)| u64::from(pages)).sum();
        let surplus = Fill { total, free, step, is_short: self.is_short() }.surplus();
        let space = lock(&self.space);
        Ok(choose(&files, surplus, |run| space.pages_within(run)))
    }
}
