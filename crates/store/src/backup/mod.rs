//! Backups: one stream of a store's rows and extents as of a snapshot, and a store made of it.
//!
//! ```text
//! "welkin backup 1\n", then records:
//! kind u8, length u32, content, crc32c u32 over the crc before (0 at first), kind, length, content
//!
//! H  time of the backup in ms since 1970 u64, the store's salt u64, number of its last commit u64
//! R  rows, in the order of their keys: each length of the stored key u32, of the value u32, version u64, key, value
//! X  an extent, in the order of ids: id u64, length u64
//! C  the next bytes of the extent
//! F  why the backup could not be taken: text, in place of an end
//! E  rows u64, extents u64, bytes of extents u64; nothing follows                            (little-endian)
//! ```
//!
//! Each checksum goes on from the one before, so that a record that is missing, doubled or in another place is noticed
//! as a flipped bit is. Rows keep their versions and extents their ids: rows name them.

mod decode;
mod encode;
mod error;
mod restore;
mod take;

pub use decode::{Decoder, Item};
pub use error::BackupError;

/// What a backup begins with.
pub(crate) const MAGIC: &[u8; 16] = b"welkin backup 1\n";
/// Kind and length.
pub(crate) const HEAD_BYTES: usize = 5;
/// Longest content of a record: rows are gathered up to 256 KiB, and the last may be the largest that there is.
pub(crate) const CONTENT_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Length of a key, length of a value, version.
pub(crate) const ROW_HEAD_BYTES: usize = 16;

pub(crate) const HEADER: u8 = b'H';
pub(crate) const ROWS: u8 = b'R';
pub(crate) const EXTENT: u8 = b'X';
pub(crate) const BYTES: u8 = b'C';
pub(crate) const FAILURE: u8 = b'F';
pub(crate) const END: u8 = b'E';

/// What a backup says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// When it was taken, in milliseconds since 1970.
    pub taken_unix_ms: u64,
    /// The store that it was taken of: a number drawn when that was made.
    pub store: u64,
    /// The last commit in it.
    pub last_commit: u64,
}

/// What is in a backup.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Rows.
    pub rows: u64,
    /// Extents.
    pub extents: u64,
    /// Bytes of the extents.
    pub extent_bytes: u64,
}
