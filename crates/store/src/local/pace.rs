//! Whether reads of tables are fast enough to be done where they are asked for.
//!
//! Handing a read to another thread costs more than a read that the page cache answers, and a
//! read that waits for the disk must not hold up a thread of the runtime. Which one it will be
//! cannot be known before, but slow reads come together: after one, the next go to other threads.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A read that takes longer has waited for the disk.
const SLOW: Duration = Duration::from_micros(200);
/// Reads that go to other threads after a slow one.
const CAREFUL_READS: u32 = 32;

/// How reads went lately.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    careful: AtomicU32,
}

impl Pace {
    /// Whether a read may be done at once.
    pub(crate) fn is_fast(&self) -> bool {
        self.careful.load(Ordering::Relaxed) == 0
    }

    /// Does a read and notes how long it took.
    pub(crate) fn time<T>(&self, read: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let result = read();
        if start.elapsed() > SLOW {
            self.careful.store(CAREFUL_READS, Ordering::Relaxed);
        } else {
            let careful = self.careful.load(Ordering::Relaxed);
            // A lost update costs one careful read.
            self.careful.store(careful.saturating_sub(1), Ordering::Relaxed);
        }
        result
    }
}
