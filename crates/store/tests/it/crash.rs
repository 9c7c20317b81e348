//! A child process commits and says what was acknowledged; it is killed at random moments, and
//! the store that it leaves must hold every acknowledged commit, and none by half.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use welkin_store::{Commit, ExtentRef, Store};

use crate::extents::write;
use crate::pattern::pattern;
use crate::store::{SPACE, small};

/// Set for the child: the store's folder.
const FOLDER: &str = "STORE_CRASH_FOLDER";
const ROUNDS: usize = 25;
const TASKS: u64 = 6;

#[test]
fn what_was_acknowledged_survives_being_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = BTreeMap::new();
    let mut commits = 0;
    for round in 0..ROUNDS {
        let mut child = start_child(folder.path());
        let pid = child.id();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut killer = None;
        for line in lines {
            let line = line.unwrap();
            // Only whole lines count; the harness prints its own.
            let Some((task, number)) = line.strip_prefix("ack ").and_then(|line| line.split_once(' ')) else {
                continue;
            };
            acknowledged.insert(task.parse::<u64>().unwrap(), number.parse::<u64>().unwrap());
            commits += 1;
            killer.get_or_insert_with(|| kill_later(pid, rand::random_range(0..250)));
        }
        let _ = killer.expect("the child should acknowledge something").join();
        child.wait().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(check(folder.path(), &acknowledged, round));
    }
    assert!(commits > ROUNDS * 10, "only {commits} commits");
}

/// Not a test by itself: what the child does, until it is killed.
#[test]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open_local_with(Path::new(&folder), small()).await.unwrap();
        let tasks: Vec<_> =
            (0..TASKS).map(|task| tokio::spawn(commit_for_ever(store.clone(), task))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

fn start_child(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--nocapture", "--test-threads=1"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn kill_later(pid: u32, after_ms: u64) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(after_ms));
        let pid = rustix::process::Pid::from_raw(pid as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    })
}

/// Each commit writes the same number to two rows far apart, and every fourth replaces an extent.
async fn commit_for_ever(store: Store, task: u64) {
    let partition = Bytes::from(task.to_be_bytes().to_vec());
    let mut number = read_number(&store, &partition, b"a").await;
    loop {
        number += 1;
        let value = Bytes::from([&number.to_be_bytes()[..], &pattern(number, 3000)].concat());
        let mut commit = Commit::new(SPACE, partition.clone()).put("a", value.clone()).put("z", value);
        let old = read_extent_ref(&store, &partition).await;
        if number.is_multiple_of(4) {
            let bytes = pattern(number, 50_000 * task as usize + 10);
            let extent = write(&store, &bytes, Some(bytes.len() as u64), 1 << 20).await;
            commit = commit.put("extent", serde_json::to_vec(&(number, extent)).unwrap());
        }
        store.commit(commit).await.unwrap();
        if let Some((_, old)) = old.filter(|_| number.is_multiple_of(4)) {
            store.release_extent(&old).await.unwrap();
        }
        // One write per line, so that a line is there whole or not at all.
        std::io::stdout().write_all(format!("ack {task} {number}\n").as_bytes()).unwrap();
        std::io::stdout().flush().unwrap();
    }
}

async fn check(folder: &Path, acknowledged: &BTreeMap<u64, u64>, round: usize) {
    let store = Store::open_local_with(folder, small()).await.unwrap();
    for (task, &number) in acknowledged {
        let partition = Bytes::from(task.to_be_bytes().to_vec());
        let (a, z) =
            (read_number(&store, &partition, b"a").await, read_number(&store, &partition, b"z").await);
        assert_eq!(a, z, "round {round}: a commit of task {task} is there by half");
        assert!(a >= number, "round {round}: task {task} lost {number}, has {a}");
        let extent = read_extent_ref(&store, &partition).await;
        assert_eq!(extent.as_ref().map_or(0, |(number, _)| *number), a / 4 * 4);
        if let Some((number, extent)) = extent {
            let expected = pattern(number, 50_000 * *task as usize + 10);
            assert!(store.read_extent(&extent, 0, expected.len()).await.unwrap() == expected);
        }
    }
    // What a crash left unnamed is found, and can be released.
    let mut named = Vec::new();
    for task in 0..TASKS {
        named.extend(read_extent_ref(&store, &task.to_be_bytes()).await.map(|(_, extent)| extent));
    }
    for extent in store.live_extents(None, 1000).await.unwrap() {
        if !named.contains(&extent) {
            store.release_extent(&extent).await.unwrap();
        }
    }
    assert_eq!(store.live_extents(None, 1000).await.unwrap().len(), named.len());
}

async fn read_number(store: &Store, partition: &[u8], key: &[u8]) -> u64 {
    let Some(row) = store.get(SPACE, partition, key).await.unwrap() else {
        return 0;
    };
    let number = u64::from_be_bytes(*row.value.first_chunk().unwrap());
    assert!(row.value[8..] == pattern(number, 3000));
    number
}

async fn read_extent_ref(store: &Store, partition: &[u8]) -> Option<(u64, ExtentRef)> {
    let row = store.get(SPACE, partition, b"extent").await.unwrap()?;
    Some(serde_json::from_slice(&row.value).unwrap())
}
