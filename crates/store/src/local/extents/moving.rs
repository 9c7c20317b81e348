//! Moves runs of extents to free pages elsewhere. Files do not grow for it.
//!
//! A run is read verified and written; then, for many extents at once, the files are flushed, and
//! each extent's row is changed if it is as it was. Whoever releases the extent meanwhile wins. A
//! crash at any moment leaves the row with the old place or with the new one, and both have the bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::commit::CommitError;
use crate::error::StoreError;
use crate::local::committer::Expect;
use crate::local::extents::Extents;
use crate::local::extents::file::AlignedBuffer;
use crate::local::extents::layout::{CHUNK_BYTES, Layout, PAGE_BYTES, extent_key};
use crate::local::extents::reservation::Reservation;
use crate::local::extents::space::Run;
use crate::local::run_blocking;

/// Pages of one chunk: what a run that is not an extent's last has a multiple of.
const CHUNK_PAGES: u32 = (CHUNK_BYTES / PAGE_BYTES) as u32;
/// Most pages that are copied at a time, 1 MiB as in a writer; this bounds the memory, too.
const COPY_PAGES_MAX: u32 = 16 * CHUNK_PAGES;

/// An extent whose runs have been copied.
#[derive(Debug)]
pub(crate) struct Moved {
    id: u64,
    /// Version of the row that was read.
    version: u64,
    layout: Layout,
    from: Vec<Run>,
    to: Vec<Run>,
    reservation: Arc<Reservation>,
}

/// A copy under way: what comes next, and what the extent will be.
#[derive(Debug)]
pub(crate) struct Move {
    id: u64,
    version: u64,
    old: Arc<Layout>,
    new: Layout,
    from: Vec<Run>,
    to: Vec<Run>,
    reservation: Arc<Reservation>,
    /// The run that is looked at, how many of its pages are done, and where it begins in the extent.
    run: usize,
    done: u32,
    begin: u64,
    part: Run,
}

impl Move {
    /// A move of the runs that have pages of this part of a file.
    pub(crate) fn new(extents: &Arc<Extents>, id: u64, version: u64, old: Layout, part: Run) -> Self {
        let new =
            Layout { length_bytes: old.length_bytes, runs: Vec::new(), checksums: old.checksums.clone() };
        let reservation = Arc::new(Reservation::new(extents.clone()));
        let (from, to) = (Vec::new(), Vec::new());
        let old = Arc::new(old);
        Self { id, version, old, new, from, to, reservation, run: 0, done: 0, begin: 0, part }
    }

    /// Copies the next piece; answers how many bytes, 0 when all is copied.
    pub(crate) async fn step(&mut self, extents: &Arc<Extents>) -> Result<u64, StoreError> {
        while let Some(&run) = self.old.runs.get(self.run) {
            if self.done == 0 && !overlaps(run, self.part) {
                self.new.runs.push(run);
            } else if self.done < run.pages {
                return self.copy_piece(extents, run).await;
            } else {
                self.from.push(run);
            }
            self.begin += u64::from(run.pages) * PAGE_BYTES as u64;
            (self.run, self.done) = (self.run + 1, 0);
        }
        Ok(0)
    }

    async fn copy_piece(&mut self, extents: &Arc<Extents>, run: Run) -> Result<u64, StoreError> {
        let wanted = (run.pages - self.done).min(COPY_PAGES_MAX);
        let place = self.reservation.reserve_free(wanted, CHUNK_PAGES.min(wanted)).ok_or(StoreError::Full)?;
        let offset = self.begin + u64::from(self.done) * PAGE_BYTES as u64;
        let rest = self.old.length_bytes.saturating_sub(offset);
        let length = (u64::from(place.pages) * PAGE_BYTES as u64).min(rest) as usize;
        // The write holds the reservation: its pages are not given to another before it ended.
        let (extents, old, reservation) = (extents.clone(), self.old.clone(), self.reservation.clone());
        run_blocking(move || {
            let bytes = extents.read_now(&old, offset, length)?;
            let mut buffer = AlignedBuffer::new(place.pages as usize * PAGE_BYTES);
            buffer.push(&bytes);
            buffer.pad();
            extents.file(place.file)?.write(&buffer, u64::from(place.page) * PAGE_BYTES as u64)?;
            drop(reservation);
            Ok(())
        })
        .await?;
        self.done += place.pages;
        self.to.push(place);
        match self.new.runs.last_mut() {
            Some(last) if self.done > place.pages && follows(*last, place) => last.pages += place.pages,
            _ => self.new.runs.push(place),
        }
        Ok(length as u64)
    }

    /// The extent as it is to be.
    pub(crate) fn end(self) -> Moved {
        let Self { id, version, new, from, to, reservation, .. } = self;
        Moved { id, version, layout: new, from, to, reservation }
    }
}

/// Whether a run has pages of this part of a file.
pub(crate) fn overlaps(run: Run, part: Run) -> bool {
    run.file == part.file && run.page < part.page + part.pages && part.page < run.page + run.pages
}

fn follows(run: Run, next: Run) -> bool {
    run.file == next.file && run.page + run.pages == next.page
}

impl Extents {
    /// Makes what was copied durable, and then lets the rows name it.
    pub(crate) async fn commit_moves(self: &Arc<Self>, moves: Vec<Moved>) -> Result<(), StoreError> {
        let files: BTreeSet<u32> = moves.iter().flat_map(|moved| &moved.to).map(|run| run.file).collect();
        for file in files {
            self.file(file)?.flush().await?;
        }
        let extents = self.clone();
        // A task of its own, so that what is known of the pages is right when the caller stops waiting.
        let commits = tokio::spawn(async move {
            let sent: Vec<_> = moves
                .into_iter()
                .map(|moved| {
                    moved.reservation.keep();
                    let key = extent_key(moved.id);
                    let check = vec![(key.clone(), Expect::Version(moved.version))];
                    let value = Bytes::from(moved.layout.encode());
                    let answer = extents.queue.send_internal(check, vec![(key, Some(value))]);
                    (moved, answer)
                })
                .collect();
            for (moved, answer) in sent {
                match answer.await.unwrap_or(Err(CommitError::Store(StoreError::Closed))) {
                    Ok(_) => extents.give_back(&moved.from),
                    // Released meanwhile.
                    Err(CommitError::Conflict { .. }) => extents.free(&moved.to),
                    // Not known which row will be there; the next start finds the pages.
                    Err(CommitError::Store(error)) => return Err(error),
                }
            }
            Ok(())
        });
        commits.await.map_err(|_| StoreError::Closed)?
    }
}
