//! A file system that is really full, mounted by the test: writes are refused, reads and deletes go on, and the store
//! recovers by itself when there is room, whoever made it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use welkin_store::{Commit, CommitError, ExtentRef, LocalOptions, Store, StoreError};

use crate::pattern::pattern;
use crate::store::{SPACE, small};

/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(30);
const MIB: usize = 1 << 20;

/// A small file system, unmounted when this is dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// None without the right to mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"])
            .arg(folder.path())
            .output()
            .unwrap();
        if !mount.status.success() {
            assert!(!rustix::process::geteuid().is_root(), "{}", String::from_utf8_lossy(&mount.stderr));
            return None;
        }
        Some(Self(folder))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("store")
    }

    /// A file of somebody else.
    fn other(&self) -> PathBuf {
        self.0.path().join("other")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Nothing has a file open there any more, or soon will not have.
        let _ = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
    }
}

async fn open(path: &Path) -> Store {
    let options = LocalOptions { compaction_bytes_per_second: 1 << 30, ..small() };
    Store::open_local_with(path, options).await.unwrap()
}

fn is_full<E: Into<CommitError>>(error: E) -> bool {
    matches!(error.into(), CommitError::Store(StoreError::Full))
}

fn key(seed: u64) -> Vec<u8> {
    seed.to_be_bytes().to_vec()
}

/// A row of 20 KB, and every fourth time an extent of 700 KB that a second row names.
async fn put(store: &Store, seed: u64) -> Result<(), CommitError> {
    let mut commit = Commit::new(SPACE, "p").put(key(seed), pattern(seed, 20_000));
    if seed.is_multiple_of(4) {
        let mut writer = store.extent_writer(Some(700_000)).await?;
        writer.write(pattern(seed, 700_000)).await?;
        let extent = writer.finish().await?;
        let named = Bytes::from(serde_json::to_vec(&extent).unwrap());
        commit = commit.put([key(seed), b"extent".to_vec()].concat(), named);
    }
    store.commit(commit).await.map(|_| ())
}

async fn extent_of(store: &Store, seed: u64) -> Option<ExtentRef> {
    let row = store.get(SPACE, b"p", &[key(seed), b"extent".to_vec()].concat()).await.unwrap();
    row.map(|row| serde_json::from_slice(&row.value).unwrap())
}

async fn check(store: &Store, seeds: impl Iterator<Item = u64>) {
    for seed in seeds {
        let row = store.get(SPACE, b"p", &key(seed)).await.unwrap().expect("an acknowledged row");
        assert!(row.value == pattern(seed, 20_000), "row {seed}");
        if let Some(extent) = extent_of(store, seed).await {
            assert!(store.read_extent(&extent, 0, 700_000).await.unwrap() == pattern(seed, 700_000));
        }
    }
}

async fn delete(store: &Store, seed: u64) {
    let extent = extent_of(store, seed).await;
    let commit = Commit::new(SPACE, "p").delete(key(seed));
    let commit = commit.delete([key(seed), b"extent".to_vec()].concat());
    // Without any room in the log a delete waits for a flush, as it says.
    let start = Instant::now();
    while let Err(error) = store.commit(commit.clone()).await {
        assert!(is_full(error) && start.elapsed() < PATIENCE, "a delete is refused for ever");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if let Some(extent) = extent {
        store.release_extent(&extent).await.unwrap();
    }
}

/// Puts until the disk is full; the first seed that was refused.
async fn fill(store: &Store, from: u64) -> u64 {
    for seed in from.. {
        if let Err(error) = put(store, seed).await {
            assert!(is_full(error));
            return seed;
        }
        assert!(seed < from + 10_000, "the disk is not small");
    }
    unreachable!()
}

/// As [`fill`], and at least up to `enough`: room that was made comes back bit by bit, so that a write may be refused
/// once more on the way.
async fn fill_past(store: &Store, from: u64, enough: u64) -> u64 {
    let (start, mut seed) = (Instant::now(), from);
    loop {
        seed = fill(store, seed).await;
        if seed > enough {
            return seed;
        }
        assert!(start.elapsed() < PATIENCE, "full again after {}: {:?}", seed - from, store.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn wait_until_it_takes(store: &Store, seed: u64) {
    let start = Instant::now();
    while let Err(error) = put(store, seed).await {
        assert!(is_full(error));
        assert!(start.elapsed() < PATIENCE, "it does not recover: {:?}", store.stats());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_survived() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let path = disk.path();
    std::fs::write(disk.other(), vec![1; 16 * MIB]).unwrap();
    let store = open(&path).await;
    let first = fill(&store, 0).await;
    assert!(first > 30, "full after {first}");
    check(&store, 0..first).await;
    // Another process makes room.
    std::fs::remove_file(disk.other()).unwrap();
    wait_until_it_takes(&store, first).await;
    let second = fill_past(&store, first + 1, first + 8).await;
    check(&store, 0..second).await;
    // It opens while it is full.
    drop(store);
    let store = open(&path).await;
    check(&store, 0..second).await;
    // Deletes make room.
    for seed in 0..second - 8 {
        delete(&store, seed).await;
    }
    wait_until_it_takes(&store, second).await;
    let third = fill_past(&store, second + 1, second + 20).await;
    check(&store, second - 8..third).await;
    assert!(!store.stats().is_poisoned);
    store.close().await.unwrap();
    drop(store);
    check(&open(&path).await, second - 8..third).await;
}
