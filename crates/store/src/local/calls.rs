//! What the embedded backend does for each call.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::backend::{Backend, ExtentSink};
use crate::commit::{Check, Commit, CommitError, Write};
use crate::error::StoreError;
use crate::extent::ExtentRef;
use crate::local::committer::Expect;
use crate::local::group;
use crate::local::key::{check_length, check_names, row_key};
use crate::local::options::{COMMIT_BYTES_MAX, VALUE_BYTES_MAX};
use crate::local::tables::{CheckRange, CheckedRows, StoredRow};
use crate::local::{Local, run_blocking};
use crate::moment::{Moment, Snapshot};
use crate::row::{Row, ScanRange, Space, Version};
use crate::stats::StoreStats;

/// Scans up to this many rows may run where they are asked for.
const SCAN_ROWS_INLINE_MAX: usize = 100;

impl Backend for Local {
    fn get<'a>(
        &'a self,
        moment: Option<Moment>,
        space: Space,
        partition: &'a [u8],
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        let moment = moment.unwrap_or_else(|| self.tables.moment());
        self.read_row(moment, space, partition, key).boxed()
    }

    fn moment(&self) -> Moment {
        self.tables.moment()
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, StoreError>> {
        let (tables, extents) = (self.tables.clone(), self.extents.clone());
        run_blocking(move || {
            // Held first: what is released after the moment is released after this.
            let hold = extents.hold();
            let (moment, pin) = tables.pinned_moment();
            Ok(Snapshot { moment, _pin: pin, _hold: hold })
        })
        .boxed()
    }

    fn read_extent_at<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        extent: &'a ExtentRef,
        offset_bytes: u64,
        length_bytes: usize,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        self.extents.read_at(snapshot.moment(), extent, offset_bytes, length_bytes).boxed()
    }

    fn stored_rows<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        from: Vec<u8>,
        bytes_max: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRow>, StoreError>> {
        let (tables, moment) = (self.tables.clone(), snapshot.moment().clone());
        run_blocking(move || tables.stored_rows(&moment, from, bytes_max)).boxed()
    }

    fn salt(&self) -> u64 {
        self.salt
    }

    fn check_rows<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        range: CheckRange,
        rows_max: usize,
    ) -> BoxFuture<'a, Result<CheckedRows, StoreError>> {
        let (tables, moment) = (self.tables.clone(), snapshot.moment().clone());
        run_blocking(move || Ok(tables.check_rows(&moment, &range, rows_max))).boxed()
    }

    fn damaged_files(&self) -> BoxFuture<'_, Result<Vec<StoreError>, StoreError>> {
        let tables = self.tables.clone();
        run_blocking(move || Ok(tables.damaged_files())).boxed()
    }

    fn extents_at<'a>(
        &'a self,
        snapshot: &'a Snapshot,
        after: Option<&'a ExtentRef>,
        extents_max: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>> {
        self.extents.list_at(snapshot.moment().clone(), after, extents_max).boxed()
    }

    fn scan(
        &self,
        moment: Option<Moment>,
        space: Space,
        range: ScanRange,
        rows_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        async move {
            check_names(space, b"", b"")?;
            let moment = moment.unwrap_or_else(|| self.tables.moment());
            if rows_max <= SCAN_ROWS_INLINE_MAX && (self.tables.is_resident() || self.pace.is_fast()) {
                return self.pace.time(|| self.tables.scan(&moment, space, &range, rows_max));
            }
            let tables = self.tables.clone();
            run_blocking(move || tables.scan(&moment, space, &range, rows_max)).await
        }
        .boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        async move {
            let (checks, writes) = to_stored(&commit)?;
            self.queue.commit(checks, writes).await
        }
        .boxed()
    }

    fn extent_writer(
        &self,
        length_bytes: Option<u64>,
    ) -> BoxFuture<'_, Result<Box<dyn ExtentSink>, StoreError>> {
        async move { Ok(Box::new(self.extents.writer(length_bytes)?) as Box<dyn ExtentSink>) }.boxed()
    }

    fn read_extent<'a>(
        &'a self,
        extent: &'a ExtentRef,
        offset_bytes: u64,
        length_bytes: usize,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        self.extents.read(extent, offset_bytes, length_bytes).boxed()
    }

    fn release_extent<'a>(&'a self, extent: &'a ExtentRef) -> BoxFuture<'a, Result<(), StoreError>> {
        self.extents.release(extent).boxed()
    }

    fn live_extents<'a>(
        &'a self,
        after: Option<&'a ExtentRef>,
        extents_max: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>> {
        self.extents.list(after, extents_max).boxed()
    }

    fn old_extents<'a>(
        &'a self,
        after: Option<&'a ExtentRef>,
        extents_max: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>> {
        self.extents.list_old(after, extents_max).boxed()
    }

    fn stats(&self) -> StoreStats {
        let (read_cache_hits, read_cache_misses) = self.extents.cache_counts();
        StoreStats {
            commits: self.counters.commits.get(),
            conflicts: self.counters.conflicts.get(),
            log_flushes: self.counters.log_flushes.get(),
            log_bytes: self.counters.log_bytes.get(),
            memtable_flushes: self.counters.memtable_flushes.get(),
            compactions: self.counters.compactions.get(),
            table_bytes: self.background.table_bytes(),
            extent_bytes: self.extent_bytes.load(Ordering::Relaxed),
            extent_deferred_bytes: self.extents.deferred_bytes(),
            extent_free_bytes: self.extents.free_bytes(),
            read_cache_hits,
            read_cache_misses,
            extent_bytes_moved: self.counters.extent_bytes_moved.get(),
            extent_bytes_returned: self.counters.extent_bytes_returned.get(),
            is_full: self.health.is_full(),
            is_poisoned: self.health.is_poisoned(),
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            self.compaction.close().await;
            let queue = self.queue.clone();
            run_blocking(move || queue.close()).await
        }
        .boxed()
    }
}

type Stored = (Vec<(Vec<u8>, Expect)>, Vec<group::StoredWrite>);

/// The commit with stored keys, when its sizes are within the limits.
fn to_stored(commit: &Commit) -> Result<Stored, StoreError> {
    let mut checks = Vec::with_capacity(commit.checks.len());
    let mut writes = Vec::with_capacity(commit.writes.len());
    let stored = |key: &Bytes| {
        check_names(commit.space, &commit.partition, key)?;
        Ok::<_, StoreError>(row_key(commit.space, &commit.partition, key))
    };
    for check in &commit.checks {
        checks.push(match check {
            Check::Absent(key) => (stored(key)?, Expect::Absent),
            Check::Present(key) => (stored(key)?, Expect::Present),
            Check::Version(key, version) => (stored(key)?, Expect::Version(version.0)),
        });
    }
    for write in &commit.writes {
        writes.push(match write {
            Write::Put(key, value) => {
                check_length("value", value.len(), VALUE_BYTES_MAX)?;
                (stored(key)?, Some(value.clone()))
            }
            Write::Delete(key) => (stored(key)?, None),
        });
    }
    check_length("commit", group::commit_bytes(&writes), COMMIT_BYTES_MAX)?;
    Ok((checks, writes))
}
