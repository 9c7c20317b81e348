//! Extents that a crash left without a row are found and released, and no others: not even while commits move
//! extents from row to row.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::append::AppendConditions;
use welkin_storage::blob::block_list::Source;
use welkin_storage::blob::condition::Conditions;
use welkin_storage::blob::container::NewContainer;
use welkin_storage::blob::content::NewContent;
use welkin_storage::blob::page::{PageWrite, SequenceConditions};
use welkin_storage::blob::write::NewBlob;
use welkin_storage::blob::{BlobPath, Revision};
use welkin_storage::{Account, NewKeys, Storage, Uid};
use welkin_store::Store;

/// Larger than what lies in a row.
const LARGE: usize = 40_000;

static OWNER: LazyLock<Account> = LazyLock::new(|| {
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), now(), keys)
});

fn now() -> Timestamp {
    Timestamp::from_ticks(17_900_000_000_000_000)
}

fn path(name: &str) -> BlobPath<'_> {
    BlobPath { account: &OWNER, container: "con", name }
}

async fn open(folder: &TempDir) -> Storage {
    Storage::over(Store::open_local(folder.path()).await.unwrap())
}

async fn content(storage: &Storage, byte: u8) -> NewContent {
    let mut writer = storage.block_writer(None);
    writer.write(Bytes::from(vec![byte; LARGE])).await.unwrap();
    writer.finish().await.unwrap()
}

async fn read(storage: &Storage, name: &str) -> Vec<u8> {
    let always = Conditions::default();
    let (_, _, mut reader) =
        storage.read_blob(path(name), Revision::Current, None, &always, now()).await.unwrap();
    let mut whole = Vec::new();
    while let Some(bytes) = reader.next().await.unwrap() {
        whole.extend_from_slice(&bytes);
    }
    whole
}

async fn stage(storage: &Storage, name: &str, ids: std::ops::Range<u8>) {
    for id in ids {
        let block = content(storage, id).await;
        storage.put_block(path(name), &[id], block, None, now()).await.unwrap();
    }
}

async fn commit(storage: &Storage, name: &str, ids: impl Iterator<Item = u8>) {
    let list: Vec<_> = ids.map(|id| (Source::Latest, vec![id])).collect();
    storage.put_block_list(path(name), &list, &NewBlob::default(), now()).await.unwrap();
}

async fn extents(storage: &Storage) -> usize {
    storage.store().live_extents(None, 10_000).await.unwrap().len()
}

#[tokio::test]
async fn what_a_crash_left_is_released() {
    let folder = TempDir::new().unwrap();
    let storage = open(&folder).await;
    let new = NewContainer::private(Uid::from_bytes([2; 16]));
    storage.create_container(OWNER.uid, "con", new, now()).await.unwrap();
    // One of each kind of row that names extents.
    storage.put_blob(path("whole"), content(&storage, 1).await, &NewBlob::default(), now()).await.unwrap();
    stage(&storage, "blocks", 0..3).await;
    commit(&storage, "blocks", 0..3).await;
    stage(&storage, "blocks", 3..5).await;
    storage.put_append_blob(path("appended"), &NewBlob::default(), now()).await.unwrap();
    let (any, always) = (AppendConditions::default(), Conditions::default());
    storage.append_block(path("appended"), content(&storage, 2).await, &any, &always, now()).await.unwrap();
    storage.put_page_blob(path("pages"), 1 << 20, 0, &NewBlob::default(), now()).await.unwrap();
    let write = PageWrite::Update(vec![3; 65536].into());
    let sequence = SequenceConditions::default();
    storage.put_pages(path("pages"), 0..65536, &write, &sequence, &always, now()).await.unwrap();
    storage.snapshot_blob(path("whole"), None, &always, now()).await.unwrap();
    let named = extents(&storage).await;
    assert_eq!(named, 8);
    // What a crash leaves that comes before the commit.
    for byte in 0..5 {
        let mut writer = storage.store().extent_writer(None).await.unwrap();
        writer.write(Bytes::from(vec![byte; LARGE])).await.unwrap();
        writer.finish().await.unwrap();
    }
    storage.close().await.unwrap();
    drop(storage);
    let storage = open(&folder).await;
    // What is new has a row soon, whether or not it has one now.
    let fresh = content(&storage, 9).await;
    assert_eq!(storage.release_orphans().await.unwrap(), 5);
    assert_eq!(extents(&storage).await, named + 1);
    drop(fresh);
    assert_eq!(storage.release_orphans().await.unwrap(), 0);
    assert_eq!(read(&storage, "whole").await, vec![1; LARGE]);
    assert_eq!(read(&storage, "appended").await, vec![2; LARGE]);
    commit(&storage, "blocks", 0..5).await;
    assert_eq!(read(&storage, "blocks").await.len(), 5 * LARGE);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_moves_meanwhile_stays() {
    const BLOBS: usize = 12;
    /// More than one scan reads, so that a commit moves blocks from before where a search is to behind it.
    const BLOCKS: u16 = 700;
    let folder = TempDir::new().unwrap();
    let storage = open(&folder).await;
    let new = NewContainer::private(Uid::from_bytes([2; 16]));
    storage.create_container(OWNER.uid, "con", new, now()).await.unwrap();
    let names: Vec<String> = (0..BLOBS).map(|index| format!("b{index}")).collect();
    for name in &names {
        let mut staging = tokio::task::JoinSet::new();
        for id in 0..BLOCKS {
            let (storage, name) = (storage.clone(), name.clone());
            staging.spawn(async move {
                let mut writer = storage.block_writer(None);
                writer.write(Bytes::copy_from_slice(&id.to_be_bytes())).await.unwrap();
                let block = writer.finish().await.unwrap();
                storage.put_block(path(&name), &id.to_be_bytes(), block, None, now()).await.unwrap();
            });
        }
        while let Some(staged) = staging.join_next().await {
            staged.unwrap();
        }
    }
    storage.close().await.unwrap();
    drop(storage);
    let storage = open(&folder).await;
    let (end, mut ended) = tokio::sync::watch::channel(false);
    let searching = tokio::spawn({
        let storage = storage.clone();
        async move {
            let mut released = 0;
            while !*ended.borrow_and_update() {
                released += storage.release_orphans().await.unwrap();
            }
            released
        }
    });
    for name in &names {
        let list: Vec<_> = (0..BLOCKS).map(|id| (Source::Latest, id.to_be_bytes().to_vec())).collect();
        storage.put_block_list(path(name), &list, &NewBlob::default(), now()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    end.send(true).unwrap();
    assert_eq!(searching.await.unwrap(), 0);
    let expected: Vec<u8> = (0..BLOCKS).flat_map(u16::to_be_bytes).collect();
    for name in &names {
        assert!(read(&storage, name).await == expected, "{name}");
    }
}
