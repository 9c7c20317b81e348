//! What the backend counts while it works.

use std::sync::atomic::{AtomicU64, Ordering};

/// One count; only ever read to be told.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Shared by the committer and the background threads.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub commits: Count,
    pub conflicts: Count,
    pub log_flushes: Count,
    pub log_bytes: Count,
    pub memtable_flushes: Count,
    pub compactions: Count,
    pub extent_bytes_moved: Count,
    pub extent_bytes_returned: Count,
}
