//! Writes one extent: buffers of bounded size go to the disk as they fill. All writers together have room for so much;
//! who finds none writes small pieces, one after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::backend::ExtentSink;
use crate::error::StoreError;
use crate::extent::ExtentRef;
use crate::local::extents::Extents;
use crate::local::extents::file::AlignedBuffer;
use crate::local::extents::layout::{CHUNK_BYTES, Layout, PAGE_BYTES};
use crate::local::extents::reservation::Reservation;
use crate::local::extents::space::Run;
use crate::local::options::EXTENT_BYTES_MAX;

/// Bytes of one write, where there is room.
const BUFFER_BYTES: usize = 1024 * 1024;
/// Writes under way per writer; with the buffer that fills this bounds its memory.
const WRITES_MAX: usize = 3;
/// One permit of the room of all writers stands for so many bytes.
pub(crate) const PERMIT_BYTES: usize = CHUNK_BYTES;
/// Longest run; also the most that is reserved ahead when the length is not known.
const RUN_BYTES_MAX: u64 = 16 * 1024 * 1024;
const _: () =
    assert!(BUFFER_BYTES.is_multiple_of(CHUNK_BYTES) && RUN_BYTES_MAX.is_multiple_of(BUFFER_BYTES as u64));

/// A new extent, being written.
#[derive(Debug)]
pub(crate) struct Writer {
    extents: Arc<Extents>,
    reservation: Arc<Reservation>,
    /// The id of an extent that is restored.
    id: Option<u64>,
    /// Expected length, as long as no more came.
    expected: Option<u64>,
    received: u64,
    /// Bytes of one write, and how many may be under way.
    write_bytes: usize,
    writes_max: usize,
    /// What it has of the room of all.
    _room: Option<OwnedSemaphorePermit>,
    buffer: Option<AlignedBuffer>,
    writes: VecDeque<JoinHandle<Result<Vec<u32>, StoreError>>>,
    checksums: Vec<u32>,
    runs: Vec<Run>,
    /// Where the next buffer goes in the last run.
    next_page: u32,
}

impl Writer {
    /// A writer that has taken nothing yet.
    pub(crate) fn new(extents: Arc<Extents>, expected: Option<u64>) -> Self {
        let reservation = Arc::new(Reservation::new(extents.clone()));
        let room = room(&extents.write_room, expected);
        let (write_bytes, writes_max) =
            if room.is_some() { (BUFFER_BYTES, WRITES_MAX) } else { (CHUNK_BYTES, 1) };
        Self {
            extents,
            reservation,
            id: None,
            expected,
            received: 0,
            write_bytes,
            writes_max,
            _room: room,
            buffer: None,
            writes: VecDeque::new(),
            checksums: Vec::new(),
            runs: Vec::new(),
            next_page: 0,
        }
    }

    /// The extent gets this id, which none has.
    pub(crate) fn with_id(self, id: u64) -> Self {
        Self { id: Some(id), ..self }
    }

    async fn take(&mut self, mut bytes: Bytes) -> Result<(), StoreError> {
        check_length(self.received + bytes.len() as u64)?;
        while !bytes.is_empty() {
            let buffer = match self.buffer.take() {
                None => AlignedBuffer::new(buffer_bytes(self.expected, self.received, self.write_bytes)),
                // More came than was expected.
                Some(full) if full.room() == 0 => full.with_capacity(self.write_bytes),
                Some(buffer) => buffer,
            };
            let buffer = self.buffer.insert(buffer);
            let part = bytes.split_to(buffer.room().min(bytes.len()));
            buffer.push(&part);
            self.received += part.len() as u64;
            // Only whole buffers are written before the end, so that runs have whole chunks.
            if buffer.bytes().len() == self.write_bytes {
                self.write_buffer().await?;
            }
        }
        Ok(())
    }

    /// Starts the write of what is buffered; waits when too many are under way.
    async fn write_buffer(&mut self) -> Result<(), StoreError> {
        let Some(mut buffer) = self.buffer.take() else {
            return Ok(());
        };
        while self.writes.len() >= self.writes_max {
            self.wait_for_write().await?;
        }
        let length = buffer.bytes().len();
        let begin = self.received - length as u64;
        let pages = length.div_ceil(PAGE_BYTES) as u32;
        let run = self.place(begin, pages).await?;
        let extents = self.extents.clone();
        // The write holds the reservation: its pages are not given to another extent before it ended.
        let reservation = self.reservation.clone();
        self.writes.push_back(tokio::task::spawn_blocking(move || {
            let checksums = buffer.bytes().chunks(CHUNK_BYTES).map(crc32c::crc32c).collect();
            buffer.pad();
            let offset = u64::from(run.page) * PAGE_BYTES as u64;
            extents.file(run.file)?.write(&buffer, offset)?;
            drop(reservation);
            Ok(checksums)
        }));
        Ok(())
    }

    async fn wait_for_write(&mut self) -> Result<(), StoreError> {
        if let Some(write) = self.writes.pop_front() {
            self.checksums.extend(write.await.map_err(|_| StoreError::Closed)??);
        }
        Ok(())
    }

    /// The pages of the next buffer, which begins at byte `begin` of the extent.
    async fn place(&mut self, begin: u64, pages: u32) -> Result<Run, StoreError> {
        let fits = self.runs.last().is_some_and(|run| self.next_page + pages <= run.page + run.pages);
        if !fits {
            let missing = match self.expected {
                Some(expected) => expected.saturating_sub(begin),
                None => begin.max(BUFFER_BYTES as u64),
            };
            let wanted = missing.min(RUN_BYTES_MAX).div_ceil(PAGE_BYTES as u64) as u32;
            // A buffer that is not full is the last, so the run needs nothing beyond it.
            let is_last = (pages as usize * PAGE_BYTES) < self.write_bytes;
            let run_pages = if is_last { pages } else { round_to_buffers(wanted.max(pages)) };
            let run = self.reservation.reserve(run_pages, pages).await?;
            self.runs.push(run);
            self.next_page = run.page;
        }
        let file = self.runs.last().map_or(0, |run| run.file);
        let placed = Run { file, page: self.next_page, pages };
        self.next_page += pages;
        Ok(placed)
    }

    async fn complete(mut self) -> Result<ExtentRef, StoreError> {
        self.write_buffer().await?;
        while !self.writes.is_empty() {
            self.wait_for_write().await?;
        }
        if let Some(last) = self.runs.last_mut() {
            let used = self.next_page - last.page;
            self.reservation.trim(*last, used);
            last.pages = used;
        }
        let mut files: Vec<u32> = self.runs.iter().map(|run| run.file).collect();
        files.sort_unstable();
        files.dedup();
        for file in files {
            self.extents.file(file)?.flush().await?;
        }
        let Self { extents, reservation, id, received, checksums, runs, .. } = self;
        extents.add(id, Layout { length_bytes: received, runs, checksums }, &reservation)
    }
}

impl ExtentSink for Writer {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), StoreError>> {
        self.take(bytes).boxed()
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<ExtentRef, StoreError>> {
        self.complete().boxed()
    }
}

/// Whether an extent may have this length.
pub(crate) fn check_length(length_bytes: u64) -> Result<(), StoreError> {
    if length_bytes > EXTENT_BYTES_MAX {
        return Err(StoreError::TooLarge {
            what: "extent",
            length_bytes,
            length_bytes_max: EXTENT_BYTES_MAX,
        });
    }
    Ok(())
}

/// Size of the buffer for what follows byte `received`: no larger than needed when that is known.
fn buffer_bytes(expected: Option<u64>, received: u64, write_bytes: usize) -> usize {
    match expected.and_then(|expected| expected.checked_sub(received)) {
        Some(missing) if missing > 0 && missing < write_bytes as u64 => {
            (missing as usize).next_multiple_of(PAGE_BYTES)
        }
        _ => write_bytes,
    }
}

/// Room for the buffers of a writer, if there is.
fn room(all: &Arc<Semaphore>, expected: Option<u64>) -> Option<OwnedSemaphorePermit> {
    let most = (1 + WRITES_MAX) * BUFFER_BYTES;
    let bytes = expected.map_or(most, |expected| usize::try_from(expected).unwrap_or(most).min(most));
    let permits = u32::try_from(bytes.div_ceil(PERMIT_BYTES)).ok()?;
    all.clone().try_acquire_many_owned(permits).ok()
}

/// Whole buffers, so that every run but the last is filled.
fn round_to_buffers(pages: u32) -> u32 {
    pages.next_multiple_of((BUFFER_BYTES / PAGE_BYTES) as u32)
}
