//! What the store is given to do: commits of many sizes by several tasks, some sent before the one
//! before them is acknowledged, and extents that rows name and stop to name.

use std::collections::VecDeque;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::FutureExt as _;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use welkin_store::{Commit, CommitError, ExtentRef, LocalOptions, Space, Store, Version};

use crate::history::{Operation, Rows, Task};
use crate::pattern::pattern;
use crate::recorded::{SharedJournal, lock};

pub const SPACE: Space = Space::new(1, "power");
pub const TASKS: usize = 6;
/// The row that has the number of the task's last commit.
pub const NUMBER: &[u8] = b"number";
const EXTENT_PREFIX: &str = "extent";
/// Rows of a task that name extents.
const EXTENTS: u32 = 12;
/// After so many commits that write extents as many follow that mostly delete them: then extents are moved, and files
/// cut.
const PHASE_COMMITS: u64 = 60;

/// Small sizes: flushes, compactions, segments that are used again and files that grow, all the time.
pub fn options() -> LocalOptions {
    LocalOptions {
        memtable_bytes: 96 * 1024,
        segment_bytes: 128 * 1024,
        cache_bytes: 1024 * 1024,
        extent_file_bytes: 2 * 1024 * 1024,
        extent_step_bytes: 512 * 1024,
        compaction_bytes_per_second: 1 << 30,
        ..LocalOptions::default()
    }
}

pub fn partition(task: usize) -> Bytes {
    Bytes::from(format!("task {task}"))
}

/// What a row says that names an extent: the seed of its bytes, and where they are.
pub type Named = (u64, ExtentRef);

pub fn named(key: &[u8], value: &[u8]) -> Option<Named> {
    key.starts_with(EXTENT_PREFIX.as_bytes()).then(|| serde_json::from_slice(value).unwrap())
}

type Sent = Pin<Box<dyn Future<Output = Result<Version, CommitError>> + Send>>;

/// A commit that is not acknowledged yet: its index, and the extents to release after it.
struct InFlight {
    index: usize,
    sent: Sent,
    replaced: Vec<ExtentRef>,
}

struct Worker {
    store: Store,
    journal: SharedJournal,
    partition: Bytes,
    task: Task,
    /// The rows after the last commit that was sent.
    rows: Rows,
    in_flight: VecDeque<InFlight>,
}

/// Lets all tasks go on from what they have, each with so many commits.
pub async fn work(
    store: &Store,
    journal: &SharedJournal,
    tasks: Vec<(Task, Rows)>,
    commits: usize,
    rng: &mut StdRng,
) -> Vec<Task> {
    let mut running = Vec::new();
    for (number, (task, rows)) in tasks.into_iter().enumerate() {
        let worker = Worker {
            store: store.clone(),
            journal: journal.clone(),
            partition: partition(number),
            task,
            rows,
            in_flight: VecDeque::new(),
        };
        // The first ones wait for each acknowledgement, the others run ahead.
        let in_flight_max = [1, 1, 1, 2, 4, 8][number % 6];
        running.push(tokio::spawn(worker.run(commits, in_flight_max, StdRng::from_rng(rng))));
    }
    let mut done = Vec::new();
    for task in running {
        done.push(task.await.unwrap());
    }
    done
}

impl Worker {
    async fn run(mut self, commits: usize, in_flight_max: usize, mut rng: StdRng) -> Task {
        for _ in 0..commits {
            self.send(&mut rng).await;
            while self.in_flight.len() >= in_flight_max {
                self.wait_for_first().await;
            }
        }
        while !self.in_flight.is_empty() {
            self.wait_for_first().await;
        }
        self.task
    }

    async fn send(&mut self, rng: &mut StdRng) {
        let number = self.task.base_number + self.task.operations.len() as u64 + 1;
        let mut writes = vec![(Bytes::from(NUMBER), Some(Bytes::from(number.to_be_bytes().to_vec())))];
        let first = rng.random_range(0..40);
        for key in first..first + rng.random_range(0..6) {
            let value = rng.random_bool(0.7).then(|| {
                let length = [7, 120, 900, 4000, 12_000][rng.random_range(0..5)];
                pattern(rng.random(), length)
            });
            writes.push((Bytes::from(format!("row {key}")), value));
        }
        let mut replaced = Vec::new();
        let (touches, writes_one) =
            if (number / PHASE_COMMITS).is_multiple_of(2) { (0.25, 0.8) } else { (0.5, 0.1) };
        if rng.random_bool(touches) {
            let key = Bytes::from(format!("{EXTENT_PREFIX} {}", rng.random_range(0..EXTENTS)));
            if let Some((_, extent)) = self.rows.get(&key).and_then(|value| named(&key, value)) {
                replaced.push(extent);
            }
            let value = match rng.random_bool(writes_one) {
                true => Some(write_extent(&self.store, rng).await),
                false => None,
            };
            writes.push((key, value));
        }
        let mut commit = Commit::new(SPACE, self.partition.clone());
        if !self.rows.is_empty() {
            commit = commit.check_present(NUMBER);
        }
        for (key, value) in &writes {
            commit = match value {
                Some(value) => commit.put(key.clone(), value.clone()),
                None => commit.delete(key.clone()),
            };
            match value {
                Some(value) => self.rows.insert(key.clone(), value.clone()),
                None => self.rows.remove(key),
            };
        }
        self.task.operations.push(Operation { writes, begun: self.position(), acknowledged: None });
        let store = self.store.clone();
        let mut sent: Sent = Box::pin(async move { store.commit(commit).await });
        // Asked once, it is in the committer's queue, and so before what this task sends next.
        let sent = match (&mut sent).now_or_never() {
            Some(answer) => Box::pin(std::future::ready(answer)),
            None => sent,
        };
        self.in_flight.push_back(InFlight { index: self.task.operations.len() - 1, sent, replaced });
    }

    async fn wait_for_first(&mut self) {
        let Some(first) = self.in_flight.pop_front() else {
            return;
        };
        let version = first.sent.await.unwrap();
        self.task.operations[first.index].acknowledged = Some((self.position(), version.0));
        for extent in first.replaced {
            self.store.release_extent(&extent).await.unwrap();
            self.task.released.push((extent, self.position()));
        }
    }

    fn position(&self) -> usize {
        lock(&self.journal).position()
    }
}

/// Writes an extent, and gives the value of a row that names it.
async fn write_extent(store: &Store, rng: &mut StdRng) -> Bytes {
    let length = [0, 10, 5000, 70_000, 200_000][rng.random_range(0..5)];
    let seed = rng.random();
    let bytes = pattern(seed, length);
    let expected = rng.random_bool(0.7).then_some(length as u64);
    let mut writer = store.extent_writer(expected).await.unwrap();
    for piece in bytes.chunks(50_000) {
        writer.write(bytes.slice_ref(piece)).await.unwrap();
    }
    let extent = writer.finish().await.unwrap();
    serde_json::to_vec(&(seed, extent)).unwrap().into()
}
