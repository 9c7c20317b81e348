//! The backend: rows as keys of etcd's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use crate::commit::{Commit, CommitError};
use crate::error::StoreError;
use crate::etcd::Etcd;
use crate::etcd::client::NoAnswer;
use crate::etcd::commit::{conflict, rows_prefix, stored_key, transaction};
use crate::etcd::election::Fence;
use crate::etcd::wire::{Base64, Int64, KeyValue, Range, RangeAnswer, TxnAnswer};
use crate::local::{check_names, row_key, scan_end, scan_start, split};
use crate::moment::Moment;
use crate::row::{Row, ScanRange, Space, Version};

/// Rows of the first page of a scan. How many the next ones have follows from their length.
const FIRST_PAGE_ROWS: usize = 8;
/// What a page is to have, in bytes.
const PAGE_BYTES: usize = 4 << 20;
/// Rows of a page, at most.
const PAGE_ROWS_MAX: usize = 2_000;
/// After an answer that was too long, a page has so many times fewer rows.
const PAGE_SHRINK: usize = 8;

/// The rows of a cluster, with what its writers compare.
#[derive(Debug)]
pub(crate) struct Rows {
    pub etcd: Etcd,
    fence: Option<Fence>,
    closed: AtomicBool,
    pub commits: AtomicU64,
    pub conflicts: AtomicU64,
}

impl Rows {
    pub fn new(etcd: Etcd, fence: Option<Fence>) -> Self {
        let (commits, conflicts) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { etcd, fence, closed: AtomicBool::new(false), commits, conflicts }
    }

    /// What was seen by now. Before anything was, each read sees the last.
    pub fn seen(&self) -> Moment {
        Moment { visible: self.etcd.seen.load(Ordering::Acquire), _reader: Arc::new(()) }
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Ordering::Acquire) { Err(StoreError::Closed) } else { Ok(()) }
    }

    async fn range(&self, range: &Range) -> Result<RangeAnswer, NoAnswer> {
        let answer: RangeAnswer = self.etcd.members.ask("/v3/kv/range", range).await?;
        self.etcd.seen.fetch_max(answer.header.revision.0, Ordering::AcqRel);
        Ok(answer)
    }

    pub async fn read(
        &self,
        moment: Option<Moment>,
        space: Space,
        partition: &[u8],
        key: &[u8],
    ) -> Result<Option<Row>, StoreError> {
        self.check_open()?;
        check_names(space, partition, key)?;
        let stored = Base64(stored_key(&self.etcd.prefix, &row_key(space, partition, key)));
        let answer =
            self.range(&Range { key: stored, revision: revision(moment), ..Range::default() }).await?;
        Ok(answer.kvs.into_iter().next().map(|found| Row {
            partition: Bytes::copy_from_slice(partition),
            key: Bytes::copy_from_slice(key),
            version: Version(found.mod_revision.0),
            value: found.value.0.into(),
        }))
    }

    /// Page after page, all at the revision of the first.
    pub async fn read_range(
        &self,
        moment: Option<Moment>,
        space: Space,
        range: ScanRange,
        rows_max: usize,
    ) -> Result<Vec<Row>, StoreError> {
        self.check_open()?;
        check_names(space, b"", b"")?;
        let prefix = &self.etcd.prefix;
        let mut from = stored_key(prefix, &scan_start(space, &range.from));
        let end = range.until.map(|until| scan_start(space, &until));
        let space_end = scan_end(space).map(Vec::from);
        let end = stored_key(prefix, &end.or(space_end).unwrap_or_default());
        let mut revision = revision(moment);
        let mut rows: Vec<Row> = Vec::new();
        let mut page_rows = FIRST_PAGE_ROWS;
        while rows.len() < rows_max && from < end {
            let limit = page_rows.min(rows_max - rows.len());
            let (key, range_end) = (Base64(from.clone()), Some(Base64(end.clone())));
            let limit_of_page = Some(Int64(limit as u64));
            let page = Range { key, range_end, limit: limit_of_page, revision, keys_only: false };
            let answer = match self.range(&page).await {
                Err(NoAnswer::TooLarge) if limit > 1 => {
                    page_rows = (limit / PAGE_SHRINK).max(1);
                    continue;
                }
                other => other?,
            };
            revision = revision.or(Some(answer.header.revision));
            let count = answer.kvs.len();
            if let Some(last) = answer.kvs.last() {
                from.clone_from(&last.key.0);
                from.push(0);
            }
            let page_bytes: usize = answer.kvs.iter().map(|row| row.key.0.len() + row.value.0.len()).sum();
            page_rows = (PAGE_BYTES * count.max(1) / page_bytes.max(1)).clamp(1, PAGE_ROWS_MAX);
            for found in answer.kvs {
                rows.push(self.row(found)?);
            }
            if count < limit {
                break;
            }
        }
        Ok(rows)
    }

    fn row(&self, found: KeyValue) -> Result<Row, StoreError> {
        let stored = found.key.0.get(rows_prefix(&self.etcd.prefix).len()..).unwrap_or_default();
        let (partition, at) = split(stored).ok_or_else(|| StoreError::Damaged {
            what: format!("the key {:?} in etcd", String::from_utf8_lossy(&found.key.0)),
            why: "it is not one of a row".to_owned(),
        })?;
        let key = Bytes::copy_from_slice(stored.get(at..).unwrap_or_default());
        let version = Version(found.mod_revision.0);
        Ok(Row { partition: partition.into(), key, value: found.value.0.into(), version })
    }

    pub async fn write(&self, commit: Commit) -> Result<Version, CommitError> {
        self.check_open()?;
        let txn = transaction(&self.etcd.prefix, &commit, self.fence.as_ref())?;
        let answer: TxnAnswer =
            self.etcd.members.ask_once("/v3/kv/txn", &txn).await.map_err(StoreError::from)?;
        let revision = answer.header.revision.0;
        self.etcd.seen.fetch_max(revision, Ordering::AcqRel);
        if answer.succeeded {
            self.commits.fetch_add(1, Ordering::Relaxed);
            return Ok(Version(revision));
        }
        self.conflicts.fetch_add(1, Ordering::Relaxed);
        Err(conflict(&commit, self.fence.as_ref(), &answer))
    }
}

fn revision(moment: Option<Moment>) -> Option<Int64> {
    moment.map(|moment| Int64(moment.visible)).filter(|revision| revision.0 > 0)
}
