//! Flushes and compactions, off the way of a commit.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::error::StoreError;
use crate::local::counters::Counters;
use crate::local::health::Health;
use crate::local::reserve::Reserve;
use crate::local::tables::Tables;

/// How long to wait before a full disk is tried again.
const RETRY: Duration = Duration::from_millis(500);
/// After so many times [`RETRY`] without a flush nobody writes much, and deleted rows are looked for.
const IDLE_RETRIES: u32 = 4;

/// The two background threads.
#[derive(Debug, Clone)]
pub(crate) struct Background {
    shared: Arc<Shared>,
    flushes: mpsc::Sender<Option<u64>>,
    threads: Arc<Mutex<Vec<JoinHandle<()>>>>,
}

#[derive(Debug)]
struct Shared {
    tables: Arc<Tables>,
    health: Arc<Health>,
    counters: Arc<Counters>,
    /// Commits up to this are in durable tables.
    flushed: AtomicU64,
    reserve: Reserve,
    /// Disk space of the tables, as of the last change.
    table_bytes: AtomicU64,
    is_stopping: AtomicBool,
}

impl Background {
    /// Starts the threads.
    pub(crate) fn start(
        tables: Arc<Tables>,
        health: Arc<Health>,
        counters: Arc<Counters>,
        reserve: Reserve,
        flushed: u64,
    ) -> Result<Self, StoreError> {
        health.set_full(!reserve.fill()?);
        let table_bytes = AtomicU64::new(tables.disk_bytes());
        let shared = Arc::new(Shared {
            tables,
            health,
            counters,
            flushed: AtomicU64::new(flushed),
            reserve,
            table_bytes,
            is_stopping: AtomicBool::new(false),
        });
        let (flushes, flush_queue) = mpsc::channel();
        let (compactions, compaction_queue) = mpsc::channel();
        // What was not merged before the last close or crash is merged now: writers may wait for it.
        let _ = compactions.send(());
        let for_flush = shared.clone();
        let for_compaction = shared.clone();
        let threads = vec![
            spawn("store-flush", move || for_flush.flush_until_closed(&flush_queue, &compactions))?,
            spawn("store-compact", move || for_compaction.compact_until_closed(&compaction_queue))?,
        ];
        Ok(Self { shared, flushes, threads: Arc::new(Mutex::new(threads)) })
    }

    /// Commits up to this are in durable tables.
    pub(crate) fn flushed(&self) -> u64 {
        self.shared.flushed.load(Ordering::SeqCst)
    }

    /// Disk space of the tables.
    pub(crate) fn table_bytes(&self) -> u64 {
        self.shared.table_bytes.load(Ordering::Relaxed)
    }

    /// Asks for a flush of the sealed memtables, which hold commits up to `version`.
    pub(crate) fn flush(&self, version: u64) {
        // The threads end only after `close`; then there is nothing to flush.
        let _ = self.flushes.send(Some(version));
    }

    /// Finishes the flushes asked for, ends a compaction early, and waits for both threads.
    pub(crate) fn close(&self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        let _ = self.flushes.send(None);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a background thread of the store panicked");
            }
        }
    }
}

impl Shared {
    fn flush_until_closed(&self, queue: &mpsc::Receiver<Option<u64>>, compactions: &mpsc::Sender<()>) {
        loop {
            match queue.recv_timeout(RETRY) {
                Ok(Some(version)) => {
                    if self.flush(version) {
                        let _ = compactions.send(());
                    }
                }
                Err(mpsc::RecvTimeoutError::Timeout) if self.health.is_full() => self.look_for_room(),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Ok(None) | Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// The disk has room again when the reserve can be made.
    fn look_for_room(&self) {
        match self.reserve.fill() {
            Ok(is_there) => self.health.set_full(!is_there),
            Err(error) => self.health.poison(&error),
        }
    }

    /// Answers whether the flush succeeded; waits while the disk is full.
    fn flush(&self, version: u64) -> bool {
        loop {
            match self.tables.flush() {
                Ok(()) => {
                    self.counters.memtable_flushes.add(1);
                    self.flushed.fetch_max(version, Ordering::SeqCst);
                    self.table_bytes.store(self.tables.disk_bytes(), Ordering::Relaxed);
                    self.look_for_room();
                    return true;
                }
                Err(StoreError::Full) if self.reserve.spend() => self.health.set_full(true),
                Err(StoreError::Full) if !self.is_stopping.load(Ordering::SeqCst) => {
                    self.health.set_full(true);
                    std::thread::sleep(RETRY);
                }
                Err(StoreError::Full) => return false,
                Err(error) => {
                    self.health.poison(&error);
                    return false;
                }
            }
        }
    }

    fn compact_until_closed(&self, queue: &mpsc::Receiver<()>) {
        let (mut is_owed, mut idle) = (false, 0);
        loop {
            match queue.recv_timeout(RETRY) {
                Ok(()) => {
                    while queue.try_recv().is_ok() {}
                    idle = 0;
                }
                Err(mpsc::RecvTimeoutError::Timeout) if is_owed => {}
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    idle += 1;
                    if idle % IDLE_RETRIES == 0 && self.tables.is_mostly_deleted() {
                        self.drop_deleted();
                    }
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            is_owed = false;
            match self.tables.compact(&|| self.is_stopping.load(Ordering::SeqCst)) {
                Ok(()) => self.counters.compactions.add(1),
                Err(StoreError::Full) => {
                    self.health.set_full(true);
                    is_owed = true;
                }
                // Without compaction reads get slower without end, so writers are told.
                Err(error) => self.health.poison(&error),
            }
            self.table_bytes.store(self.tables.disk_bytes(), Ordering::Relaxed);
        }
    }

    fn drop_deleted(&self) {
        match self.tables.merge_all() {
            Ok(()) => self.counters.compactions.add(1),
            // What is deleted stays for now.
            Err(StoreError::Full) => {}
            Err(error) => self.health.poison(&error),
        }
        self.table_bytes.store(self.tables.disk_bytes(), Ordering::Relaxed);
    }
}

/// Starts a named thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(StoreError::io("start a thread for", std::path::Path::new(name)))
}
