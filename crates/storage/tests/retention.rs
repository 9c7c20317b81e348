//! What is kept of blobs that are overwritten and deleted, against a simple model: random writes, deletions,
//! snapshots and undeletions, with versions and the keeping of deleted blobs on and off. Whatever happened, nothing
//! is left in the store when all of it is over.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
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
use welkin_storage::blob::list::{ListBlobs, Listed, Show};
use welkin_storage::blob::page::{PageWrite, SequenceConditions};
use welkin_storage::blob::write::NewBlob;
use welkin_storage::blob::{BlobError, BlobPath, Revision};
use welkin_storage::service::DeleteRetention;
use welkin_storage::space::{BLOBS, CONTAINERS, DUE, GARBAGE};
use welkin_storage::{Account, NewKeys, Storage, Uid, cleaner};
use welkin_store::{ScanFrom, Space, Store};

const DAYS: u32 = 7;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Larger than what lies in a row.
const LARGE: usize = 40_000;
const NAMES: [&str; 4] = ["a", "b/1", "b/2", "c"];
const PAGES_BYTES: usize = 64 * 1024;
/// Bytes of one Put Page.
const PAGES_WRITTEN: usize = 32 * 1024;
/// The name of a page blob, among block blobs.
const PAGES: usize = 2;
/// The name of an append blob.
const APPENDED: usize = 3;

fn start() -> Timestamp {
    Timestamp::from_ticks(17_900_000_000_000_000)
}

fn account() -> Account {
    let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
    Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), start(), keys)
}

#[derive(Debug, Clone)]
enum Act {
    /// Put Blob; of a size that lies in the row, or not. By its name it is a block, page or append blob.
    Put(usize, bool),
    /// Put Block and Put Block List; Put Page; Append Block.
    Write(usize),
    SetMetadata(usize),
    Snapshot(usize),
    Delete(usize),
    DeleteWithSnapshots(usize),
    DeleteSnapshots(usize),
    /// Of the snapshots and versions of a name, this one modulo their number.
    DeleteOne(usize, usize),
    DeleteForGood(usize, usize),
    Undelete(usize),
    Versioning(bool),
    Keeping(bool),
    Wait(u32),
    Clean,
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..NAMES.len();
    prop_oneof![
        4 => (name.clone(), any::<bool>()).prop_map(|(n, large)| Act::Put(n, large)),
        2 => name.clone().prop_map(Act::Write),
        1 => name.clone().prop_map(Act::SetMetadata),
        4 => name.clone().prop_map(Act::Snapshot),
        3 => name.clone().prop_map(Act::Delete),
        2 => name.clone().prop_map(Act::DeleteWithSnapshots),
        1 => name.clone().prop_map(Act::DeleteSnapshots),
        2 => (name.clone(), any::<prop::sample::Index>()).prop_map(|(n, i)| Act::DeleteOne(n, i.index(64))),
        1 => (name.clone(), any::<prop::sample::Index>()).prop_map(|(n, i)| Act::DeleteForGood(n, i.index(64))),
        2 => name.prop_map(Act::Undelete),
        1 => any::<bool>().prop_map(Act::Versioning),
        1 => any::<bool>().prop_map(Act::Keeping),
        1 => (1..9_u32).prop_map(Act::Wait),
        1 => Just(Act::Clean),
    ]
}

/// A state of a blob in the model: what it holds, and until when it is kept if it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    bytes: Vec<u8>,
    kept_until: Option<Timestamp>,
    version: Option<Timestamp>,
    created: Timestamp,
}

type Blob = BTreeMap<Revision, State>;

#[derive(Debug, Default)]
struct Model {
    blobs: BTreeMap<&'static str, Blob>,
    versioning: bool,
    keeping: bool,
}

impl Model {
    fn expire(&mut self, now: Timestamp) {
        for blob in self.blobs.values_mut() {
            blob.retain(|_, state| state.kept_until.is_none_or(|until| until > now));
        }
    }

    fn kept_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.keeping.then(|| now.plus(DAY * DAYS))
    }

    fn free_moment(blob: &Blob, now: Timestamp) -> Timestamp {
        let moments = blob.iter().flat_map(|(revision, state)| {
            let own = match revision {
                Revision::Current => None,
                Revision::Snapshot(at) | Revision::Version(at) => Some(*at),
            };
            [own, state.version]
        });
        moments.flatten().max().map_or(now, |last| now.max(Timestamp::from_ticks(last.ticks() + 1)))
    }

    fn to_version(blob: &mut Blob, last: State) {
        let named = last.version.unwrap_or(last.created);
        let at = match blob.contains_key(&Revision::Version(named)) {
            true => Self::free_moment(blob, named),
            false => named,
        };
        blob.insert(Revision::Version(at), State { version: Some(at), ..last });
    }

    fn write(&mut self, name: &'static str, bytes: Vec<u8>, now: Timestamp) {
        let (versioning, kept_until) = (self.versioning, self.kept_until(now));
        let blob = self.blobs.entry(name).or_default();
        let mut created = now;
        if let Some(last) = blob.remove(&Revision::Current) {
            let until = last.kept_until.or(kept_until);
            if last.kept_until.is_none() {
                created = last.created;
            }
            if last.kept_until.is_none() && versioning {
                Self::to_version(blob, last);
            } else if let Some(until) = until {
                let at = Self::free_moment(blob, now);
                let state = State { kept_until: Some(until), version: None, ..last };
                blob.insert(Revision::Snapshot(at), state);
            }
        }
        let version = versioning.then(|| Self::free_moment(blob, now));
        blob.insert(Revision::Current, State { bytes, kept_until: None, version, created });
    }

    fn is_there(&self, name: &str) -> bool {
        let current = self.blobs.get(name).and_then(|blob| blob.get(&Revision::Current));
        current.is_some_and(|state| state.kept_until.is_none())
    }

    fn snapshots(&self, name: &str) -> Vec<Revision> {
        let states = self.blobs.get(name).into_iter().flatten();
        let live = states.filter(|(at, s)| matches!(at, Revision::Snapshot(_)) && s.kept_until.is_none());
        live.map(|(at, _)| *at).collect()
    }

    fn delete_revision(&mut self, name: &str, revision: Revision, now: Timestamp) {
        let until = self.kept_until(now);
        let blob = self.blobs.get_mut(name).unwrap();
        match until {
            Some(until) => blob.get_mut(&revision).unwrap().kept_until = Some(until),
            None => drop(blob.remove(&revision)),
        }
    }

    fn delete_current(&mut self, name: &str, now: Timestamp) {
        if !self.versioning {
            return self.delete_revision(name, Revision::Current, now);
        }
        let blob = self.blobs.get_mut(name).unwrap();
        let last = blob.remove(&Revision::Current).unwrap();
        Self::to_version(blob, last);
    }
}

struct Run {
    _folder: TempDir,
    storage: Storage,
    account: Account,
    model: Model,
    now: Timestamp,
    writes: usize,
}

impl Run {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
        let account = account();
        let new = NewContainer::private(Uid::from_bytes([2; 16]));
        storage.create_container(account.uid, "c", new, start()).await.unwrap();
        Self { _folder: folder, storage, account, model: Model::default(), now: start(), writes: 0 }
    }

    fn path(&self, name: &'static str) -> BlobPath<'_> {
        BlobPath { account: &self.account, container: "c", name }
    }

    fn bytes(&mut self, large: bool) -> Vec<u8> {
        self.writes += 1;
        let text = format!("{} ", self.writes).into_bytes();
        if large { text.iter().copied().cycle().take(LARGE).collect() } else { text }
    }

    async fn put(&mut self, n: usize, large: bool) {
        if n == PAGES || n == APPENDED {
            let (path, new) = (self.path(NAMES[n]), NewBlob::default());
            let length = if n == PAGES { PAGES_BYTES } else { 0 };
            match n {
                PAGES => self.storage.put_page_blob(path, length as u64, 0, &new, self.now).await.unwrap(),
                _ => self.storage.put_append_blob(path, &new, self.now).await.unwrap(),
            };
            return self.model.write(NAMES[n], vec![0; length], self.now);
        }
        let bytes = self.bytes(large);
        let mut writer = self.storage.blob_writer(Some(bytes.len() as u64));
        writer.write(Bytes::from(bytes.clone())).await.unwrap();
        let content = writer.finish().await.unwrap();
        self.storage.put_blob(self.path(NAMES[n]), content, &NewBlob::default(), self.now).await.unwrap();
        self.model.write(NAMES[n], bytes, self.now);
    }

    /// A write that changes the content of a blob and makes no version.
    async fn write_on(&mut self, n: usize) {
        let (bytes, always) = (self.bytes(true), Conditions::default());
        let path = self.path(NAMES[n]);
        let start = (self.writes % 3) * 4096;
        let result = if n == PAGES {
            let write = PageWrite::Update(bytes[..PAGES_WRITTEN].to_vec().into());
            let (range, free) = (start as u64..(start + PAGES_WRITTEN) as u64, SequenceConditions::default());
            self.storage.put_pages(path, range, &write, &free, &always, self.now).await.map(|_| ())
        } else {
            let mut writer = self.storage.block_writer(None);
            writer.write(Bytes::from(bytes.clone())).await.unwrap();
            let (content, free) = (writer.finish().await.unwrap(), AppendConditions::default());
            self.storage.append_block(path, content, &free, &always, self.now).await.map(|_| ())
        };
        assert_eq!(result.is_ok(), self.model.is_there(NAMES[n]));
        if result.is_ok() {
            let blob = self.model.blobs.get_mut(NAMES[n]).unwrap();
            let current = &mut blob.get_mut(&Revision::Current).unwrap().bytes;
            match n {
                PAGES => current[start..start + PAGES_WRITTEN].copy_from_slice(&bytes[..PAGES_WRITTEN]),
                _ => current.extend(bytes),
            }
        }
    }

    async fn put_blocks(&mut self, n: usize) {
        let (path, mut whole) = (NAMES[n], Vec::new());
        for id in [b"1", b"2"] {
            let bytes = self.bytes(true);
            let mut writer = self.storage.block_writer(None);
            writer.write(Bytes::from(bytes.clone())).await.unwrap();
            let content = writer.finish().await.unwrap();
            self.storage.put_block(self.path(path), id, content, None, self.now).await.unwrap();
            whole.extend(bytes);
        }
        let list = [(Source::Latest, b"1".to_vec()), (Source::Latest, b"2".to_vec())];
        let new = NewBlob::default();
        self.storage.put_block_list(self.path(path), &list, &new, self.now).await.unwrap();
        self.model.write(path, whole, self.now);
    }

    /// Some snapshot or version of a name.
    fn pick(&self, n: usize, index: usize, deleted: bool) -> Option<Revision> {
        let states = self.model.blobs.get(NAMES[n]).into_iter().flatten();
        let fits = states.filter(|(at, s)| **at != Revision::Current && s.kept_until.is_some() == deleted);
        let all: Vec<_> = fits.map(|(at, _)| *at).collect();
        (!all.is_empty()).then(|| all[index % all.len()])
    }

    async fn delete(&mut self, n: usize, deleting: Deleting) -> Result<(), BlobError> {
        let always = Conditions::default();
        self.storage.delete_blob(self.path(NAMES[n]), deleting, &always, self.now).await.map(|_| ())
    }

    async fn delete_blob(&mut self, n: usize, deleting: Deleting) {
        let name = NAMES[n];
        let result = self.delete(n, deleting).await;
        let snapshots = self.model.snapshots(name);
        if !self.model.is_there(name) {
            assert!(matches!(result, Err(BlobError::BlobNotFound)), "{result:?}");
        } else if deleting == Deleting::Blob && !snapshots.is_empty() {
            assert!(matches!(result, Err(BlobError::SnapshotsPresent)), "{result:?}");
        } else {
            result.unwrap();
            for snapshot in snapshots {
                self.model.delete_revision(name, snapshot, self.now);
            }
            if deleting != Deleting::OnlySnapshots {
                self.model.delete_current(name, self.now);
            }
        }
    }

    async fn act(&mut self, act: &Act) {
        match act {
            Act::Put(n, large) => self.put(*n, *large).await,
            Act::Write(n @ (PAGES | APPENDED)) => self.write_on(*n).await,
            Act::Write(n) => self.put_blocks(*n).await,
            Act::SetMetadata(n) => {
                let metadata = vec![("a".to_owned(), "b".to_owned())];
                let always = Conditions::default();
                let path = self.path(NAMES[*n]);
                let result = self.storage.set_blob_metadata(path, &metadata, &always, self.now).await;
                assert_eq!(result.is_ok(), self.model.is_there(NAMES[*n]));
                if result.is_ok() && self.model.versioning {
                    let bytes = self.model.blobs[NAMES[*n]][&Revision::Current].bytes.clone();
                    self.model.write(NAMES[*n], bytes, self.now);
                }
            }
            Act::Snapshot(n) => {
                let (name, always) = (NAMES[*n], Conditions::default());
                let result = self.storage.snapshot_blob(self.path(name), None, &always, self.now).await;
                assert_eq!(result.is_ok(), self.model.is_there(name));
                if let Ok(snapshot) = result {
                    let blob = self.model.blobs.get_mut(name).unwrap();
                    assert_eq!(snapshot.at, Model::free_moment(blob, self.now));
                    let current = blob[&Revision::Current].clone();
                    blob.insert(Revision::Snapshot(snapshot.at), State { version: None, ..current.clone() });
                    if self.model.versioning {
                        Model::to_version(blob, current);
                        let version = Some(Model::free_moment(blob, self.now));
                        blob.get_mut(&Revision::Current).unwrap().version = version;
                    }
                }
            }
            Act::Delete(n) => self.delete_blob(*n, Deleting::Blob).await,
            Act::DeleteWithSnapshots(n) => self.delete_blob(*n, Deleting::WithSnapshots).await,
            Act::DeleteSnapshots(n) => self.delete_blob(*n, Deleting::OnlySnapshots).await,
            Act::DeleteOne(n, index) => {
                if let Some(revision) = self.pick(*n, *index, false) {
                    self.delete(*n, Deleting::One(revision)).await.unwrap();
                    self.model.delete_revision(NAMES[*n], revision, self.now);
                }
            }
            Act::DeleteForGood(n, index) => {
                if let Some(revision) = self.pick(*n, *index, true) {
                    let result = self.delete(*n, Deleting::ForGood(revision)).await;
                    assert_eq!(result.is_ok(), self.model.keeping);
                    if result.is_ok() {
                        self.model.blobs.get_mut(NAMES[*n]).unwrap().remove(&revision);
                    }
                }
            }
            Act::Undelete(n) => {
                let result = self.storage.undelete_blob(self.path(NAMES[*n]), self.now).await;
                let blob = self.model.blobs.entry(NAMES[*n]).or_default();
                assert_eq!(result.is_ok(), !blob.is_empty());
                blob.values_mut().for_each(|state| state.kept_until = None);
            }
            Act::Versioning(on) => {
                self.account.settings.versioning = *on;
                self.model.versioning = *on;
            }
            Act::Keeping(on) => {
                let keeping = DeleteRetention { days: DAYS, allow_permanent_delete: true };
                self.account.blob_service.delete_retention = on.then_some(keeping);
                self.model.keeping = *on;
            }
            Act::Wait(days) => self.now = self.now.plus(DAY * *days),
            Act::Clean => while self.storage.clean(self.now).await.unwrap() {},
        }
        self.model.expire(self.now);
    }

    async fn read(&self, name: &'static str, revision: Revision) -> Result<Vec<u8>, BlobError> {
        let always = Conditions::default();
        let (_, _, mut reader) =
            self.storage.read_blob(self.path(name), revision, None, &always, self.now).await?;
        let mut whole = Vec::new();
        while let Some(bytes) = reader.next().await? {
            whole.extend_from_slice(&bytes);
        }
        Ok(whole)
    }

    /// All lines of a list, in pages of a few.
    async fn list(&self, ask: &ListBlobs) -> Vec<(String, Revision, bool)> {
        let mut ask = ask.clone();
        let mut found = Vec::new();
        loop {
            let page = self.storage.list_blobs(self.account.uid, "c", &ask, self.now).await.unwrap();
            assert!(page.items.len() <= ask.items_max);
            found.extend(page.items.into_iter().map(|item| match item {
                Listed::Blob(blob) => (blob.name, blob.revision, blob.record.deleted.is_some()),
                other => (other.name().to_owned(), Revision::Current, false),
            }));
            match page.next {
                Some(next) => ask.marker = Some(next),
                None => return found,
            }
        }
    }

    async fn check(&self) {
        for name in NAMES {
            let empty = Blob::new();
            let blob = self.model.blobs.get(name).unwrap_or(&empty);
            for (revision, state) in blob {
                let read = self.read(name, *revision).await;
                match state.kept_until {
                    None => assert_eq!(read.unwrap(), state.bytes, "{name} {revision:?}"),
                    Some(_) => assert!(matches!(read, Err(BlobError::BlobNotFound)), "{name} {revision:?}"),
                }
            }
        }
        for bits in 0..16_usize {
            let ask = ListBlobs {
                snapshots: bits & 1 != 0,
                versions: bits & 2 != 0,
                deleted: bits & 4 != 0,
                show: if bits & 8 != 0 { Show::Deleted } else { Show::All },
                items_max: 1 + bits % 3,
                ..ListBlobs::default()
            };
            assert_eq!(self.list(&ask).await, self.expected(&ask), "{ask:?}");
        }
        let rolled = ListBlobs { delimiter: Some("/".to_owned()), items_max: 2, ..ListBlobs::default() };
        let names: Vec<_> = self.list(&rolled).await.into_iter().map(|(name, ..)| name).collect();
        let mut expected: Vec<_> = NAMES.into_iter().filter(|name| self.model.is_there(name)).collect();
        expected.iter_mut().for_each(|name| *name = name.split_inclusive('/').next().unwrap());
        expected.dedup();
        assert_eq!(names, expected);
    }

    fn expected(&self, ask: &ListBlobs) -> Vec<(String, Revision, bool)> {
        let mut lines = Vec::new();
        for (name, blob) in &self.model.blobs {
            let shown = |(revision, state): &(&Revision, &State)| {
                let asked = match revision {
                    Revision::Current => true,
                    Revision::Snapshot(_) => ask.snapshots,
                    Revision::Version(_) => ask.versions,
                };
                asked
                    && match state.kept_until {
                        None => ask.show == Show::All,
                        Some(_) => ask.deleted || ask.show == Show::Deleted,
                    }
            };
            let line = |(revision, state): (&Revision, &State)| {
                ((*name).to_owned(), *revision, state.kept_until.is_some())
            };
            let (current, others): (Vec<_>, Vec<_>) =
                blob.iter().filter(shown).map(line).partition(|line| line.1 == Revision::Current);
            lines.extend(others.into_iter().chain(current));
        }
        lines
    }

    /// All is deleted, and its time goes by.
    async fn end(mut self) {
        self.act(&Act::Versioning(false)).await;
        self.act(&Act::Keeping(true)).await;
        for (n, name) in NAMES.iter().enumerate() {
            self.act(&Act::DeleteWithSnapshots(n)).await;
            while let Some(revision) = self.pick(n, 0, false) {
                self.delete(n, Deleting::One(revision)).await.unwrap();
                self.model.delete_revision(name, revision, self.now);
            }
        }
        self.check().await;
        self.now = self.now.plus(DAY * (DAYS + 1));
        for _ in 0..2 {
            while self.storage.clean(self.now).await.unwrap() {}
            self.now = self.now.plus(cleaner::GRACE * 2);
        }
        let rows = (self.rows(BLOBS).await, self.rows(DUE).await, self.rows(GARBAGE).await);
        assert_eq!(rows, (0, 0, 0));
        self.no_extents().await;
        self.storage.close().await.unwrap();
    }

    async fn rows(&self, space: Space) -> usize {
        self.storage.store().scan(space, ScanFrom::Start, 10_000).await.unwrap().len()
    }

    /// Space is released in the background.
    async fn no_extents(&self) {
        let none = async {
            while !self.storage.store().live_extents(None, 10).await.unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), none).await.expect("extents are left");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn what_is_kept_agrees_with_a_model(acts in prop::collection::vec(act(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new().await;
            for act in &acts {
                run.act(act).await;
            }
            run.check().await;
            run.end().await;
        });
    }
}

#[tokio::test]
async fn many_snapshots_and_blocks_are_listed_in_pages() {
    let mut run = Run::new().await;
    run.put_blocks(1).await;
    for _ in 0..600 {
        run.act(&Act::Snapshot(1)).await;
    }
    run.put(0, false).await;
    run.put(3, false).await;
    for items_max in [7, 250, 5000] {
        for snapshots in [false, true] {
            let ask = ListBlobs { snapshots, items_max, ..ListBlobs::default() };
            assert_eq!(run.list(&ask).await, run.expected(&ask), "{items_max}");
        }
    }
    run.end().await;
}

#[tokio::test]
async fn a_deleted_container_can_be_restored_until_its_time_is_over() {
    let mut run = Run::new().await;
    run.account.settings.container_retention_days = Some(DAYS);
    run.put(0, true).await;
    let always = Conditions::default();
    run.storage.delete_container(&run.account, "c", &always, run.now).await.unwrap();
    assert!(matches!(run.read("a", Revision::Current).await, Err(BlobError::ContainerNotFound)));
    let ask = welkin_storage::blob::container::ListContainers {
        deleted: true,
        items_max: 10,
        ..Default::default()
    };
    let listed = run.storage.list_containers(run.account.uid, &ask, run.now).await.unwrap().items;
    let deletion = listed[0].deletion.unwrap();
    let later = run.now.plus(DAY * (DAYS - 1));
    while run.storage.clean(later).await.unwrap() {}
    run.storage.restore_container(&run.account, "c", deletion, later).await.unwrap();
    run.read("a", Revision::Current).await.unwrap();
    let again = run.storage.restore_container(&run.account, "c", deletion, later).await;
    assert!(matches!(again, Err(BlobError::ContainerNotFound)));
    run.storage.delete_container(&run.account, "c", &always, run.now).await.unwrap();
    run.now = run.now.plus(DAY * DAYS);
    let over = run.storage.restore_container(&run.account, "c", deletion, run.now).await;
    assert!(matches!(over, Err(BlobError::ContainerNotFound)));
    while run.storage.clean(run.now).await.unwrap() {}
    run.no_extents().await;
    let after = run.now.plus(cleaner::GRACE * 2);
    while run.storage.clean(after).await.unwrap() {}
    assert_eq!((run.rows(BLOBS).await, run.rows(CONTAINERS).await), (0, 0));
    assert_eq!((run.rows(DUE).await, run.rows(GARBAGE).await), (0, 0));
}

#[tokio::test]
async fn expired_blobs_and_forgotten_blocks_go() {
    let mut run = Run::new().await;
    run.put(0, true).await;
    let until = run.now.plus(DAY);
    let always = Conditions::default();
    run.storage.set_blob_expiry(run.path("a"), |_| Some(until), &always, run.now).await.unwrap();
    let stage = async |run: &Run, id: &[u8]| {
        let mut writer = run.storage.block_writer(None);
        writer.write(Bytes::from(vec![1; LARGE])).await.unwrap();
        let content = writer.finish().await.unwrap();
        run.storage.put_block(run.path("c"), id, content, None, run.now).await.unwrap();
    };
    stage(&run, b"1").await;
    run.now = until;
    assert!(matches!(run.read("a", Revision::Current).await, Err(BlobError::BlobNotFound)));
    while run.storage.clean(run.now).await.unwrap() {}
    assert_eq!(run.rows(BLOBS).await, 1);
    run.now = run.now.plus(DAY * 5);
    stage(&run, b"2").await;
    run.now = run.now.plus(DAY * 6);
    while run.storage.clean(run.now).await.unwrap() {}
    assert_eq!(run.rows(BLOBS).await, 2);
    run.now = run.now.plus(DAY * 2);
    while run.storage.clean(run.now).await.unwrap() {}
    assert_eq!((run.rows(BLOBS).await, run.rows(DUE).await), (0, 0));
    run.no_extents().await;
}

/// Puts that race the deletion of their container: what is acknowledged was in a container that was there, and what
/// went into a deleted one is removed.
#[tokio::test(flavor = "multi_thread")]
async fn puts_that_race_the_deletion_of_their_container_leave_nothing() {
    let run = Run::new().await;
    let always = Conditions::default();
    for round in 0..40_u8 {
        let puts = (0..4).map(|_| {
            let (storage, account, now) = (run.storage.clone(), run.account.clone(), run.now);
            tokio::spawn(async move {
                let mut writer = storage.blob_writer(Some(LARGE as u64));
                writer.write(Bytes::from(vec![round; LARGE])).await.unwrap();
                let content = writer.finish().await.unwrap();
                let path = BlobPath { account: &account, container: "c", name: "a" };
                storage.put_blob(path, content, &NewBlob::default(), now).await
            })
        });
        let puts: Vec<_> = puts.collect();
        run.storage.delete_container(&run.account, "c", &always, run.now).await.unwrap();
        let new = NewContainer::private(Uid::from_bytes([3 + round; 16]));
        run.storage.create_container(run.account.uid, "c", new, run.now).await.unwrap();
        for put in puts {
            match put.await.unwrap() {
                Ok(_) | Err(BlobError::ContainerNotFound) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    run.storage.delete_container(&run.account, "c", &always, run.now).await.unwrap();
    while run.storage.clean(run.now).await.unwrap() {}
    let later = run.now.plus(cleaner::GRACE * 2);
    while run.storage.clean(later).await.unwrap() {}
    assert_eq!((run.rows(BLOBS).await, run.rows(GARBAGE).await), (0, 0));
    run.no_extents().await;
}
