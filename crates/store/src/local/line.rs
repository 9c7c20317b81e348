//! The line of commits that wait, and who has them committed: a thread for it, or a caller by itself.
//!
//! Who commits holds the committer and takes all that wait, first come first. It never waits for a fuller group:
//! while one is flushed the next gathers, so groups grow with load.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::local::committer::{Committer, Request};
use crate::local::group::commit_bytes;
use crate::local::options::GROUP_BYTES;

/// Commits that wait, and the committer.
pub(crate) struct Line {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// `None` after the end.
    committer: Mutex<Option<Committer>>,
    /// Whether callers may commit: one that does holds up a thread of the runtime, which must not be the only one.
    may_lead: bool,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("may_lead", &self.may_lead).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Waiting {
    requests: VecDeque<Request>,
    is_closed: bool,
    /// A caller left work behind that may wait: sealing the memtable.
    is_seal_due: bool,
    /// The thread waits for a signal.
    is_asleep: bool,
}

impl Line {
    /// An empty line. Callers leave all to the thread unless they `may_lead`.
    pub(crate) fn new(committer: Committer, may_lead: bool) -> Self {
        let (waiting, committer) = (Mutex::default(), Mutex::new(Some(committer)));
        Self { waiting, arrived: Condvar::new(), committer, may_lead }
    }

    /// Puts a request at the end of the line. After the end it is dropped, so that its receiver knows.
    pub(crate) fn push(&self, request: Request) {
        let mut waiting = self.waiting();
        if !waiting.is_closed {
            waiting.requests.push_back(request);
            self.wake(waiting);
        }
    }

    /// As [`Self::push`], but when nobody commits now or waits, and the commit will be quick, it is done when this returns.
    pub(crate) fn push_and_lead(&self, request: Request) {
        let bytes = commit_bytes(&request.writes);
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return;
        }
        let is_first = waiting.requests.is_empty();
        waiting.requests.push_back(request);
        if is_first && self.may_lead {
            drop(waiting);
            self.lead(bytes);
            waiting = self.waiting();
        }
        self.wake(waiting);
    }

    /// Commits what waits, unless someone else does or the thread had better do it.
    fn lead(&self, bytes: usize) {
        // One that panicked leaves it to the thread, which ends then as well.
        let Ok(mut committer) = self.committer.try_lock() else { return };
        let Some(committer) = committer.as_mut().filter(|committer| committer.is_at_hand(bytes)) else {
            return;
        };
        self.commit(committer);
        if committer.is_seal_due() {
            self.waiting().is_seal_due = true;
        }
    }

    fn commit(&self, committer: &mut Committer) {
        let mut requests = committer.take_owed();
        take_group(&mut self.waiting().requests, &mut requests);
        if !requests.is_empty() {
            committer.commit_group(requests);
        }
    }

    /// What the thread does until the line is closed and empty.
    pub(crate) fn run(&self) {
        let _ended = Ended(self);
        while self.wait() {
            let Ok(mut committer) = self.committer.lock() else { return };
            let Some(committer) = committer.as_mut() else { return };
            self.commit(committer);
            committer.seal_when_large();
        }
        if let Some(committer) = self.committer.lock().ok().and_then(|mut committer| committer.take()) {
            committer.close();
        }
    }

    /// Waits until there is work; false when there is none and will be none.
    fn wait(&self) -> bool {
        let mut waiting = self.waiting();
        loop {
            if !waiting.requests.is_empty() || std::mem::take(&mut waiting.is_seal_due) {
                return true;
            }
            if waiting.is_closed {
                return false;
            }
            waiting.is_asleep = true;
            waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            waiting.is_asleep = false;
        }
    }

    /// Nothing is taken any more; what waits is still done.
    pub(crate) fn close(&self) {
        let mut waiting = self.waiting();
        waiting.is_closed = true;
        drop(waiting);
        self.arrived.notify_one();
    }

    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let has_work = !waiting.requests.is_empty() || waiting.is_seal_due;
        // Once: a signal is a system call, and more may come before the thread runs.
        if has_work && std::mem::take(&mut waiting.is_asleep) {
            drop(waiting);
            self.arrived.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the line with the thread, whatever ended that: nobody may wait for what will not be done.
struct Ended<'a>(&'a Line);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.is_closed = true;
        let requests = std::mem::take(&mut waiting.requests);
        drop(waiting);
        drop(requests);
        // Still there only after a panic.
        drop(self.0.committer.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// Moves requests from one queue to the other, until they are a group's worth of bytes.
fn take_group(waiting: &mut VecDeque<Request>, group: &mut VecDeque<Request>) {
    let mut bytes = 0;
    while bytes < GROUP_BYTES
        && let Some(request) = waiting.pop_front()
    {
        bytes += commit_bytes(&request.writes);
        group.push_back(request);
    }
}
