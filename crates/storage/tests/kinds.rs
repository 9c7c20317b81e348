//! Append blobs, page blobs and keys that clients bring, over the real store. Page blobs go against a model of an
//! array of pages; whatever happened, nothing is left in the store when the blob is deleted and cleaned.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use welkin_base::{AccountName, Timestamp};
use welkin_storage::blob::append::AppendConditions;
use welkin_storage::blob::block_list::Source;
use welkin_storage::blob::condition::Conditions;
use welkin_storage::blob::container::NewContainer;
use welkin_storage::blob::delete::Deleting;
use welkin_storage::blob::encryption::CustomerKey;
use welkin_storage::blob::page::range::{AskRanges, PageRange};
use welkin_storage::blob::page::{PageProperties, PageWrite, SequenceAction, SequenceConditions};
use welkin_storage::blob::read::ByteRange;
use welkin_storage::blob::state::{BlobRecord, Encryption};
use welkin_storage::blob::write::NewBlob;
use welkin_storage::blob::{BlobError, BlobPath, Revision};
use welkin_storage::space::{BLOBS, GARBAGE};
use welkin_storage::{Account, NewKeys, Storage, Uid, cleaner};
use welkin_store::{ScanFrom, Store};

const PAGE: u64 = 512;
const SEGMENT: u64 = 4 << 20;

static OWNER: LazyLock<Account> = LazyLock::new(|| {
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), now(), keys)
});

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
    let new = NewContainer::private(Uid::from_bytes([2; 16]));
    storage.create_container(OWNER.uid, "c", new, now()).await.unwrap();
    (folder, storage)
}

async fn read(
    storage: &Storage,
    revision: Revision,
    range: Option<Range<u64>>,
    conditions: &Conditions,
) -> Result<Vec<u8>, BlobError> {
    let range = range.map(|range| ByteRange { first: range.start, last: Some(range.end - 1) });
    let (_, _, mut reader) = storage.read_blob(path("b"), revision, range, conditions, now()).await?;
    let mut whole = Vec::new();
    while let Some(bytes) = reader.next().await? {
        whole.extend_from_slice(&bytes);
    }
    Ok(whole)
}

async fn append(
    storage: &Storage,
    bytes: Vec<u8>,
    append: AppendConditions,
    conditions: &Conditions,
) -> Result<(BlobRecord, u64), BlobError> {
    let writer = storage.append_writer(None).sealed_with(conditions.customer_key.as_ref()).unwrap();
    let mut writer = writer;
    writer.write(bytes.into()).await.unwrap();
    let content = writer.finish().await.unwrap();
    storage.append_block(path("b"), content, &append, conditions, now()).await
}

async fn update(
    storage: &Storage,
    start: u64,
    bytes: Vec<u8>,
    conditions: &Conditions,
) -> Result<(), BlobError> {
    let range = start..start + bytes.len() as u64;
    let write = PageWrite::Update(bytes.into());
    let sequence = SequenceConditions::default();
    storage.put_pages(path("b"), range, &write, &sequence, conditions, now()).await.map(|_| ())
}

async fn clear(storage: &Storage, range: Range<u64>) -> Result<(), BlobError> {
    let sequence = SequenceConditions::default();
    storage.put_pages(path("b"), range, &PageWrite::Clear, &sequence, &always(), now()).await.map(|_| ())
}

async fn resize(storage: &Storage, length_bytes: u64) {
    let change = PageProperties { length_bytes: Some(length_bytes), ..PageProperties::default() };
    storage.set_page_properties(path("b"), &change, &always(), now()).await.unwrap();
}

async fn snapshot(storage: &Storage) -> Timestamp {
    storage.snapshot_blob(path("b"), None, &always(), now()).await.unwrap().at
}

/// Deletes the blob and lets the cleaner go through twice: no row and no extent is left.
async fn nothing_is_left(storage: &Storage) {
    storage.delete_blob(path("b"), Deleting::WithSnapshots, &always(), now()).await.unwrap();
    let later = now().plus(cleaner::GRACE * 2);
    while storage.clean(now()).await.unwrap() {}
    while storage.clean(later).await.unwrap() {}
    storage.clean(later).await.unwrap();
    for space in [BLOBS, GARBAGE] {
        assert_eq!(storage.store().scan(space, ScanFrom::Start, 10).await.unwrap(), [], "{}", space.name);
    }
    let mut live = usize::MAX;
    for _ in 0..500 {
        live = storage.store().live_extents(None, 10).await.unwrap().len();
        if live == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(live, 0, "extents are left");
}

#[tokio::test(flavor = "multi_thread")]
async fn appenders_lose_nothing() {
    let (_folder, storage) = with_container().await;
    storage.put_append_blob(path("b"), &NewBlob::default(), now()).await.unwrap();
    let appenders = (0..8_u8).map(|who| {
        let storage = storage.clone();
        tokio::spawn(async move {
            let mut offsets = Vec::new();
            for length in [10, 20_000, 16_384] {
                let (_, offset) =
                    append(&storage, vec![who + 1; length], AppendConditions::default(), &always())
                        .await
                        .unwrap();
                offsets.push((offset, length, who + 1));
            }
            offsets
        })
    });
    let mut told = Vec::new();
    for appender in appenders.collect::<Vec<_>>() {
        told.extend(appender.await.unwrap());
    }
    told.sort_unstable();
    let expected: Vec<u8> = told.iter().flat_map(|(_, length, who)| vec![*who; *length]).collect();
    let starts = told.iter().scan(0, |at, (_, length, _)| Some(std::mem::replace(at, *at + *length as u64)));
    assert!(starts.eq(told.iter().map(|(offset, _, _)| *offset)), "{told:?}");
    assert_eq!(read(&storage, Revision::Current, None, &always()).await.unwrap(), expected);
    for range in [0..1, 5..15, 30_000..90_000, expected.len() as u64 - 1..expected.len() as u64] {
        let part = &expected[range.start as usize..range.end as usize];
        assert_eq!(read(&storage, Revision::Current, Some(range.clone()), &always()).await.unwrap(), part);
    }
    nothing_is_left(&storage).await;
}

#[tokio::test]
async fn appending_has_conditions_and_ends_with_a_seal() {
    let (_folder, storage) = with_container().await;
    let none = AppendConditions::default();
    storage.put_append_blob(path("b"), &NewBlob::default(), now()).await.unwrap();
    append(&storage, vec![1; 100], none, &always()).await.unwrap();
    let at = |position| AppendConditions { position_bytes: Some(position), ..none };
    let max = |length| AppendConditions { length_max_bytes: Some(length), ..none };
    let refused = append(&storage, vec![2; 10], at(99), &always()).await;
    assert!(matches!(refused, Err(BlobError::AppendPositionDiffers)));
    let refused = append(&storage, vec![2; 10], max(109), &always()).await;
    assert!(matches!(refused, Err(BlobError::LengthMaxExceeded)));
    append(&storage, vec![2; 10], at(100), &always()).await.unwrap();
    let early = snapshot(&storage).await;
    append(&storage, vec![3; 30_000], max(30_110), &always()).await.unwrap();
    let blob = storage.seal_blob(path("b"), &none, &always(), now()).await.unwrap();
    assert_eq!(blob.appended(), Some((3, true)));
    assert!(matches!(append(&storage, vec![4], none, &always()).await, Err(BlobError::Sealed)));
    let first = [vec![1; 100], vec![2; 10]].concat();
    assert_eq!(read(&storage, Revision::Snapshot(early), None, &always()).await.unwrap(), first);
    // The blob is overwritten; the snapshot keeps what it shares, and the rest goes.
    storage.put_append_blob(path("b"), &NewBlob::default(), now()).await.unwrap();
    while storage.clean(now()).await.unwrap() {}
    append(&storage, vec![5; 3], none, &always()).await.unwrap();
    assert_eq!(read(&storage, Revision::Snapshot(early), None, &always()).await.unwrap(), first);
    assert_eq!(read(&storage, Revision::Current, None, &always()).await.unwrap(), [5; 3]);
    let types = [update(&storage, 0, vec![0; 512], &always()).await, clear(&storage, 0..512).await];
    assert!(types.iter().all(|result| matches!(result, Err(BlobError::InvalidBlobType))));
    nothing_is_left(&storage).await;
}

#[tokio::test]
async fn pages_are_checked() {
    let (_folder, storage) = with_container().await;
    storage.put_page_blob(path("b"), 1024, 7, &NewBlob::default(), now()).await.unwrap();
    for range in [0..511, 1..513, 0..0, 512..2048, 1024..1536] {
        let refused = clear(&storage, range.clone()).await;
        assert!(matches!(refused, Err(BlobError::InvalidPageRange)), "{range:?}");
    }
    let none = SequenceConditions::default();
    for (sequence, holds) in [
        (SequenceConditions { at_most: Some(7), ..none }, true),
        (SequenceConditions { at_most: Some(6), ..none }, false),
        (SequenceConditions { less_than: Some(8), ..none }, true),
        (SequenceConditions { less_than: Some(7), ..none }, false),
        (SequenceConditions { equal: Some(7), ..none }, true),
        (SequenceConditions { equal: Some(8), ..none }, false),
    ] {
        let write = PageWrite::Update(vec![1; 512].into());
        let result = storage.put_pages(path("b"), 0..512, &write, &sequence, &always(), now()).await;
        assert_eq!(result.is_ok(), holds, "{sequence:?}");
    }
    for (action, expected) in [
        (SequenceAction::Max(5), 7),
        (SequenceAction::Max(9), 9),
        (SequenceAction::Update(3), 3),
        (SequenceAction::Increment, 4),
    ] {
        let change = PageProperties { sequence: Some(action), ..PageProperties::default() };
        let blob = storage.set_page_properties(path("b"), &change, &always(), now()).await.unwrap();
        assert_eq!(blob.sequence_number(), Some(expected));
    }
    nothing_is_left(&storage).await;
}

/// A segment that no snapshot needs any more goes with the write that copies it.
#[tokio::test]
async fn copies_do_not_pile_up() {
    let (_folder, storage) = with_container().await;
    storage.put_page_blob(path("b"), SEGMENT, 0, &NewBlob::default(), now()).await.unwrap();
    for round in 1..5_u8 {
        update(&storage, 0, vec![round; 100 * 1024], &always()).await.unwrap();
        let one = Deleting::One(Revision::Snapshot(snapshot(&storage).await));
        storage.delete_blob(path("b"), one, &always(), now()).await.unwrap();
    }
    update(&storage, 0, vec![9; 512], &always()).await.unwrap();
    let rows = storage.store().scan(BLOBS, ScanFrom::Start, 100).await.unwrap();
    assert_eq!(rows.iter().filter(|row| row.key.first() == Some(&b'p')).count(), 1);
    nothing_is_left(&storage).await;
}

/// More segments than one commit clears.
#[tokio::test]
async fn huge_page_blobs_are_cleared_and_deleted_at_once() {
    let (_folder, storage) = with_container().await;
    let segments = 300;
    storage.put_page_blob(path("b"), 8 << 40, 0, &NewBlob::default(), now()).await.unwrap();
    for segment in 0..segments {
        update(&storage, segment * SEGMENT + PAGE, vec![segment as u8 | 1; 1024], &always()).await.unwrap();
    }
    update(&storage, (8 << 40) - 512, vec![9; 512], &always()).await.unwrap();
    let early = snapshot(&storage).await;
    clear(&storage, 1024..(segments - 1) * SEGMENT + 1024).await.unwrap();
    let written = ranges(&storage, Revision::Current, None).await;
    let last = (segments - 1) * SEGMENT + 1024;
    assert_eq!(written, [(512..1024, false), (last..last + 512, false), ((8 << 40) - 512..8 << 40, false)]);
    update(&storage, 5 * SEGMENT, vec![8; 512], &always()).await.unwrap();
    resize(&storage, 1024).await;
    resize(&storage, 8 << 40).await;
    assert_eq!(ranges(&storage, Revision::Current, None).await, [(512..1024, false)]);
    assert_eq!(ranges(&storage, Revision::Snapshot(early), None).await.len(), segments as usize + 1);
    while storage.clean(now()).await.unwrap() {}
    assert_eq!(ranges(&storage, Revision::Snapshot(early), None).await.len(), segments as usize + 1);
    let row =
        read(&storage, Revision::Snapshot(early), Some(7 * SEGMENT..7 * SEGMENT + 2048), &always()).await;
    assert_eq!(row.unwrap(), [vec![0; 512], vec![7; 1024], vec![0; 512]].concat());
    nothing_is_left(&storage).await;
}

async fn ranges(
    storage: &Storage,
    revision: Revision,
    previous: Option<Timestamp>,
) -> Vec<(Range<u64>, bool)> {
    let (mut from, mut all) = (0, Vec::<PageRange>::new());
    loop {
        let ask = AskRanges { range: None, from, ranges_max: 100, previous };
        let found = storage.page_ranges(path("b"), revision, &ask, &always(), now()).await.unwrap();
        all.extend(found.ranges);
        match found.next {
            Some(next) => from = next,
            None => break,
        }
    }
    all.into_iter().map(|range| (range.bytes, range.cleared)).collect()
}

#[tokio::test]
async fn keys_that_clients_bring() {
    let (_folder, storage) = with_container().await;
    let with = |key: u8, salt: u8| Conditions {
        customer_key: Some(CustomerKey::new([key; 32], [salt; 16])),
        ..Conditions::default()
    };
    let new = |salt| {
        let conditions = with(7, salt);
        let key = conditions.customer_key.clone().unwrap();
        (NewBlob { encryption: Encryption::CustomerKey(key.sha256()), conditions, ..NewBlob::default() }, key)
    };
    let refusals = async |storage: &Storage| {
        let read = async |conditions: &Conditions| read(storage, Revision::Current, None, conditions).await;
        assert!(matches!(read(&always()).await, Err(BlobError::CustomerKeyNeeded)));
        assert!(matches!(read(&with(8, 1)).await, Err(BlobError::CustomerKeyDiffers)));
        let metadata = storage.set_blob_metadata(path("b"), &Vec::new(), &always(), now()).await;
        assert!(matches!(metadata, Err(BlobError::CustomerKeyNeeded)));
    };
    let plain: Vec<u8> = (0..1_500_000_u32).map(|n| (n / 300) as u8).collect();

    let (blob, key) = new(1);
    let mut writer = storage.blob_writer(Some(plain.len() as u64)).sealed_with(Some(&key)).unwrap();
    for piece in plain.chunks(100_000) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    storage.put_blob(path("b"), writer.finish().await.unwrap(), &blob, now()).await.unwrap();
    refusals(&storage).await;
    for range in [0..1, 65_535..65_537, 70_000..1_400_000, 1_499_999..1_500_000] {
        let part = &plain[range.start as usize..range.end as usize];
        assert_eq!(read(&storage, Revision::Current, Some(range), &with(7, 2)).await.unwrap(), part);
    }

    let (blob, key) = new(3);
    let mut writer = storage.block_writer(None).sealed_with(Some(&key)).unwrap();
    writer.write(Bytes::from_static(b"block")).await.unwrap();
    let content = writer.finish().await.unwrap();
    storage.put_block(path("b"), b"id", content, None, now()).await.unwrap();
    let list = [(Source::Latest, b"id".to_vec())];
    let refused = storage.put_block_list(path("b"), &list, &NewBlob::default(), now()).await;
    assert!(matches!(refused, Err(BlobError::CustomerKeyDiffers)));
    storage.put_block_list(path("b"), &list, &blob, now()).await.unwrap();
    refusals(&storage).await;
    assert_eq!(read(&storage, Revision::Current, None, &with(7, 4)).await.unwrap(), b"block");

    let (blob, _) = new(5);
    storage.put_append_blob(path("b"), &blob, now()).await.unwrap();
    let none = AppendConditions::default();
    assert!(matches!(append(&storage, vec![1], none, &always()).await, Err(BlobError::CustomerKeyNeeded)));
    append(&storage, vec![1; 10], none, &with(7, 6)).await.unwrap();
    append(&storage, vec![2; 100_000], none, &with(7, 7)).await.unwrap();
    let expected = [vec![1; 10], vec![2; 100_000]].concat();
    assert_eq!(read(&storage, Revision::Current, None, &with(7, 8)).await.unwrap(), expected);

    let (blob, _) = new(9);
    storage.put_page_blob(path("b"), 2 * SEGMENT, 0, &blob, now()).await.unwrap();
    assert!(matches!(update(&storage, 0, vec![1; 512], &always()).await, Err(BlobError::CustomerKeyNeeded)));
    let mut model = vec![0; 2 * SEGMENT as usize];
    for n in 0..150_usize {
        let (start, length) = ((n * 7919 % 16_000) * 512, 512 + n % 3 * 20_480);
        update(&storage, start as u64, vec![n as u8; length], &with(7, 10 + n as u8)).await.unwrap();
        model[start..start + length].fill(n as u8);
    }
    assert!(read(&storage, Revision::Current, None, &with(7, 9)).await.unwrap() == model);
    refusals(&storage).await;
    nothing_is_left(&storage).await;
}

/// What happens to a page blob; numbers are of pages.
#[derive(Debug, Clone)]
enum Step {
    Update(u64, u64, u8),
    Clear(u64, u64),
    Resize(u64),
    Snapshot,
    DeleteSnapshot(usize),
    Overwrite(u64),
    Clean,
}

/// Pages of the largest blob: three segments.
const PAGES: u64 = 3 * SEGMENT / PAGE;

fn step() -> impl Strategy<Value = Step> {
    // Most of it happens at the borders of segments.
    let start = prop_oneof![
        0..PAGES,
        (0..3_u64, 0..40_u64).prop_map(|(segment, back)| (segment * 8192 + 20).saturating_sub(back)),
    ];
    prop_oneof![
        8 => (start.clone(), 1..80_u64, 1..=255_u8).prop_map(|(at, n, byte)| Step::Update(at, n, byte)),
        1 => (start.clone(), 4000..8192_u64, 1..=255_u8).prop_map(|(at, n, byte)| Step::Update(at, n, byte)),
        4 => (start, prop_oneof![1..60_u64, 1..PAGES]).prop_map(|(at, n)| Step::Clear(at, n)),
        1 => (1..=PAGES).prop_map(Step::Resize),
        2 => Just(Step::Snapshot),
        1 => any::<usize>().prop_map(Step::DeleteSnapshot),
        1 => (1..=PAGES).prop_map(Step::Overwrite),
        1 => Just(Step::Clean),
    ]
}

/// Of each page the byte that it is full of, and when it was written.
type Pages = Vec<Option<(u8, usize)>>;

#[derive(Debug, Clone)]
struct Kept {
    at: Timestamp,
    pages: Pages,
    /// When it was made, and which overwriting it follows.
    step: usize,
    line: usize,
}

fn model_ranges(pages: &Pages, kind: impl Fn(usize) -> Option<bool>) -> Vec<(Range<u64>, bool)> {
    let mut ranges: Vec<(Range<u64>, bool)> = Vec::new();
    for page in 0..pages.len() {
        let Some(cleared) = kind(page) else { continue };
        let start = page as u64 * PAGE;
        match ranges.last_mut() {
            Some((range, last)) if *last == cleared && range.end == start => range.end += PAGE,
            _ => ranges.push((start..start + PAGE, cleared)),
        }
    }
    ranges
}

async fn check(storage: &Storage, revision: Revision, pages: &Pages, older: &[Kept], line: usize) {
    let bytes: Vec<u8> = pages.iter().flat_map(|page| [page.map_or(0, |(byte, _)| byte); 512]).collect();
    assert!(read(storage, revision, None, &always()).await.unwrap() == bytes, "{revision:?} differs");
    let written = model_ranges(pages, |page| pages[page].map(|_| false));
    assert_eq!(ranges(storage, revision, None).await, written, "{revision:?}");
    for kept in older.iter().filter(|kept| kept.line == line) {
        let changed =
            model_ranges(pages, |page| match (pages[page], kept.pages.get(page).copied().flatten()) {
                (Some((_, written)), _) if written > kept.step => Some(false),
                (None, Some(_)) => Some(true),
                _ => None,
            });
        assert_eq!(
            ranges(storage, revision, Some(kept.at)).await,
            changed,
            "{revision:?} since {:?}",
            kept.at
        );
    }
}

async fn run(steps: Vec<Step>) {
    let (_folder, storage) = with_container().await;
    let mut pages: Pages = vec![None; PAGES as usize];
    let (mut kept, mut line) = (Vec::<Kept>::new(), 0);
    storage.put_page_blob(path("b"), PAGES * PAGE, 0, &NewBlob::default(), now()).await.unwrap();
    for (number, step) in steps.into_iter().enumerate() {
        let length = pages.len() as u64;
        match step {
            Step::Update(at, count, byte) if at < length => {
                let end = (at + count).min(length);
                update(&storage, at * PAGE, vec![byte; ((end - at) * PAGE) as usize], &always())
                    .await
                    .unwrap();
                pages[at as usize..end as usize].fill(Some((byte, number)));
            }
            Step::Clear(at, count) if at < length => {
                let end = (at + count).min(length);
                clear(&storage, at * PAGE..end * PAGE).await.unwrap();
                pages[at as usize..end as usize].fill(None);
            }
            Step::Update(..) | Step::Clear(..) => {}
            Step::Resize(count) => {
                resize(&storage, count * PAGE).await;
                pages.resize(count as usize, None);
            }
            Step::Snapshot => {
                let at = snapshot(&storage).await;
                kept.push(Kept { at, pages: pages.clone(), step: number, line });
            }
            Step::DeleteSnapshot(which) if !kept.is_empty() => {
                let gone = kept.remove(which % kept.len());
                let one = Deleting::One(Revision::Snapshot(gone.at));
                storage.delete_blob(path("b"), one, &always(), now()).await.unwrap();
            }
            Step::DeleteSnapshot(_) => {}
            Step::Overwrite(count) => {
                let bytes = count * PAGE;
                storage.put_page_blob(path("b"), bytes, 0, &NewBlob::default(), now()).await.unwrap();
                pages = vec![None; count as usize];
                line += 1;
            }
            Step::Clean => while storage.clean(now()).await.unwrap() {},
        }
    }
    check(&storage, Revision::Current, &pages, &kept, line).await;
    for (number, one) in kept.iter().enumerate() {
        check(&storage, Revision::Snapshot(one.at), &one.pages, &kept[..number], one.line).await;
    }
    nothing_is_left(&storage).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn page_blobs_agree_with_a_model(steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        runtime.unwrap().block_on(run(steps));
    }
}
