//! Renames of containers that race with each other, with creations, deletions and writes: what was acknowledged
//! holds, and nothing is left.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends where it cannot go on")]

use std::sync::LazyLock;

use bytes::Bytes;
use tempfile::TempDir;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::condition::Conditions;
use welkin_storage::blob::container::{ContainerRecord, ListContainers, NewContainer};
use welkin_storage::blob::lease::{LeaseAction, LeaseError, LeaseId};
use welkin_storage::blob::write::NewBlob;
use welkin_storage::blob::{BlobError, BlobPath, Revision};
use welkin_storage::space::{BLOBS, CONTAINERS, DUE, GARBAGE};
use welkin_storage::{Account, NewKeys, Storage, Uid, cleaner};
use welkin_store::{ScanFrom, Space, Store};

const ROUNDS: u8 = 60;

static OWNER: LazyLock<Account> = LazyLock::new(|| {
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), now(), keys)
});

fn now() -> Timestamp {
    Timestamp::from_ticks(17_900_000_000_000_000)
}

fn uid(kind: u8, round: u8) -> Uid {
    Uid::from_bytes([kind, round, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

async fn open() -> (TempDir, Storage) {
    let folder = TempDir::new().unwrap();
    let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
    (folder, storage)
}

async fn create(storage: &Storage, name: &str, uid: Uid) -> Result<ContainerRecord, BlobError> {
    storage.create_container(OWNER.uid, name, NewContainer::private(uid), now()).await
}

async fn rename(storage: &Storage, old: &str, new: &str) -> Result<ContainerRecord, BlobError> {
    storage.rename_container(OWNER.uid, (old, new), None, now()).await
}

async fn delete(storage: &Storage, name: &str) -> Result<(), BlobError> {
    storage.delete_container(&OWNER, name, &Conditions::default(), now()).await
}

async fn put(storage: &Storage, container: &str, name: &str) -> Result<(), BlobError> {
    let mut writer = storage.blob_writer(Some(1));
    writer.write(Bytes::from_static(b"x")).await.unwrap();
    let content = writer.finish().await.unwrap();
    let path = BlobPath { account: &OWNER, container, name };
    storage.put_blob(path, content, &NewBlob::default(), now()).await.map(|_| ())
}

async fn has(storage: &Storage, container: &str, name: &str) -> bool {
    let path = BlobPath { account: &OWNER, container, name };
    storage.blob(path, Revision::Current, &Conditions::default(), now()).await.is_ok()
}

async fn listed(storage: &Storage) -> Vec<(String, Uid)> {
    let ask = ListContainers { items_max: 5000, ..ListContainers::default() };
    let page = storage.list_containers(OWNER.uid, &ask, now()).await.unwrap();
    page.items.into_iter().map(|item| (item.name, item.record.uid)).collect()
}

async fn rows(storage: &Storage, space: Space) -> usize {
    storage.store().scan(space, ScanFrom::Start, 10_000).await.unwrap().len()
}

/// Deletes all, and sees that the cleaner leaves nothing.
async fn end(storage: &Storage) {
    for (name, _) in listed(storage).await {
        delete(storage, &name).await.unwrap();
    }
    let mut at = now();
    // A pass of the cleaner looks at so many notes.
    for _ in 0..4 + rows(storage, GARBAGE).await / 50 {
        while storage.clean(at).await.unwrap() {}
        at = at.plus(cleaner::GRACE * 3);
    }
    while storage.clean(at).await.unwrap() {}
    for space in [CONTAINERS, BLOBS, GARBAGE, DUE] {
        assert_eq!(rows(storage, space).await, 0, "{}", space.name);
    }
}

/// Both act at once.
async fn race<A, B>(
    a: impl Future<Output = A> + Send + 'static,
    b: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let (a, b) = (tokio::spawn(a), tokio::spawn(b));
    (a.await.unwrap(), b.await.unwrap())
}

#[tokio::test]
async fn the_source_must_be_there_and_its_lease_be_held_and_the_name_be_free() {
    let (_folder, storage) = open().await;
    assert!(matches!(rename(&storage, "a", "b").await, Err(BlobError::ContainerNotFound)));
    let made = create(&storage, "a", uid(1, 0)).await.unwrap();
    create(&storage, "b", uid(2, 0)).await.unwrap();
    for taken in ["a", "b"] {
        assert!(matches!(rename(&storage, "a", taken).await, Err(BlobError::ContainerAlreadyExists)));
    }
    let (id, other) = (LeaseId([1; 16]), LeaseId([2; 16]));
    let with = async |lease| storage.rename_container(OWNER.uid, ("a", "c"), lease, now()).await;
    assert!(matches!(with(Some(id)).await, Err(BlobError::Lease(LeaseError::NotPresentWith(_)))));
    let acquire = LeaseAction::Acquire { id, duration_seconds: None };
    let always = Conditions::default();
    let leased = storage.lease_container(OWNER.uid, "a", acquire, &always, now()).await.unwrap().lease;
    assert!(matches!(with(None).await, Err(BlobError::Lease(LeaseError::IdMissing))));
    assert!(matches!(with(Some(other)).await, Err(BlobError::Lease(LeaseError::IdMismatchWith(_)))));
    let renamed = with(Some(id)).await.unwrap();
    assert!(renamed.etag > made.etag);
    assert_eq!(ContainerRecord { etag: made.etag, lease: None, ..renamed.clone() }, made);
    assert_eq!(renamed.lease, leased);
    assert_eq!(storage.container(OWNER.uid, "c").await.unwrap(), renamed);
    storage.lease_container(OWNER.uid, "c", LeaseAction::Release(id), &always, now()).await.unwrap();
    end(&storage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_and_a_deletion() {
    let (_folder, storage) = open().await;
    for round in 0..ROUNDS {
        create(&storage, "a", uid(1, round)).await.unwrap();
        put(&storage, "a", "blob").await.unwrap();
        let (one, two) = (storage.clone(), storage.clone());
        let (renamed, deleted) =
            race(async move { rename(&one, "a", "b").await }, async move { delete(&two, "a").await }).await;
        match (renamed, deleted) {
            (Ok(_), Err(BlobError::ContainerNotFound)) => {
                while storage.clean(now()).await.unwrap() {}
                assert!(has(&storage, "b", "blob").await);
                delete(&storage, "b").await.unwrap();
            }
            (Err(BlobError::ContainerNotFound), Ok(())) => {}
            other => panic!("{other:?}"),
        }
        assert_eq!(listed(&storage).await, []);
    }
    end(&storage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rename_and_a_creation_of_the_same_name() {
    let (_folder, storage) = open().await;
    for round in 0..ROUNDS {
        create(&storage, "a", uid(1, round)).await.unwrap();
        let (one, two) = (storage.clone(), storage.clone());
        let (renamed, created) = race(async move { rename(&one, "a", "b").await }, async move {
            create(&two, "b", uid(2, round)).await
        })
        .await;
        let expected = match (renamed, created) {
            (Ok(_), Err(BlobError::ContainerAlreadyExists)) => vec![("b".to_owned(), uid(1, round))],
            (Err(BlobError::ContainerAlreadyExists), Ok(_)) => {
                vec![("a".to_owned(), uid(1, round)), ("b".to_owned(), uid(2, round))]
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(listed(&storage).await, expected);
        for (name, _) in expected {
            delete(&storage, &name).await.unwrap();
        }
    }
    end(&storage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_renames_of_one_container() {
    let (_folder, storage) = open().await;
    for round in 0..ROUNDS {
        create(&storage, "a", uid(1, round)).await.unwrap();
        let (one, two) = (storage.clone(), storage.clone());
        let both = race(async move { rename(&one, "a", "b").await.map(|_| "b") }, async move {
            rename(&two, "a", "c").await.map(|_| "c")
        })
        .await;
        let name = match both {
            (Ok(name), Err(BlobError::ContainerNotFound)) | (Err(BlobError::ContainerNotFound), Ok(name)) => {
                name
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(listed(&storage).await, [(name.to_owned(), uid(1, round))]);
        delete(&storage, name).await.unwrap();
    }
    end(&storage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_renames_to_one_name() {
    let (_folder, storage) = open().await;
    for round in 0..ROUNDS {
        create(&storage, "a", uid(1, round)).await.unwrap();
        create(&storage, "b", uid(2, round)).await.unwrap();
        let (one, two) = (storage.clone(), storage.clone());
        let both =
            race(async move { rename(&one, "a", "c").await }, async move { rename(&two, "b", "c").await })
                .await;
        let expected = match both {
            (Ok(_), Err(BlobError::ContainerAlreadyExists)) => [("b", uid(2, round)), ("c", uid(1, round))],
            (Err(BlobError::ContainerAlreadyExists), Ok(_)) => [("a", uid(1, round)), ("c", uid(2, round))],
            other => panic!("{other:?}"),
        };
        assert_eq!(listed(&storage).await, expected.map(|(name, uid)| (name.to_owned(), uid)));
        for (name, _) in expected {
            delete(&storage, name).await.unwrap();
        }
    }
    end(&storage).await;
}

/// A container goes to and fro between names with many others in between, while others write to it and list it: each
/// list has it once, and every acknowledged blob is there.
#[tokio::test(flavor = "multi_thread")]
async fn writes_and_lists_while_a_container_goes_to_and_fro() {
    let (_folder, storage) = open().await;
    create(&storage, "a", uid(1, 0)).await.unwrap();
    let others = 1100_u16;
    for n in 0..others {
        let [high, low] = n.to_be_bytes();
        create(&storage, &format!("a{n}"), uid(2 + high, low)).await.unwrap();
    }
    let mover = storage.clone();
    let moving = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            rename(&mover, "a", "b").await.unwrap();
            rename(&mover, "b", "a").await.unwrap();
        }
    });
    let lister = storage.clone();
    let listing = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            let found = listed(&lister).await;
            let own: Vec<_> = found.iter().filter(|(_, found)| *found == uid(1, 0)).collect();
            assert_eq!((own.len(), found.len()), (1, usize::from(others) + 1), "{own:?}");
        }
    });
    let mut written = Vec::new();
    let mut n = 0;
    while !moving.is_finished() || !listing.is_finished() {
        n += 1;
        let name = format!("blob{n}");
        match put(&storage, if n % 2 == 0 { "a" } else { "b" }, &name).await {
            Ok(()) => written.push(name),
            Err(BlobError::ContainerNotFound) => {}
            Err(other) => panic!("{other}"),
        }
        tokio::task::yield_now().await;
    }
    moving.await.unwrap();
    listing.await.unwrap();
    for name in &written {
        assert!(has(&storage, "a", name).await, "{name}");
    }
    assert_eq!(rows(&storage, BLOBS).await, written.len());
    end(&storage).await;
}
