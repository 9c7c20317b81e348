//! Stores for tests.

use tempfile::TempDir;
use welkin_store::{Commit, LocalOptions, Space, Store, Version};

pub const SPACE: Space = Space::new(1, "first");
pub const OTHER: Space = Space::new(2, "second");

/// Small sizes, so that a test flushes, compacts and uses segments again.
pub fn small() -> LocalOptions {
    LocalOptions {
        memtable_bytes: 256 * 1024,
        segment_bytes: 1024 * 1024,
        cache_bytes: 1024 * 1024,
        extent_file_bytes: 16 * 1024 * 1024,
        extent_step_bytes: 4 * 1024 * 1024,
        disk_bytes_max: None,
        ..LocalOptions::default()
    }
}

/// A new store in a folder of its own.
pub async fn new_store() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_local_with(folder.path(), small()).await.unwrap();
    (folder, store)
}

/// Commits one row without a check.
pub async fn put(store: &Store, partition: &str, key: &str, value: &str) -> Version {
    let commit = Commit::new(SPACE, partition.to_owned()).put(key.to_owned(), value.to_owned());
    store.commit(commit).await.unwrap()
}

/// The row's value as text.
pub async fn get(store: &Store, partition: &str, key: &str) -> Option<String> {
    let row = store.get(SPACE, partition.as_bytes(), key.as_bytes()).await.unwrap()?;
    Some(String::from_utf8(row.value.to_vec()).unwrap())
}
