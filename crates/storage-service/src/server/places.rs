//! Places of connections, of all addresses together. When all are taken, the connection that has been idle for the
//! longest gives way to one that comes; while none is idle, those that come wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::seat::Seat;

/// Who has been idle for less is likely in the middle of something, and does not give way.
const IDLE_MIN: Duration = Duration::from_secs(1);
/// Who waits for a place asks again after this long.
const PAUSE: Duration = Duration::from_millis(100);

/// The places, and who has them.
#[derive(Debug)]
pub(crate) struct Places {
    connections_max: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    seats: HashMap<u64, Arc<Seat>>,
    next: u64,
    is_ending: bool,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    pub(crate) seat: Arc<Seat>,
}

impl Places {
    /// So many places.
    pub(crate) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, taken: Mutex::default(), freed: Notify::new() })
    }

    /// A place for a connection; waits until there is one.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_take() {
                return place;
            }
            self.ask_one_to_give_way();
            let _ = tokio::time::timeout(PAUSE, freed).await;
        }
    }

    /// A place, if there is one.
    fn try_take(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.lock();
        if taken.seats.len() >= self.connections_max {
            return None;
        }
        let number = taken.next;
        taken.next += 1;
        let seat = Arc::new(Seat::default());
        if taken.is_ending {
            seat.end();
        }
        taken.seats.insert(number, seat.clone());
        Some(Place { places: self.clone(), number, seat })
    }

    /// Asks the one that has been idle for the longest. Looking at all is rare, and sparing each request a list is not.
    fn ask_one_to_give_way(&self) {
        let taken = self.lock();
        let idle = taken.seats.values().filter_map(|seat| Some((seat.idle_for()?, seat)));
        let longest = idle.filter(|(idle, _)| *idle >= IDLE_MIN).max_by_key(|(idle, _)| *idle);
        if let Some((_, seat)) = longest {
            seat.give_way();
        }
    }

    /// Ends all connections, each when its request is answered, and those that come.
    pub(crate) fn end(&self) {
        let mut taken = self.lock();
        taken.is_ending = true;
        taken.seats.values().for_each(|seat| seat.end());
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().seats.remove(&self.number);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_longest_idle_gives_way() {
        let places = Places::new(3);
        let (first, second, busy) = (places.take().await, places.take().await, places.take().await);
        tokio::time::advance(Duration::from_millis(10)).await;
        first.seat.enter();
        first.seat.leave();
        first.seat.flushed();
        busy.seat.enter();
        assert!(places.try_take().is_none());
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.take().await }
        });
        second.seat.asked_to_go().await;
        assert!(!first.seat.must_go() && !busy.seat.must_go() && !waiting.is_finished());
        drop(second);
        let third = waiting.await.unwrap();
        third.seat.enter();
        first.seat.enter();
        let waiting = tokio::time::timeout(Duration::from_secs(10), places.take());
        assert!(waiting.await.is_err(), "nobody is idle");
        places.end();
        assert!(busy.seat.must_go());
        drop(busy);
        assert!(places.take().await.seat.must_go(), "the end came before");
    }
}
