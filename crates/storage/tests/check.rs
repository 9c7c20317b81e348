//! A check finds what is damaged, and nothing else, and says which blob it is.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bytes::Bytes;
use tempfile::TempDir;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::BlobPath;
use welkin_storage::blob::container::NewContainer;
use welkin_storage::blob::write::NewBlob;
use welkin_storage::check::{Checked, Finding};
use welkin_storage::space::{ENTITIES, MESSAGES};
use welkin_storage::{Account, NewKeys, Storage, Uid};
use welkin_store::{Commit, Store};

/// Three chunks of the store and a bit.
const LARGE: usize = 200_000;
const BLOBS: u8 = 6;

static OWNER: LazyLock<Account> = LazyLock::new(|| {
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), now(), keys)
});

fn now() -> Timestamp {
    Timestamp::from_ticks(17_900_000_000_000_000)
}

async fn open(folder: &TempDir) -> Storage {
    Storage::over(Store::open_local(folder.path()).await.unwrap())
}

/// Blobs `blob0` to `blob5` in the container `con`, each full of a byte of its own, and one that lies in its row.
async fn sample() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder).await;
    storage.create_account(&OWNER).await.unwrap();
    let new = NewContainer::private(Uid::from_bytes([2; 16]));
    storage.create_container(OWNER.uid, "con", new, now()).await.unwrap();
    for byte in 0..BLOBS {
        put(&storage, &format!("blob{byte}"), vec![0xA0 + byte; LARGE]).await;
    }
    put(&storage, "small", vec![1; 100]).await;
    storage.close().await.unwrap();
    folder
}

async fn put(storage: &Storage, name: &str, bytes: Vec<u8>) {
    let path = BlobPath { account: &OWNER, container: "con", name };
    let mut writer = storage.blob_writer(None);
    writer.write(Bytes::from(bytes)).await.unwrap();
    let content = writer.finish().await.unwrap();
    storage.put_blob(path, content, &NewBlob::default(), now()).await.unwrap();
}

async fn check(storage: &Storage) -> (Checked, Vec<Finding>) {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let gather = async {
        let mut findings = Vec::new();
        while let Some(finding) = receiver.recv().await {
            findings.push(finding);
        }
        findings
    };
    let (checked, findings) = tokio::join!(storage.check(sender), gather);
    (checked.unwrap(), findings)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// Changes bytes of the one file of the folder where `find` says.
fn harm(folder: &Path, find: impl Fn(&[u8]) -> Option<usize>) -> (PathBuf, usize) {
    for path in files(folder) {
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = find(&bytes) {
            bytes[at] ^= 0x10;
            std::fs::write(&path, bytes).unwrap();
            return (path, at);
        }
    }
    panic!("nothing to harm in {}", folder.display());
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is_wrong() {
    let folder = sample().await;
    let storage = open(&folder).await;
    let (checked, findings) = check(&storage).await;
    assert_eq!(findings, []);
    let expected = (1, 1, u64::from(BLOBS) + 1, u64::from(BLOBS), u64::from(BLOBS) * LARGE as u64);
    let Checked { accounts, containers, blobs, extents, extent_bytes, .. } = checked;
    assert_eq!((accounts, containers, blobs, extents, extent_bytes), expected);
}

#[tokio::test]
async fn a_flipped_bit_in_an_extent_names_the_blob_and_the_place() {
    for byte in 0..BLOBS {
        let folder = sample().await;
        // In the blob's second chunk.
        let (path, at) = harm(&folder.path().join("extents"), |bytes| {
            bytes.iter().position(|&found| found == 0xA0 + byte).map(|start| start + 100_000)
        });
        let (_, findings) = check(&open(&folder).await).await;
        let [Finding { is_damage: true, what, why }] = &findings[..] else {
            panic!("not one finding: {findings:?}");
        };
        assert_eq!(what, &format!("blob \"blob{byte}\" in the container \"con\" in the account \"owner\""));
        assert!(why.contains(&path.display().to_string()), "{why}");
        let second_chunk = at - 100_000 + 65_536;
        assert!(why.contains(&format!("offset {second_chunk} ")), "{why} for {at}");
    }
}

#[tokio::test]
async fn damaged_tables_are_found_wherever_they_are_hit() {
    let sample = sample().await;
    let storage = open(&sample).await;
    // Rows of many blocks.
    for number in 0..60 {
        put(&storage, &format!("small{number}"), vec![number; 3000]).await;
    }
    storage.close().await.unwrap();
    drop(storage);
    let table = files(&sample.path().join("tables").join("tables")).pop().unwrap();
    let named = table.display().to_string();
    let whole = std::fs::read(&table).unwrap();
    let mut opened = 0;
    for at in (0..whole.len()).step_by(whole.len() / 25) {
        let mut bytes = whole.clone();
        bytes[at] ^= 4;
        std::fs::write(&table, bytes).unwrap();
        match Store::open_local(sample.path()).await {
            Err(error) => {
                assert!(error.to_string().contains("tables"), "byte {at}: {error}");
                let files = Store::damaged_files_in(sample.path()).unwrap();
                assert!(files.len() == 1 && files[0].to_string().contains(&named), "byte {at}: {files:?}");
            }
            Ok(store) => {
                opened += 1;
                let storage = Storage::over(store);
                let (checked, findings) = check(&storage).await;
                assert!(findings.iter().any(|found| found.why.contains(&named)), "byte {at}: {findings:?}");
                assert_eq!(checked.damaged, findings.iter().filter(|found| found.is_damage).count() as u64);
                storage.close().await.unwrap();
            }
        }
    }
    assert!(opened > 0, "no damage was left to be found by a check");
}

#[tokio::test]
async fn rows_that_mean_nothing_are_named() {
    let folder = sample().await;
    let storage = open(&folder).await;
    let partition = [&[7; 16][..], b"partition"].concat();
    let nonsense = Commit::new(ENTITIES, partition).put(&b"row"[..], &b"\xffnonsense"[..]);
    storage.store().commit(nonsense).await.unwrap();
    let key = [&b"v"[..], &[0; 24]].concat();
    let empty = Commit::new(MESSAGES, vec![8; 16]).put(key, &b""[..]);
    storage.store().commit(empty).await.unwrap();
    let (checked, findings) = check(&storage).await;
    assert_eq!(checked.damaged, 2);
    let named: Vec<_> = findings.iter().map(|finding| finding.what.as_str()).collect();
    assert!(named[0].starts_with("entity with PartitionKey \"partition\" and RowKey \"row\""), "{named:?}");
    assert!(named[1].starts_with("message 00000000-0000-0000-0000-000000000000"), "{named:?}");
}
