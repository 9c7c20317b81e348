//! Checks what a store holds after a power loss.

use std::collections::BTreeSet;

use bytes::Bytes;
use welkin_store::{ExtentRef, ScanFrom, Store};

use crate::history::{Expected, Rows, Task};
use crate::pattern::pattern;
use crate::work::{NUMBER, SPACE, TASKS, named, partition};

const ROWS_MAX: usize = 100_000;

/// Checks every row and extent; gives the tasks that go on from there, with what they have.
pub async fn check(store: &Store, expected: &Expected) -> Vec<(Task, Rows)> {
    let mut found = vec![Rows::new(); TASKS];
    let mut version_max = 0;
    for row in store.scan(SPACE, ScanFrom::Start, ROWS_MAX).await.unwrap() {
        let task = (0..TASKS).find(|&task| partition(task) == row.partition).expect("no other partition");
        let one = store.get(SPACE, &row.partition, &row.key).await.unwrap();
        assert_eq!(one.as_ref(), Some(&row), "scan and get differ");
        version_max = version_max.max(row.version.0);
        found[task].insert(row.key, row.value);
    }
    let mut tasks = Vec::new();
    for (index, rows) in found.into_iter().enumerate() {
        let nothing = Task::default();
        let task = expected.history.tasks.get(index).unwrap_or(&nothing);
        let number = check_rows(index, task, &rows, expected.position);
        // One log orders all: when a commit is there, so is every one before it, of whichever task.
        let least = task.number_at_version(version_max);
        assert!(number >= least, "task {index} has {number}, but version {version_max} needs {least}");
        tasks.push((Task { base_number: number, base: rows.clone(), ..Task::default() }, rows));
    }
    check_extents(store, expected, &tasks).await;
    tasks
}

/// The rows must be those after one of the commits that may be the last. Gives its number.
fn check_rows(index: usize, task: &Task, rows: &Rows, position: usize) -> u64 {
    let number = rows.get(NUMBER).map_or(0, |value| u64::from_be_bytes(value[..].try_into().unwrap()));
    let numbers = task.numbers(position);
    assert!(numbers.contains(&number), "task {index}: commit {number} is the last, not one of {numbers:?}");
    let wanted = task.rows_after(number);
    let keys: BTreeSet<_> = rows.keys().chain(wanted.keys()).collect();
    for key in keys {
        let (found, wanted) = (rows.get(key), wanted.get(key));
        assert!(
            found == wanted,
            "task {index} after commit {number}: row {} has {:?} bytes instead of {:?}, or others",
            key.escape_ascii(),
            found.map(Bytes::len),
            wanted.map(Bytes::len),
        );
    }
    number
}

/// Extents that rows name read back; others can be released, and were not released before.
async fn check_extents(store: &Store, expected: &Expected, tasks: &[(Task, Rows)]) {
    let mut wanted = BTreeSet::new();
    for (key, value) in tasks.iter().flat_map(|(_, rows)| rows) {
        if let Some((seed, extent)) = named(key, value) {
            let bytes = pattern(seed, extent.length_bytes() as usize);
            let found = store.read_extent(&extent, 0, bytes.len()).await.unwrap();
            assert!(found == bytes, "extent {extent:?} has other bytes");
            assert!(wanted.insert(extent), "two rows name one extent");
        }
    }
    let live: BTreeSet<ExtentRef> = store.live_extents(None, ROWS_MAX).await.unwrap().into_iter().collect();
    assert!(live.is_superset(&wanted));
    for (extent, at) in expected.history.tasks.iter().flat_map(|task| &task.released) {
        assert!(*at > expected.position || !live.contains(extent), "{extent:?} was released and is there");
    }
    for extent in live.difference(&wanted) {
        store.release_extent(extent).await.unwrap();
    }
    assert_eq!(store.live_extents(None, ROWS_MAX).await.unwrap().len(), wanted.len());
}
