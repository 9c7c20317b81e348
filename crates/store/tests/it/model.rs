//! Random commits, scans and reopenings against a map that does the same.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use welkin_store::{Check, Commit, CommitError, ScanFrom, ScanRange, Store, Version, Write};

use crate::store::{SPACE, small};

type Key = (Bytes, Bytes);

#[derive(Debug, Clone)]
enum Step {
    /// Commits sent at once, so that they meet in groups.
    Commits(Vec<CommitPlan>),
    Scan(ScanRange, usize),
    Reopen,
    /// Close first, which flushes the memtable.
    CloseAndReopen,
}

#[derive(Debug, Clone)]
struct CommitPlan {
    partition: u8,
    /// Key, what is expected of it: 0 absent, 1 present, 2 the version in the model.
    checks: Vec<(u8, u8)>,
    /// Key, and length of the value or `None` for a delete.
    writes: BTreeMap<u8, Option<usize>>,
}

fn name(number: u8) -> Bytes {
    // Names with zeros and prefixes of each other.
    let names: [&[u8]; 8] = [b"", b"\0", b"a", b"a\0", b"a\x01", b"ab", b"b", b"\xff\xff"];
    Bytes::from_static(names[number as usize % names.len()])
}

fn step() -> impl Strategy<Value = Step> {
    let length = prop_oneof![3 => 0usize..50, 1 => 5_000usize..40_000];
    let plan = (
        0u8..8,
        proptest::collection::vec((0u8..8, 0u8..3), 0..2),
        proptest::collection::btree_map(0u8..8, proptest::option::weighted(0.7, length), 0..4),
    )
        .prop_map(|(partition, checks, writes)| CommitPlan { partition, checks, writes });
    let place = prop_oneof![
        Just(ScanFrom::Start),
        (0u8..8).prop_map(|p| ScanFrom::Partition(name(p))),
        (0u8..8).prop_map(|p| ScanFrom::AfterPartition(name(p))),
        (0u8..8, 0u8..8).prop_map(|(p, k)| ScanFrom::Row(name(p), name(k))),
        (0u8..8, 0u8..8).prop_map(|(p, k)| ScanFrom::AfterRow(name(p), name(k))),
    ];
    prop_oneof![
        6 => proptest::collection::vec(plan, 1..8).prop_map(Step::Commits),
        4 => (place.clone(), proptest::option::of(place), 0usize..20)
            .prop_map(|(from, until, rows_max)| Step::Scan(ScanRange { from, until }, rows_max)),
        1 => Just(Step::Reopen),
        1 => Just(Step::CloseAndReopen),
    ]
}

#[derive(Debug, Default)]
struct Model {
    rows: BTreeMap<Key, (Bytes, Version)>,
    next: u64,
}

impl Model {
    /// The last commit had this version.
    fn learn(&mut self, version: Version) {
        let guessed = Version(self.next);
        for (_, of_row) in self.rows.values_mut().filter(|(_, of_row)| *of_row == guessed) {
            *of_row = version;
        }
        self.next = version.0;
    }

    /// The commit as sent, and what must come of it.
    fn commit(&mut self, plan: &CommitPlan, seed: usize) -> (Commit, Result<Version, usize>) {
        let partition = name(plan.partition);
        let mut commit = Commit::new(SPACE, partition.clone());
        let mut conflict = None;
        for (index, &(key, expect)) in plan.checks.iter().enumerate() {
            let key = name(key);
            let found = self.rows.get(&(partition.clone(), key.clone())).map(|(_, version)| *version);
            let (check, holds) = match expect {
                0 => (Check::Absent(key), found.is_none()),
                1 => (Check::Present(key), found.is_some()),
                _ => {
                    let version = found.unwrap_or(Version(self.next + 1));
                    (Check::Version(key, version), found.is_some())
                }
            };
            commit.checks.push(check);
            if !holds && conflict.is_none() {
                conflict = Some(index);
            }
        }
        let writes = plan.writes.iter().map(|(&key, length)| (name(key), *length));
        commit.writes = writes
            .map(|(key, length)| match length {
                Some(length) => Write::Put(key, crate::pattern::pattern(seed as u64, length)),
                None => Write::Delete(key),
            })
            .collect();
        if let Some(check) = conflict {
            return (commit, Err(check));
        }
        if !commit.writes.is_empty() {
            self.next += 1;
        }
        let version = Version(self.next);
        for write in &commit.writes {
            match write.clone() {
                Write::Put(key, value) => self.rows.insert((partition.clone(), key), (value, version)),
                Write::Delete(key) => self.rows.remove(&(partition.clone(), key)),
            };
        }
        (commit, Ok(version))
    }

    fn scan(&self, range: &ScanRange, rows_max: usize) -> Vec<(Key, (Bytes, Version))> {
        let is_from = |(partition, key): &Key, place: &ScanFrom| match place {
            ScanFrom::Start => true,
            ScanFrom::Partition(start) => partition >= start,
            ScanFrom::AfterPartition(start) => partition > start,
            ScanFrom::Row(start, first) => (partition, key) >= (start, first),
            ScanFrom::AfterRow(start, first) => (partition, key) > (start, first),
        };
        let is_in = |key: &Key| {
            is_from(key, &range.from) && !range.until.as_ref().is_some_and(|until| is_from(key, until))
        };
        let rows = self.rows.iter().filter(|(key, _)| is_in(key));
        rows.take(rows_max).map(|(key, row)| (key.clone(), row.clone())).collect()
    }
}

async fn scan(store: &Store, range: &ScanRange, rows_max: usize) -> Vec<(Key, (Bytes, Version))> {
    let rows = store.scan(SPACE, range.clone(), rows_max).await.unwrap();
    rows.into_iter().map(|row| ((row.partition, row.key), (row.value, row.version))).collect()
}

async fn run(steps: Vec<Step>) {
    let folder = tempfile::tempdir().unwrap();
    let open = async || Store::open_local_with(folder.path(), small()).await.unwrap();
    let mut store = Some(open().await);
    let mut model = Model::default();
    for (number, step) in steps.into_iter().enumerate() {
        let current = store.clone().unwrap();
        match step {
            Step::Commits(plans) => {
                let planned: Vec<_> = plans.iter().map(|plan| model.commit(plan, number)).collect();
                let results =
                    join_all(planned.iter().map(|(commit, _)| current.commit(commit.clone()))).await;
                for ((commit, expected), result) in planned.iter().zip(results) {
                    let result = result.map_err(|error| match error {
                        CommitError::Conflict { check } => check,
                        error => panic!("{error}"),
                    });
                    assert_eq!(&result, expected, "{commit:?}");
                }
            }
            Step::Scan(range, rows_max) => {
                assert_eq!(scan(&current, &range, rows_max).await, model.scan(&range, rows_max));
            }
            Step::Reopen => {
                drop((store.take(), current));
                store = Some(open().await);
            }
            Step::CloseAndReopen => {
                current.close().await.unwrap();
                drop((store.take(), current));
                store = Some(open().await);
            }
        }
    }
    let store = store.unwrap();
    let all = ScanFrom::Start.into();
    assert_eq!(scan(&store, &all, 1000).await, model.scan(&all, 1000));
    for ((partition, key), (value, version)) in &model.rows {
        let row = store.get(SPACE, partition, key).await.unwrap().unwrap();
        assert_eq!((&row.value, row.version), (value, *version));
    }
}

/// As [`run`], on a store whose versions have gaps, and whose commits do not come in the order in which they are sent.
async fn run_one_by_one(steps: Vec<Step>, store: &Store) {
    let mut model = Model::default();
    for (number, step) in steps.into_iter().enumerate() {
        match step {
            Step::Commits(plans) => {
                for plan in plans {
                    let (commit, expected) = model.commit(&plan, number);
                    match (store.commit(commit.clone()).await, expected) {
                        (Ok(version), Ok(_)) => model.learn(version),
                        (Err(CommitError::Conflict { check }), Err(expected)) if check == expected => {}
                        (result, expected) => panic!("{commit:?}: {result:?} instead of {expected:?}"),
                    }
                }
            }
            Step::Scan(range, rows_max) => {
                assert_eq!(scan(store, &range, rows_max).await, model.scan(&range, rows_max));
            }
            Step::Reopen | Step::CloseAndReopen => {}
        }
    }
    let all = ScanFrom::Start.into();
    assert_eq!(scan(store, &all, 1000).await, model.scan(&all, 1000));
}

/// Some histories on etcd, each with keys of its own.
pub async fn check_on_etcd(cluster: &crate::cluster::Cluster) {
    let mut runner = proptest::test_runner::TestRunner::default();
    for history in 0..12 {
        let steps = proptest::collection::vec(step(), 1..25).new_tree(&mut runner).unwrap().current();
        run_one_by_one(steps, &cluster.store(&format!("model {history}"))).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn the_store_does_what_a_map_does(steps in proptest::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run(steps));
    }
}
