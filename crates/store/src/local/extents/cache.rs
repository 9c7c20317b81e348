//! What was read of extents lately, verified, in memory. A read that finds its bytes here copies nothing and computes
//! no checksum; one by the page cache does both.
//!
//! An extent never changes and its id is never used again, so nothing here is ever wrong: whether the extent still
//! exists is asked of its row before. What looks for damage on the disk reads past this.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use crate::local::options::READ_BYTES;

/// An extent's id, and the offset in it.
type Place = (u64, u64);

/// Pieces of extents.
pub(crate) struct ReadCache {
    pieces: Cache<Place, Bytes, ByLength>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Debug, Clone)]
struct ByLength;

impl Weighter<Place, Bytes> for ByLength {
    fn weight(&self, _: &Place, bytes: &Bytes) -> u64 {
        bytes.len() as u64
    }
}

impl std::fmt::Debug for ReadCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReadCache").field("pieces", &self.pieces.len()).finish_non_exhaustive()
    }
}

impl ReadCache {
    /// A cache of at most `bytes_max` bytes; 0: nothing is kept.
    pub(crate) fn new(bytes_max: u64) -> Self {
        let pieces = (bytes_max / READ_BYTES as u64) as usize;
        Self {
            pieces: Cache::with_weighter(pieces, bytes_max, ByLength),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// The piece from `offset` on, when it is here in the length that is wanted.
    pub(crate) fn get(&self, id: u64, offset: u64, length: usize) -> Option<Bytes> {
        if !is_kept(offset, length) {
            return None;
        }
        let found = self.pieces.get(&(id, offset)).filter(|bytes| bytes.len() == length);
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Keeps a piece that was read and verified, if it is one of those that streams read.
    pub(crate) fn put(&self, id: u64, offset: u64, bytes: &Bytes) {
        if is_kept(offset, bytes.len()) {
            self.pieces.insert((id, offset), bytes.clone());
        }
    }

    /// How often a piece was here, and how often not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }
}

/// Whether a read begins where streams have their pieces. Others would keep the same bytes twice, and the whole
/// chunks that theirs were cut from.
fn is_kept(offset: u64, length: usize) -> bool {
    offset.is_multiple_of(READ_BYTES as u64) && (1..=READ_BYTES).contains(&length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_pieces_of_streams_and_stays_within_its_size() {
        let cache = ReadCache::new(4 * READ_BYTES as u64);
        let piece = |id: u64| Bytes::from(vec![id as u8; READ_BYTES]);
        for id in 0..100 {
            cache.put(id, 0, &piece(id));
            assert!(cache.pieces.weight() <= 4 * READ_BYTES as u64);
        }
        cache.put(7, READ_BYTES as u64, &Bytes::from_static(b"end"));
        assert_eq!(cache.get(7, READ_BYTES as u64, 3).as_deref(), Some(&b"end"[..]));
        assert_eq!(cache.get(7, READ_BYTES as u64, 2), None, "another length");
        assert_eq!(cache.get(8, READ_BYTES as u64, 3), None, "another extent");
        cache.put(7, 1, &Bytes::from_static(b"within"));
        assert_eq!(cache.get(7, 1, 6), None, "not where a piece of a stream begins");
        assert_eq!(cache.counts(), (1, 2));
        let none = ReadCache::new(0);
        none.put(1, 0, &piece(1));
        assert_eq!(none.get(1, 0, READ_BYTES), None);
    }
}
