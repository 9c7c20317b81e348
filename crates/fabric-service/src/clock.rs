//! The controller's time: it starts at the system's and then only goes on, so that a clock that is set does not make
//! every node look silent.

use std::time::{Instant, SystemTime};

use welkin_base::Timestamp;

/// A clock that never jumps.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    base: Timestamp,
    started: Instant,
}

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { base: Timestamp::from(SystemTime::now()), started: Instant::now() }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.base.plus(self.started.elapsed())
    }
}
