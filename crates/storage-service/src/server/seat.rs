//! What one connection is at: it waits for a request, has a part of a request's head, or has a request in hand. What
//! has no request in hand costs its client nothing when it is closed.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use crate::config::Timeouts;

/// Moments are milliseconds since this one.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nothing of the next request is there.
const WAITING: u64 = 0;
/// A part of its head is.
const HEAD: u64 = 1;
/// A request is in hand.
const REQUEST: u64 = 2;
/// It is answered, and the answer's last bytes are on their way.
const FLUSHING: u64 = 3;
const PHASES: u64 = 4;

/// The state of one connection. Only its own task changes the phase; others ask it to go.
#[derive(Debug)]
pub(crate) struct Seat {
    /// The phase, and since when.
    state: AtomicU64,
    gives_way: AtomicBool,
    ends: AtomicBool,
    waker: AtomicWaker,
}

impl Default for Seat {
    fn default() -> Self {
        let seat = Self {
            state: AtomicU64::default(),
            gives_way: AtomicBool::default(),
            ends: AtomicBool::default(),
            waker: AtomicWaker::new(),
        };
        seat.set(WAITING);
        seat
    }
}

impl Seat {
    fn set(&self, phase: u64) {
        let now_ms = u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX / PHASES);
        self.state.store(now_ms * PHASES + phase, Ordering::Relaxed);
    }

    fn phase(&self) -> (u64, Instant) {
        let state = self.state.load(Ordering::Relaxed);
        (state % PHASES, *BEGIN + Duration::from_millis(state / PHASES))
    }

    /// Bytes came from the client.
    pub(crate) fn received(&self) {
        if self.phase().0 == WAITING {
            self.set(HEAD);
        }
    }

    /// A request's head is there.
    pub(crate) fn enter(&self) {
        self.set(REQUEST);
    }

    /// Its answer is there whole, though perhaps not sent.
    pub(crate) fn leave(&self) {
        self.set(FLUSHING);
    }

    /// What was to be sent is.
    pub(crate) fn flushed(&self) {
        if self.phase().0 == FLUSHING {
            self.set(WAITING);
        }
    }

    /// For how long it has had no request in hand.
    pub(crate) fn idle_for(&self) -> Option<Duration> {
        let (phase, since) = self.phase();
        (phase == WAITING || phase == HEAD).then(|| since.elapsed())
    }

    /// When it is closed if nothing happens; `None` while a request is in hand.
    pub(crate) fn deadline(&self, timeouts: &Timeouts) -> Option<Instant> {
        match self.phase() {
            (WAITING, since) => Some(since + timeouts.idle()),
            (HEAD, since) => Some(since + timeouts.head()),
            _ => None,
        }
    }

    /// Asks it to make room for another.
    pub(super) fn give_way(&self) {
        self.gives_way.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Asks it to end when its request is answered.
    pub(super) fn end(&self) {
        self.ends.store(true, Ordering::Release);
        self.waker.wake();
    }

    /// Whether it is to close as soon as it may. Whoever asks is woken when that changes.
    pub(super) fn poll_must_go(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        self.must_go()
    }

    /// Whether it is to close as soon as it may.
    pub(super) fn must_go(&self) -> bool {
        self.gives_way.load(Ordering::Acquire) || self.ends.load(Ordering::Acquire)
    }

    /// Whether it may close at once: there is nothing of a request, or what there is has to give way.
    pub(super) fn may_close(&self) -> bool {
        match self.phase().0 {
            WAITING => true,
            HEAD => self.gives_way.load(Ordering::Acquire),
            _ => false,
        }
    }

    /// Resolves when it is asked to go.
    pub(super) async fn asked_to_go(&self) {
        poll_fn(|context| match self.poll_must_go(context.waker()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

/// A request in hand, until its answer is there whole.
#[derive(Debug)]
pub(crate) struct InHand(Arc<Seat>);

impl InHand {
    pub(crate) fn new(seat: Arc<Seat>) -> Self {
        seat.enter();
        Self(seat)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn phases_and_their_deadlines() {
        let timeouts = Timeouts { idle_ms: 9_000, head_ms: 2_000, ..Timeouts::default() };
        let seat = Arc::new(Seat::default());
        let left =
            || seat.deadline(&timeouts).map(|at| at.duration_since(Instant::now()).as_millis().div_ceil(10));
        assert_eq!(left(), Some(900));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(left(), Some(800));
        seat.received();
        assert_eq!(left(), Some(200), "the head's time begins with its first byte");
        tokio::time::advance(Duration::from_secs(1)).await;
        seat.received();
        assert_eq!(left(), Some(100), "and not again with the next");
        let in_hand = InHand::new(seat.clone());
        seat.received();
        seat.flushed();
        assert_eq!((left(), seat.idle_for(), seat.may_close()), (None, None, false));
        drop(in_hand);
        assert_eq!((left(), seat.may_close()), (None, false), "its last bytes are not sent yet");
        seat.flushed();
        assert_eq!((left(), seat.may_close()), (Some(900), true));
        seat.received();
        seat.end();
        assert!(seat.must_go() && !seat.may_close(), "what has begun may end");
        seat.give_way();
        assert!(seat.may_close());
    }
}
