//! Extents in preallocated files.
//!
//! Invariants:
//! * An extent exists when its row does ([`layout`]). Pages that no row names are free; the free
//!   map is derived from the rows at every start, so a crash cannot make it wrong.
//! * The bytes are durable before the row is sent to the log, and the row is sent before
//!   `finish` returns: a later commit that names the extent is never durable without it.
//! * Pages are free again when the row that no longer names them is durable, no write is under way,
//!   and no [`Hold`] keeps them. Whoever reads them nevertheless finds that the row has changed.

mod cache;
mod compaction;
mod file;
mod growth;
mod hold;
mod layout;
mod moving;
mod opened;
mod pinned;
mod region;
mod reservation;
mod space;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore};

use crate::commit::CommitError;
use crate::error::StoreError;
use crate::extent::ExtentRef;
use crate::local::committer::Expect;
use crate::local::counters::Counters;
use crate::local::health::Health;
use crate::local::options::{LocalOptions, READ_BYTES};
use crate::local::pace::Pace;
use crate::local::queue::Queue;
use crate::local::tables::Tables;
use crate::local::{read_stored, run_blocking};
use crate::row::Version;
use cache::ReadCache;
pub(crate) use compaction::Compaction;
use file::ExtentFile;
use hold::Deferred;
pub(crate) use hold::Hold;
pub(crate) use layout::Layout;
use layout::{damaged, extent_key};
pub(crate) use opened::Opened;
use reservation::Reservation;
use space::Space;
use writer::Writer;

/// All extents of the store.
#[derive(Debug)]
pub(crate) struct Extents {
    folder: PathBuf,
    options: LocalOptions,
    health: Arc<Health>,
    tables: Arc<Tables>,
    queue: Arc<Queue>,
    pace: Arc<Pace>,
    files: RwLock<HashMap<u32, Arc<ExtentFile>>>,
    space: Mutex<Space>,
    deferred: Mutex<Deferred>,
    cache: ReadCache,
    /// Room for the buffers of all writers.
    write_room: Arc<Semaphore>,
    /// Held while a file grows, so that only one does.
    growth: Mutex<()>,
    /// Extents whose rows are on their way to the log.
    unlogged: Mutex<HashMap<u64, Arc<Layout>>>,
    /// Told when one of them is logged.
    logged: Notify,
    extent_bytes: Arc<AtomicU64>,
    counters: Arc<Counters>,
    next_id: AtomicU64,
    /// Extents below this were there when the store was opened.
    first_id: u64,
}

/// An extent's layout, and the version of its row unless that is on its way to the log.
struct Found {
    layout: Arc<Layout>,
    version: Option<Version>,
}

impl Extents {
    /// Begins a new extent.
    pub(crate) fn writer(self: &Arc<Self>, length_bytes: Option<u64>) -> Result<Writer, StoreError> {
        self.health.check()?;
        writer::check_length(length_bytes.unwrap_or(0))?;
        Ok(Writer::new(self.clone(), length_bytes))
    }

    /// Makes an extent exist whose bytes are durable, under a new id or the one that it had.
    fn add(
        self: &Arc<Self>,
        id: Option<u64>,
        layout: Layout,
        reservation: &Reservation,
    ) -> Result<ExtentRef, StoreError> {
        self.health.check()?;
        let id = id.unwrap_or_else(|| self.next_id.fetch_add(1, Ordering::SeqCst));
        let length_bytes = layout.length_bytes;
        let value = Bytes::from(layout.encode());
        lock(&self.unlogged).insert(id, Arc::new(layout));
        reservation.keep();
        let logged = self.queue.send_internal(Vec::new(), vec![(extent_key(id), Some(value))]);
        let extents = self.clone();
        tokio::spawn(async move {
            // After a failure nothing that names the extent can become durable either.
            let _ = logged.await;
            lock(&extents.unlogged).remove(&id);
            extents.logged.notify_waiters();
        });
        Ok(ExtentRef { place: (id, 0), length_bytes })
    }

    /// Reads a part of an extent, verified.
    pub(crate) async fn read(
        self: &Arc<Self>,
        extent: &ExtentRef,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, StoreError> {
        let mut found = self.find(extent).await?;
        loop {
            let error = match self.read_found(extent.place.0, found.layout, offset, length).await {
                Ok(bytes) => return Ok(bytes),
                Err(error) => error,
            };
            // Released or moved while it was read, and its place used again: that is no damage.
            let again = self.find(extent).await?;
            if again.version == found.version {
                return Err(error);
            }
            found = again;
        }
    }

    async fn read_found(
        self: &Arc<Self>,
        id: u64,
        layout: Arc<Layout>,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, StoreError> {
        let length = length.min(layout.length_bytes.saturating_sub(offset).try_into().unwrap_or(usize::MAX));
        if length == 0 {
            return Ok(Bytes::new());
        }
        if let Some(bytes) = self.cache.get(id, offset, length) {
            return Ok(bytes);
        }
        let bytes = self.read_from_file(layout, offset, length).await?;
        self.cache.put(id, offset, &bytes);
        Ok(bytes)
    }

    async fn read_from_file(
        self: &Arc<Self>,
        layout: Arc<Layout>,
        offset: u64,
        length: usize,
    ) -> Result<Bytes, StoreError> {
        if length <= READ_BYTES && self.pace.is_fast() {
            return self.pace.time(|| self.read_now(&layout, offset, length));
        }
        let extents = self.clone();
        run_blocking(move || {
            // A long read takes long even from memory, so its time says nothing.
            if length > READ_BYTES {
                return extents.read_now(&layout, offset, length);
            }
            extents.pace.time(|| extents.read_now(&layout, offset, length))
        })
        .await
    }

    /// As [`Self::read`], by the layout as it was read from a row, of which all of `length` bytes
    /// from `offset` on must be part. The row may be gone when a [`Hold`] is older than that. Blocks.
    pub(crate) fn read_now(&self, layout: &Layout, offset: u64, length: usize) -> Result<Bytes, StoreError> {
        let pieces = layout.pieces(offset, length);
        let mut bytes = Vec::with_capacity(pieces.iter().map(|piece| piece.length).sum());
        let skip = pieces.first().map_or(0, |piece| offset as usize - piece.chunk * layout::CHUNK_BYTES);
        for piece in pieces {
            let file = self.file(piece.file)?;
            let start = bytes.len();
            file.read(&mut bytes, piece.offset, piece.length)?;
            layout.verify(piece.chunk, &bytes[start..]).map_err(|chunk| {
                let at = piece.offset + ((chunk - piece.chunk) * layout::CHUNK_BYTES) as u64;
                damaged(&file.path, at, format!("the checksum of chunk {chunk} does not match"))
            })?;
        }
        Ok(Bytes::from(bytes).slice(skip..skip + length))
    }

    /// Removes an extent and gives its pages back, also when the caller stops waiting.
    pub(crate) async fn release(self: &Arc<Self>, extent: &ExtentRef) -> Result<(), StoreError> {
        let (extents, extent) = (self.clone(), extent.clone());
        let release = tokio::spawn(async move { extents.release_now(&extent).await });
        release.await.map_err(|_| StoreError::Closed)?
    }

    async fn release_now(&self, extent: &ExtentRef) -> Result<(), StoreError> {
        let key = extent_key(extent.place.0);
        loop {
            self.health.check()?;
            let found = self.find(extent).await?;
            let Some(version) = found.version else {
                self.wait_until_logged(extent.place.0).await;
                continue;
            };
            let check = vec![(key.clone(), Expect::Version(version.0))];
            let deleted = self.queue.send_internal(check, vec![(key.clone(), None)]);
            match deleted.await.unwrap_or(Err(CommitError::Store(StoreError::Closed))) {
                Ok(_) => {
                    self.give_back(&found.layout.runs);
                    return Ok(());
                }
                // Moved meanwhile, or released by another.
                Err(CommitError::Conflict { .. }) => {}
                Err(CommitError::Store(error)) => return Err(error),
            }
        }
    }

    async fn wait_until_logged(&self, id: u64) {
        loop {
            let changed = self.logged.notified();
            if !lock(&self.unlogged).contains_key(&id) {
                return;
            }
            changed.await;
        }
    }

    /// Extents in the order of their ids.
    pub(crate) async fn list(
        self: &Arc<Self>,
        after: Option<&ExtentRef>,
        extents_max: usize,
    ) -> Result<Vec<ExtentRef>, StoreError> {
        self.list_at(self.tables.moment(), after, extents_max).await
    }

    /// Those of [`Self::list`] that were there when the store was opened.
    pub(crate) async fn list_old(
        self: &Arc<Self>,
        after: Option<&ExtentRef>,
        extents_max: usize,
    ) -> Result<Vec<ExtentRef>, StoreError> {
        let mut listed = self.list(after, extents_max).await?;
        listed.retain(|extent| extent.place.0 < self.first_id);
        Ok(listed)
    }

    async fn find(&self, extent: &ExtentRef) -> Result<Found, StoreError> {
        let id = extent.place.0;
        if let Some(layout) = lock(&self.unlogged).get(&id) {
            return Ok(Found { layout: layout.clone(), version: None });
        }
        match read_stored(&self.tables, &self.pace, self.tables.moment(), extent_key(id)).await? {
            Some((version, value)) => {
                Ok(Found { layout: Arc::new(parse_layout(id, &value)?), version: Some(version) })
            }
            None => Err(StoreError::NoExtent(id.to_string())),
        }
    }

    fn file(&self, number: u32) -> Result<Arc<ExtentFile>, StoreError> {
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        files.get(&number).cloned().ok_or_else(|| StoreError::Damaged {
            what: file_path(&self.folder, number).display().to_string(),
            why: "the file is missing".to_owned(),
        })
    }

    /// Keeps what is released from now on until the hold is dropped.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        Hold::begin(self.clone())
    }

    /// How often a piece was read from memory, and how often from a file.
    pub(crate) fn cache_counts(&self) -> (u64, u64) {
        self.cache.counts()
    }

    /// Bytes of released extents that a [`Hold`] keeps.
    pub(crate) fn deferred_bytes(&self) -> u64 {
        lock(&self.deferred).bytes()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn file_path(folder: &Path, number: u32) -> PathBuf {
    folder.join(format!("{number:08x}.extents"))
}

/// The number of the extent whose row has this key.
pub(crate) fn parse_id(key: &[u8]) -> Result<u64, StoreError> {
    let bytes = key.try_into().map_err(|_| StoreError::Damaged {
        what: "the row of an extent".to_owned(),
        why: format!("its key has {} bytes instead of 8", key.len()),
    })?;
    Ok(u64::from_be_bytes(bytes))
}

/// What the row of the extent says.
pub(crate) fn parse_layout(id: u64, value: &[u8]) -> Result<Layout, StoreError> {
    Layout::decode(value).ok_or_else(|| StoreError::Damaged {
        what: format!("the row of extent {id}"),
        why: "it is malformed".to_owned(),
    })
}
