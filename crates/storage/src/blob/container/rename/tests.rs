//! A rename that is broken off after each of its steps: nothing is lost, nothing is there twice, nothing is left.

use std::time::Duration;

use tempfile::TempDir;
use welkin_base::AccountName;
use welkin_storage_wire::blob::tag_filter::{Place, TagFilter};
use welkin_store::Store;

use super::*;
use crate::blob::BlobPath;
use crate::blob::condition::Conditions;
use crate::blob::container::{ListContainers, NewContainer};
use crate::blob::read::ByteRange;
use crate::blob::tags::Found;
use crate::blob::write::NewBlob;
use crate::blob::{Page, Revision};
use crate::cleaner::{GRACE, Garbage};
use crate::space::{BLOBS, DUE, GARBAGE};
use crate::{Account, NewKeys};

const OLD: &str = "old";
const NEW: &str = "new";
const OWN: Uid = Uid::from_bytes([2; 16]);

/// How many commits of a rename came before the crash.
const STEPS: std::ops::RangeInclusive<u32> = 0..=3;

struct Run {
    /// Where the store lies.
    folder: TempDir,
    storage: Storage,
    account: Account,
    now: Timestamp,
}

fn put_blob_of() -> NewBlob {
    NewBlob { tags: vec![("a".to_owned(), "b".to_owned())], ..NewBlob::default() }
}

impl Run {
    /// An account with the container `old`, which has a blob and may be about to be deleted.
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
        let keys = NewKeys { primary: vec![1; 64], secondary: vec![2; 64], delegation: vec![3; 32] };
        let now = Timestamp::from_ticks(17_900_000_000_000_000);
        let account = Account::new(AccountName::new("owner").unwrap(), Uid::from_bytes([1; 16]), now, keys);
        storage.create_account(&account).await.unwrap();
        let run = Self { folder, storage, account, now };
        run.create(OLD, OWN).await.unwrap();
        run.put(OLD, "blob").await.unwrap();
        run
    }

    /// A rename of which only the first steps came to be, and then the server was opened again.
    async fn broken_off(steps: u32) -> Self {
        let run = Self::new().await;
        let (from, to) = (run.partition(OLD), run.partition(NEW));
        let (mut container, leaving) = run.storage.container_row(run.account.uid, OLD).await.unwrap();
        container.etag += 1;
        let rename = Rename { storage: &run.storage, from: &from, to: &to, leaving, container, now: run.now };
        if steps > 0 {
            let arrival = rename.announce().await.unwrap().unwrap();
            if steps > 1 {
                assert!(rename.leave(arrival).await.unwrap());
            }
            if steps > 2 {
                rename.arrive(arrival).await.unwrap();
            }
        }
        let Self { folder, storage, account, now } = run;
        storage.close().await.unwrap();
        drop(storage);
        let storage = Storage::over(Store::open_local(folder.path()).await.unwrap());
        Self { folder, storage, account, now }
    }

    fn partition(&self, name: &str) -> Vec<u8> {
        self.account.uid.key(name.as_bytes())
    }

    fn path<'a>(&'a self, container: &'a str, name: &'a str) -> BlobPath<'a> {
        BlobPath { account: &self.account, container, name }
    }

    async fn create(&self, name: &str, uid: Uid) -> Result<ContainerRecord, BlobError> {
        self.storage.create_container(self.account.uid, name, NewContainer::private(uid), self.now).await
    }

    async fn rename(&self, names: (&str, &str)) -> Result<ContainerRecord, BlobError> {
        self.storage.rename_container(self.account.uid, names, None, self.now).await
    }

    async fn delete(&self, name: &str) -> Result<(), BlobError> {
        self.storage.delete_container(&self.account, name, &Conditions::default(), self.now).await
    }

    async fn put(&self, container: &str, name: &str) -> Result<(), BlobError> {
        let mut writer = self.storage.blob_writer(Some(1));
        writer.write(Bytes::from_static(b"x")).await?;
        let content = writer.finish().await?;
        let new = put_blob_of();
        self.storage.put_blob(self.path(container, name), content, &new, self.now).await.map(|_| ())
    }

    async fn has_blob(&self, container: &str) -> bool {
        let whole: Option<ByteRange> = None;
        let always = Conditions::default();
        self.storage
            .read_blob(self.path(container, "blob"), Revision::Current, whole, &always, self.now)
            .await
            .is_ok()
    }

    async fn listed(&self) -> Vec<(String, Uid)> {
        let ask = ListContainers { items_max: 10, deleted: true, ..ListContainers::default() };
        let page = self.storage.list_containers(self.account.uid, &ask, self.now).await.unwrap();
        page.items.into_iter().map(|item| (item.name, item.record.uid)).collect()
    }

    async fn found(&self) -> Vec<String> {
        let filter = TagFilter::parse("a='b'", Place::Where).unwrap();
        let found: Page<Found> =
            self.storage.find_blobs(self.account.uid, None, &filter, (None, 10), self.now).await.unwrap();
        found.items.into_iter().map(|(container, ..)| container).collect()
    }

    async fn rows(&self, space: welkin_store::Space) -> usize {
        self.storage.store().scan(space, ScanFrom::Start, 1000).await.unwrap().len()
    }

    async fn clean(&self) {
        while self.storage.clean(self.now).await.unwrap() {}
    }

    /// The cleaner comes again and again, until all is over that can be.
    async fn clean_all(&mut self) {
        for _ in 0..4 {
            self.clean().await;
            self.now = self.now.plus(GRACE * 3);
        }
        self.clean().await;
    }

    /// Deletes the container, wherever it is, and sees that nothing is left.
    async fn end(mut self, name: &str) {
        self.delete(name).await.unwrap();
        assert_eq!(self.listed().await, []);
        self.clean_all().await;
        let left = [
            self.rows(CONTAINERS).await,
            self.rows(BLOBS).await,
            self.rows(GARBAGE).await,
            self.rows(DUE).await,
        ];
        assert_eq!(left, [0; 4]);
    }
}

fn name_after(steps: u32) -> &'static str {
    if steps >= 2 { NEW } else { OLD }
}

fn other_of(name: &str) -> &'static str {
    if name == OLD { NEW } else { OLD }
}

#[tokio::test]
async fn the_second_commit_is_the_moment_of_the_rename() {
    for steps in STEPS {
        let run = Run::broken_off(steps).await;
        let name = name_after(steps);
        assert!(!run.has_blob(other_of(name)).await, "{steps}");
        assert!(run.has_blob(name).await, "{steps}");
        assert_eq!(run.listed().await, [(name.to_owned(), OWN)], "{steps}");
        run.put(name, "another").await.unwrap();
        run.end(name).await;
    }
}

#[tokio::test]
async fn whoever_comes_first_finishes_what_happened() {
    for steps in STEPS {
        let name = name_after(steps).to_owned();
        let run = Run::broken_off(steps).await;
        assert_eq!(run.listed().await, [(name.clone(), OWN)]);
        run.end(&name).await;
        let run = Run::broken_off(steps).await;
        assert_eq!(run.found().await, std::slice::from_ref(&name));
        run.end(&name).await;
        let run = Run::broken_off(steps).await;
        let created = run.create(&name, Uid::from_bytes([3; 16])).await;
        assert!(matches!(created, Err(BlobError::ContainerAlreadyExists)));
        run.end(&name).await;
        let run = Run::broken_off(steps).await;
        run.rename((&name, "third")).await.unwrap();
        assert_eq!(run.listed().await, [("third".to_owned(), OWN)]);
        run.end("third").await;
    }
}

#[tokio::test]
async fn the_name_that_is_free_can_be_had() {
    let other = Uid::from_bytes([3; 16]);
    for steps in STEPS {
        let (name, free) = (name_after(steps), other_of(name_after(steps)));
        let run = Run::broken_off(steps).await;
        run.create(free, other).await.unwrap();
        assert!(run.has_blob(name).await && !run.has_blob(free).await, "{steps}");
        assert_eq!(run.listed().await.len(), 2, "{steps}");
        let taken = run.rename((name, free)).await;
        assert!(matches!(taken, Err(BlobError::ContainerAlreadyExists)), "{steps}");
        run.delete(free).await.unwrap();
        run.end(name).await;
        // A rename to and fro, over what was broken off.
        let run = Run::broken_off(steps).await;
        run.rename((name, free)).await.unwrap();
        run.rename((free, name)).await.unwrap();
        run.rename((name, free)).await.unwrap();
        assert!(run.has_blob(free).await, "{steps}");
        run.end(free).await;
    }
}

#[tokio::test]
async fn what_a_crash_leaves_goes_and_the_container_stays() {
    for steps in STEPS {
        let mut run = Run::broken_off(steps).await;
        run.clean_all().await;
        assert_eq!((run.rows(CONTAINERS).await, run.rows(DUE).await), (1, 0), "{steps}");
        assert!(run.has_blob(name_after(steps)).await, "{steps}");
        run.end(name_after(steps)).await;
    }
}

/// A deletion was noted, and then the container was renamed: the note does not lead to its blobs.
#[tokio::test]
async fn a_note_under_an_old_name_does_not_harm_the_container() {
    for steps in STEPS {
        let mut run = Run::broken_off(steps).await;
        let note = Garbage::container(run.partition(OLD), run.now);
        run.storage.add_garbage(OWN, note.clone()).await.unwrap();
        run.clean().await;
        assert!(run.has_blob(name_after(steps)).await, "{steps}");
        run.rename((name_after(steps), "third")).await.unwrap();
        // All is due at once, as after a long time without a server.
        run.now = run.now.plus(GRACE * 10);
        run.clean().await;
        assert!(run.has_blob("third").await, "{steps}");
        run.rename(("third", OLD)).await.unwrap();
        // The note of a deletion that was done is overwritten by one that was not.
        run.delete(OLD).await.unwrap();
        run.storage.add_garbage(OWN, Garbage::container(run.partition("third"), run.now)).await.unwrap();
        run.clean_all().await;
        let left = [run.rows(CONTAINERS).await, run.rows(BLOBS).await, run.rows(GARBAGE).await];
        assert_eq!(left, [0; 3], "{steps}");
    }
}

/// An arrival that is left from before the container came to this name, and was deleted there, brings nothing back.
#[tokio::test]
async fn a_late_arrival_brings_nothing_back() {
    let run = Run::new().await;
    let (from, to) = (run.partition(OLD), run.partition(NEW));
    let (container, leaving) = run.storage.container_row(run.account.uid, OLD).await.unwrap();
    let late = Rename { storage: &run.storage, from: &from, to: &to, leaving, container, now: run.now };
    run.rename((OLD, NEW)).await.unwrap();
    run.delete(NEW).await.unwrap();
    let arrival = late.announce().await.unwrap().unwrap();
    assert!(!run.has_blob(NEW).await);
    assert_eq!(run.listed().await, []);
    assert!(!late.leave(arrival).await.unwrap());
    let other = Uid::from_bytes([3; 16]);
    run.create(NEW, other).await.unwrap();
    assert_eq!(run.listed().await, [(NEW.to_owned(), other)]);
    run.end(NEW).await;
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing() {
    for steps in STEPS {
        let mut run = Run::broken_off(steps).await;
        run.storage.delete_account(&run.account.name, run.now).await.unwrap();
        run.clean().await;
        assert_eq!((run.rows(CONTAINERS).await, run.rows(BLOBS).await), (0, 0), "{steps}");
        run.clean_all().await;
        assert_eq!((run.rows(DUE).await, run.rows(GARBAGE).await), (0, 0), "{steps}");
    }
}

#[tokio::test]
async fn a_write_that_began_before_is_acknowledged() {
    for steps in STEPS {
        let run = Run::broken_off(steps).await;
        let other = Uid::from_bytes([3; 16]);
        if steps >= 2 {
            run.create(OLD, other).await.unwrap();
        }
        let partition = OWN.key(b"blob");
        run.storage.confirm_container(run.path(OLD, "blob"), &partition).await.unwrap();
        run.delete(name_after(steps)).await.unwrap();
        let gone = run.storage.confirm_container(run.path(OLD, "blob"), &partition).await;
        assert!(matches!(gone, Err(BlobError::ContainerNotFound)), "{steps}");
    }
}

#[tokio::test]
async fn what_is_kept_when_deleted_is_restored_under_the_last_name() {
    let mut run = Run::broken_off(2).await;
    run.account.settings.container_retention_days = Some(7);
    run.delete(NEW).await.unwrap();
    let ask = ListContainers { items_max: 10, deleted: true, ..ListContainers::default() };
    let page = run.storage.list_containers(run.account.uid, &ask, run.now).await.unwrap();
    let deletion = page.items[0].deletion.unwrap();
    run.now = run.now.plus(Duration::from_secs(24 * 60 * 60));
    run.clean().await;
    let missing = run.storage.restore_container(&run.account, OLD, deletion, run.now).await;
    assert!(matches!(missing, Err(BlobError::ContainerNotFound)));
    // A rename to the name that is broken off does not keep it from being restored.
    run.create("third", Uid::from_bytes([3; 16])).await.unwrap();
    let (from, to) = (run.partition("third"), run.partition(NEW));
    let (container, leaving) = run.storage.container_row(run.account.uid, "third").await.unwrap();
    let rename = Rename { storage: &run.storage, from: &from, to: &to, leaving, container, now: run.now };
    let arrival = rename.announce().await.unwrap().unwrap();
    run.storage.restore_container(&run.account, NEW, deletion, run.now).await.unwrap();
    assert!(!rename.leave(arrival).await.unwrap());
    assert!(run.has_blob(NEW).await);
    let lost = run.rename(("third", NEW)).await;
    assert!(matches!(lost, Err(BlobError::ContainerAlreadyExists)));
    run.account.settings.container_retention_days = None;
    run.delete("third").await.unwrap();
    run.now = run.now.plus(Duration::from_secs(7 * 24 * 60 * 60));
    run.end(NEW).await;
}

/// The cleaner has a note of a deletion that did not happen, and looks for the container while it goes to and fro.
#[tokio::test(flavor = "multi_thread")]
async fn the_cleaner_does_not_lose_a_container_that_moves() {
    const ROUNDS: usize = 100;
    let run = Run::new().await;
    run.rename((OLD, NEW)).await.unwrap();
    run.rename((NEW, OLD)).await.unwrap();
    let (storage, account, now) = (run.storage.clone(), run.account.uid, run.now);
    let moving = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            for names in [(OLD, NEW), (NEW, OLD)] {
                storage.rename_container(account, names, None, now).await.unwrap();
            }
        }
    });
    let mut name = NEW;
    while !moving.is_finished() {
        name = other_of(name);
        run.storage.add_garbage(OWN, Garbage::container(run.partition(name), now)).await.unwrap();
        run.clean().await;
        tokio::task::yield_now().await;
    }
    moving.await.unwrap();
    assert!(run.has_blob(OLD).await);
    run.end(OLD).await;
}
