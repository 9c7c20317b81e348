//! When the bytes of an extent may go: after the last row that names it, and after the last reader that could
//! have read that row.
//!
//! Time is cut into *generations*. A reader holds the generation in which it began. What a commit frees
//! belongs to the generation of that moment, and then a new one begins. A generation ends when no reader holds
//! it or an earlier one (each holds the next); only then are its extents released.
//!
//! A crash between a commit and the release leaves the extents that the commit freed, and nothing else: the store
//! has garbage, and no hole. The next start finds it (`orphan`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;
use welkin_store::{ExtentRef, Store};

/// Releases under way. Each is a commit, and those that come together share a flush: one after another they would be
/// fewer than the deletes that a busy service answers.
const RELEASES_MAX: usize = 64;

/// What the releasing task is told.
#[derive(Debug)]
pub(crate) enum Order {
    /// Release these.
    Release(Vec<ExtentRef>),
    /// End, when everything before is done.
    End,
}

/// What a reader holds while it may read extents.
#[derive(Debug, Clone)]
pub struct ReadGuard(#[allow(dead_code, reason = "held, never read")] Arc<Generation>);

#[derive(Debug)]
struct Generation {
    freed: Mutex<Vec<ExtentRef>>,
    next: Mutex<Option<Arc<Generation>>>,
    releaser: UnboundedSender<Order>,
}

impl Drop for Generation {
    /// Ends this generation, and then each following one that no one else holds: in a loop, since a chain that
    /// a slow reader held may be long.
    fn drop(&mut self) {
        self.send_freed();
        let mut next = take(&self.next);
        while let Some(generation) = next.and_then(Arc::into_inner) {
            generation.send_freed();
            next = take(&generation.next);
        }
    }
}

impl Generation {
    fn new(releaser: UnboundedSender<Order>) -> Arc<Self> {
        Arc::new(Self { freed: Mutex::default(), next: Mutex::default(), releaser })
    }

    fn send_freed(&self) {
        let freed = std::mem::take(&mut *lock(&self.freed));
        if !freed.is_empty() {
            // No one listens after the end; then the space is lost like after a crash.
            let _ = self.releaser.send(Order::Release(freed));
        }
    }
}

fn take(next: &Mutex<Option<Arc<Generation>>>) -> Option<Arc<Generation>> {
    lock(next).take()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Releases extents when no reader can need them.
#[derive(Debug)]
pub(crate) struct Releaser {
    current: Mutex<Arc<Generation>>,
    sender: UnboundedSender<Order>,
}

impl Releaser {
    pub(crate) fn new() -> (Self, UnboundedReceiver<Order>) {
        let (sender, receiver) = unbounded_channel();
        let current = Mutex::new(Generation::new(sender.clone()));
        (Self { current, sender }, receiver)
    }

    /// Taken before a row is read whose extents will be.
    pub(crate) fn read_guard(&self) -> ReadGuard {
        ReadGuard(lock(&self.current).clone())
    }

    /// Frees extents that no row names any more.
    pub(crate) fn free(&self, extents: Vec<ExtentRef>) {
        if extents.is_empty() {
            return;
        }
        let following = Generation::new(self.sender.clone());
        let ended = {
            let mut current = lock(&self.current);
            lock(&current.freed).extend(extents);
            *lock(&current.next) = Some(following.clone());
            std::mem::replace(&mut *current, following)
        };
        // Outside the lock, since this may end a chain of generations.
        drop(ended);
    }

    /// Ends the releasing task after what was freed so far.
    pub(crate) fn end(&self) {
        let _ = self.sender.send(Order::End);
    }

    /// Releases extents that no row ever named: no reader knows them.
    pub(crate) fn discard(&self, extents: Vec<ExtentRef>) {
        let _ = self.sender.send(Order::Release(extents));
    }
}

/// Releases what comes until it is told to end, or the storage is gone.
pub(crate) async fn run(store: Store, mut freed: UnboundedReceiver<Order>) {
    let mut releases = JoinSet::new();
    while let Some(Order::Release(extents)) = freed.recv().await {
        for extent in extents {
            while releases.len() >= RELEASES_MAX {
                releases.join_next().await;
            }
            while releases.try_join_next().is_some() {}
            releases.spawn(release(store.clone(), extent));
        }
    }
    releases.join_all().await;
}

async fn release(store: Store, extent: ExtentRef) {
    if let Err(error) = store.release_extent(&extent).await {
        tracing::warn!(%error, "cannot release an extent; its space is lost until the next start");
    }
}
