//! Snapshots: what is read at one never changes, whatever is written, flushed and compacted meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use welkin_store::{Commit, LocalOptions, ScanFrom, Snapshot, Store};

use crate::store::{SPACE, put, small};

/// So few keys that each has many values in each memtable.
const KEYS: u32 = 300;
const PARTITIONS: u32 = 7;
const SNAPSHOTS: usize = 5;

type Rows = BTreeMap<(Vec<u8>, Vec<u8>), Vec<u8>>;

async fn rows_at(store: &Store, snapshot: &Snapshot, rows_max: usize) -> Rows {
    let mut found = Rows::new();
    let mut from = ScanFrom::Start;
    loop {
        let rows = store.scan_at(snapshot.moment(), SPACE, from, rows_max).await.unwrap();
        let next = rows.last().map(|row| ScanFrom::AfterRow(row.partition.clone(), row.key.clone()));
        let is_last = rows.len() < rows_max;
        found.extend(
            rows.into_iter().map(|row| ((row.partition.to_vec(), row.key.to_vec()), row.value.to_vec())),
        );
        match next {
            Some(next) if !is_last => from = next,
            _ => return found,
        }
    }
}

async fn check(store: &Store, random: &mut StdRng, snapshot: &Snapshot, expected: &Rows) {
    assert_eq!(&rows_at(store, snapshot, random.random_range(1..200)).await, expected);
    for _ in 0..20 {
        let (partition, key) = name(random);
        let row = store.get_at(snapshot.moment(), SPACE, &partition, &key).await.unwrap();
        assert_eq!(row.map(|row| row.value.to_vec()).as_ref(), expected.get(&(partition, key)));
    }
}

fn name(random: &mut StdRng) -> (Vec<u8>, Vec<u8>) {
    let number = random.random_range(0..KEYS);
    (format!("{}", number % PARTITIONS).into_bytes(), format!("{number:05}").into_bytes())
}

/// Commits of different partitions at once, so that they meet in groups.
async fn write(store: &Store, random: &mut StdRng, now: &mut Rows) {
    let mut changes: BTreeMap<Vec<u8>, Commit> = BTreeMap::new();
    for _ in 0..random.random_range(1..30) {
        let (partition, key) = name(random);
        let commit = changes.remove(&partition).unwrap_or_else(|| Commit::new(SPACE, partition.clone()));
        let is_new = commit.writes.iter().all(|write| match write {
            welkin_store::Write::Put(other, _) | welkin_store::Write::Delete(other) => *other != key,
        });
        let commit = match is_new {
            false => commit,
            true if random.random_bool(0.3) => {
                now.remove(&(partition.clone(), key.clone()));
                commit.delete(key)
            }
            true => {
                let length = random.random_range(0..400);
                let value: Vec<u8> = (0..length).map(|_| random.random()).collect();
                now.insert((partition.clone(), key.clone()), value.clone());
                commit.put(key, value)
            }
        };
        changes.insert(partition, commit);
    }
    for result in join_all(changes.into_values().map(|commit| store.commit(commit))).await {
        result.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_snapshot_sees_stays() {
    let folder = tempfile::tempdir().unwrap();
    let options = LocalOptions { memtable_bytes: 64 * 1024, ..small() };
    let store = Store::open_local_with(folder.path(), options).await.unwrap();
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let mut now = Rows::new();
    let mut held: Vec<(Snapshot, Rows)> = Vec::new();
    for round in 0..900 {
        write(&store, &mut random, &mut now).await;
        if round % 20 == 0 {
            if held.len() == SNAPSHOTS {
                held.swap_remove(random.random_range(0..SNAPSHOTS));
            }
            held.push((store.snapshot().await.unwrap(), now.clone()));
        }
        if round % 15 == 0 {
            for (snapshot, expected) in &held {
                check(&store, &mut random, snapshot, expected).await;
            }
        }
    }
    let stats = store.stats();
    assert!(stats.memtable_flushes > 10 && stats.compactions > 3, "too little was flushed: {stats:?}");
    held.clear();
    let snapshot = store.snapshot().await.unwrap();
    check(&store, &mut random, &snapshot, &now).await;
}

/// A moment holds up every flush, and in the end every writer; a snapshot does not.
#[tokio::test]
async fn a_snapshot_holds_nobody_up() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_local_with(folder.path(), small()).await.unwrap();
    put(&store, "p", "k", "old").await;
    let snapshot = store.snapshot().await.unwrap();
    let value = "x".repeat(100_000);
    let (flushes, end) = (store.stats().memtable_flushes, Instant::now() + Duration::from_secs(30));
    while store.stats().memtable_flushes < flushes + 5 {
        assert!(Instant::now() < end, "nothing is flushed");
        put(&store, "p", "k", &value).await;
    }
    let row = store.get_at(snapshot.moment(), SPACE, b"p", b"k").await.unwrap().unwrap();
    assert_eq!(row.value, "old");
}
