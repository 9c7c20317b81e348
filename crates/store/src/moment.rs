//! Moments of a store.

use std::sync::Arc;

/// A moment of a store: what was committed before it, and nothing later.
///
/// Nothing that is in memory is flushed while a moment from before is held, and writers wait in the end. It is for one
/// request, and not for the time in which a client takes an answer.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Rows with lower numbers are seen.
    pub(crate) visible: u64,
    /// Says that somebody reads.
    pub(crate) _reader: Arc<()>,
}
