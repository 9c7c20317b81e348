//! The embedded backend: one process, one folder.
//!
//! ```text
//! folder/lock      held by the process that has the store open
//! folder/format    version of the format, and the store's salt
//! folder/log/      write-ahead log: segments that are zeroed once and used again
//! folder/tables/   sorted tables of rows
//! folder/reserve   space kept back for the time when the disk is full
//! folder/extents/  preallocated files in which extents have their places
//! ```
//!
//! A commit goes queue → [`line`] → [`committer`] → [`log`] (one write and one flush for all that wait) →
//! memtable → [`background`] flush → tables; then its log segment is used again. Which extents
//! exist is kept in rows too, so one log orders everything.

mod background;
mod calls;
mod calm;
mod committer;
mod counters;
mod extents;
mod folder;
mod group;
mod health;
mod kept;
mod key;
mod line;
mod log;
mod options;
mod pace;
mod queue;
mod readers;
mod record;
mod reserve;
mod restored;
mod segment;
mod table_files;
mod tables;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;

use crate::backend::Backend;
use crate::error::StoreError;
use crate::extent::ExtentWriter;
use crate::moment::Moment;
use crate::row::{Row, Space, Version};
use background::Background;
use committer::Committer;
use counters::Counters;
pub(crate) use extents::Hold;
use extents::{Compaction, Extents};
use folder::Folder;
pub(crate) use folder::{create_folder, is_store, sync_folder};
use health::Health;
pub(crate) use key::{check_length, check_names, is_row_key, row_key, scan_end, scan_start, split};
use log::Log;
pub use options::{
    COMMIT_BYTES_MAX, EXTENT_BYTES_MAX, KEY_BYTES_MAX, LocalOptions, PARTITION_BYTES_MAX, READ_BYTES,
    VALUE_BYTES_MAX,
};
use pace::Pace;
use queue::Queue;
pub(crate) use readers::Pin;
use reserve::Reserve;
pub(crate) use restored::RestoredRows;
pub(crate) use table_files::damaged_tables;
use tables::Tables;
pub use tables::{CheckFrom, CheckRange, CheckedRow, CheckedRows};
pub(crate) use tables::{StoredRow, last_commit};

/// An open store in a folder.
#[derive(Debug)]
pub(crate) struct Local {
    compaction: Compaction,
    queue: Arc<Queue>,
    extents: Arc<Extents>,
    tables: Arc<Tables>,
    pace: Arc<Pace>,
    health: Arc<Health>,
    counters: Arc<Counters>,
    background: Background,
    /// Disk space that extents take.
    extent_bytes: Arc<AtomicU64>,
    /// The store's own number.
    salt: u64,
}

impl Local {
    /// Opens the store, after recovering what the log holds.
    pub(crate) async fn open(folder: &Path, options: LocalOptions) -> Result<Self, StoreError> {
        let folder = folder.to_owned();
        let (opened, folder) = run_blocking(move || Opened::open(&folder, options)).await?;
        Self::start(opened, folder)
    }

    fn start(opened: Opened, folder: Folder) -> Result<Self, StoreError> {
        let Opened { tables, log, health, options, extents, extent_bytes, flushed } = opened;
        let salt = folder.salt;
        // Two memtables may wait to be flushed together.
        let reserve = Reserve::new(folder.join("reserve"), 2 * options.memtable_bytes);
        let counters = Arc::new(Counters::default());
        let background =
            Background::start(tables.clone(), health.clone(), counters.clone(), reserve, flushed)?;
        let committer = Committer::new(
            log,
            tables.clone(),
            health.clone(),
            counters.clone(),
            background.clone(),
            options,
            extent_bytes.clone(),
        );
        let queue = Arc::new(Queue::start(committer, health.clone(), folder)?);
        let pace = Arc::new(Pace::default());
        let extents =
            Arc::new(extents.connect(tables.clone(), queue.clone(), pace.clone(), counters.clone()));
        let compaction = Compaction::start(&extents);
        Ok(Self {
            compaction,
            queue,
            extents,
            tables,
            pace,
            health,
            counters,
            background,
            extent_bytes,
            salt,
        })
    }

    /// An extent of a backup, under the id that it had.
    pub(crate) fn restored_extent(&self, id: u64, length_bytes: u64) -> Result<ExtentWriter, StoreError> {
        Ok(ExtentWriter { inner: Box::new(self.extents.restored(id, length_bytes)?) })
    }

    /// Makes everything durable, ends background work, and gives the folder up.
    pub(crate) async fn end(self) -> Result<(), StoreError> {
        self.close().await?;
        let queue = Arc::downgrade(&self.queue);
        drop(self);
        // What follows the log in memory is done at once, and then nobody has the folder open.
        while queue.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    async fn read_row(
        &self,
        moment: Moment,
        space: Space,
        partition: &[u8],
        key: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        check_names(space, partition, key)?;
        let stored = row_key(space, partition, key);
        let found = read_stored(&self.tables, &self.pace, moment, stored).await?;
        Ok(found.map(|(version, value)| Row {
            partition: Bytes::copy_from_slice(partition),
            key: Bytes::copy_from_slice(key),
            value,
            version,
        }))
    }
}

/// Reads a row by its stored key: at once when it is in memory, else where it may block.
async fn read_stored(
    tables: &Arc<Tables>,
    pace: &Arc<Pace>,
    moment: Moment,
    stored: Vec<u8>,
) -> Result<Option<(Version, Bytes)>, StoreError> {
    if let Some(found) = tables.get_resident(&moment, &stored)? {
        return Ok(found);
    }
    if tables.is_resident() || pace.is_fast() {
        return pace.time(|| tables.get(&moment, &stored));
    }
    let tables = tables.clone();
    let pace = pace.clone();
    run_blocking(move || pace.time(|| tables.get(&moment, &stored))).await
}

/// Runs what may block on the runtime's threads for that.
async fn run_blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(run).await {
        Ok(result) => result,
        // The runtime shuts down, or `run` panicked, which is a bug that the panic message names.
        Err(_) => Err(StoreError::Closed),
    }
}

/// A store whose log was replayed and whose threads do not run yet.
struct Opened {
    tables: Arc<Tables>,
    log: Log,
    health: Arc<Health>,
    options: LocalOptions,
    extents: extents::Opened,
    extent_bytes: Arc<AtomicU64>,
    flushed: u64,
}

impl Opened {
    fn open(path: &Path, options: LocalOptions) -> Result<(Self, Folder), StoreError> {
        let folder = Folder::open(path)?;
        let health = Arc::new(Health::default());
        let tables = Arc::new(Tables::open(&folder.join("tables"), &options)?);
        let flushed = tables.flushed()?;
        let log = Log::open(&folder.join("log"), folder.salt, &options, flushed, |group| {
            for (version, key, value) in group.writes()? {
                if version > flushed {
                    tables.apply(version, std::iter::once((key, value)));
                }
            }
            Some(())
        })?;
        tables.publish(log.next() - 1);
        let extent_bytes = Arc::new(AtomicU64::new(0));
        let extents = extents::Opened::open(
            &folder.join("extents"),
            &tables,
            &options,
            health.clone(),
            extent_bytes.clone(),
            log.next(),
        )?;
        Ok((Self { tables, log, health, options, extents, extent_bytes, flushed }, folder))
    }
}

/// A stored key, for tests.
#[cfg(test)]
pub(crate) fn row_key_of(space: u16, partition: &[u8], key: &[u8]) -> Vec<u8> {
    row_key(Space::new(space, "test"), partition, key)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::commit::{Commit, CommitError};

    static FLUSH_FAILS: AtomicBool = AtomicBool::new(false);

    fn flush(file: &std::fs::File) -> std::io::Result<()> {
        match FLUSH_FAILS.load(Ordering::SeqCst) {
            true => Err(std::io::Error::other("injected")),
            false => file.sync_data(),
        }
    }

    #[tokio::test]
    async fn tables_that_were_left_to_be_merged_do_not_hold_up_writers_for_ever() {
        const SPACE: Space = Space::new(1, "test");
        let folder = tempfile::tempdir().unwrap();
        let options = LocalOptions { memtable_bytes: 1, ..LocalOptions::default() };
        let (opened, locked) = Opened::open(folder.path(), options.clone()).unwrap();
        let mut version = 0;
        while !opened.tables.is_behind() {
            version += 1;
            let key = row_key(SPACE, b"p", &[1]);
            opened.tables.apply(version, std::iter::once((&key[..], Some(&b"value"[..]))));
            opened.tables.publish(version);
            opened.tables.seal_memtable(version);
            opened.tables.flush().unwrap();
        }
        drop((opened, locked));
        let store = Local::open(folder.path(), options).await.unwrap();
        for key in ["one", "two"] {
            let put = store.commit(Commit::new(SPACE, "p").put(key, "value"));
            tokio::time::timeout(Duration::from_secs(30), put).await.expect("writers wait for ever").unwrap();
        }
    }

    #[test]
    fn after_a_failed_flush_nothing_is_acknowledged_until_reopened() {
        // With two threads callers commit by themselves, after some commits that came one at a time.
        for (threads, commits_before) in [(1, 1), (2, 64)] {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(threads)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(check_failed_flush(commits_before));
        }
    }

    async fn check_failed_flush(commits_before: u32) {
        const SPACE: Space = Space::new(1, "test");
        let folder = tempfile::tempdir().unwrap();
        let (mut opened, locked) = Opened::open(folder.path(), LocalOptions::default()).unwrap();
        opened.log.set_flush(flush);
        let store = Local::start(opened, locked).unwrap();
        let put = |key: &'static str| store.commit(Commit::new(SPACE, "p").put(key, "value"));
        for _ in 0..commits_before {
            put("before").await.unwrap();
        }
        FLUSH_FAILS.store(true, Ordering::SeqCst);
        assert!(matches!(put("failed").await, Err(CommitError::Store(StoreError::Poisoned))));
        FLUSH_FAILS.store(false, Ordering::SeqCst);
        assert!(matches!(put("after").await, Err(CommitError::Store(StoreError::Poisoned))));
        assert!(matches!(store.extent_writer(None).await, Err(StoreError::Poisoned)));
        for (key, is_there) in [("before", true), ("failed", false), ("after", false)] {
            let row = store.get(None, SPACE, b"p", key.as_bytes()).await.unwrap();
            assert_eq!(row.is_some(), is_there, "{key}");
        }
        assert!(matches!(store.close().await, Err(StoreError::Poisoned)));
        drop(store);
        let store = Local::open(folder.path(), LocalOptions::default()).await.unwrap();
        assert!(store.get(None, SPACE, b"p", b"before").await.unwrap().is_some());
        assert!(store.get(None, SPACE, b"p", b"after").await.unwrap().is_none());
        store.commit(Commit::new(SPACE, "p").put("after", "value")).await.unwrap();
    }
}
