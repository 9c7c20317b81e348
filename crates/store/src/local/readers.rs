//! Who reads, and from when on: what decides which old values of rows may go.
//!
//! * A short read enters, and a flush waits for those that entered before it ([`Readers::drain`]).
//! * A long one is pinned: nothing waits for it, and what it sees is kept ([`Pins`]).
//!
//! A pin is made by a reader who has entered, and before he leaves. A flush first drains and then looks at the pins, so
//! it knows every pin that is older than what it writes, and any later one sees all that it writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// Readers under way. Each holds the token of the time when it began.
#[derive(Debug, Default)]
pub(crate) struct Readers {
    token: RwLock<Arc<()>>,
}

impl Readers {
    /// Begins a read that ends when the token is dropped.
    pub(crate) fn enter(&self) -> Arc<()> {
        self.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns when every reader that had entered before this call has ended.
    pub(crate) fn drain(&self) {
        let old = std::mem::take(&mut *self.token.write().unwrap_or_else(PoisonError::into_inner));
        while Arc::strong_count(&old) > 1 {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

/// The numbers below which somebody reads for long, and how many do.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    counts: Mutex<BTreeMap<u64, usize>>,
}

impl Pins {
    /// Keeps what a reader sees who sees numbers below `visible`, as long as the pin lives.
    pub(crate) fn add(self: &Arc<Self>, visible: u64) -> Pin {
        *self.lock().entry(visible).or_default() += 1;
        Pin { pins: self.clone(), visible }
    }

    /// All of them, in order.
    pub(crate) fn list(&self) -> Vec<u64> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what one long reader sees.
#[derive(Debug)]
pub(crate) struct Pin {
    pins: Arc<Pins>,
    visible: u64,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut counts = self.pins.lock();
        if let Some(count) = counts.get_mut(&self.visible) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.visible);
            }
        }
    }
}

/// Whether a value with number `old` is still seen by one of the pinned readers, when the next newer value of its row
/// has the number `new`: by those who see numbers below one that is above `old` and not above `new`.
pub(crate) fn is_pinned(pins: &[u64], old: u64, new: u64) -> bool {
    let first_above_old = pins.partition_point(|&visible| visible <= old);
    pins.get(first_above_old).is_some_and(|&visible| visible <= new)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_for_those_who_see_it_and_not_the_next() {
        let rows = [
            (&[][..], 1, 2, false),
            // A reader below 5 sees 4 and not 5.
            (&[5][..], 4, 5, true),
            (&[5], 3, 4, false),
            (&[5], 5, 6, false),
            (&[5], 1, 100, true),
            (&[2, 9], 3, 8, false),
            (&[2, 9], 3, 9, true),
            (&[2, 9], 1, 2, true),
            (&[2, 9], 9, 10, false),
        ];
        for (pins, old, new, expected) in rows {
            assert_eq!(is_pinned(pins, old, new), expected, "{pins:?}: {old} before {new}");
        }
    }

    #[test]
    fn a_number_stays_as_long_as_one_of_its_pins() {
        let pins = Arc::new(Pins::default());
        let (first, second, other) = (pins.add(7), pins.add(7), pins.add(3));
        assert_eq!(pins.list(), [3, 7]);
        drop(first);
        assert_eq!(pins.list(), [3, 7]);
        drop((second, other));
        assert!(pins.list().is_empty());
    }
}
