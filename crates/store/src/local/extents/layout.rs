//! Where an extent's bytes are and what their checksums are: the row that makes an extent exist.
//!
//! ```text
//! key     space FFFE, no partition, id u64 big-endian
//! value   format u8 = 1, length_bytes u64, runs u32, per run: file u32, page u32, pages u32,
//!         per chunk of 64 KiB: crc32c u32                                       (little-endian)
//! ```
//!
//! The bytes fill the runs in order; every run but the last has whole chunks.

use crate::error::StoreError;
use crate::local::extents::space::Run;
use crate::local::key::row_key;
use crate::row::Space;

/// Bytes under one checksum. A read verifies whole chunks, so a small read costs one.
pub(crate) const CHUNK_BYTES: usize = 64 * 1024;
/// Runs are made of pages of this size, which is what direct I/O asks for.
pub(crate) const PAGE_BYTES: usize = 4096;
/// The rows of extents.
pub(crate) const EXTENTS: Space = Space::new(0xFFFE, "extents");
const FORMAT: u8 = 1;

/// The content of an extent's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) length_bytes: u64,
    pub(crate) runs: Vec<Run>,
    pub(crate) checksums: Vec<u32>,
}

/// A piece of a run that a read needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) file: u32,
    /// Offset in the file.
    pub(crate) offset: u64,
    pub(crate) length: usize,
    /// Index of its first chunk.
    pub(crate) chunk: usize,
}

/// The stored key of an extent's row.
pub(crate) fn extent_key(id: u64) -> Vec<u8> {
    row_key(EXTENTS, b"", &id.to_be_bytes())
}

impl Layout {
    /// The row's value.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(13 + self.runs.len() * 12 + self.checksums.len() * 4);
        out.push(FORMAT);
        out.extend_from_slice(&self.length_bytes.to_le_bytes());
        out.extend_from_slice(&(self.runs.len() as u32).to_le_bytes());
        for run in &self.runs {
            for number in [run.file, run.page, run.pages] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
        for checksum in &self.checksums {
            out.extend_from_slice(&checksum.to_le_bytes());
        }
        out
    }

    /// Reads a row's value; `None` when it is malformed.
    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let (&format, rest) = value.split_first()?;
        let (length, rest) = rest.split_first_chunk::<8>()?;
        let (runs, rest) = rest.split_first_chunk::<4>()?;
        let length_bytes = u64::from_le_bytes(*length);
        let (runs, checksums) = rest.split_at_checked(u32::from_le_bytes(*runs) as usize * 12)?;
        let number = |bytes: &[u8]| Some(u32::from_le_bytes(bytes.try_into().ok()?));
        let runs = runs
            .chunks_exact(12)
            .map(|run| {
                Some(Run { file: number(&run[..4])?, page: number(&run[4..8])?, pages: number(&run[8..])? })
            })
            .collect::<Option<Vec<_>>>()?;
        let checksums = checksums.chunks(4).map(number).collect::<Option<Vec<_>>>()?;
        let layout = Self { length_bytes, runs, checksums };
        (format == FORMAT && layout.is_consistent()).then_some(layout)
    }

    fn is_consistent(&self) -> bool {
        let capacity: u64 = self.runs.iter().map(|run| u64::from(run.pages) * PAGE_BYTES as u64).sum();
        let whole = self
            .runs
            .iter()
            .rev()
            .skip(1)
            .all(|run| (run.pages as usize * PAGE_BYTES).is_multiple_of(CHUNK_BYTES));
        whole
            && capacity >= self.length_bytes
            && self.checksums.len() as u64 == self.length_bytes.div_ceil(CHUNK_BYTES as u64)
    }

    /// The pieces with the whole chunks that hold `length` bytes from `offset` on, which must be
    /// inside the extent.
    pub(crate) fn pieces(&self, offset: u64, length: usize) -> Vec<Piece> {
        let chunk = CHUNK_BYTES as u64;
        let start = offset / chunk * chunk;
        let end = ((offset + length as u64).div_ceil(chunk) * chunk).min(self.length_bytes);
        let mut pieces = Vec::new();
        let mut run_start = 0;
        for run in &self.runs {
            let run_end = run_start + u64::from(run.pages) * PAGE_BYTES as u64;
            let (from, to) = (start.max(run_start), end.min(run_end));
            if from < to {
                pieces.push(Piece {
                    file: run.file,
                    offset: u64::from(run.page) * PAGE_BYTES as u64 + (from - run_start),
                    length: (to - from) as usize,
                    chunk: (from / chunk) as usize,
                });
            }
            run_start = run_end;
        }
        pieces
    }

    /// Whether `bytes`, which begin at chunk `chunk`, have the right checksums; else the first bad chunk.
    pub(crate) fn verify(&self, chunk: usize, bytes: &[u8]) -> Result<(), usize> {
        for (index, bytes) in bytes.chunks(CHUNK_BYTES).enumerate() {
            if self.checksums.get(chunk + index) != Some(&crc32c::crc32c(bytes)) {
                return Err(chunk + index);
            }
        }
        Ok(())
    }
}

/// An error that names a place in an extent file.
pub(crate) fn damaged(path: &std::path::Path, offset: u64, why: String) -> StoreError {
    StoreError::Damaged { what: format!("the extent file {} at offset {offset}", path.display()), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Layout {
        Layout {
            length_bytes: 3 * CHUNK_BYTES as u64 + 5,
            runs: vec![Run { file: 1, page: 16, pages: 32 }, Run { file: 2, page: 0, pages: 17 }],
            checksums: vec![1, 2, 3, 4],
        }
    }

    #[test]
    fn a_layout_reads_back_and_no_shorter_one_does() {
        let value = sample().encode();
        assert_eq!(Layout::decode(&value), Some(sample()));
        for length in 0..value.len() {
            assert_eq!(Layout::decode(&value[..length]), None, "length {length}");
        }
    }

    #[test]
    fn pieces_are_whole_chunks() {
        let chunk = CHUNK_BYTES as u64;
        let piece = |file, offset, length, chunk| Piece { file, offset, length, chunk };
        let rows = [
            (0, 1, vec![piece(1, chunk, CHUNK_BYTES, 0)]),
            (chunk - 1, 2, vec![piece(1, chunk, 2 * CHUNK_BYTES, 0)]),
            (2 * chunk - 1, 2, vec![piece(1, 2 * chunk, CHUNK_BYTES, 1), piece(2, 0, CHUNK_BYTES, 2)]),
            (3 * chunk + 1, 2, vec![piece(2, chunk, 5, 3)]),
        ];
        for (offset, length, expected) in rows {
            assert_eq!(sample().pieces(offset, length), expected, "{length} bytes from {offset}");
        }
    }
}
