//! How many requests of one kind are handled at a time. More are refused at once and told when to come back, so that
//! one client's rush is no queue for the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts the requests that are handled, by whatever they are counted by.
#[derive(Debug)]
pub(crate) struct Throttle<K> {
    requests_max: usize,
    handled: Mutex<HashMap<K, usize>>,
}

/// A request that is handled, until it is dropped.
#[derive(Debug)]
pub(crate) struct Handled<K: Hash + Eq> {
    throttle: Arc<Throttle<K>>,
    key: K,
}

impl<K: Hash + Eq + Clone> Throttle<K> {
    pub(crate) fn new(requests_max: usize) -> Arc<Self> {
        Arc::new(Self { requests_max, handled: Mutex::default() })
    }

    /// Counts a request in; `None` when there are too many of its key.
    pub(crate) fn enter(self: &Arc<Self>, key: K) -> Option<Handled<K>> {
        let mut handled = self.lock();
        let count = handled.entry(key.clone()).or_insert(0);
        if *count >= self.requests_max {
            if *count == 0 {
                handled.remove(&key);
            }
            return None;
        }
        *count += 1;
        Some(Handled { throttle: self.clone(), key })
    }
}

impl<K> Throttle<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, usize>> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq> Drop for Handled<K> {
    fn drop(&mut self) {
        let mut handled = self.throttle.lock();
        if let Some(count) = handled.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                handled.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_key() {
        let throttle = Throttle::new(2);
        let (first, second) = (throttle.enter("a"), throttle.enter("a"));
        assert!(first.is_some() && second.is_some());
        assert!(throttle.enter("a").is_none() && throttle.enter("b").is_some());
        drop(first);
        assert!(throttle.enter("a").is_some());
        drop(second);
        assert!(throttle.lock().is_empty());
        assert!(Throttle::new(0).enter("a").is_none());
    }
}
