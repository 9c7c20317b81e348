//! A disk that is full: writes are refused clearly, reads and deletes go on, and room helps.

use welkin_store::{Commit, CommitError, LocalOptions, ScanFrom, Store, StoreError};

use crate::extents::write;
use crate::pattern::pattern;
use crate::store::{SPACE, small};

async fn limited(bytes: u64) -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let options = LocalOptions { disk_bytes_max: Some(bytes), ..small() };
    let store = Store::open_local_with(folder.path(), options).await.unwrap();
    (folder, store)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_refused_when_the_disk_is_full_and_deletes_are_not() {
    let (_folder, store) = limited(6 << 20).await;
    let mut written = 0u64;
    let error = loop {
        let key = written.to_be_bytes().to_vec();
        match store.commit(Commit::new(SPACE, "p").put(key, pattern(written, 50_000))).await {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
        assert!(written < 1000, "the limit does not hold");
    };
    assert!(matches!(error, CommitError::Store(StoreError::Full)), "{error}");
    let row = store.get(SPACE, b"p", &0u64.to_be_bytes()).await.unwrap().unwrap();
    assert!(row.value == pattern(0, 50_000));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    for number in 0..written {
        // A refused delete has started a flush, after which the log has room again.
        while let Err(error) =
            store.commit(Commit::new(SPACE, "p").delete(number.to_be_bytes().to_vec())).await
        {
            assert!(matches!(error, CommitError::Store(StoreError::Full)), "{error}");
            assert!(std::time::Instant::now() < deadline, "deletes are refused for ever");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
    assert_eq!(store.scan(SPACE, ScanFrom::Start, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extents_are_refused_when_the_disk_is_full_until_some_are_released() {
    let (_folder, store) = limited(10 << 20).await;
    let bytes = pattern(1, 1 << 20);
    let mut extents = Vec::new();
    let error = loop {
        let mut writer = store.extent_writer(Some(bytes.len() as u64)).await.unwrap();
        let result = match writer.write(bytes.clone()).await {
            Ok(()) => writer.finish().await,
            Err(error) => Err(error),
        };
        match result {
            Ok(extent) => extents.push(extent),
            Err(error) => break error,
        }
        assert!(extents.len() < 100, "the limit does not hold");
    };
    assert!(matches!(error, StoreError::Full), "{error}");
    assert!(extents.len() >= 8);
    for extent in &extents {
        assert!(store.read_extent(extent, 0, bytes.len()).await.unwrap() == bytes);
    }
    store.release_extent(&extents[3]).await.unwrap();
    let again = write(&store, &bytes, Some(bytes.len() as u64), 65536).await;
    assert!(store.read_extent(&again, 0, bytes.len()).await.unwrap() == bytes);
}
