//! How many requests of one account are handled at a time. More are refused at once and told when to come back,
//! so that one account's rush is no queue for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use welkin_storage::Uid;

/// Counts the requests that are handled, per account.
#[derive(Debug)]
pub(crate) struct Throttle {
    requests_max: usize,
    handled: Mutex<HashMap<Uid, usize>>,
}

/// A request that is handled, until it is dropped.
#[derive(Debug)]
pub(crate) struct Handled {
    throttle: Arc<Throttle>,
    account: Uid,
}

impl Throttle {
    pub(crate) fn new(requests_max: usize) -> Arc<Self> {
        Arc::new(Self { requests_max, handled: Mutex::default() })
    }

    /// Counts a request in; `None` when the account has too many.
    pub(crate) fn enter(self: &Arc<Self>, account: Uid) -> Option<Handled> {
        let mut handled = self.lock();
        let count = handled.entry(account).or_insert(0);
        if *count >= self.requests_max {
            return None;
        }
        *count += 1;
        Some(Handled { throttle: self.clone(), account })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, usize>> {
        self.handled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handled {
    fn drop(&mut self) {
        let mut handled = self.throttle.lock();
        if let Some(count) = handled.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                handled.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_account() {
        let throttle = Throttle::new(2);
        let [a, b] = [1, 2].map(|n| Uid::from_bytes([n; 16]));
        let (first, second) = (throttle.enter(a), throttle.enter(a));
        assert!(first.is_some() && second.is_some());
        assert!(throttle.enter(a).is_none() && throttle.enter(b).is_some());
        drop(first);
        assert!(throttle.enter(a).is_some());
        drop(second);
        assert!(throttle.lock().is_empty());
    }
}
