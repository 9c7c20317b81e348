//! What commits: it takes the commits that wait, checks them in order, appends one group to the log, makes it
//! durable with one flush, and answers all. Who has it do so is decided in `line`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::commit::CommitError;
use crate::error::StoreError;
use crate::local::background::Background;
use crate::local::calm::Calm;
use crate::local::counters::Counters;
use crate::local::group::{GroupBuilder, HEAD_BYTES, StoredWrite, commit_bytes};
use crate::local::health::Health;
use crate::local::log::Log;
use crate::local::options::LocalOptions;
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
    calm: Calm,
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
            calm: Calm::default(),
        }
    }

    /// Internal requests that found no room before; they come first.
    pub(crate) fn take_owed(&mut self) -> VecDeque<Request> {
        std::mem::take(&mut self.owed)
    }

    /// Whether a commit of `bytes` bytes would not wait for anything but its flush, going by how it went lately.
    pub(crate) fn is_at_hand(&self, bytes: usize) -> bool {
        self.calm.is_calm() && self.log.has_room(bytes + HEAD_BYTES) && !self.is_seal_due()
    }

    /// Seals the memtable and ends the background work.
    pub(crate) fn close(mut self) {
        if !self.health.is_poisoned() {
            self.seal_memtable();
        }
        self.background.close();
    }

    /// Commits what waited. [`Self::seal_when_large`] is due afterwards.
    pub(crate) fn commit_group(&mut self, requests: VecDeque<Request>) {
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
        let begin = Instant::now();
        let written = self.log.append(&mut self.group)?;
        self.calm.note(writes.len(), begin.elapsed());
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

    /// Whether the memtable has grown so much that it must be sealed.
    pub(crate) fn is_seal_due(&self) -> bool {
        let is_large = self.tables.memtable_bytes() >= self.options.memtable_bytes;
        let memtables = self.tables.sealed_memtables() + 1;
        is_large || self.log.segments() > SEGMENTS_PER_MEMTABLE * memtables
    }

    /// Seals a memtable that has grown; may wait for flushes that are behind.
    pub(crate) fn seal_when_large(&mut self) {
        if self.is_seal_due() && !self.health.is_poisoned() {
            self.wait_for_flushes();
            self.seal_memtable();
        }
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
