//! Who gives way when there are more connections than places: the one that has had no request in hand for longest. So a
//! crowd of idle connections, or of clients that never end a head or a handshake, keeps nobody out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// Moments are milliseconds since this one.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// While nobody leaves, another is asked this often.
const ASK_INTERVAL: Duration = Duration::from_millis(50);

/// All places of a server.
#[derive(Debug)]
pub(crate) struct Seats {
    room: Arc<Semaphore>,
    taken: Mutex<HashMap<u64, Arc<Seat>>>,
    next: AtomicU64,
}

/// What one connection is at.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    busy: AtomicBool,
    since_ms: AtomicU64,
    leave: Notify,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    /// The connection's own.
    pub(crate) seat: Arc<Seat>,
    seats: Arc<Seats>,
    number: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

/// A request in hand, until it is dropped.
#[derive(Debug)]
pub(crate) struct InHand(Arc<Seat>);

impl Seats {
    pub(crate) fn new(connections_max: usize) -> Arc<Self> {
        let room = Arc::new(Semaphore::new(connections_max));
        Arc::new(Self { room, taken: Mutex::default(), next: AtomicU64::default() })
    }

    /// A place for a newcomer. When all are taken, one that has nothing in hand is freed; while all have, the newcomer waits.
    pub(crate) async fn take(self: &Arc<Self>) -> Taken {
        let permit = loop {
            if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
                break Some(permit);
            }
            self.free_one();
            let acquire = Arc::clone(&self.room).acquire_owned();
            // Whoever was asked may have got a request in the same moment, or become idle since.
            if let Ok(permit) = tokio::time::timeout(ASK_INTERVAL, acquire).await {
                // It is never closed.
                break permit.ok();
            }
        };
        let (seat, number) = (Arc::<Seat>::default(), self.next.fetch_add(1, Ordering::Relaxed));
        seat.set_idle();
        self.lock().insert(number, Arc::clone(&seat));
        Taken { seat, seats: Arc::clone(self), number, _permit: permit }
    }

    fn free_one(&self) {
        let taken = self.lock();
        let idle = taken.values().filter(|seat| !seat.busy.load(Ordering::Acquire));
        if let Some(seat) = idle.min_by_key(|seat| seat.since_ms.load(Ordering::Relaxed)) {
            seat.leave.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn set_idle(&self) {
        let now_ms = u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since_ms.store(now_ms, Ordering::Relaxed);
        self.busy.store(false, Ordering::Release);
    }

    /// Notes that a request is in hand.
    pub(crate) fn begin(self: &Arc<Self>) -> InHand {
        self.busy.store(true, Ordering::Release);
        InHand(Arc::clone(self))
    }

    /// Resolves when the connection has to leave, which it may at once.
    pub(crate) async fn must_leave(&self) {
        loop {
            self.leave.notified().await;
            // A request that came meanwhile is answered: another is asked.
            if !self.busy.load(Ordering::Acquire) {
                return;
            }
        }
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.set_idle();
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.seats.lock().remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_idle_gives_way() {
        let seats = Seats::new(2);
        let (first, second) = (seats.take().await, seats.take().await);
        let in_hand = first.seat.begin();
        let leaving = async {
            second.seat.must_leave().await;
            drop(second);
        };
        let newcomer = async { seats.take().await };
        let ((), third) = tokio::join!(leaving, newcomer);
        // Both are busy: the newcomer waits until one leaves.
        let also_in_hand = third.seat.begin();
        let waits = tokio::time::timeout(Duration::from_millis(20), seats.take()).await;
        assert!(waits.is_err());
        drop((in_hand, first));
        assert!(tokio::time::timeout(Duration::from_secs(5), seats.take()).await.is_ok());
        drop(also_in_hand);
        assert_eq!(seats.lock().len(), 1);
    }
}
