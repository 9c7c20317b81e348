//! Deleted bytes come back to the file system, and nobody who reads, writes or crashes notices.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::seq::IteratorRandom as _;
use welkin_store::{Commit, ExtentRef, LocalOptions, ScanFrom, Store};

use crate::extents::write;
use crate::pattern::pattern;
use crate::store::{SPACE, small};

const MIB: u64 = 1 << 20;
/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
/// Set for the child: the store's folder.
const FOLDER: &str = "STORE_COMPACTION_FOLDER";
const KILLS: usize = 4;

fn quick() -> LocalOptions {
    LocalOptions {
        extent_file_bytes: 8 * MIB,
        extent_step_bytes: MIB,
        compaction_bytes_per_second: 1 << 30,
        ..small()
    }
}

async fn open(folder: &Path) -> Store {
    Store::open_local_with(folder, quick()).await.unwrap()
}

/// Disk space of the extent files, as the file system counts it.
fn taken(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let files = std::fs::read_dir(folder.join("extents")).unwrap();
    files.map(|file| file.unwrap().metadata().unwrap().blocks() * 512).sum()
}

async fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn check(store: &Store, extents: &[(u64, usize, ExtentRef)]) {
    for (seed, length, extent) in extents {
        let bytes = store.read_extent(extent, 0, *length).await.unwrap();
        assert!(bytes == pattern(*seed, *length), "extent {seed} of {length} bytes");
    }
}

/// Extents of many sizes, 39 MiB in all.
async fn many(store: &Store) -> Vec<(u64, usize, ExtentRef)> {
    let sizes = [1, 4096, 9000, 70_000, 300_000, 1_200_000, 3_000_000];
    let mut extents = Vec::new();
    for seed in 0..63u64 {
        let length = sizes[seed as usize % sizes.len()];
        let extent = write(store, &pattern(seed, length), Some(length as u64), 1 << 20).await;
        extents.push((seed, length, extent));
    }
    extents
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_bytes_come_back_while_the_rest_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let mut extents = many(&store).await;
    let full = taken(folder.path());
    assert!(full >= 39 * MIB);
    let mut kept = Vec::new();
    for (index, (seed, length, extent)) in extents.drain(..).enumerate() {
        if index % 5 == 0 {
            kept.push((seed, length, extent));
        } else {
            store.release_extent(&extent).await.unwrap();
        }
    }
    let live: u64 = kept.iter().map(|(_, length, _)| *length as u64).sum();
    let reading = {
        let (store, kept) = (store.clone(), kept.clone());
        tokio::spawn(async move {
            loop {
                check(&store, &kept).await;
            }
        })
    };
    // A quarter and a step may be free.
    let bound = live * 4 / 3 + 4 * MIB;
    wait_until("the space does not come back", || taken(folder.path()) <= bound).await;
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled(), "a read failed");
    let stats = store.stats();
    assert!(stats.extent_bytes_moved > 0 && stats.extent_bytes_returned >= full - bound, "{stats:?}");
    check(&store, &kept).await;
    drop(store);
    let store = open(folder.path()).await;
    check(&store, &kept).await;
    for (_, _, extent) in &kept {
        store.release_extent(extent).await.unwrap();
    }
    wait_until("the last space does not come back", || taken(folder.path()) <= 2 * MIB).await;
    // Files that are empty now are used again.
    let extents = many(&store).await;
    assert!(taken(folder.path()) <= full + 8 * MIB);
    check(&store, &extents).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_moves_when_it_must_not() {
    let folder = tempfile::tempdir().unwrap();
    let store =
        Store::open_local_with(folder.path(), LocalOptions { compaction_bytes_per_second: 0, ..quick() })
            .await
            .unwrap();
    for (_, _, extent) in many(&store).await {
        store.release_extent(&extent).await.unwrap();
    }
    let full = taken(folder.path());
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!((taken(folder.path()), store.stats().extent_bytes_returned), (full, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn released_bytes_wait_for_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let extents = many(&store).await;
    // A snapshot has the extents that a commit could have named before.
    store.commit(Commit::new(SPACE, "p").put("after", "all")).await.unwrap();
    let snapshot = store.snapshot().await.unwrap();
    for (_, _, extent) in &extents {
        store.release_extent(extent).await.unwrap();
    }
    let later = write(&store, &pattern(99, 5_000_000), None, 1 << 20).await;
    assert!(store.stats().extent_deferred_bytes >= 39 * MIB);
    for (seed, length, extent) in &extents {
        let bytes = store.read_extent_at(&snapshot, extent, 0, *length).await.unwrap();
        assert!(bytes == pattern(*seed, *length));
    }
    drop(snapshot);
    assert_eq!(store.stats().extent_deferred_bytes, 0);
    wait_until("the space does not come back", || taken(folder.path()) <= 8 * MIB).await;
    check(&store, &[(99, 5_000_000, later)]).await;
}

#[test]
fn being_killed_while_extents_move_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut moved = 0;
    for round in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "compaction::child", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let at = loop {
            let line = lines.next().expect("the child should say what it moved").unwrap();
            if let Some(bytes) = line.strip_prefix("moved ") {
                break bytes.parse::<u64>().unwrap();
            }
        };
        moved += at;
        std::thread::sleep(Duration::from_millis(rand::random_range(0..60)));
        child.kill().unwrap();
        child.wait().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let store = open(folder.path()).await;
            let named = named(&store).await;
            assert!(round == 0 || !named.is_empty());
            check(&store, &named).await;
        });
    }
    assert!(moved > 0);
}

async fn named(store: &Store) -> Vec<(u64, usize, ExtentRef)> {
    let rows = store.scan(SPACE, ScanFrom::Start, 10_000).await.unwrap();
    rows.iter().map(|row| serde_json::from_slice(&row.value).unwrap()).collect()
}

/// Not a test by itself: what the child does, until it is killed.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&folder)).await;
        loop {
            churn(&store).await;
        }
    });
}

/// Writes many extents, deletes most of them, and waits until something moved.
async fn churn(store: &Store) {
    let mut extents = named(store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let store = store.clone();
        tasks.spawn(async move {
            let (seed, length) = (rand::random::<u32>().into(), rand::random_range(1..400_000));
            let extent = (seed, length, write(&store, &pattern(seed, length), None, 1 << 20).await);
            let value = Bytes::from(serde_json::to_vec(&extent).unwrap());
            let commit = Commit::new(SPACE, "p").put(seed.to_be_bytes().to_vec(), value);
            store.commit(commit).await.unwrap();
            extent
        });
    }
    extents.extend(tasks.join_all().await);
    let mut tasks = tokio::task::JoinSet::new();
    while extents.len() > 12 {
        let index = (0..extents.len()).choose(&mut rand::rng()).unwrap();
        let (seed, _, extent) = extents.swap_remove(index);
        let store = store.clone();
        tasks.spawn(async move {
            store.commit(Commit::new(SPACE, "p").delete(seed.to_be_bytes().to_vec())).await.unwrap();
            store.release_extent(&extent).await.unwrap();
        });
    }
    tasks.join_all().await;
    let before = store.stats().extent_bytes_moved;
    wait_until("nothing moves", || store.stats().extent_bytes_moved > before).await;
    // One write per line, so that a line is there whole or not at all.
    let line = format!("moved {}\n", store.stats().extent_bytes_moved);
    std::io::stdout().write_all(line.as_bytes()).unwrap();
    std::io::stdout().flush().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_and_releases_go_on_while_extents_move() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let end = Instant::now() + Duration::from_secs(3);
    let tasks: Vec<_> = (0..4u64)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut live: Vec<(u64, usize, ExtentRef)> = Vec::new();
                let mut seed = task << 32;
                while Instant::now() < end {
                    // Up, then down to little.
                    while live.len() < 60 && Instant::now() < end {
                        seed += 1;
                        let length = 1 + (seed as usize * 7919) % 250_000;
                        let extent = write(&store, &pattern(seed, length), None, 1 << 20).await;
                        live.push((seed, length, extent));
                    }
                    while live.len() > 8 {
                        let index = (seed as usize * 31 + live.len() * 17) % live.len();
                        let gone = live.swap_remove(index);
                        check(&store, std::slice::from_ref(&gone)).await;
                        store.release_extent(&gone.2).await.unwrap();
                    }
                    check(&store, &live).await;
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
                live
            })
        })
        .collect();
    let mut live = Vec::new();
    for task in tasks {
        live.extend(task.await.unwrap());
    }
    assert!(store.stats().extent_bytes_moved > 0, "{:?}", store.stats());
    store.close().await.unwrap();
    drop(store);
    let store = open(folder.path()).await;
    check(&store, &live).await;
    live.sort_by_key(|(_, _, extent)| extent.clone());
    let expected: Vec<_> = live.into_iter().map(|(_, _, extent)| extent).collect();
    assert_eq!(store.live_extents(None, 10_000).await.unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_deleted_rows_shrink() {
    const ROWS: u64 = 20_000;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path()).await;
    let key = |row: u64| row.to_be_bytes().to_vec();
    for first in (0..ROWS).step_by(100) {
        let rows = first..first + 100;
        let commit =
            rows.fold(Commit::new(SPACE, "p"), |commit, row| commit.put(key(row), pattern(row, 1000)));
        store.commit(commit).await.unwrap();
    }
    wait_until("nothing is flushed", || store.stats().table_bytes > 15 * MIB).await;
    for first in (0..ROWS).step_by(100) {
        let rows = first..first + 100;
        store
            .commit(rows.fold(Commit::new(SPACE, "p"), |commit, row| commit.delete(key(row))))
            .await
            .unwrap();
    }
    // The last deletes are flushed.
    store.close().await.unwrap();
    drop(store);
    let store = open(folder.path()).await;
    wait_until("the tables stay large", || store.stats().table_bytes < MIB).await;
    assert_eq!(store.scan(SPACE, ScanFrom::Start, 10).await.unwrap(), []);
}
