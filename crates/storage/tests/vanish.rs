//! A client that goes away ends its request at any moment. Whatever was sent to the store by then happens, and no
//! extent is left that no row names.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::future::poll_fn;
use std::pin::pin;
use std::sync::LazyLock;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::BlobPath;
use welkin_storage::blob::append::AppendConditions;
use welkin_storage::blob::block_list::Source;
use welkin_storage::blob::condition::Conditions;
use welkin_storage::blob::container::NewContainer;
use welkin_storage::blob::content::NewContent;
use welkin_storage::blob::delete::Deleting;
use welkin_storage::blob::page::{PageWrite, SequenceConditions};
use welkin_storage::blob::write::NewBlob;
use welkin_storage::{Account, NewKeys, Storage, Uid};
use welkin_store::{LocalOptions, Store};

/// Larger than what lies in a row.
const LARGE: usize = 40_000;
/// Longer than any machine needs.
const PATIENCE: Duration = Duration::from_secs(20);
/// So often each request has to come to its end before all moments at which it can be cut off were tried.
const WHOLE: usize = 3;

static OWNER: LazyLock<Account> = LazyLock::new(|| {
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), now(), keys)
});

fn now() -> Timestamp {
    Timestamp::from_ticks(17_900_000_000_000_000)
}

/// After everything that is kept for a while.
fn later() -> Timestamp {
    now().plus(Duration::from_secs(30 * 24 * 3600))
}

fn path(name: &str) -> BlobPath<'_> {
    BlobPath { account: &OWNER, container: "con", name }
}

async fn storage(folder: &TempDir, options: LocalOptions) -> Storage {
    let storage = Storage::over(Store::open_local_with(folder.path(), options).await.unwrap());
    let new = NewContainer::private(Uid::from_bytes([2; 16]));
    storage.create_container(OWNER.uid, "con", new, now()).await.unwrap();
    storage
}

async fn content(storage: &Storage, length: usize) -> NewContent {
    let mut writer = storage.block_writer(None);
    writer.write(Bytes::from(vec![7; length])).await.unwrap();
    writer.finish().await.unwrap()
}

/// The requests: each is begun anew for every moment at which it is cut off.
const REQUESTS: [&str; 8] = [
    "put a blob",
    "put a blob over another",
    "delete a blob",
    "put a block over another",
    "put a block list",
    "append a block",
    "put pages",
    "clear pages",
];

async fn prepare(storage: &Storage, request: &str) {
    let new = NewBlob::default();
    match request {
        "put a blob over another" | "delete a blob" => {
            storage.put_blob(path("b"), content(storage, LARGE).await, &new, now()).await.unwrap();
        }
        "put a block over another" | "put a block list" => {
            for id in 0..3 {
                let block = content(storage, LARGE).await;
                storage.put_block(path("b"), &[id], block, None, now()).await.unwrap();
            }
        }
        "append a block" => {
            storage.put_append_blob(path("b"), &new, now()).await.unwrap();
        }
        "put pages" | "clear pages" => {
            storage.put_page_blob(path("b"), 1 << 20, 0, &new, now()).await.unwrap();
            put_pages(storage, &PageWrite::Update(vec![3; 65536].into())).await;
        }
        _ => {}
    }
}

async fn put_pages(storage: &Storage, write: &PageWrite) {
    let (sequence, always) = (SequenceConditions::default(), Conditions::default());
    storage.put_pages(path("b"), 0..65536, write, &sequence, &always, now()).await.unwrap();
}

async fn run(storage: &Storage, request: &str) {
    let (new, always) = (NewBlob::default(), Conditions::default());
    match request {
        "put a blob" | "put a blob over another" => {
            storage.put_blob(path("b"), content(storage, LARGE).await, &new, now()).await.unwrap();
        }
        "delete a blob" => {
            storage.delete_blob(path("b"), Deleting::WithSnapshots, &always, now()).await.unwrap();
        }
        "put a block over another" => {
            storage.put_block(path("b"), &[1], content(storage, LARGE).await, None, now()).await.unwrap();
        }
        "put a block list" => {
            // One of the staged blocks is dropped.
            let list = [(Source::Latest, vec![0]), (Source::Latest, vec![2])];
            storage.put_block_list(path("b"), &list, &new, now()).await.unwrap();
        }
        "append a block" => {
            let (any, block) = (AppendConditions::default(), content(storage, LARGE).await);
            storage.append_block(path("b"), block, &any, &always, now()).await.unwrap();
        }
        "put pages" => put_pages(storage, &PageWrite::Update(vec![4; 65536].into())).await,
        "clear pages" => put_pages(storage, &PageWrite::Clear).await,
        other => panic!("{other}"),
    }
}

/// Polls the future so many times at most, then drops it; whether it came to its end.
async fn cut_off(future: impl Future<Output = ()>, polls_max: usize) -> bool {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|context| {
        if polls == polls_max {
            return Poll::Ready(false);
        }
        polls += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if polls == polls_max => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// The blob is deleted and all is cleaned; then no extent is there.
async fn check_nothing_is_left(storage: &Storage, what: &str) {
    let always = Conditions::default();
    // What was cut off may still be happening.
    let start = Instant::now();
    loop {
        // There may be none.
        let deleted = storage.delete_blob(path("b"), Deleting::WithSnapshots, &always, now()).await;
        while storage.clean(later()).await.unwrap_or(false) {}
        let left = storage.store().live_extents(None, 100).await.unwrap();
        if left.is_empty() {
            return;
        }
        assert!(start.elapsed() < PATIENCE, "{what}: {left:?} are left, {deleted:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_cut_off_anywhere_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let storage = storage(&folder, LocalOptions::default()).await;
    for request in REQUESTS {
        let (mut polls, mut whole) = (0, 0);
        while whole < WHOLE {
            prepare(&storage, request).await;
            whole += usize::from(cut_off(Box::pin(run(&storage, request)), polls).await);
            check_nothing_is_left(&storage, &format!("{request}, cut off at {polls}")).await;
            polls += 1;
        }
        assert!(polls > WHOLE, "{request} was never cut off");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_commit_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let options = LocalOptions {
        memtable_bytes: 1 << 20,
        segment_bytes: 17 << 20,
        extent_step_bytes: 1 << 20,
        disk_bytes_max: Some(56 << 20),
        ..LocalOptions::default()
    };
    let storage = storage(&folder, options).await;
    let mut filled = 0;
    loop {
        let small = {
            let mut writer = storage.blob_writer(None);
            writer.write(Bytes::from(vec![filled as u8; 16_000])).await.unwrap();
            writer.finish().await.unwrap()
        };
        let name = format!("small{filled}");
        if storage.put_blob(path(&name), small, &NewBlob::default(), now()).await.is_err() {
            break;
        }
        filled += 1;
        assert!(filled < 10_000, "the limit does not hold");
    }
    let mut refused = 0;
    for _ in 0..5 {
        let mut writer = storage.block_writer(None);
        writer.write(Bytes::from(vec![7; LARGE])).await.unwrap();
        // There may be no room for the extent either.
        let Ok(large) = writer.finish().await else { continue };
        let result = storage.put_blob(path("b"), large, &NewBlob::default(), now()).await;
        refused += usize::from(result.is_err());
    }
    assert!(refused > 0, "no commit was refused");
    check_nothing_is_left(&storage, "a refused commit").await;
}
