//! What a store counts.

/// Counters of a store since it was opened, and its state now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct StoreStats {
    /// Commits that were made durable, the store's own about extents among them.
    pub commits: u64,
    /// Commits that a check refused.
    pub conflicts: u64,
    /// Flushes of the log, each for a group of commits.
    pub log_flushes: u64,
    /// Bytes written to the log.
    pub log_bytes: u64,
    /// Flushes of memtables to tables.
    pub memtable_flushes: u64,
    /// Compactions of tables.
    pub compactions: u64,
    /// Disk space of the tables.
    pub table_bytes: u64,
    /// Disk space of the extents.
    pub extent_bytes: u64,
    /// Of them, bytes of released extents that a backup under way still needs.
    pub extent_deferred_bytes: u64,
    /// Of them, bytes that no extent has.
    pub extent_free_bytes: u64,
    /// Pieces of extents that were read from memory.
    pub read_cache_hits: u64,
    /// Pieces of extents that were read from a file, though they might have been in memory.
    pub read_cache_misses: u64,
    /// Bytes of extents that were moved.
    pub extent_bytes_moved: u64,
    /// Bytes of deleted extents that were given back to the file system.
    pub extent_bytes_returned: u64,
    /// The disk has no room for writes.
    pub is_full: bool,
    /// A flush failed: writes are refused until the store is opened again.
    pub is_poisoned: bool,
}
