//! What one process knows of queues beside the store. All of it is a hint: without it, or with several processes,
//! answers are the same, but for the approximate count's age, and consumers collide more.
//!
//! * *Claims*: keys of the messages that a get in this process is committing right now. Another one takes those
//!   behind them instead of losing to it.
//! * *Counts*: how many messages a queue has, counted once and kept by what this process does.
//! * *Firsts*: a moment before which no row by time lies, so that a scan for the head of the queue need not pass over
//!   what was deleted there. Only the process that has the store open may keep it; see [`first`].

mod first;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use welkin_base::Timestamp;

use crate::Uid;
use first::First;

/// A count of few messages is taken as it is for so long.
const COUNT_AGE_MAX: Duration = Duration::from_secs(10);
/// And longer by a second for each of so many messages, since counting them takes longer.
const COUNTED_PER_SECOND: u64 = 1000;

/// A count of at most so many messages is taken anew when one of them expired since.
const EXPIRY_COUNT_MAX: i64 = 5000;

/// What is known of all queues.
#[derive(Debug, Clone, Default)]
pub(crate) struct LiveQueues {
    queues: Arc<Mutex<HashMap<Uid, LiveQueue>>>,
}

#[derive(Debug, Default)]
struct LiveQueue {
    claimed: HashSet<Bytes>,
    /// Tells those who wait that a claim ended.
    released: Arc<Notify>,
    count: Option<Count>,
    first: First,
}

#[derive(Debug)]
struct Count {
    messages: i64,
    counted: Timestamp,
    /// When the first of them expires.
    expires: Timestamp,
}

impl LiveQueues {
    /// How many keys of the queue are claimed.
    pub(crate) fn claims(&self, queue: Uid) -> usize {
        self.lock().get(&queue).map_or(0, |live| live.claimed.len())
    }

    /// Claims up to `keys_max` of the keys, and gives those that were free.
    pub(crate) fn claim<'a>(
        &self,
        queue: Uid,
        keys: impl Iterator<Item = &'a Bytes>,
        keys_max: usize,
    ) -> Claim {
        let mut queues = self.lock();
        let LiveQueue { claimed, released, .. } = queues.entry(queue).or_default();
        let keys = keys.filter(|key| claimed.insert((*key).clone())).take(keys_max).cloned().collect();
        Claim { queues: self.clone(), queue, keys, released: released.clone() }
    }

    /// Resolves when some claim of the queue ends after this call.
    pub(crate) fn released(&self, queue: Uid) -> OwnedNotified {
        self.lock().entry(queue).or_default().released.clone().notified_owned()
    }

    /// A count that is young enough.
    pub(crate) fn count(&self, queue: Uid, now: Timestamp) -> Option<u64> {
        let queues = self.lock();
        let count = queues.get(&queue)?.count.as_ref()?;
        let messages = u64::try_from(count.messages).unwrap_or(0);
        let age_max = COUNT_AGE_MAX + Duration::from_secs(messages / COUNTED_PER_SECOND);
        let expired = count.expires <= now && count.messages <= EXPIRY_COUNT_MAX;
        (now.since(count.counted) <= age_max && !expired).then_some(messages)
    }

    /// The queue was counted; the first of its messages expires at `expires`.
    pub(crate) fn counted(&self, queue: Uid, count: u64, expires: Timestamp, now: Timestamp) {
        let messages = i64::try_from(count).unwrap_or(i64::MAX);
        self.lock().entry(queue).or_default().count = Some(Count { messages, counted: now, expires });
    }

    /// A message came that expires at `expires`.
    pub(crate) fn came(&self, queue: Uid, expires: Timestamp) {
        self.change(queue, |count| {
            count.messages = count.messages.saturating_add(1);
            count.expires = count.expires.min(expires);
        });
    }

    /// A message was deleted.
    pub(crate) fn went(&self, queue: Uid) {
        self.change(queue, |count| count.messages = count.messages.saturating_sub(1));
    }

    /// A message was removed that expired at `expires`. It was counted if it had not expired then.
    pub(crate) fn expired(&self, queue: Uid, expires: Timestamp) {
        self.change(queue, |count| {
            if expires > count.counted {
                count.messages = count.messages.saturating_sub(1);
            }
        });
    }

    fn change(&self, queue: Uid, change: impl FnOnce(&mut Count)) {
        if let Some(count) = self.lock().get_mut(&queue).and_then(|live| live.count.as_mut()) {
            change(count);
        }
    }

    /// The queue is gone.
    pub(crate) fn forget(&self, queue: Uid) {
        self.lock().remove(&queue);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uid, LiveQueue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keys that are claimed until this is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    queues: LiveQueues,
    queue: Uid,
    keys: HashSet<Bytes>,
    released: Arc<Notify>,
}

impl Claim {
    /// Whether the key is one of them.
    pub(crate) fn has(&self, key: &Bytes) -> bool {
        self.keys.contains(key)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Those who got nothing and wait would wake each other, again and again.
        if self.keys.is_empty() {
            return;
        }
        let mut queues = self.queues.lock();
        if let Some(live) = queues.get_mut(&self.queue) {
            for key in &self.keys {
                live.claimed.remove(key);
            }
        }
        drop(queues);
        self.released.notify_waiters();
    }
}
