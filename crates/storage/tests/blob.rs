//! Containers and blobs over the real store.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot go on")]

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::block_list::Source;
use welkin_storage::blob::condition::{Conditions, ETags, etag_text};
use welkin_storage::blob::container::NewContainer;
use welkin_storage::blob::delete::Deleting;
use welkin_storage::blob::list::ListBlobs;
use welkin_storage::blob::read::ByteRange;
use welkin_storage::blob::state::BlobRecord;
use welkin_storage::blob::write::NewBlob;
use welkin_storage::blob::{BlobError, BlobPath, Revision};
use welkin_storage::space::{BLOBS, CONTAINERS, GARBAGE};
use welkin_storage::{Account, AccountError, KeyName, NewKeys, Storage, Uid, cleaner};
use welkin_store::{ScanFrom, Space, Store};

const ACCOUNT: Uid = Uid::from_bytes([1; 16]);

/// The account that most tests write to.
static OWNER: LazyLock<Account> = LazyLock::new(|| account("owner", ACCOUNT));

fn account(name: &str, uid: Uid) -> Account {
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    Account::new(AccountName::new(name).unwrap(), uid, now(), keys)
}

fn path(name: &str) -> BlobPath<'_> {
    BlobPath { account: &OWNER, container: "c", name }
}

const LARGE: usize = 300_000;

fn now() -> Timestamp {
    Timestamp::from_ticks(17_900_000_000_000_000)
}

async fn open(folder: &TempDir) -> Storage {
    Storage::over(Store::open_local(folder.path()).await.unwrap())
}

/// An engine with the container `c`.
async fn with_container() -> (TempDir, Storage) {
    let folder = TempDir::new().unwrap();
    let storage = open(&folder).await;
    create(&storage, 2).await;
    (folder, storage)
}

async fn create(storage: &Storage, uid: u8) {
    let new = NewContainer::private(Uid::from_bytes([uid; 16]));
    storage.create_container(ACCOUNT, "c", new, now()).await.unwrap();
}

async fn put(storage: &Storage, name: &str, bytes: Vec<u8>, new: &NewBlob) -> Result<BlobRecord, BlobError> {
    let mut writer = storage.blob_writer(Some(bytes.len() as u64));
    for piece in bytes.chunks(70_000) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    storage.put_blob(path(name), writer.finish().await.unwrap(), new, now()).await
}

async fn stage(storage: &Storage, name: &str, id: &[u8], bytes: Vec<u8>) -> Result<(), BlobError> {
    let mut writer = storage.block_writer(None);
    writer.write(bytes.into()).await.unwrap();
    storage.put_block(path(name), id, writer.finish().await.unwrap(), None, now()).await
}

async fn get(storage: &Storage, name: &str, range: Option<ByteRange>) -> Result<Vec<u8>, BlobError> {
    let (_, _, mut reader) =
        storage.read_blob(path(name), Revision::Current, range, &Conditions::default(), now()).await?;
    let mut whole = Vec::new();
    while let Some(bytes) = reader.next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

async fn rows(storage: &Storage, space: Space) -> usize {
    storage.store().scan(space, ScanFrom::Start, 10_000).await.unwrap().len()
}

fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|n| (n / 7) as u8 ^ seed).collect()
}

#[tokio::test]
async fn what_was_put_is_there_after_opening_again() {
    let (folder, storage) = with_container().await;
    for (name, length) in [("empty", 0), ("small", 100), ("large", LARGE)] {
        put(&storage, name, pattern(length, 1), &NewBlob::default()).await.unwrap();
    }
    stage(&storage, "staged", b"a", pattern(10, 2)).await.unwrap();
    storage.close().await.unwrap();
    drop(storage);
    let storage = open(&folder).await;
    for (name, length) in [("empty", 0), ("small", 100), ("large", LARGE)] {
        assert_eq!(get(&storage, name, None).await.unwrap(), pattern(length, 1), "{name}");
    }
    let list = [(Source::Latest, b"a".to_vec())];
    storage.put_block_list(path("staged"), &list, &NewBlob::default(), now()).await.unwrap();
    assert_eq!(get(&storage, "staged", None).await.unwrap(), pattern(10, 2));
}

#[tokio::test]
async fn a_reader_keeps_its_bytes() {
    let (_folder, storage) = with_container().await;
    put(&storage, "b", pattern(4 << 20, 1), &NewBlob::default()).await.unwrap();
    let always = Conditions::default();
    let (_, _, mut reader) =
        storage.read_blob(path("b"), Revision::Current, None, &always, now()).await.unwrap();
    let mut whole = reader.next().await.unwrap().unwrap().to_vec();
    for seed in 2..30 {
        put(&storage, "b", pattern(1 << 20, seed), &NewBlob::default()).await.unwrap();
    }
    storage.delete_blob(path("b"), Deleting::Blob, &Conditions::default(), now()).await.unwrap();
    while let Some(bytes) = reader.next().await.unwrap() {
        whole.extend_from_slice(&bytes);
    }
    assert_eq!(whole, pattern(4 << 20, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_many_wins() {
    let (_folder, storage) = with_container().await;
    let create = NewBlob {
        conditions: Conditions { if_none_match: Some(ETags::Any), ..Conditions::default() },
        ..NewBlob::default()
    };
    let first = put(&storage, "b", vec![0], &NewBlob::default()).await.unwrap();
    let replace = NewBlob {
        conditions: Conditions {
            if_match: Some(ETags::OneOf(vec![etag_text(first.etag)])),
            ..Conditions::default()
        },
        ..NewBlob::default()
    };
    for (name, new) in [("new", create), ("b", replace)] {
        let writes = (0..8).map(|seed| {
            let (storage, new) = (storage.clone(), new.clone());
            tokio::spawn(async move { put(&storage, name, pattern(LARGE, seed), &new).await.is_ok() })
        });
        let mut wins = 0;
        for write in writes.collect::<Vec<_>>() {
            wins += usize::from(write.await.unwrap());
        }
        assert_eq!(wins, 1, "{name}");
    }
}

#[tokio::test]
async fn block_lists_share_and_drop_blocks() {
    let (_folder, storage) = with_container().await;
    let blob = path("b");
    let new = NewBlob::default();
    for (id, seed) in [(b"1", 1), (b"2", 2), (b"3", 3)] {
        stage(&storage, "b", id, pattern(LARGE, seed)).await.unwrap();
    }
    assert!(matches!(stage(&storage, "b", b"22", vec![1]).await, Err(BlobError::BlockIdLengthDiffers)));
    let list = |text: &str| -> Vec<_> { text.bytes().map(|id| (Source::Latest, vec![id])).collect() };
    // A block twice, then kept once; its bytes must stay.
    for text in ["1231", "31", "3"] {
        storage.put_block_list(blob, &list(text), &new, now()).await.unwrap();
        let expected: Vec<u8> = text.bytes().flat_map(|id| pattern(LARGE, id - b'0')).collect();
        assert_eq!(get(&storage, "b", None).await.unwrap(), expected, "{text}");
    }
    for (source, id) in [(Source::Committed, b"1"), (Source::Uncommitted, b"3")] {
        let result = storage.put_block_list(blob, &[(source, id.to_vec())], &new, now()).await;
        assert!(matches!(result, Err(BlobError::InvalidBlockList)), "{source:?}");
    }
    let range = ByteRange { first: 5, last: Some(9) };
    assert_eq!(get(&storage, "b", Some(range)).await.unwrap(), pattern(LARGE, 3)[5..10]);
}

#[tokio::test]
async fn long_block_lists_span_rows() {
    let (_folder, storage) = with_container().await;
    let id = |n: u32| n.to_be_bytes().to_vec();
    stage(&storage, "b", &id(0), b"zero".to_vec()).await.unwrap();
    stage(&storage, "b", &id(1), b"one".to_vec()).await.unwrap();
    let blob = path("b");
    for count in [2500_u32, 3500, 1, 1000, 1001] {
        let list: Vec<_> = (0..count).map(|n| (Source::Latest, id(n % 2))).collect();
        storage.put_block_list(blob, &list, &NewBlob::default(), now()).await.unwrap();
        let expected: Vec<u8> =
            (0..count).flat_map(|n| if n % 2 == 0 { &b"zero"[..] } else { b"one" }.to_vec()).collect();
        assert_eq!(get(&storage, "b", None).await.unwrap(), expected, "{count}");
        if count == 1 {
            stage(&storage, "b", &id(1), b"one".to_vec()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn listing_agrees_with_a_model() {
    let (_folder, storage) = with_container().await;
    let names: Vec<String> = (0..700).map(|n| format!("{}/{}/{n}", n % 3, n % 40)).collect();
    for name in &names {
        put(&storage, name, Vec::new(), &NewBlob::default()).await.unwrap();
    }
    stage(&storage, "1/staged", b"x", vec![1]).await.unwrap();
    for (prefix, delimiter, items_max) in [
        ("", None, 1000),
        ("", None, 7),
        ("1/", None, 50),
        ("", Some("/"), 2),
        ("1/", Some("/"), 3),
        ("1/1", Some("/"), 1),
    ] {
        let mut model: BTreeMap<String, ()> = BTreeMap::new();
        for name in names.iter().filter(|name| name.starts_with(prefix)) {
            let cut = delimiter
                .and_then(|d: &str| name[prefix.len()..].find(d).map(|at| prefix.len() + at + d.len()));
            model.insert(name[..cut.unwrap_or(name.len())].to_owned(), ());
        }
        let mut ask = ListBlobs {
            prefix: prefix.to_owned(),
            delimiter: delimiter.map(str::to_owned),
            items_max,
            ..ListBlobs::default()
        };
        let mut found = Vec::new();
        loop {
            let page = storage.list_blobs(ACCOUNT, "c", &ask, now()).await.unwrap();
            assert!(page.items.len() <= items_max);
            found.extend(page.items.iter().map(|item| item.name().to_owned()));
            match page.next {
                Some(next) => ask.marker = Some(next),
                None => break,
            }
        }
        let mut expected: Vec<String> = model.into_keys().collect();
        expected.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        assert_eq!(found, expected, "{prefix:?} {delimiter:?} {items_max}");
    }
}

#[tokio::test]
async fn a_deleted_container_is_out_of_reach_and_then_gone() {
    let (_folder, storage) = with_container().await;
    for n in 0..20 {
        put(&storage, &format!("b{n}"), pattern(LARGE, n), &NewBlob::default()).await.unwrap();
    }
    stage(&storage, "staged", b"x", pattern(LARGE, 1)).await.unwrap();
    storage.delete_container(&OWNER, "c", &Conditions::default(), now()).await.unwrap();
    assert!(matches!(get(&storage, "b0", None).await, Err(BlobError::ContainerNotFound)));
    create(&storage, 3).await;
    assert!(matches!(get(&storage, "b0", None).await, Err(BlobError::BlobNotFound)));
    put(&storage, "new", pattern(LARGE, 9), &NewBlob::default()).await.unwrap();
    while storage.clean(now()).await.unwrap() {}
    assert_eq!(rows(&storage, BLOBS).await, 1);
    assert_eq!(get(&storage, "new", None).await.unwrap(), pattern(LARGE, 9));
    assert_eq!(rows(&storage, GARBAGE).await, 1);
    let later = now().plus(cleaner::GRACE).plus(Duration::from_secs(1));
    while storage.clean(later).await.unwrap() {}
    assert_eq!((rows(&storage, GARBAGE).await, rows(&storage, BLOBS).await), (0, 1));
}

/// Notes of what is gone stay for a while, and must not keep the cleaner from those behind them.
#[tokio::test]
async fn many_deleted_containers_are_gone_soon() {
    const CONTAINERS: u16 = 250;
    let folder = TempDir::new().unwrap();
    let storage = open(&folder).await;
    storage.create_account(&OWNER).await.unwrap();
    for number in 0..CONTAINERS {
        let mut uid = [9; 16];
        uid[..2].copy_from_slice(&number.to_be_bytes());
        storage
            .create_container(ACCOUNT, "c", NewContainer::private(Uid::from_bytes(uid)), now())
            .await
            .unwrap();
        put(&storage, "b", pattern(10, 1), &NewBlob::default()).await.unwrap();
        storage.delete_container(&OWNER, "c", &Conditions::default(), now()).await.unwrap();
    }
    assert_eq!(rows(&storage, BLOBS).await, usize::from(CONTAINERS));
    while storage.clean(now()).await.unwrap() {}
    assert_eq!(rows(&storage, BLOBS).await, 0);
}

#[tokio::test]
async fn accounts() {
    let folder = TempDir::new().unwrap();
    let storage = open(&folder).await;
    let (mine, name) = (account("mine", ACCOUNT), AccountName::new("mine").unwrap());
    storage.create_account(&mine).await.unwrap();
    let again = storage.create_account(&account("mine", Uid::from_bytes([7; 16]))).await;
    assert!(matches!(again, Err(AccountError::AlreadyExists(_))));
    let replaced = storage.replace_account_key(&name, KeyName::Secondary, &[3; 64]).await.unwrap();
    assert_eq!((replaced.primary_key, replaced.secondary_key), (vec![1; 64], vec![3; 64]));
    assert!(!format!("{mine:?}").contains("key"));
    create(&storage, 4).await;
    let held = NewBlob { legal_hold: true, ..NewBlob::default() };
    put(&storage, "b", pattern(LARGE, 1), &held).await.unwrap();
    assert!(matches!(storage.delete_account(&name, now()).await, Err(AccountError::Protected(_))));
    let (current, always) = (Revision::Current, Conditions::default());
    storage.set_legal_hold(path("b"), current, false, &always, now()).await.unwrap();
    storage.delete_account(&name, now()).await.unwrap();
    assert!(storage.account(&name).await.unwrap().is_none());
    assert!(matches!(storage.delete_account(&name, now()).await, Err(AccountError::NotFound(_))));
    while storage.clean(now()).await.unwrap() {}
    assert_eq!((rows(&storage, CONTAINERS).await, rows(&storage, BLOBS).await), (0, 0));
    assert_eq!(storage.accounts().await.unwrap(), Vec::<AccountName>::new());
}

/// A block that is put and then committed is in one of the lists at each moment, and so in what reads them.
#[tokio::test(flavor = "multi_thread")]
async fn block_lists_are_of_one_moment() {
    let (_folder, storage) = with_container().await;
    for round in 0..50_u8 {
        let ids: Vec<Vec<u8>> = (0..5).map(|n| vec![round, n]).collect();
        for id in &ids {
            stage(&storage, "b", id, id.clone()).await.unwrap();
        }
        let list: Vec<_> = ids.iter().map(|id| (Source::Latest, id.clone())).collect();
        let commit = tokio::spawn({
            let storage = storage.clone();
            async move { storage.put_block_list(path("b"), &list, &NewBlob::default(), now()).await }
        });
        while !commit.is_finished() {
            let lists =
                storage.block_lists(path("b"), Revision::Current, &Conditions::default(), now()).await;
            let lists = lists.unwrap();
            let blocks = || lists.committed.iter().chain(&lists.uncommitted);
            let found: Vec<_> = ids.iter().filter(|id| blocks().any(|block| block.id == **id)).collect();
            assert_eq!(found.len(), ids.len(), "round {round}");
        }
        commit.await.unwrap().unwrap();
    }
}

/// A range of a long list of blocks, however uneven they are: in one row, over its end, over several.
#[tokio::test]
async fn ranges_of_a_long_list() {
    let (_folder, storage) = with_container().await;
    let blocks = [(b"a", 1), (b"b", 500), (b"c", 7)].map(|(id, length)| (id, pattern(length, id[0])));
    for (id, bytes) in &blocks {
        stage(&storage, "long", *id, bytes.clone()).await.unwrap();
    }
    let order = (0..4_321_usize).map(|n| &blocks[if n < 2_000 { 0 } else { 1 + usize::from(n % 5 == 0) }]);
    let whole: Vec<u8> = order.clone().flat_map(|(_, bytes)| bytes.clone()).collect();
    let list: Vec<_> = order.map(|(id, _)| (Source::Latest, id.to_vec())).collect();
    storage.put_block_list(path("long"), &list, &NewBlob::default(), now()).await.unwrap();
    let end = whole.len() as u64;
    for first in
        [0, 1, 998, 999, 1_000, 1_999, 2_000, 2_006, 2_007, 2_100, 300_000, 400_007, 407_000, end - 1]
    {
        for length in [1, 2, 7, 1_000, 1_001, 100_000, 420_000, end] {
            let last = first + length - 1;
            let expected = &whole[first as usize..(last as usize + 1).min(whole.len())];
            let got = get(&storage, "long", Some(ByteRange { first, last: Some(last) })).await.unwrap();
            assert!(got == expected, "{length} from {first}: got {}", got.len());
        }
    }
    assert!(get(&storage, "long", None).await.unwrap() == whole);
}
