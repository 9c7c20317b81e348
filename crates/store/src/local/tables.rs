//! Rows in memory and in sorted tables: the `lsm-tree` crate, and when a reader sees what.
//!
//! * A reader sees the commits below `visible`, which the committer raises when a group is durable.
//! * The tree keeps old values of a row only as long as a reader may need them. A flush therefore
//!   waits until every reader that began before its rows were visible has ended, and keeps what
//!   pinned readers see ([`readers`](crate::local::readers)).
//! * The tree's own garbage collection drops a value when it is old, even where the next newer one
//!   is too new for some reader. So a flush chooses itself what it keeps ([`kept`]), and a
//!   compaction drops values only when nobody is pinned.
//! * The tree numbers its own structure changes with a counter of its own, which stays below
//!   [`SEQNO_BASE`]; row versions are put above it, so every reader uses the newest structure.

mod deleted;
mod verify;

use std::collections::HashSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use lsm_tree::{AbstractTree, AnyTree, Cache, Guard as _, Memtable, SequenceNumberCounter, Slice};

use crate::error::StoreError;
use crate::local::kept::kept;
use crate::local::key::{scan_end, scan_start, split};
use crate::local::options::{LocalOptions, RESERVED_SPACE_ID_MIN};
use crate::local::readers::{Pin, Pins, Readers};
use crate::local::record;
use crate::local::table_files::check_table_files;
use crate::moment::Moment;
use crate::row::{Row, ScanFrom, ScanRange, Space, Version};
pub use verify::{CheckFrom, CheckRange, CheckedRow, CheckedRows};

const SEQNO_BASE: u64 = 1 << 32;
/// Row that names the last commit of the memtable that it is in: what the tables hold.
const FLUSHED: [u8; 9] = *b"\xFF\xFFflushed";
const _: () = assert!(RESERVED_SPACE_ID_MIN < 0xFFFF);
/// Runs of tables that overlap; with more, reads slow down and writers wait.
const OVERLAPPING_RUNS_MAX: usize = 24;

/// A row to be applied: its stored key, and its value or a delete.
pub(crate) type Change<'a> = (&'a [u8], Option<&'a [u8]>);

/// A row with its stored key.
pub(crate) type StoredRow = (Bytes, Version, Bytes);

/// The last commit that a moment sees.
pub(crate) fn last_commit(moment: &Moment) -> u64 {
    moment.visible.saturating_sub(SEQNO_BASE + 1)
}

/// The rows.
pub(crate) struct Tables {
    tree: AnyTree,
    path: PathBuf,
    readers: Readers,
    pins: Arc<Pins>,
    /// Pins that wait for the compaction under way.
    waiting_pins: AtomicUsize,
    /// Memtables that wait to be flushed.
    sealed: Mutex<Vec<Arc<Memtable>>>,
    /// Held while tables are merged, and while a reader is pinned.
    compacting: Mutex<()>,
    /// Readers see tree sequence numbers below this.
    visible: AtomicU64,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Tables {
    /// Opens the tables in `folder`.
    pub(crate) fn open(folder: &Path, options: &LocalOptions) -> Result<Self, StoreError> {
        check_table_files(folder)?;
        let structure = SequenceNumberCounter::default();
        let tree = lsm_tree::Config::new(folder, structure, SequenceNumberCounter::default())
            .use_cache(Arc::new(Cache::with_capacity_bytes(options.cache_bytes)))
            .open()
            .map_err(|error| table_error(folder, error))?;
        let tables = Self {
            tree,
            path: folder.to_owned(),
            readers: Readers::default(),
            pins: Arc::default(),
            waiting_pins: AtomicUsize::new(0),
            sealed: Mutex::default(),
            compacting: Mutex::default(),
            visible: AtomicU64::new(SEQNO_BASE),
        };
        // All that is in tables may be seen, whatever its number.
        tables.visible.store(u64::MAX >> 1, Ordering::SeqCst);
        let flushed = tables.flushed()?;
        tables.publish(flushed);
        Ok(tables)
    }

    /// The last commit that the tables hold; 0 when they are new.
    pub(crate) fn flushed(&self) -> Result<u64, StoreError> {
        Ok(self.get(&self.moment(), &FLUSHED)?.map_or(0, |(version, _)| version.0))
    }

    /// The row's version and value.
    pub(crate) fn get(&self, moment: &Moment, key: &[u8]) -> Result<Option<(Version, Bytes)>, StoreError> {
        let stored = self.tree.get(key, moment.visible).map_err(|error| table_error(&self.path, error))?;
        stored.map(|stored| open_row(key, stored)).transpose()
    }

    /// The row when the active memtable decides it, without any I/O: `None` when it does not.
    #[expect(clippy::option_option, reason = "not known, known absent, known present")]
    pub(crate) fn get_resident(
        &self,
        moment: &Moment,
        key: &[u8],
    ) -> Result<Option<Option<(Version, Bytes)>>, StoreError> {
        match self.tree.active_memtable().get(key, moment.visible) {
            None => Ok(None),
            Some(entry) if entry.key.is_tombstone() => Ok(Some(None)),
            Some(entry) => open_row(key, entry.value).map(|row| Some(Some(row))),
        }
    }

    /// What may be read now.
    pub(crate) fn moment(&self) -> Moment {
        // Whoever has entered before he reads the number is waited for by each flush that could drop what he sees.
        let reader = self.readers.enter();
        Moment { visible: self.visible.load(Ordering::SeqCst), _reader: reader }
    }

    /// What may be read now, by a reader who takes his time and holds nothing up. Waits for a compaction under way.
    pub(crate) fn pinned_moment(&self) -> (Moment, Pin) {
        self.waiting_pins.fetch_add(1, Ordering::SeqCst);
        // A compaction that began before drops values as if nobody were pinned. It may do so while no row is flushed
        // that the new reader does not see, and it is not known what it still chooses.
        let _no_compaction = lock(&self.compacting);
        self.waiting_pins.fetch_sub(1, Ordering::SeqCst);
        let Moment { visible, _reader } = self.moment();
        let pin = self.pins.add(visible);
        (Moment { visible, _reader: Arc::default() }, pin)
    }

    /// Rows of the space in a range, as of a moment.
    pub(crate) fn scan(
        &self,
        moment: &Moment,
        space: Space,
        range: &ScanRange,
        rows_max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut rows: Vec<Row> = Vec::new();
        // How the stored key of the row before begins: mostly the next one is of the same partition.
        let mut before = Bytes::new();
        let range = space_range(space, range);
        for entry in self.tree.range(range, moment.visible, None).take(rows_max) {
            let (key, stored) = entry.into_inner().map_err(|error| table_error(&self.path, error))?;
            let row = match rows.last() {
                Some(last) if key.starts_with(&before) => {
                    row_of(last.partition.clone(), before.len(), key, stored)?
                }
                _ => {
                    let (partition, at) = split_row(&key)?;
                    before = Bytes::copy_from_slice(&key[..at]);
                    row_of(partition.into(), at, key, stored)?
                }
            };
            rows.push(row);
        }
        Ok(rows)
    }

    /// Shows each row of the space, its key and its value, as of a moment. For a look at all of many rows: nothing is kept
    /// of a row that was shown.
    pub(crate) fn each(
        &self,
        moment: &Moment,
        space: Space,
        mut show: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for entry in self.tree.range(space_range(space, &ScanFrom::Start.into()), moment.visible, None) {
            let (key, stored) = entry.into_inner().map_err(|error| table_error(&self.path, error))?;
            let (_, value) = record::open(&key, &stored)?;
            let (_, at) = split_row(&key)?;
            show(&key[at..], value)?;
        }
        Ok(())
    }

    /// Rows of all spaces but the store's own, with stored keys from `from` on, as of a moment; at least one, and no more
    /// after `bytes_max`. None when there are none.
    pub(crate) fn stored_rows(
        &self,
        moment: &Moment,
        from: Vec<u8>,
        bytes_max: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let end = RESERVED_SPACE_ID_MIN.to_be_bytes().to_vec();
        let (mut rows, mut bytes) = (Vec::new(), 0);
        for entry in self.tree.range(from..end, moment.visible, None) {
            let (key, stored) = entry.into_inner().map_err(|error| table_error(&self.path, error))?;
            let (version, value) = open_row(&key, stored)?;
            bytes += key.len() + value.len();
            rows.push((key.into(), version, value));
            if bytes >= bytes_max {
                break;
            }
        }
        Ok(rows)
    }

    /// Puts a commit's changes into the memtable. Readers do not see them before [`Self::publish`].
    pub(crate) fn apply<'a>(&self, version: u64, changes: impl Iterator<Item = Change<'a>>) {
        let seqno = SEQNO_BASE + version;
        for (key, value) in changes {
            match value {
                Some(value) => self.tree.insert(key, record::seal(key, Version(version), value), seqno),
                None => self.tree.remove(key, seqno),
            };
        }
    }

    /// Lets readers see all commits up to `version`.
    pub(crate) fn publish(&self, version: u64) {
        self.visible.store(SEQNO_BASE + version + 1, Ordering::SeqCst);
    }

    /// Size of the memtable that takes changes.
    pub(crate) fn memtable_bytes(&self) -> u64 {
        self.tree.active_memtable().size()
    }

    /// Memtables that wait to be flushed.
    pub(crate) fn sealed_memtables(&self) -> usize {
        self.tree.sealed_memtable_count()
    }

    /// Seals the memtable, whose last commit is `version`. Only the committer may call this.
    pub(crate) fn seal_memtable(&self, version: u64) {
        if !self.tree.active_memtable().is_empty() {
            self.seal_flushed(version);
        }
    }

    /// Seals the memtable, also when it is empty, and notes that the tables hold all commits up to `version`.
    pub(crate) fn seal_flushed(&self, version: u64) {
        self.apply(version, std::iter::once((&FLUSHED[..], Some(&b""[..]))));
        let mut sealed = lock(&self.sealed);
        sealed.extend(self.tree.rotate_memtable());
    }

    /// Writes all sealed memtables to tables, durably.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        let first_new = self.tree.next_table_id();
        self.try_flush().map_err(|error| self.failed(error, first_new))
    }

    fn try_flush(&self) -> lsm_tree::Result<()> {
        let _flush = self.tree.get_flush_lock();
        // All that is in these is visible to readers who enter from now on.
        let sealed = lock(&self.sealed).clone();
        if sealed.is_empty() {
            return Ok(());
        }
        self.readers.drain();
        let pins = self.pins.list();
        let Some((tables, blob_files)) = self.tree.flush_to_tables(kept(&sealed, &pins))? else {
            return Ok(());
        };
        let ids: Vec<u64> = sealed.iter().map(|memtable| memtable.id()).collect();
        self.tree.register_tables(&tables, blob_files.as_deref(), None, &ids, SEQNO_BASE)?;
        lock(&self.sealed).retain(|memtable| !ids.contains(&memtable.id()));
        Ok(())
    }

    /// The error of a flush or compaction, whose tables have numbers from `first_new` on.
    fn failed(&self, error: lsm_tree::Error, first_new: u64) -> StoreError {
        let error = table_error(&self.path, error);
        // After any other error the tree's list of tables on the disk may name them already.
        if matches!(error, StoreError::Full) {
            self.remove_unfinished(first_new);
        }
        error
    }

    /// Removes what a failed flush or compaction left behind: on a full disk that is the space
    /// that the next attempt needs. The tree itself removes it only when it is opened.
    fn remove_unfinished(&self, first_new: u64) {
        let _no_flush = self.tree.get_flush_lock();
        let _no_compaction = lock(&self.compacting);
        let version = self.tree.current_version();
        let live: HashSet<u64> = version.iter_tables().map(lsm_tree::Table::id).collect();
        for id in (first_new..self.tree.next_table_id()).filter(|id| !live.contains(id)) {
            // Most numbers have no file, and what cannot be removed now is removed at the next start.
            let _ = std::fs::remove_file(self.path.join("tables").join(id.to_string()));
        }
    }

    /// Merges tables until there is nothing to merge.
    pub(crate) fn compact(&self, is_stopping: &dyn Fn() -> bool) -> Result<(), StoreError> {
        let strategy = Arc::new(lsm_tree::compaction::Leveled::default());
        while !is_stopping() {
            let before = self.tree.current_version().id();
            let first_new = self.tree.next_table_id();
            while self.waiting_pins.load(Ordering::SeqCst) > 0 && !is_stopping() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let result = {
                let _compacting = lock(&self.compacting);
                // Every row in a table was visible when its flush began, and all readers from
                // before have ended or are pinned: without pins any old value may go.
                let threshold = match self.pins.list().is_empty() {
                    true => self.visible.load(Ordering::SeqCst),
                    false => SEQNO_BASE,
                };
                self.tree.compact(strategy.clone(), threshold)
            };
            result.map_err(|error| self.failed(error, first_new))?;
            if self.tree.current_version().id() == before {
                break;
            }
        }
        Ok(())
    }

    /// Whether compaction is so far behind that writers must wait.
    pub(crate) fn is_behind(&self) -> bool {
        self.tree.l0_run_count() > OVERLAPPING_RUNS_MAX
    }

    /// Disk space of the tables.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.tree.disk_space()
    }

    /// Whether all rows are in memory.
    pub(crate) fn is_resident(&self) -> bool {
        self.tree.table_count() == 0
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_row(key: &[u8], stored: Slice) -> Result<(Version, Bytes), StoreError> {
    let (version, _) = record::open(key, &stored)?;
    Ok((version, Bytes::from(stored).split_off(record::HEAD_BYTES)))
}

/// A row whose partition is known, with a stored key in which its own begins at `at`.
fn row_of(partition: Bytes, at: usize, key: Slice, stored: Slice) -> Result<Row, StoreError> {
    let (version, value) = open_row(&key, stored)?;
    Ok(Row { partition, key: Bytes::from(key).split_off(at), value, version })
}

fn split_row(key: &[u8]) -> Result<(Vec<u8>, usize), StoreError> {
    split(key).ok_or_else(|| StoreError::Damaged {
        what: format!("the row {} in the tables", key.escape_ascii()),
        why: "its key has no partition".to_owned(),
    })
}

/// The stored keys of a space in a range.
fn space_range(space: Space, range: &ScanRange) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let from = scan_start(space, &range.from);
    let end = match &range.until {
        // The tree wants no range that ends before it begins.
        Some(until) => Bound::Excluded(scan_start(space, until).max(from.clone())),
        None => scan_end(space).map_or(Bound::Unbounded, |end| Bound::Excluded(end.to_vec())),
    };
    (Bound::Included(from), end)
}

fn table_error(folder: &Path, error: lsm_tree::Error) -> StoreError {
    match error {
        lsm_tree::Error::Io(source) => StoreError::io("read or write tables in", folder)(source),
        lsm_tree::Error::ChecksumMismatch { .. }
        | lsm_tree::Error::InvalidTrailer
        | lsm_tree::Error::InvalidHeader(_)
        | lsm_tree::Error::InvalidTag(_)
        | lsm_tree::Error::Unrecoverable => StoreError::Damaged {
            what: format!("a row table in {}", folder.display()),
            why: error.to_string(),
        },
        error => StoreError::Tables(error.to_string()),
    }
}
