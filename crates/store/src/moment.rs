//! Moments of a store.

use std::sync::Arc;

use crate::local::{Hold, Pin};

/// A moment of a store: what was committed before it, and nothing later.
///
/// Nothing that is in memory is flushed while a moment from before is held, and writers wait in the end. It is for one
/// request, and not for the time in which a client takes an answer: see [`Snapshot`].
#[derive(Debug, Clone)]
pub struct Moment {
    /// Rows with lower numbers are seen.
    pub(crate) visible: u64,
    /// Says that somebody reads.
    pub(crate) _reader: Arc<()>,
}

/// A moment of a store that may be held for long, such as for a backup: nobody waits for it. What it sees takes disk
/// space as long as it is held, also where it was overwritten or deleted since.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) moment: Moment,
    /// Keeps the rows.
    pub(crate) _pin: Pin,
    /// Keeps the bytes of extents.
    pub(crate) _hold: Hold,
}

impl Snapshot {
    /// The moment, for reads of rows while the snapshot is held. Later, rows may be missing from what it sees.
    #[must_use]
    pub fn moment(&self) -> &Moment {
        &self.moment
    }
}
