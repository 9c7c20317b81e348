//! The way to the committer.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::commit::CommitError;
use crate::error::StoreError;
use crate::local::background::spawn;
use crate::local::committer::{Answer, Committer, Expect, Message, Request};
use crate::local::folder::Folder;
use crate::local::group::{StoredWrite, commit_bytes};
use crate::local::health::Health;
use crate::local::options::QUEUE_BYTES_MAX;
use crate::row::Version;

/// One permit of the queue stands for this many bytes.
const PERMIT_BYTES: usize = 1024;

/// Sends commits to the committer; bounded in bytes, so that memory is.
#[derive(Debug)]
pub(crate) struct Queue {
    sender: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
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
        let (sender, receiver) = mpsc::unbounded_channel();
        let thread = spawn("store-commit", move || committer.run(receiver))?;
        Ok(Self {
            sender,
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX / PERMIT_BYTES)),
            health,
            thread: Mutex::new(Some(thread)),
            _folder: folder,
        })
    }

    /// Commits; waits for room in the queue, then until it is durable.
    pub(crate) async fn commit(&self, checks: Vec<(Vec<u8>, Expect)>, writes: Vec<StoredWrite>) -> Answer {
        self.health.check()?;
        let permits = commit_bytes(&writes).div_ceil(PERMIT_BYTES) as u32;
        let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| StoreError::Closed)?;
        let answer = self.send(checks, writes, Some(room));
        answer.await.unwrap_or(Err(CommitError::Store(StoreError::Closed)))
    }

    /// Sends one of the store's own commits, without waiting: it is taken before all that follow.
    pub(crate) fn send_internal(
        &self,
        checks: Vec<(Vec<u8>, Expect)>,
        writes: Vec<StoredWrite>,
    ) -> oneshot::Receiver<Answer> {
        self.send(checks, writes, None)
    }

    fn send(
        &self,
        checks: Vec<(Vec<u8>, Expect)>,
        writes: Vec<StoredWrite>,
        room: Option<OwnedSemaphorePermit>,
    ) -> oneshot::Receiver<Answer> {
        let (answer, receiver) = oneshot::channel::<Result<Version, CommitError>>();
        let is_internal = room.is_none();
        let request = Request { checks, writes, is_internal, answer, room };
        // When the committer has ended, the request is dropped with its answer, and the receiver knows.
        let _ = self.sender.send(Message::Commit(request));
        receiver
    }

    /// Ends the committer after what was sent before, and waits for it.
    pub(crate) fn close(&self) -> Result<(), StoreError> {
        self.room.close();
        let _ = self.sender.send(Message::Close);
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
