//! Backups: taken while others write, they hold what their snapshot saw, and whatever is done to one is noticed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use welkin_store::backup::{BackupError, Totals};
use welkin_store::{Commit, ExtentRef, Row, ScanFrom, Snapshot, Space, Store};

use crate::store::{OTHER, SPACE, new_store, put, small};

/// Rows of a space and the bytes of the extents that they name.
type Content = (Vec<Row>, Vec<Bytes>);

async fn content(store: &Store, snapshot: &Snapshot) -> Content {
    let (mut rows, mut extents) = (Vec::new(), Vec::new());
    for space in [SPACE, OTHER] {
        rows.extend(store.scan_at(snapshot.moment(), space, ScanFrom::Start, 1_000_000).await.unwrap());
    }
    for row in rows.iter().filter(|row| row.key == "extent") {
        let extent: ExtentRef = serde_json::from_slice(&row.value).unwrap();
        let length = extent.length_bytes() as usize;
        let bytes = store.read_extent_at(snapshot, &extent, 0, length).await.unwrap();
        assert_eq!(bytes.len(), length);
        extents.push(bytes);
    }
    (rows, extents)
}

async fn take(store: &Store, snapshot: &Snapshot) -> (Vec<u8>, Totals) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel::<Bytes>(2);
    let gather = async {
        let mut bytes = Vec::new();
        while let Some(piece) = receiver.recv().await {
            bytes.extend_from_slice(&piece);
        }
        bytes
    };
    let backup = async move {
        let totals = store.backup(snapshot, SystemTime::now(), &sender).await;
        drop(sender);
        totals.unwrap()
    };
    tokio::join!(gather, backup)
}

async fn restore(folder: &Path, backup: &[u8]) -> Result<Totals, BackupError> {
    Store::restore(folder, small(), backup).await
}

/// Puts an extent under the partition's row, in place of the one that was there.
async fn put_extent(store: &Store, space: Space, partition: &str, bytes: Vec<u8>) {
    let last = store.get(space, partition.as_bytes(), b"extent").await.unwrap();
    let mut writer = store.extent_writer(Some(bytes.len() as u64)).await.unwrap();
    writer.write(bytes.into()).await.unwrap();
    let extent = serde_json::to_vec(&writer.finish().await.unwrap()).unwrap();
    store.commit(Commit::new(space, partition.to_owned()).put("extent", extent)).await.unwrap();
    if let Some(last) = last {
        store.release_extent(&serde_json::from_slice(&last.value).unwrap()).await.unwrap();
    }
}

fn random_bytes(random: &mut StdRng, bytes_max: usize) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(0..bytes_max)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// Writes until told to end: rows, deletes, and extents that replace others.
async fn write(store: Store, writer: u64, seed: u64, ends: Arc<AtomicBool>) {
    let mut random = StdRng::seed_from_u64(seed ^ writer);
    while !ends.load(Ordering::SeqCst) {
        let partition = format!("{writer}-{}", random.random_range(0..5));
        match random.random_range(0..10) {
            0..2 => put_extent(&store, OTHER, &partition, random_bytes(&mut random, 200_000)).await,
            2..4 => {
                let key = random.random_range(0..50).to_string();
                store.commit(Commit::new(SPACE, partition).delete(key)).await.unwrap();
            }
            _ => {
                let key = random.random_range(0..50).to_string();
                let value = random_bytes(&mut random, 3000);
                store.commit(Commit::new(SPACE, partition).put(key, value)).await.unwrap();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_of_one_moment_while_others_write() {
    let (_folder, store) = new_store().await;
    let seed = rand::random();
    println!("seed {seed}");
    let ends = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> =
        (0..4).map(|writer| tokio::spawn(write(store.clone(), writer, seed, ends.clone()))).collect();
    for round in 1..=3 {
        while store.stats().memtable_flushes < round * 3 {
            tokio::task::yield_now().await;
        }
        let snapshot = store.snapshot().await.unwrap();
        let expected = content(&store, &snapshot).await;
        let flushes = store.stats().memtable_flushes;
        while store.stats().memtable_flushes < flushes + 3 {
            tokio::task::yield_now().await;
        }
        let (backup, totals) = take(&store, &snapshot).await;
        assert_eq!(totals.rows, expected.0.len() as u64);

        let folder = tempfile::tempdir().unwrap();
        assert_eq!(restore(folder.path(), &backup).await.unwrap(), totals);
        let restored = Store::open_local_with(folder.path(), small()).await.unwrap();
        assert_eq!(content(&restored, &restored.snapshot().await.unwrap()).await, expected);
        // What follows has higher versions and ids than all that came with the backup.
        let last = expected.0.iter().map(|row| row.version).max();
        assert!(Some(put(&restored, "new", "key", "value").await) > last);
        put_extent(&restored, OTHER, "new", b"bytes".to_vec()).await;
        let with_new = content(&restored, &restored.snapshot().await.unwrap()).await;
        assert_eq!(with_new.1.len(), expected.1.len() + 1);
        restored.close().await.unwrap();
    }
    ends.store(true, Ordering::SeqCst);
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test]
async fn a_backup_that_was_changed_makes_no_store() {
    let (_folder, store) = new_store().await;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    for number in 0..40 {
        put(&store, "p", &number.to_string(), "value").await;
    }
    for partition in ["a", "b", "c"] {
        put_extent(&store, OTHER, partition, random_bytes(&mut random, 20_000)).await;
    }
    let (backup, totals) = take(&store, &store.snapshot().await.unwrap()).await;
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("restored");
    let mut bad_backups = vec![Vec::new(), b"welkin".to_vec(), [&backup[..], &backup[..]].concat()];
    for _ in 0..40 {
        let at = random.random_range(0..backup.len());
        bad_backups.push(backup[..at].to_vec());
        let mut flipped = backup.clone();
        flipped[at] ^= 1 << random.random_range(0..8);
        bad_backups.push(flipped);
        let mut missing = backup.clone();
        missing.drain(at..(at + random.random_range(1..300)).min(backup.len()));
        bad_backups.push(missing);
    }
    for bad in bad_backups {
        let error = restore(&folder, &bad).await.expect_err("a changed backup was restored");
        assert!(!matches!(error, BackupError::Store(_)), "{error}");
        assert_eq!(parent.path().read_dir().unwrap().count(), 0, "something is left after: {error}");
    }
    assert_eq!(restore(&folder, &backup).await.unwrap(), totals);
    let again = restore(&folder, &backup).await;
    assert!(matches!(again, Err(BackupError::NotEmpty { .. })), "{again:?}");
    std::fs::create_dir(parent.path().join("other.restoring")).unwrap();
    let unfinished = restore(&parent.path().join("other"), &backup).await;
    assert!(matches!(unfinished, Err(BackupError::Unfinished { .. })), "{unfinished:?}");
}
