//! How much of the service one subscription takes: so many requests in a second, and so many in hand. What is more is
//! refused at once, so that one customer's rush is no queue for the others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use welkin_base::SubscriptionId;
use welkin_management_wire::{ApiError, ErrorCode};
use welkin_transport::bucket::{Bucket, Rate};

use crate::config::Limits;

/// Subscriptions that are remembered although they ask for nothing.
const IDLE_MAX: usize = 1024;

/// The limits, and what is taken of them.
#[derive(Debug)]
pub struct Throttle {
    limits: Limits,
    shares: Mutex<HashMap<SubscriptionId, Share>>,
}

/// What one subscription takes.
#[derive(Debug, Clone, Copy)]
struct Share {
    bucket: Bucket,
    in_hand: u32,
}

fn rate(limits: Limits) -> Rate {
    Rate { per_second: limits.requests_per_second, burst: limits.requests_burst }
}

impl Share {
    fn new(limits: Limits, now: Instant) -> Self {
        Self { bucket: Bucket::new(rate(limits), now), in_hand: 0 }
    }

    /// Takes one request, if there is one to take.
    fn take(&mut self, limits: Limits, now: Instant) -> bool {
        let may = self.in_hand < limits.requests_in_hand_max && self.bucket.take(rate(limits), now);
        self.in_hand += u32::from(may);
        may
    }

    /// Whether forgetting it changes nothing.
    fn is_idle(&mut self, limits: Limits, now: Instant) -> bool {
        self.in_hand == 0 && self.bucket.is_full(rate(limits), now)
    }
}

/// A request in hand, until it is dropped.
#[derive(Debug)]
pub struct InHand {
    throttle: Arc<Throttle>,
    subscription: SubscriptionId,
}

impl Throttle {
    /// Nothing is taken yet.
    pub fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, shares: Mutex::default() })
    }

    /// Lets a request in, or refuses it: 503 `TooManyRequests`, as the real service did (SMAPI §4).
    pub fn enter(self: &Arc<Self>, subscription: &SubscriptionId, now: Instant) -> Result<InHand, ApiError> {
        let mut shares = self.lock();
        if shares.len() >= IDLE_MAX {
            shares.retain(|_, share| !share.is_idle(self.limits, now));
        }
        let share = shares.entry(subscription.clone()).or_insert_with(|| Share::new(self.limits, now));
        if !share.take(self.limits, now) {
            let message =
                "the subscription asks for too much at once: send fewer requests, and this one later";
            return Err(ApiError::new(ErrorCode::TooManyRequests, message));
        }
        Ok(InHand { throttle: Arc::clone(self), subscription: subscription.clone() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SubscriptionId, Share>> {
        self.shares.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(share) = self.throttle.lock().get_mut(&self.subscription) {
            share.in_hand = share.in_hand.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_subscription_has_its_share() {
        let limits = Limits {
            requests_per_second: 2,
            requests_burst: 3,
            requests_in_hand_max: 2,
            ..Limits::default()
        };
        let throttle = Throttle::new(limits);
        let [a, b] = ["1", "2"].map(|digit| SubscriptionId::new(&digit.repeat(32)).unwrap());
        let start = Instant::now();
        let enter = |id: &SubscriptionId, ms: u64| throttle.enter(id, start + Duration::from_millis(ms));
        let (first, second) = (enter(&a, 0), enter(&a, 0));
        assert!(first.is_ok() && second.is_ok());
        assert_eq!(enter(&a, 0).unwrap_err().code, ErrorCode::TooManyRequests, "two are in hand");
        assert!(enter(&b, 0).is_ok(), "the other is not asked");
        drop((first, second));
        assert!(enter(&a, 0).is_ok());
        assert!(enter(&a, 0).is_err(), "the bucket is empty");
        assert!(enter(&a, 499).is_err());
        assert!(enter(&a, 500).is_ok(), "two a second");
        assert!(enter(&a, 500).is_err());
        for _ in 0..3 {
            assert!(enter(&a, 60_000).is_ok());
        }
        assert!(enter(&a, 60_000).is_err(), "it holds no more than the burst");
    }
}
