//! The rows of a blob beside its head: their keys and values.
//!
//! | key | value |
//! |---|---|
//! | empty | the blob |
//! | `a`, list, index | an appended block |
//! | `l`, list, index | a row of a list of blocks; list 0 has no number in its keys |
//! | `p`, segment, epoch | a segment of a page blob as of an epoch |
//! | `s`, moment | a snapshot |
//! | `u`, block id | an uncommitted block |
//! | `v`, moment | a version that is not the current one |
//! | `x` | numbers that rows no head needs may still have |
//!
//! Numbers have four bytes and moments eight, big-endian.

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;

use crate::blob::Revision;
use crate::blob::content::Piece;
use crate::record::Record;

/// Blocks in one row of a committed block list: a row of about 100 KiB.
pub(crate) const CHUNK_BLOCKS: usize = 1000;

/// A committed block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Its id, decoded; empty for an appended one.
    pub id: Vec<u8>,
    /// Its bytes.
    pub(crate) piece: Piece,
}

impl Block {
    /// Its length.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.piece.length_bytes()
    }
}

/// A row of a list of blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chunk {
    /// Where its first block begins in the blob; `None` in rows of the first shape.
    pub offset_bytes: Option<u64>,
    /// The blocks, in order.
    pub blocks: Vec<Block>,
}

impl Record for Chunk {
    const NOUN: &'static str = "block list";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, fields: &[u8]) -> Option<Result<Self, postcard::Error>> {
        let read = || postcard::from_bytes(fields).map(|blocks| Self { offset_bytes: None, blocks });
        (version == 1).then(read)
    }
}

/// An appended block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Appended {
    /// Where it begins in the blob.
    pub offset_bytes: u64,
    /// Its bytes.
    pub piece: Piece,
}

impl Record for Appended {
    const NOUN: &'static str = "appended block";
    const VERSION: u8 = 1;
}

/// Rows that no head needs may still lie there until the cleaner comes: what is written meanwhile takes numbers
/// from these on, and so never meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leftovers {
    /// Lists below this may have rows.
    pub next_list: u32,
    /// Epochs below this may have rows.
    pub next_epoch: u32,
}

impl Record for Leftovers {
    const NOUN: &'static str = "note of leftovers";
    const VERSION: u8 = 1;
}

/// An uncommitted block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StagedBlock {
    pub staged: Timestamp,
    pub piece: Piece,
}

impl Record for StagedBlock {
    const NOUN: &'static str = "uncommitted block";
    const VERSION: u8 = 1;
}

/// What is written of a segment of a page blob, in the order of offsets; the rest is zeros.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment(pub Vec<Run>);

impl Record for Segment {
    const NOUN: &'static str = "page segment";
    const VERSION: u8 = 1;
}

/// Consecutive pages of a segment that one write gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Where it begins in the segment.
    pub start_bytes: u32,
    /// How long it is.
    pub length_bytes: u32,
    /// What was written.
    pub piece: Piece,
    /// Where in the piece this run begins: later writes may have covered what was before.
    pub skipped_bytes: u32,
    /// The epoch in which it was written.
    pub epoch: u32,
}

/// What a row of a blob is, by its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowKey<'a> {
    Head(Revision),
    Appended { list: u32, index: u32 },
    List { list: u32, index: u32 },
    Segment { segment: u32, epoch: u32 },
    Staged(&'a [u8]),
    Leftovers,
}

impl<'a> RowKey<'a> {
    /// Reads a key; `None` is one that no blob has.
    pub(crate) fn parse(key: &'a [u8]) -> Option<Self> {
        let Some((kind, rest)) = key.split_first() else {
            return Some(Self::Head(Revision::Current));
        };
        match kind {
            b'a' => pair(rest).map(|(list, index)| Self::Appended { list, index }),
            b'l' => {
                let (list, index) = match rest.len() {
                    4 => (0, number(rest)?),
                    _ => pair(rest)?,
                };
                Some(Self::List { list, index })
            }
            b'p' => pair(rest).map(|(segment, epoch)| Self::Segment { segment, epoch }),
            b's' => moment(rest).map(|at| Self::Head(Revision::Snapshot(at))),
            b'u' => Some(Self::Staged(rest)),
            b'v' => moment(rest).map(|at| Self::Head(Revision::Version(at))),
            b'x' => rest.is_empty().then_some(Self::Leftovers),
            _ => None,
        }
    }

    /// Writes the key.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Head(Revision::Current) => Vec::new(),
            Self::Head(Revision::Snapshot(at)) => [&b"s"[..], &at.ticks().to_be_bytes()].concat(),
            Self::Head(Revision::Version(at)) => [&b"v"[..], &at.ticks().to_be_bytes()].concat(),
            Self::Appended { list, index } => [&b"a"[..], &list.to_be_bytes(), &index.to_be_bytes()].concat(),
            Self::List { list: 0, index } => [&b"l"[..], &index.to_be_bytes()].concat(),
            Self::List { list, index } => [&b"l"[..], &list.to_be_bytes(), &index.to_be_bytes()].concat(),
            Self::Segment { segment, epoch } => {
                [&b"p"[..], &segment.to_be_bytes(), &epoch.to_be_bytes()].concat()
            }
            Self::Staged(id) => [b"u", id].concat(),
            Self::Leftovers => vec![b'x'],
        }
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.try_into().ok().map(u32::from_be_bytes)
}

fn pair(bytes: &[u8]) -> Option<(u32, u32)> {
    let (first, second) = bytes.split_at_checked(4)?;
    Some((number(first)?, number(second)?))
}

fn moment(bytes: &[u8]) -> Option<Timestamp> {
    bytes.try_into().ok().map(i64::from_be_bytes).map(Timestamp::from_ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_shapes_are_read() {
        let blocks = vec![Block { id: b"id".to_vec(), piece: Piece::Inline(vec![7].into()) }];
        let row = postcard::to_extend(&blocks, vec![1]).unwrap();
        let expected = Chunk { offset_bytes: None, blocks };
        assert_eq!(crate::record::decode::<Chunk>(&row).unwrap(), expected);
    }

    #[test]
    fn keys() {
        let at = Timestamp::from_ticks(17_900_000_000_000_000);
        for key in [
            RowKey::Head(Revision::Current),
            RowKey::Head(Revision::Snapshot(at)),
            RowKey::Head(Revision::Version(at)),
            RowKey::Appended { list: 0, index: 7 },
            RowKey::Leftovers,
            RowKey::List { list: 0, index: 7 },
            RowKey::List { list: 7, index: 0 },
            RowKey::Segment { segment: 1, epoch: 2 },
            RowKey::Staged(b""),
            RowKey::Staged(b"id"),
        ] {
            assert_eq!(RowKey::parse(&key.to_bytes()), Some(key));
        }
        for other in [&b"y"[..], b"x1", b"l123", b"s1", b"p12345678x"] {
            assert_eq!(RowKey::parse(other), None);
        }
    }
}
