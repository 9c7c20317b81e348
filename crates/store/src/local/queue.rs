//! The way to the committer.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::commit::CommitError;
use crate::error::StoreError;
use crate::local::background::spawn;
use crate::local::committer::{Answer, Committer, Expect, Request};
use crate::local::folder::Folder;
use crate::local::group::{StoredWrite, commit_bytes};
use crate::local::health::Health;
use crate::local::line::Line;
use crate::local::options::{COMMIT_BYTES_MAX, QUEUE_BYTES_MAX};

/// One permit of the queue stands for this many bytes.
const PERMIT_BYTES: usize = 1024;

/// Larger commits wait for a half of the queue that is theirs: a crowd of them is no queue for the small ones, which
/// then have at most that half before them.
const SMALL_BYTES_MAX: usize = 64 * 1024;
const HALF_BYTES: usize = QUEUE_BYTES_MAX / 2;
const _: () = assert!(COMMIT_BYTES_MAX <= HALF_BYTES);

/// Sends commits to the committer; bounded in bytes, so that memory is.
#[derive(Debug)]
pub(crate) struct Queue {
    line: Arc<Line>,
    room_for_small: Arc<Semaphore>,
    room_for_large: Arc<Semaphore>,
    health: Arc<Health>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Stays locked until the threads have ended and the last writer of an extent has.
    _folder: Folder,
}

impl Queue {
    /// Starts the committer on a thread of its own.
    pub(crate) fn start(
        committer: Committer,
        health: Arc<Health>,
        folder: Folder,
    ) -> Result<Self, StoreError> {
        let threads = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
        let line = Arc::new(Line::new(committer, threads > 1));
        let of_thread = line.clone();
        let thread = spawn("store-commit", move || of_thread.run())?;
        let half = || Arc::new(Semaphore::new(HALF_BYTES / PERMIT_BYTES));
        Ok(Self {
            line,
            room_for_small: half(),
            room_for_large: half(),
            health,
            thread: Mutex::new(Some(thread)),
            _folder: folder,
        })
    }

    /// Commits; waits for room in the queue, then until it is durable.
    pub(crate) async fn commit(&self, checks: Vec<(Vec<u8>, Expect)>, writes: Vec<StoredWrite>) -> Answer {
        self.health.check()?;
        let bytes = commit_bytes(&writes);
        let permits = bytes.div_ceil(PERMIT_BYTES) as u32;
        let room = if bytes <= SMALL_BYTES_MAX { &self.room_for_small } else { &self.room_for_large };
        let room = room.clone().acquire_many_owned(permits).await.map_err(|_| StoreError::Closed)?;
        let (request, answer) = request(checks, writes, Some(room));
        if bytes <= SMALL_BYTES_MAX {
            self.line.push_and_lead(request);
        } else {
            self.line.push(request);
        }
        answer.await.unwrap_or(Err(CommitError::Store(StoreError::Closed)))
    }

    /// Sends one of the store's own commits, without waiting: it is taken before all that follow.
    pub(crate) fn send_internal(
        &self,
        checks: Vec<(Vec<u8>, Expect)>,
        writes: Vec<StoredWrite>,
    ) -> oneshot::Receiver<Answer> {
        let (request, answer) = request(checks, writes, None);
        self.line.push(request);
        answer
    }

    /// Ends the committer after what was sent before, and waits for it.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.room_for_small.close();
        self.room_for_large.close();
        self.line.close();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the committer panicked");
            return Err(StoreError::Poisoned);
        }
        self.health.check()
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store did not close well; the next start recovers it");
        }
    }
}

/// A request, and where its answer comes: nothing but an error when the request is dropped, because the line ended.
fn request(
    checks: Vec<(Vec<u8>, Expect)>,
    writes: Vec<StoredWrite>,
    room: Option<OwnedSemaphorePermit>,
) -> (Request, oneshot::Receiver<Answer>) {
    let (answer, receiver) = oneshot::channel();
    let is_internal = room.is_none();
    (Request { checks, writes, is_internal, answer, room }, receiver)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use bytes::Bytes;

    use super::*;
    use crate::{Commit, Space, Store};

    const SPACE: Space = Space::new(1, "test");

    /// However many large commits wait, a small one has only those before it that have room in the queue.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_small_commit_does_not_wait_for_a_crowd_of_large_ones() {
        const CROWD: usize = 96;
        const LARGE_BYTES: usize = 1024 * 1024;
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_local(folder.path()).await.unwrap();
        let [begun, done] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let large = Bytes::from(vec![7; LARGE_BYTES]);
        let crowd: Vec<_> = (0..CROWD)
            .map(|n| {
                let (store, begun, done) = (store.clone(), begun.clone(), done.clone());
                let commit = Commit::new(SPACE, "large").put(n.to_string(), large.clone());
                tokio::spawn(async move {
                    begun.fetch_add(1, SeqCst);
                    store.commit(commit).await.unwrap();
                    done.fetch_add(1, SeqCst);
                })
            })
            .collect();
        while begun.load(SeqCst) < CROWD {
            tokio::task::yield_now().await;
        }
        let before = done.load(SeqCst);
        store.commit(Commit::new(SPACE, "small").put("key", "value")).await.unwrap();
        let overtook = done.load(SeqCst) - before;
        // Those of the queue's half, and those of the group that was on its way.
        let most = (HALF_BYTES + crate::local::options::GROUP_BYTES) / LARGE_BYTES + 4;
        assert!(overtook <= most, "{overtook} large commits were done before a small one");
        for large in crowd {
            large.await.unwrap();
        }
    }
}
