//! Sizes and limits of the local backend.

/// Longest partition, in bytes. The table engine takes keys below 64 KiB, and escaping may
/// double a partition: 2 x 16 KiB + 16 KiB + 4 stays below.
pub const PARTITION_BYTES_MAX: usize = 16 * 1024;
/// Longest key within a partition, in bytes; see [`PARTITION_BYTES_MAX`].
pub const KEY_BYTES_MAX: usize = 16 * 1024;
/// Longest value of a row. Values above some 32 KiB are better kept in extents, which are
/// written once, while a row is written to the log and then several times to tables.
pub const VALUE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most bytes of one commit: keys, values and their lengths. An entity group transaction has
/// 4 MiB and a block list of 50,000 blocks some 5 MiB.
pub const COMMIT_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most bytes of one extent: its row lists a checksum of 4 bytes per chunk and must stay
/// below [`VALUE_BYTES_MAX`].
pub const EXTENT_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;

/// Reads of extents up to this length are done where they are asked for, when reads are fast: a
/// stream that reads in such pieces needs little memory and no other thread.
pub const READ_BYTES: usize = 256 * 1024;

/// A group stops growing at this size, so that its first commit does not wait for long.
pub(crate) const GROUP_BYTES: usize = 4 * 1024 * 1024;
/// Commits of at most this many bytes wait for the committer; more wait before the queue.
pub(crate) const QUEUE_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Groups begin at multiples of this in a log segment: a later group never shares a disk
/// page with an acknowledged one, and a scan for lost groups has few places to look at.
pub(crate) const LOG_PAGE_BYTES: usize = 4096;

/// Spaces from this number on belong to the store.
pub(crate) const RESERVED_SPACE_ID_MIN: u16 = 0xFFF0;

const _: () = assert!(2 * PARTITION_BYTES_MAX + KEY_BYTES_MAX + 4 < u16::MAX as usize);
const _: () = assert!(COMMIT_BYTES_MAX <= QUEUE_BYTES_MAX);

/// Settings of the local backend. The defaults suit one machine with a few GiB of memory.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalOptions {
    /// The memtable is flushed to tables at this size. Up to three exist at a time.
    pub memtable_bytes: u64,
    /// Size of a log segment; at least 16 MiB and a bit, so that the largest commit fits.
    pub segment_bytes: u64,
    /// Blocks of tables kept in memory.
    pub cache_bytes: u64,
    /// Bytes of extents that were read lately kept in memory.
    pub read_cache_bytes: u64,
    /// Bytes of extents that are being written kept in memory, of all writers together; each has up to 4 MiB. Beyond,
    /// each has two pieces of 64 KiB.
    pub write_buffer_bytes: u64,
    /// Size of an extent file.
    pub extent_file_bytes: u64,
    /// An extent file grows by this, preallocated.
    pub extent_step_bytes: u64,
    /// At most so many bytes per second are moved so that space of deleted extents can be given back
    /// to the file system; 0: nothing is moved, and the space is only used again.
    pub compaction_bytes_per_second: u64,
    /// The store takes at most this much of the disk; beyond it writes answer that the disk is
    /// full. None: as much as there is.
    pub disk_bytes_max: Option<u64>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            memtable_bytes: 32 * 1024 * 1024,
            segment_bytes: 32 * 1024 * 1024,
            cache_bytes: 64 * 1024 * 1024,
            read_cache_bytes: 64 * 1024 * 1024,
            // 64 writers at full speed, more than a disk needs.
            write_buffer_bytes: 256 * 1024 * 1024,
            extent_file_bytes: 1024 * 1024 * 1024,
            extent_step_bytes: 64 * 1024 * 1024,
            // A small part of what a disk takes, and a TiB in nine hours.
            compaction_bytes_per_second: 32 * 1024 * 1024,
            disk_bytes_max: None,
        }
    }
}
