//! Who gives way when there are more connections than places: of the address that has most of them, the one that has had no
//! request in hand for longest. So a crowd of idle connections, or of clients that never end a head or a handshake, keeps
//! nobody out, and whoever brings the crowd loses to it first.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
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
#[derive(Debug)]
pub(crate) struct Seat {
    address: IpAddr,
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
    pub(crate) async fn take(self: &Arc<Self>, address: IpAddr) -> Taken {
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
        let (seat, number) = (Arc::new(Seat::of(address)), self.next.fetch_add(1, Ordering::Relaxed));
        seat.set_idle();
        self.lock().insert(number, Arc::clone(&seat));
        Taken { seat, seats: Arc::clone(self), number, _permit: permit }
    }

    fn free_one(&self) {
        let taken = self.lock();
        let mut held: HashMap<IpAddr, usize> = HashMap::new();
        for seat in taken.values() {
            *held.entry(seat.address).or_default() += 1;
        }
        let idle = taken.values().filter(|seat| !seat.busy.load(Ordering::Acquire));
        let most = |seat: &&Arc<Seat>| {
            let others = held.get(&seat.address).copied().unwrap_or(0);
            (Reverse(others), seat.since_ms.load(Ordering::Relaxed))
        };
        if let Some(seat) = idle.min_by_key(most) {
            seat.leave.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Seat>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    fn of(address: IpAddr) -> Self {
        Self {
            address,
            busy: AtomicBool::default(),
            since_ms: AtomicU64::default(),
            leave: Notify::default(),
        }
    }

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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn the_longest_idle_gives_way() {
        let seats = Seats::new(2);
        let (first, second) = (seats.take(HERE).await, seats.take(HERE).await);
        let in_hand = first.seat.begin();
        let leaving = async {
            second.seat.must_leave().await;
            drop(second);
        };
        let newcomer = async { seats.take(HERE).await };
        let ((), third) = tokio::join!(leaving, newcomer);
        // Both are busy: the newcomer waits until one leaves.
        let also_in_hand = third.seat.begin();
        let waits = tokio::time::timeout(Duration::from_millis(20), seats.take(HERE)).await;
        assert!(waits.is_err());
        drop((in_hand, first));
        assert!(tokio::time::timeout(Duration::from_secs(5), seats.take(HERE)).await.is_ok());
        drop(also_in_hand);
        assert_eq!(seats.lock().len(), 1);
    }

    #[tokio::test]
    async fn who_has_most_gives_way() {
        let seats = Seats::new(3);
        let crowd = IpAddr::V4([192, 0, 2, 1].into());
        // The one of another address has been idle for longest.
        let (one, first, _second) =
            (seats.take(HERE).await, seats.take(crowd).await, seats.take(crowd).await);
        first.seat.since_ms.store(1, Ordering::Relaxed);
        one.seat.since_ms.store(0, Ordering::Relaxed);
        let leaving = async {
            first.seat.must_leave().await;
            drop(first);
        };
        let ((), _newcomer) = tokio::join!(leaving, seats.take(HERE));
    }
}
