//! Copies over the real store: each kind of source, ended in every way in which a copy can end. Whatever happened,
//! nothing is left in the store when the blobs are deleted and cleaned.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::append::AppendConditions;
use welkin_storage::blob::block_list::Source;
use welkin_storage::blob::condition::{Conditions, ETags};
use welkin_storage::blob::container::NewContainer;
use welkin_storage::blob::copy::{CopyError, CopyPiece, Layout, LocalSource, PieceSender, Pieces, Stopped};
use welkin_storage::blob::delete::Deleting;
use welkin_storage::blob::encryption::CustomerKey;
use welkin_storage::blob::page::{PageWrite, SequenceConditions};
use welkin_storage::blob::state::{BlobRecord, CopyState, CopyStatus, Encryption};
use welkin_storage::blob::write::NewBlob;
use welkin_storage::blob::{BlobError, BlobPath, Revision};
use welkin_storage::space::{BLOBS, COPIES, GARBAGE};
use welkin_storage::{Account, NewKeys, Storage, Uid, cleaner};
use welkin_store::{ScanFrom, Store};

const ID: &str = "9d4f2f3a-3a0c-4c1e-8a53-0e7c1b6ce0a5";
const MIB: usize = 1 << 20;

static OWNER: LazyLock<Account> = LazyLock::new(|| account(false));

fn account(versioning: bool) -> Account {
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    let mut account = Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), now(), keys);
    account.settings.versioning = versioning;
    account
}

fn now() -> Timestamp {
    Timestamp::from_ticks(17_900_000_000_000_000)
}

fn path(name: &str) -> BlobPath<'_> {
    BlobPath { account: &OWNER, container: "c", name }
}

fn always() -> Conditions {
    Conditions::default()
}

async fn with_container() -> (TempDir, Storage) {
    let folder = TempDir::new().unwrap();
    let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
    storage.create_account(&OWNER).await.unwrap();
    let new = NewContainer::private(Uid::from_bytes([2; 16]));
    storage.create_container(OWNER.uid, "c", new, now()).await.unwrap();
    (folder, storage)
}

/// The kinds of sources; each makes the blob `source`, of several pieces.
const KINDS: [&str; 4] = ["whole", "blocks", "appended", "pages"];

async fn make(storage: &Storage, kind: &str) {
    let new = NewBlob::default();
    let bytes =
        |seed: usize, length: usize| Bytes::from_iter((0..length).map(|at| ((at / 3 + seed) % 251) as u8));
    match kind {
        "whole" => {
            let mut writer = storage.blob_writer(None);
            writer.write(bytes(1, 5 * MIB)).await.unwrap();
            let content = writer.finish().await.unwrap();
            storage.put_blob(path("source"), content, &new, now()).await.unwrap();
        }
        "blocks" => {
            let ids: Vec<_> = (0_u8..5).map(|id| (Source::Latest, vec![id])).collect();
            for (_, id) in &ids {
                let mut writer = storage.block_writer(None);
                writer.write(bytes(id[0].into(), MIB + 77)).await.unwrap();
                let content = writer.finish().await.unwrap();
                storage.put_block(path("source"), id, content, None, now()).await.unwrap();
            }
            storage.put_block_list(path("source"), &ids, &new, now()).await.unwrap();
        }
        "appended" => {
            storage.put_append_blob(path("source"), &new, now()).await.unwrap();
            for seed in 0..150 {
                let mut writer = storage.append_writer(None);
                writer.write(bytes(seed, 1 + seed * 333)).await.unwrap();
                let (content, any) = (writer.finish().await.unwrap(), AppendConditions::default());
                storage.append_block(path("source"), content, &any, &always(), now()).await.unwrap();
            }
        }
        _ => {
            storage.put_page_blob(path("source"), 64 << 20, 3, &new, now()).await.unwrap();
            for at in [0, 3, 9, 10, 63_u64] {
                let write = PageWrite::Update(bytes(at as usize + 1, MIB));
                let (range, any) = (at << 20..(at + 1) << 20, SequenceConditions::default());
                storage.put_pages(path("source"), range, &write, &any, &always(), now()).await.unwrap();
            }
        }
    }
}

async fn read(storage: &Storage, name: &str) -> Vec<u8> {
    let (_, _, mut reader) =
        storage.read_blob(path(name), Revision::Current, None, &always(), now()).await.unwrap();
    let mut whole = Vec::new();
    while let Some(bytes) = reader.next().await.unwrap() {
        whole.extend_from_slice(&bytes);
    }
    whole
}

async fn blob(storage: &Storage, name: &str) -> BlobRecord {
    storage.blob(path(name), Revision::Current, &always(), now()).await.unwrap()
}

/// Begins a copy of `source` to `copy`: how it is parted, and its pieces.
async fn begin(storage: &Storage) -> (Layout, Pieces) {
    let source =
        storage.copy_source(path("source"), Revision::Current, &always(), false, now()).await.unwrap();
    let copy = CopyState::begun(ID.to_owned(), "http://h/source".to_owned(), source.blob.length_bytes);
    let new = NewBlob { copy: Some(copy), ..NewBlob::default() };
    let local = LocalSource {
        account: OWNER.name.clone(),
        container: "c".to_owned(),
        name: "source".to_owned(),
        revision: Revision::Current,
        etag: source.blob.etag,
    };
    storage.begin_copy(path("copy"), &new, &source.layout, Some(local), now()).await.unwrap();
    (source.layout, Pieces::of(source.reader))
}

async fn status(storage: &Storage) -> (CopyStatus, u64) {
    let blob = blob(storage, "copy").await;
    (blob.copy.unwrap().status, blob.length_bytes)
}

/// Deletes all and lets the cleaner go through twice: no row and no extent is left.
async fn nothing_is_left(storage: &Storage, what: &str) {
    for name in ["source", "copy"] {
        match storage.delete_blob(path(name), Deleting::WithSnapshots, &always(), now()).await {
            Ok(_) | Err(BlobError::BlobNotFound) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let later = now().plus(cleaner::GRACE * 2);
    while storage.clean(now()).await.unwrap() {}
    while storage.clean(later).await.unwrap() {}
    storage.clean(later).await.unwrap();
    for space in [BLOBS, GARBAGE, COPIES] {
        assert_eq!(
            storage.store().scan(space, ScanFrom::Start, 10).await.unwrap(),
            [],
            "{what} {}",
            space.name
        );
    }
    let none = async {
        while !storage.store().live_extents(None, 10).await.unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), none)
        .await
        .unwrap_or_else(|_| panic!("{what}: extents are left"));
}

/// The source's pieces up to so many bytes, through a channel that stays open: the copy waits for more.
async fn some_of(storage: &Storage, bytes_max: usize) -> (PieceSender, Pieces) {
    let (sender, pieces) = Pieces::channel();
    let bytes = Bytes::from(read(storage, "source").await).slice(..bytes_max);
    let first = sender.clone();
    tokio::spawn(async move { first.send(Ok(CopyPiece::Bytes(bytes))).await });
    (sender, pieces)
}

#[tokio::test]
async fn succeeds() {
    for kind in KINDS {
        let (_folder, storage) = with_container().await;
        make(&storage, kind).await;
        let (layout, mut pieces) = begin(&storage).await;
        assert_eq!(status(&storage).await, (CopyStatus::Pending, 0), "{kind}");
        let done = storage.carry_out_copy(path("copy"), ID, &layout, &mut pieces, now).await.unwrap();
        let source = blob(&storage, "source").await;
        assert_eq!(done.copy.as_ref().unwrap().copied_bytes, source.length_bytes, "{kind}");
        assert_eq!(
            (done.length_bytes, done.blob_type()),
            (source.length_bytes, source.blob_type()),
            "{kind}"
        );
        assert_eq!((done.appended(), done.sequence_number()), (source.appended(), source.sequence_number()));
        assert!(read(&storage, "copy").await == read(&storage, "source").await, "{kind}");
        // What happens to the source afterwards is nothing to the copy.
        let content = read(&storage, "copy").await;
        storage.delete_blob(path("source"), Deleting::Blob, &always(), now()).await.unwrap();
        while storage.clean(now()).await.unwrap() {}
        assert!(read(&storage, "copy").await == content, "{kind}");
        nothing_is_left(&storage, kind).await;
    }
}

#[tokio::test]
async fn fails_with_the_source() {
    for kind in KINDS {
        let (_folder, storage) = with_container().await;
        make(&storage, kind).await;
        let (layout, _) = begin(&storage).await;
        for ended in ["error", "early"] {
            let (sender, mut pieces) = some_of(&storage, 3 * MIB + 512).await;
            if ended == "error" {
                tokio::spawn(async move { sender.send(Err("lost".to_owned())).await });
            } else {
                drop(sender);
            }
            let done = storage.carry_out_copy(path("copy"), ID, &layout, &mut pieces, now).await;
            assert!(matches!(done, Err(Stopped::Source(_))), "{kind} {ended}");
            assert_eq!(status(&storage).await, (CopyStatus::Pending, 0), "{kind} {ended}");
        }
        storage.fail_copy(path("copy"), ID, "lost", now()).await.unwrap();
        assert_eq!(status(&storage).await, (CopyStatus::Failed, 0), "{kind}");
        assert_eq!(read(&storage, "copy").await, b"", "{kind}");
        nothing_is_left(&storage, kind).await;
    }
}

#[tokio::test]
async fn goes_on_after_a_restart() {
    for kind in KINDS {
        let (folder, storage) = with_container().await;
        make(&storage, kind).await;
        let (layout, _) = begin(&storage).await;
        let (_sender, mut pieces) = some_of(&storage, 3 * MIB + 512).await;
        let copying = storage.carry_out_copy(path("copy"), ID, &layout, &mut pieces, now);
        assert!(tokio::time::timeout(Duration::from_millis(300), copying).await.is_err(), "{kind}");
        storage.close().await.unwrap();
        drop(storage);
        let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
        let pending = storage.pending_copies(now()).await.unwrap();
        assert_eq!(pending.len(), 1, "{kind}");
        assert_eq!((pending[0].name.as_str(), pending[0].copy.id.as_str()), ("copy", ID), "{kind}");
        assert_eq!(pending[0].source.as_ref().unwrap().name, "source");
        storage.restart_copy(path("copy"), ID, now()).await.unwrap();
        let unchanged = always();
        let source = storage.copy_source(path("source"), Revision::Current, &unchanged, false, now());
        let source = source.await.unwrap();
        let (layout, mut pieces) = (source.layout, Pieces::of(source.reader));
        storage.carry_out_copy(path("copy"), ID, &layout, &mut pieces, now).await.unwrap();
        assert!(read(&storage, "copy").await == read(&storage, "source").await, "{kind}");
        assert_eq!(storage.pending_copies(now()).await.unwrap().len(), 0, "{kind}");
        nothing_is_left(&storage, kind).await;
    }
}

/// The container is renamed while a copy to it is pending, and its name is taken by another.
#[tokio::test]
async fn follows_its_container() {
    let rename = async |storage: &Storage, round: u8| {
        let renamed = storage.rename_container(OWNER.uid, ("c", "renamed"), None, now()).await;
        renamed.unwrap();
        let new = NewContainer::private(Uid::from_bytes([round; 16]));
        storage.create_container(OWNER.uid, "c", new, now()).await.unwrap();
        // However long the copy takes.
        while storage.clean(now().plus(cleaner::GRACE * 9)).await.unwrap() {}
    };
    let copied = async |storage: &Storage| {
        let path = BlobPath { container: "renamed", ..path("copy") };
        let blob = storage.blob(path, Revision::Current, &always(), now()).await.unwrap();
        (blob.copy.unwrap().status, blob.length_bytes > 0)
    };
    for kind in KINDS {
        let (_folder, storage) = with_container().await;
        make(&storage, kind).await;
        let (layout, mut pieces) = begin(&storage).await;
        rename(&storage, 7).await;
        assert_eq!(storage.pending_copies(now()).await.unwrap().len(), 1, "{kind}");
        storage.restart_copy(path("copy"), ID, now()).await.unwrap();
        storage.carry_out_copy(path("copy"), ID, &layout, &mut pieces, now).await.ok();
        assert_eq!(copied(&storage).await, (CopyStatus::Success, true), "{kind}");
        assert_eq!(storage.pending_copies(now()).await.unwrap().len(), 0, "{kind}");

        let (_folder, storage) = with_container().await;
        make(&storage, kind).await;
        begin(&storage).await;
        rename(&storage, 7).await;
        storage.fail_copy(path("copy"), ID, "lost", now()).await.unwrap();
        assert_eq!(copied(&storage).await, (CopyStatus::Failed, false), "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_abort_and_success_one_happens() {
    for round in 0..24 {
        let kind = KINDS[round % KINDS.len()];
        let (_folder, storage) = with_container().await;
        make(&storage, kind).await;
        let (layout, mut pieces) = begin(&storage).await;
        let aborting = tokio::spawn({
            let storage = storage.clone();
            async move {
                tokio::time::sleep(Duration::from_millis(round as u64)).await;
                storage.abort_copy(path("copy"), ID, &Conditions::default(), now()).await
            }
        });
        let copied = storage.carry_out_copy(path("copy"), ID, &layout, &mut pieces, now).await;
        // What reads the source holds what is freed.
        drop(pieces);
        let aborted = aborting.await.unwrap();
        match (copied, aborted) {
            (Ok(_), Err(BlobError::Copy(CopyError::NonePending))) => {
                assert!(read(&storage, "copy").await == read(&storage, "source").await, "{kind}");
            }
            (Err(Stopped::Blob(BlobError::Copy(CopyError::NonePending))), Ok(())) => {
                assert_eq!(status(&storage).await, (CopyStatus::Aborted, 0), "{kind}");
                assert_eq!(read(&storage, "copy").await, b"", "{kind}");
            }
            both => panic!("{kind}: {both:?}"),
        }
        nothing_is_left(&storage, kind).await;
    }
}

#[tokio::test]
async fn nothing_else_writes_meanwhile() {
    let (_folder, storage) = with_container().await;
    make(&storage, "whole").await;
    begin(&storage).await;
    let refused = |result: Result<(), BlobError>| {
        assert!(matches!(result, Err(BlobError::Copy(CopyError::Pending))), "{result:?}");
    };
    let content = || async {
        let mut writer = storage.blob_writer(None);
        writer.write(Bytes::from_static(b"x")).await.unwrap();
        writer.finish().await.unwrap()
    };
    let new = NewBlob::default();
    refused(storage.put_blob(path("copy"), content().await, &new, now()).await.map(drop));
    refused(storage.put_block(path("copy"), b"1", content().await, None, now()).await);
    refused(storage.set_blob_metadata(path("copy"), &Vec::new(), &always(), now()).await.map(drop));
    refused(storage.delete_blob(path("copy"), Deleting::Blob, &always(), now()).await.map(drop));
    refused(storage.snapshot_blob(path("copy"), None, &always(), now()).await.map(drop));
    let other = storage.abort_copy(path("copy"), "other", &always(), now()).await;
    assert!(matches!(other, Err(BlobError::Copy(CopyError::OtherPending))), "{other:?}");
    // Not even as a source is it of use.
    let source = storage.copy_source(path("copy"), Revision::Current, &always(), false, now()).await;
    assert!(matches!(source, Err(BlobError::Copy(CopyError::Pending))));
    storage.abort_copy(path("copy"), ID, &always(), now()).await.unwrap();
    nothing_is_left(&storage, "pending").await;
}

#[tokio::test]
async fn over_itself_with_versions() {
    let owner = account(true);
    let versioned = |name| BlobPath { account: &owner, container: "c", name };
    for kind in KINDS {
        let (_folder, storage) = with_container().await;
        make(&storage, kind).await;
        let content = read(&storage, "source").await;
        for round in 0..3 {
            let metadata = vec![("round".to_owned(), round.to_string())];
            let new = NewBlob { metadata, ..NewBlob::default() };
            let state = (Revision::Current, blob(&storage, "source").await.etag);
            let done = storage.copy_within(versioned("source"), state, &new, now()).await.unwrap();
            let version = done.unwrap().version.unwrap();
            assert!(read(&storage, "source").await == content, "{kind}");
            // Versions share what they have; one that goes takes nothing from the others.
            let deleting = Deleting::One(Revision::Version(version));
            let current = storage.delete_blob(versioned("source"), deleting, &always(), now()).await;
            assert!(matches!(current, Err(BlobError::NotOnCurrent)), "{kind} {current:?}");
        }
        storage.delete_blob(versioned("source"), Deleting::WithSnapshots, &always(), now()).await.unwrap();
        let versions = storage.store().scan(BLOBS, ScanFrom::Start, 1000).await.unwrap();
        let named = versions.iter().filter(|row| row.key.first() == Some(&b'v'));
        let named: Vec<Timestamp> = named
            .map(|row| Timestamp::from_ticks(i64::from_be_bytes(row.key[1..9].try_into().unwrap())))
            .collect();
        assert_eq!(named.len(), 4, "{kind}");
        for version in named {
            let deleting = Deleting::One(Revision::Version(version));
            storage.delete_blob(path("source"), deleting, &always(), now()).await.unwrap();
        }
        nothing_is_left(&storage, kind).await;
    }
}

#[tokio::test]
async fn over_itself_only_what_stays_as_it_is() {
    let (_folder, storage) = with_container().await;
    make(&storage, "whole").await;
    let (new, etag) = (NewBlob::default(), blob(&storage, "source").await.etag);
    let other = storage.copy_within(path("source"), (Revision::Current, etag - 1), &new, now()).await;
    assert_eq!(other.unwrap(), None, "another state");
    let key = CustomerKey::new([7; 32], [8; 16]);
    let conditions = Conditions { customer_key: Some(key.clone()), ..always() };
    let sealed =
        NewBlob { encryption: Encryption::CustomerKey(key.sha256()), conditions, ..NewBlob::default() };
    let mut writer = storage.blob_writer(None).sealed_with(Some(&key)).unwrap();
    writer.write(Bytes::from_static(b"secret")).await.unwrap();
    let content = writer.finish().await.unwrap();
    let etag = storage.put_blob(path("source"), content, &sealed, now()).await.unwrap().etag;
    let sealed = storage.copy_within(path("source"), (Revision::Current, etag), &new, now()).await;
    assert_eq!(sealed.unwrap(), None, "encrypted with a client's key, which the copy is not");
    nothing_is_left(&storage, "within").await;
}

#[tokio::test]
async fn what_does_not_begin_leaves_no_note() {
    let (_folder, storage) = with_container().await;
    make(&storage, "whole").await;
    make(&storage, "pages").await;
    let source =
        storage.copy_source(path("source"), Revision::Current, &always(), false, now()).await.unwrap();
    let copy = Some(CopyState::begun(ID.to_owned(), "http://h/source".to_owned(), 1));
    let conditions = Conditions { if_none_match: Some(ETags::Any), ..always() };
    let new = NewBlob { copy, conditions, ..NewBlob::default() };
    let begun = storage.begin_copy(path("source"), &new, &source.layout, None, now()).await;
    assert!(matches!(begun, Err(BlobError::BlobAlreadyExists)), "{begun:?}");
    assert_eq!(storage.store().scan(COPIES, ScanFrom::Start, 10).await.unwrap(), []);
    drop(source);
    nothing_is_left(&storage, "not begun").await;
}
