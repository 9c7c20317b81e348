//! The one thread that commits: it takes all that wait, checks them in order, appends one group
//! to the log, makes it durable with one flush, and answers all.
//!
//! It never waits for a fuller group: while one is flushed the next gathers, so groups grow with load.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::commit::CommitError;
use crate::error::StoreError;
use crate::local::background::Background;
use crate::local::counters::Counters;
use crate::local::group::{GroupBuilder, HEAD_BYTES, StoredWrite, commit_bytes};
use crate::local::health::Health;
use crate::local::log::Log;
use crate::local::options::{GROUP_BYTES, LocalOptions};
use crate::local::tables::Tables;
use crate::row::Version;

/// The memtable is sealed when the log has this many segments more than a memtable needs, which
/// happens with few submitters: each of their groups takes a whole page.
const SEGMENTS_PER_MEMTABLE: usize = 4;
/// Memtables that may wait for their flush before writers wait.
const SEALED_MEMTABLES_MAX: usize = 2;

/// What a row must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    Absent,
    Present,
    Version(u64),
}

impl Expect {
    fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Version(version) => found == Some(version),
        }
    }
}

/// What comes of a commit.
pub(crate) type Answer = Result<Version, CommitError>;

/// A commit on its way.
pub(crate) struct Request {
    pub(crate) checks: Vec<(Vec<u8>, Expect)>,
    pub(crate) writes: Vec<StoredWrite>,
    /// The store's own rows about extents: taken when the disk is full, and before what comes
    /// after them, because a later commit may name the extent.
    pub(crate) is_internal: bool,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Room in the queue, given back when this is dropped.
    pub(crate) room: Option<OwnedSemaphorePermit>,
}

/// What reaches the committer.
pub(crate) enum Message {
    Commit(Request),
    /// Seal the memtable, let it be flushed, and end.
    Close,
}

/// The committer's state.
pub(crate) struct Committer {
    pub(crate) log: Log,
    pub(crate) tables: Arc<Tables>,
    pub(crate) health: Arc<Health>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) background: Background,
    pub(crate) options: LocalOptions,
    /// Disk space that extents take.
    pub(crate) extent_bytes: Arc<AtomicU64>,
    /// Internal requests that found no room in the log.
    owed: VecDeque<Request>,
    group: GroupBuilder,
}

/// A request that was decided.
struct Decided {
    answer: oneshot::Sender<Answer>,
    outcome: Answer,
    _room: Option<OwnedSemaphorePermit>,
}

impl Committer {
    /// A committer over an open log.
    pub(crate) fn new(
        log: Log,
        tables: Arc<Tables>,
        health: Arc<Health>,
        counters: Arc<Counters>,
        background: Background,
        options: LocalOptions,
        extent_bytes: Arc<AtomicU64>,
    ) -> Self {
        Self {
            log,
            tables,
            health,
            counters,
            background,
            options,
            extent_bytes,
            owed: VecDeque::new(),
            group: GroupBuilder::default(),
        }
    }

    /// Runs until told to close, or until nobody can send any more.
    pub(crate) fn run(mut self, mut queue: mpsc::UnboundedReceiver<Message>) {
        let mut is_open = true;
        while is_open {
            let mut requests = std::mem::take(&mut self.owed);
            is_open = gather(&mut queue, &mut requests);
            if !requests.is_empty() {
                self.commit_group(requests);
            }
        }
        if !self.health.is_poisoned() {
            self.seal_memtable();
        }
        self.background.close();
    }

    fn commit_group(&mut self, requests: VecDeque<Request>) {
        if self.health.is_poisoned() {
            return refuse(requests, || StoreError::Poisoned);
        }
        let bytes: usize = requests.iter().map(|request| commit_bytes(&request.writes)).sum();
        let other_bytes = self.background.table_bytes() + self.extent_bytes.load(Ordering::Relaxed);
        let room = self.log.make_room(bytes + HEAD_BYTES, self.background.flushed(), other_bytes);
        match room {
            Ok(()) => {}
            Err(StoreError::Full) => return self.refuse_full(requests),
            Err(error) => self.health.poison(&error),
        }
        let taken = other_bytes + self.log.disk_bytes();
        let is_full = self.health.is_full() || self.options.disk_bytes_max.is_some_and(|max| taken > max);
        let (decided, writes) = self.decide(requests, is_full);
        if let Err(error) = self.make_durable(&writes) {
            self.health.poison(&error);
            for decided in decided {
                // Nobody may wait for it any more; that is no error.
                let _ = decided.answer.send(Err(StoreError::Poisoned.into()));
            }
            return;
        }
        for decided in decided {
            if let Err(CommitError::Conflict { .. }) = decided.outcome {
                self.counters.conflicts.add(1);
            }
            let _ = decided.answer.send(decided.outcome);
        }
        self.seal_when_large();
    }

    /// Decides each request in order; a later one sees what earlier ones will have written.
    fn decide(
        &mut self,
        requests: VecDeque<Request>,
        is_full: bool,
    ) -> (Vec<Decided>, Vec<(u64, Vec<StoredWrite>)>) {
        self.group.clear();
        let mut overlay: HashMap<Vec<u8>, Option<u64>> = HashMap::new();
        let is_alone = requests.len() == 1;
        let mut decided = Vec::with_capacity(requests.len());
        let mut writes = Vec::with_capacity(requests.len());
        let mut next = self.log.next();
        for request in requests {
            let outcome = if is_full && !request.is_internal && grows(&request.writes) {
                Err(StoreError::Full.into())
            } else {
                self.check(&request.checks, &overlay)
            };
            let outcome = match outcome {
                Err(error) => Err(error),
                Ok(()) if request.writes.is_empty() => Ok(Version(next - 1)),
                Ok(()) => {
                    self.group.push(&request.writes);
                    if !is_alone {
                        for (key, value) in &request.writes {
                            overlay.insert(key.clone(), value.as_ref().map(|_| next));
                        }
                    }
                    writes.push((next, request.writes));
                    next += 1;
                    Ok(Version(next - 1))
                }
            };
            decided.push(Decided { answer: request.answer, outcome, _room: request.room });
        }
        (decided, writes)
    }

    fn check(
        &self,
        checks: &[(Vec<u8>, Expect)],
        overlay: &HashMap<Vec<u8>, Option<u64>>,
    ) -> Result<(), CommitError> {
        for (index, (key, expect)) in checks.iter().enumerate() {
            let found = match overlay.get(key) {
                Some(&found) => found,
                None => self.tables.get(&self.tables.moment(), key)?.map(|(version, _)| version.0),
            };
            if !expect.holds(found) {
                return Err(CommitError::Conflict { check: index });
            }
        }
        Ok(())
    }

    /// Logs the group, then lets readers see it.
    fn make_durable(&mut self, writes: &[(u64, Vec<StoredWrite>)]) -> Result<(), StoreError> {
        self.health.check()?;
        let Some((last, _)) = writes.last() else {
            return Ok(());
        };
        let written = self.log.append(&mut self.group)?;
        self.counters.log_flushes.add(1);
        self.counters.log_bytes.add(written);
        self.counters.commits.add(writes.len() as u64);
        for (version, writes) in writes {
            self.tables.apply(*version, writes.iter().map(|(key, value)| (key.as_slice(), value.as_deref())));
        }
        self.tables.publish(*last);
        Ok(())
    }

    /// No room in the log: internal requests stay for later, all others are refused.
    fn refuse_full(&mut self, requests: VecDeque<Request>) {
        self.health.set_full(true);
        let (owed, refused) = requests.into_iter().partition(|request| request.is_internal);
        self.owed = owed;
        refuse(refused, || StoreError::Full);
        // Flushing what is in memory makes segments free.
        self.seal_memtable();
    }

    fn seal_when_large(&mut self) {
        let is_large = self.tables.memtable_bytes() >= self.options.memtable_bytes;
        let memtables = self.tables.sealed_memtables() + 1;
        if !is_large && self.log.segments() <= SEGMENTS_PER_MEMTABLE * memtables {
            return;
        }
        self.wait_for_flushes();
        self.seal_memtable();
    }

    /// Writers wait when flushes or compactions are behind: memory and reads stay bounded.
    fn wait_for_flushes(&self) {
        while self.tables.sealed_memtables() >= SEALED_MEMTABLES_MAX || self.tables.is_behind() {
            if self.health.is_poisoned() || self.health.is_full() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn seal_memtable(&mut self) {
        if self.tables.sealed_memtables() < SEALED_MEMTABLES_MAX {
            self.tables.seal_memtable(self.log.next() - 1);
            self.background.flush(self.log.next() - 1);
        }
    }
}

/// Takes what waits, at least one request. Answers whether more may come.
fn gather(queue: &mut mpsc::UnboundedReceiver<Message>, requests: &mut VecDeque<Request>) -> bool {
    let mut bytes = 0;
    let mut message = queue.blocking_recv();
    loop {
        match message {
            Some(Message::Commit(request)) => {
                bytes += commit_bytes(&request.writes);
                requests.push_back(request);
            }
            Some(Message::Close) | None => return false,
        }
        if bytes >= GROUP_BYTES {
            return true;
        }
        message = match queue.try_recv() {
            Ok(message) => Some(message),
            Err(mpsc::error::TryRecvError::Empty) => return true,
            Err(mpsc::error::TryRecvError::Disconnected) => None,
        };
    }
}

fn refuse(requests: VecDeque<Request>, error: impl Fn() -> StoreError) {
    for request in requests {
        // Nobody may wait for it any more; that is no error.
        let _ = request.answer.send(Err(error().into()));
    }
}

/// Whether a commit makes the store larger for long; deletes do not.
fn grows(writes: &[StoredWrite]) -> bool {
    writes.iter().any(|(_, value)| value.is_some())
}
