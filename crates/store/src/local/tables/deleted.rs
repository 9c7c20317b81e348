//! Tables that hold little but deleted rows are merged into one, which drops them.
//!
//! The levels do that by themselves only where newer rows push the deletes down. When nobody writes
//! any more, what was deleted last would stay.

use std::sync::atomic::Ordering;

use lsm_tree::AbstractTree as _;

use crate::error::StoreError;
use crate::local::tables::{Tables, lock};

/// One entry in so many may be a delete: each stands for at least one more entry that it hides.
const DELETED_SHARE_MAX: usize = 4;
/// Larger tables are left to the levels: this many bytes are merged in some ten seconds, and while
/// they are, newer runs of tables wait.
const MERGED_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Tables are cut at this size, as in the levels.
const TABLE_BYTES: u64 = 64 * 1024 * 1024;

impl Tables {
    /// Whether a large part of the tables is deleted rows that can be dropped at once.
    pub(crate) fn is_mostly_deleted(&self) -> bool {
        let deletes = usize::try_from(self.tree.tombstone_count()).unwrap_or(usize::MAX);
        deletes > self.tree.approximate_len() / DELETED_SHARE_MAX
            && self.tree.disk_space() <= MERGED_BYTES_MAX
            && self.pins.list().is_empty()
    }

    /// Merges all tables.
    pub(crate) fn merge_all(&self) -> Result<(), StoreError> {
        let first_new = self.tree.next_table_id();
        let result = {
            let _compacting = lock(&self.compacting);
            // As in a compaction; see there.
            if !self.pins.list().is_empty() {
                return Ok(());
            }
            self.tree.major_compact(TABLE_BYTES, self.visible.load(Ordering::SeqCst))
        };
        result.map_err(|error| self.failed(error, first_new))
    }
}
