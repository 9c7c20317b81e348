//! Extents: written once, read in parts, released.

use bytes::Bytes;
use welkin_store::{Commit, EXTENT_BYTES_MAX, ExtentRef, LocalOptions, Store, StoreError};

use crate::pattern::pattern;
use crate::store::{SPACE, new_store, small};

/// Writes an extent in pieces.
pub async fn write(store: &Store, bytes: &Bytes, expected: Option<u64>, piece: usize) -> ExtentRef {
    let mut writer = store.extent_writer(expected).await.unwrap();
    for start in (0..bytes.len()).step_by(piece) {
        writer.write(bytes.slice(start..bytes.len().min(start + piece))).await.unwrap();
    }
    writer.finish().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_length_reads_back_in_any_part() {
    check_lengths(small()).await;
    // Writers that find no room write small pieces.
    check_lengths(LocalOptions { write_buffer_bytes: 0, ..small() }).await;
}

async fn check_lengths(options: LocalOptions) {
    const K: usize = 1024;
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_local_with(folder.path(), options).await.unwrap();
    let rows = [
        (0, Some(0), 1),
        (0, None, 1),
        (1, Some(1), 1),
        (4096, Some(4096), 1000),
        (4097, None, 4096),
        (100 * K, Some(100 * K), 7777),
        // More or less came than was expected.
        (300 * K + 1, Some(100 * K), 65536),
        (300 * K + 1, Some(900 * K), 65536),
        (2500 * K, Some(10 * K), 30000),
        (1024 * K, Some(1024 * K), 1024 * K),
        (1024 * K - 1, Some(1024 * K - 1), 1024 * K),
        (6000 * K + 3, Some(6000 * K + 3), 100_000),
        (20 * K * K, None, 1_000_000),
        (18 * K * K + 17, Some(18 * K * K + 17), 1_000_000),
    ];
    let mut written = Vec::new();
    for (seed, (length, expected, piece)) in rows.into_iter().enumerate() {
        let bytes = pattern(seed as u64, length);
        let extent = write(&store, &bytes, expected.map(|expected| expected as u64), piece).await;
        assert_eq!(extent.length_bytes(), length as u64);
        written.push((extent, bytes));
    }
    for (extent, bytes) in &written {
        check_parts(&store, extent, bytes).await;
    }
    drop(store);
    let store = Store::open_local_with(folder.path(), small()).await.unwrap();
    for (extent, bytes) in &written {
        check_parts(&store, extent, bytes).await;
    }
    let live = store.live_extents(None, 100).await.unwrap();
    assert_eq!(live, written.iter().map(|(extent, _)| extent.clone()).collect::<Vec<_>>());
    assert_eq!(store.live_extents(Some(&live[11]), 1).await.unwrap(), live[12..13]);
}

async fn check_parts(store: &Store, extent: &ExtentRef, bytes: &Bytes) {
    let length = bytes.len();
    let parts = [
        (0, length),
        (0, length + 10),
        (length / 2, 1),
        (length / 3, length / 3),
        (65_535, 2),
        (1_048_575, 2),
        (length.saturating_sub(1), 10),
        (length, 1),
        (length + 1, 1),
    ];
    for (offset, wanted) in parts {
        let expected = bytes.slice(offset.min(length)..(offset + wanted).min(length).max(offset.min(length)));
        let found = store.read_extent(extent, offset as u64, wanted).await.unwrap();
        assert!(found == expected, "{wanted} bytes from {offset} of {length}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn released_space_is_used_again() {
    let (folder, store) = new_store().await;
    let bytes = pattern(1, 1_500_000);
    for round in 0..20 {
        let first = write(&store, &bytes, Some(bytes.len() as u64), 65536).await;
        let second = write(&store, &bytes, None, 65536).await;
        // A writer that is dropped leaves nothing.
        let mut dropped = store.extent_writer(None).await.unwrap();
        dropped.write(bytes.clone()).await.unwrap();
        drop(dropped);
        store.release_extent(&first).await.unwrap();
        let gone = store.read_extent(&first, 0, 10).await;
        assert!(matches!(gone, Err(StoreError::NoExtent(_))), "{gone:?}");
        let again = store.release_extent(&first).await;
        assert!(matches!(again, Err(StoreError::NoExtent(_))), "{again:?}");
        assert!(store.read_extent(&second, 0, bytes.len()).await.unwrap() == bytes, "round {round}");
        store.release_extent(&second).await.unwrap();
    }
    assert_eq!(store.live_extents(None, 10).await.unwrap(), []);
    let used: u64 = std::fs::read_dir(folder.path().join("extents"))
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    assert!(used <= 32 << 20, "60 extents of 1.5 MB, two at a time, took {used} bytes");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_small_extents_at_once() {
    let (_folder, store) = new_store().await;
    let tasks: Vec<_> = (0..64u64)
        .map(|seed| {
            let store = store.clone();
            tokio::spawn(async move {
                let bytes = pattern(seed, 20_000 + seed as usize * 100);
                let extent = write(&store, &bytes, Some(bytes.len() as u64), 8192).await;
                let name = Commit::new(SPACE, "extents").put(seed.to_be_bytes().to_vec(), "named");
                store.commit(name).await.unwrap();
                (extent, bytes)
            })
        })
        .collect();
    for task in tasks {
        let (extent, bytes) = task.await.unwrap();
        assert!(store.read_extent(&extent, 0, bytes.len()).await.unwrap() == bytes);
    }
}

#[tokio::test]
async fn too_long_an_extent_is_refused_at_once() {
    let (_folder, store) = new_store().await;
    let refused = store.extent_writer(Some(EXTENT_BYTES_MAX + 1)).await;
    assert!(matches!(refused, Err(StoreError::TooLarge { what: "extent", .. })), "{refused:?}");
}
