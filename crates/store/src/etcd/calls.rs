//! The backend's calls: rows as etcd has them, and a refusal of everything that only the embedded store has.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};

use crate::backend::{Backend, ExtentSink};
use crate::commit::{Commit, CommitError};
use crate::error::StoreError;
use crate::etcd::rows::Rows;
use crate::extent::ExtentRef;
use crate::local::{CheckRange, CheckedRows, StoredRow};
use crate::moment::{Moment, Snapshot};
use crate::row::{Row, ScanRange, Space, Version};
use crate::stats::StoreStats;

fn no<'a, T: Send + 'a>(what: &'static str) -> BoxFuture<'a, Result<T, StoreError>> {
    ready(Err(StoreError::NotOverEtcd(what))).boxed()
}

impl Backend for Rows {
    fn get<'a>(
        &'a self,
        moment: Option<Moment>,
        space: Space,
        partition: &'a [u8],
        key: &'a [u8],
    ) -> BoxFuture<'a, Result<Option<Row>, StoreError>> {
        self.read(moment, space, partition, key).boxed()
    }

    fn scan(
        &self,
        moment: Option<Moment>,
        space: Space,
        range: ScanRange,
        rows_max: usize,
    ) -> BoxFuture<'_, Result<Vec<Row>, StoreError>> {
        self.read_range(moment, space, range, rows_max).boxed()
    }

    fn commit(&self, commit: Commit) -> BoxFuture<'_, Result<Version, CommitError>> {
        self.write(commit).boxed()
    }

    fn moment(&self) -> Moment {
        self.seen()
    }

    fn stats(&self) -> StoreStats {
        StoreStats {
            commits: self.commits.load(Ordering::Relaxed),
            conflicts: self.conflicts.load(Ordering::Relaxed),
            ..StoreStats::default()
        }
    }

    fn close(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Rows::close(self);
        ready(Ok(())).boxed()
    }

    fn salt(&self) -> u64 {
        0
    }

    fn snapshot(&self) -> BoxFuture<'_, Result<Snapshot, StoreError>> {
        no("snapshots: back etcd up with `etcdctl snapshot save`")
    }

    fn stored_rows<'a>(
        &'a self,
        _: &'a Snapshot,
        _: Vec<u8>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<StoredRow>, StoreError>> {
        no("snapshots")
    }

    fn check_rows<'a>(
        &'a self,
        _: &'a Snapshot,
        _: CheckRange,
        _: usize,
    ) -> BoxFuture<'a, Result<CheckedRows, StoreError>> {
        no("snapshots")
    }

    fn damaged_files(&self) -> BoxFuture<'_, Result<Vec<StoreError>, StoreError>> {
        no("files")
    }

    fn extent_writer(&self, _: Option<u64>) -> BoxFuture<'_, Result<Box<dyn ExtentSink>, StoreError>> {
        no("extents")
    }

    fn read_extent<'a>(
        &'a self,
        _: &'a ExtentRef,
        _: u64,
        _: usize,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        no("extents")
    }

    fn read_extent_at<'a>(
        &'a self,
        _: &'a Snapshot,
        _: &'a ExtentRef,
        _: u64,
        _: usize,
    ) -> BoxFuture<'a, Result<Bytes, StoreError>> {
        no("extents")
    }

    fn release_extent<'a>(&'a self, _: &'a ExtentRef) -> BoxFuture<'a, Result<(), StoreError>> {
        no("extents")
    }

    fn extents_at<'a>(
        &'a self,
        _: &'a Snapshot,
        _: Option<&'a ExtentRef>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>> {
        no("extents")
    }

    fn live_extents<'a>(
        &'a self,
        _: Option<&'a ExtentRef>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>> {
        no("extents")
    }

    fn old_extents<'a>(
        &'a self,
        _: Option<&'a ExtentRef>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<ExtentRef>, StoreError>> {
        no("extents")
    }
}
