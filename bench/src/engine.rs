//! The embedded engine: commits, extents and reads, each beside the raw limit.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use welkin_store::{Commit, ExtentRef, READ_BYTES, Space, Store};

use crate::load::{BenchError, rate};
use crate::raw::{RawFile, RawLog};
use crate::report::{Report, Row};

const SUBMITTERS: [usize; 3] = [1, 16, 64];
const ROWS: Space = Space::new(1, "rows");
const ROW_BYTES: usize = 1000;
/// Rows that are read; few enough to stay in memory.
const READ_ROWS: u64 = 10_000;
const SMALL_BYTES: usize = 4 * 1024;
const LARGE_BYTES: usize = 4 * 1024 * 1024;
/// Places that a raw submitter writes in turn.
const PLACES: u64 = 4;

/// Everything that is measured.
struct Bench {
    store: Store,
    raw_log: RawLog,
    raw_files: Arc<Vec<RawFile>>,
    small: Arc<ExtentRef>,
    large: Arc<ExtentRef>,
    bytes: Bytes,
    duration: Duration,
    report: Report,
}

/// Measures in a new folder inside `folder`.
pub fn run(folder: &Path, rounds: usize, duration: Duration) -> Result<Report, BenchError> {
    let folder = tempfile::tempdir_in(folder)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut bench = Bench::prepare(folder.path(), duration).await?;
        for round in 0..rounds {
            for submitters in SUBMITTERS {
                eprintln!("round {} of {rounds}, {submitters} submitters", round + 1);
                bench.measure_writes(submitters, round).await?;
                bench.measure_reads(submitters).await?;
            }
        }
        bench.store.close().await?;
        Ok(bench.report)
    })
}

impl Bench {
    async fn prepare(folder: &Path, duration: Duration) -> Result<Self, BenchError> {
        let store = Store::open_local(&folder.join("store")).await?;
        let bytes = Bytes::from(vec![0x5A; LARGE_BYTES]);
        let mut writes = Vec::new();
        for number in 0..READ_ROWS {
            let store = store.clone();
            let put = Commit::new(ROWS, "read").put(key(0, 0, number), bytes.slice(..ROW_BYTES));
            writes.push(tokio::spawn(async move { store.commit(put).await }));
        }
        for write in writes {
            write.await.map_err(|error| BenchError::Task(error.to_string()))??;
        }
        let small = Arc::new(write_extent(&store, bytes.slice(..SMALL_BYTES)).await?);
        let large = Arc::new(write_extent(&store, bytes.clone()).await?);
        let raw_files = (0..*SUBMITTERS.iter().max().unwrap_or(&1))
            .map(|number| RawFile::create(&folder.join(format!("raw-{number}")), LARGE_BYTES, PLACES))
            .collect::<Result<Vec<_>, _>>()?;
        // Read later, so that it should be in the page cache.
        for place in 0..PLACES {
            raw_files[0].write(bytes.clone(), place).await?;
        }
        Ok(Self {
            store,
            raw_log: RawLog::start(&folder.join("raw-log"))?,
            raw_files: Arc::new(raw_files),
            small,
            large,
            bytes,
            duration,
            report: Report::default(),
        })
    }

    async fn measure_writes(&mut self, submitters: usize, round: usize) -> Result<(), BenchError> {
        let (log, record) = (self.raw_log.clone(), self.bytes.slice(..ROW_BYTES));
        let raw = rate(submitters, self.duration, move |_, _| {
            let (log, record) = (log.clone(), record.clone());
            async move { log.append(record).await }
        })
        .await?;
        let (store, value) = (self.store.clone(), self.bytes.slice(..ROW_BYTES));
        let commits = rate(submitters, self.duration, move |submitter, number| {
            let key = key(round, submitter, number);
            let partition = format!("{submitters}-{submitter}");
            let commit = Commit::new(ROWS, partition).check_absent(key.clone()).put(key, value.clone());
            let store = store.clone();
            async move { Ok(store.commit(commit).await.map(|_| ())?) }
        })
        .await?;
        let (work, against) = ("commit of a new row of 1 KB", "append and shared fdatasync");
        self.report.add(Row { order: 0, work, against, submitters }, commits, raw);

        let (files, bytes) = (self.raw_files.clone(), self.bytes.clone());
        let raw = rate(submitters, self.duration, move |submitter, number| {
            let (file, bytes) = (files[submitter].clone(), bytes.clone());
            async move { file.write(bytes, number).await }
        })
        .await?;
        let (store, bytes) = (self.store.clone(), self.bytes.clone());
        let extents = rate(submitters, self.duration, move |_, _| {
            let (store, bytes) = (store.clone(), bytes.clone());
            async move {
                let extent = write_extent(&store, bytes).await?;
                // Its space is used again; what the release costs is not what is measured.
                tokio::spawn(async move { store.release_extent(&extent).await });
                Ok(())
            }
        })
        .await?;
        let (work, against) = ("extent of 4 MiB, durable", "write and fdatasync");
        self.report.add(Row { order: 1, work, against, submitters }, extents, raw);
        Ok(())
    }

    async fn measure_reads(&mut self, submitters: usize) -> Result<(), BenchError> {
        let duration = self.duration / 3;
        let raw_small = self.raw_reads(submitters, SMALL_BYTES).await?;
        let store = self.store.clone();
        let rows = rate(submitters, duration, move |_, _| {
            let store = store.clone();
            async move {
                let key = key(0, 0, rand::random_range(0..READ_ROWS));
                store.get(ROWS, b"read", &key).await?;
                yield_sometimes().await;
                Ok(())
            }
        })
        .await?;
        let against = "pread of 4 KiB from cache";
        self.report.add(Row { order: 2, work: "get of a row of 1 KB", against, submitters }, rows, raw_small);

        let small = self.extent_reads(self.small.clone(), submitters, SMALL_BYTES).await?;
        self.report.add(
            Row { order: 3, work: "extent of 4 KiB, read", against, submitters },
            small,
            raw_small,
        );

        let raw_large = self.raw_reads(submitters, LARGE_BYTES).await?;
        let large = self.extent_reads(self.large.clone(), submitters, LARGE_BYTES).await?;
        let against = "pread of the same pieces from cache";
        self.report.add(
            Row { order: 4, work: "extent of 4 MiB, read in pieces of 256 KiB", against, submitters },
            large,
            raw_large,
        );
        Ok(())
    }

    async fn raw_reads(&self, submitters: usize, bytes: usize) -> Result<f64, BenchError> {
        let file = self.raw_files[0].clone();
        rate(submitters, self.duration / 3, move |_, _| {
            let file = file.clone();
            async move {
                file.read(bytes, READ_BYTES)?;
                yield_sometimes().await;
                Ok(())
            }
        })
        .await
    }

    async fn extent_reads(
        &self,
        extent: Arc<ExtentRef>,
        submitters: usize,
        bytes: usize,
    ) -> Result<f64, BenchError> {
        let store = self.store.clone();
        rate(submitters, self.duration / 3, move |_, _| {
            let (store, extent) = (store.clone(), extent.clone());
            async move {
                for offset in (0..bytes).step_by(READ_BYTES) {
                    store.read_extent(&extent, offset as u64, READ_BYTES).await?;
                    yield_sometimes().await;
                }
                Ok(())
            }
        })
        .await
    }
}

/// A read that never waits must still let other tasks run.
async fn yield_sometimes() {
    tokio::task::consume_budget().await;
}

async fn write_extent(store: &Store, bytes: Bytes) -> Result<ExtentRef, BenchError> {
    let mut writer = store.extent_writer(Some(bytes.len() as u64)).await?;
    writer.write(bytes).await?;
    Ok(writer.finish().await?)
}

fn key(round: usize, submitter: usize, number: u64) -> Bytes {
    Bytes::from(format!("{round:04}-{submitter:04}-{number:012}"))
}
