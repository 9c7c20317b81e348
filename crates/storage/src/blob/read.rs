//! Reading a blob: its properties, and a range of its bytes as a stream of bounded pieces.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use welkin_store::ExtentRef;

use crate::blob::BlobError;
use crate::blob::condition::{Access, Conditions};
use crate::blob::content::Piece;
use crate::blob::state::{BlobRecord, Content};
use crate::error::EngineError;
use crate::release::ReadGuard;
use crate::{Storage, Uid};

/// A reader holds at most this much in memory.
const READ_BYTES: u64 = 1024 * 1024;

/// A range of bytes that a client asks for: from the first, to the last if given, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub first: u64,
    /// The last byte.
    pub last: Option<u64>,
}

impl ByteRange {
    /// The bytes that a blob of this length has of the range.
    ///
    /// # Errors
    /// When the blob ends before the range begins.
    pub fn within(self, length_bytes: u64) -> Result<Range<u64>, BlobError> {
        if self.first >= length_bytes {
            return Err(BlobError::InvalidRange { length_bytes });
        }
        let end = self.last.map_or(length_bytes, |last| last.saturating_add(1).min(length_bytes));
        Ok(self.first..end)
    }
}

/// The bytes of a blob at one moment. They stay readable while it lives, whatever happens to the blob.
#[derive(Debug)]
pub struct BlobReader {
    storage: Storage,
    /// Pieces, and which of their bytes.
    pieces: VecDeque<(Piece, Range<u64>)>,
    _guard: ReadGuard,
}

impl Storage {
    /// A blob's properties.
    ///
    /// # Errors
    /// When there is no such container or blob, or a condition does not hold.
    pub async fn blob(
        &self,
        (account, container, name): (Uid, &str, &str),
        conditions: &Conditions,
    ) -> Result<BlobRecord, BlobError> {
        let partition = self.container(account, container).await?.uid.key(name.as_bytes());
        let (head, _) = self.blob_head(&partition).await?;
        conditions.check(Some((head.etag, head.modified)), Access::Read)?;
        Ok(head)
    }

    /// A blob's properties, and a reader of the range, or of the whole blob.
    ///
    /// # Errors
    /// When there is no such container or blob, a condition does not hold, or the range is outside.
    pub async fn read_blob(
        &self,
        (account, container, name): (Uid, &str, &str),
        range: Option<ByteRange>,
        conditions: &Conditions,
    ) -> Result<(BlobRecord, Range<u64>, BlobReader), BlobError> {
        let guard = self.releaser().read_guard();
        let partition = self.container(account, container).await?.uid.key(name.as_bytes());
        let (head, blocks) = self.blob_blocks(&partition).await?;
        conditions.check(Some((head.etag, head.modified)), Access::Read)?;
        let range = match range {
            Some(range) => range.within(head.length_bytes)?,
            None => 0..head.length_bytes,
        };
        let pieces = match &head.content {
            Content::Whole(piece) => cut([piece.clone()], &range),
            Content::Blocks { .. } => cut(blocks.into_iter().map(|block| block.piece), &range),
        };
        Ok((head, range, BlobReader { storage: self.clone(), pieces, _guard: guard }))
    }
}

/// The parts of consecutive pieces that lie in the range.
fn cut(pieces: impl IntoIterator<Item = Piece>, range: &Range<u64>) -> VecDeque<(Piece, Range<u64>)> {
    let mut offset = 0;
    let mut parts = VecDeque::new();
    for piece in pieces {
        let end = offset + piece.length_bytes();
        let part = range.start.max(offset)..range.end.min(end);
        if part.start < part.end {
            parts.push_back((piece, part.start - offset..part.end - offset));
        }
        offset = end;
    }
    parts
}

impl BlobReader {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the store fails, or what is on disk is damaged.
    pub async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        let Some((piece, part)) = self.pieces.pop_front() else {
            return Ok(None);
        };
        match piece {
            Piece::Inline(bytes) => {
                let part = usize::try_from(part.start).unwrap_or(0)..usize::try_from(part.end).unwrap_or(0);
                Ok(Some(Bytes::from(bytes).slice(part)))
            }
            Piece::Extent(extent) => self.read(extent, part).await.map(Some),
        }
    }

    async fn read(&mut self, extent: ExtentRef, part: Range<u64>) -> Result<Bytes, EngineError> {
        let wanted = (part.end - part.start).min(READ_BYTES);
        let length = usize::try_from(wanted).unwrap_or(usize::MAX);
        let bytes = self.storage.store().read_extent(&extent, part.start, length).await?;
        if bytes.len() as u64 != wanted {
            let why = format!("an extent ended {} bytes early", wanted - bytes.len() as u64);
            return Err(EngineError::Damaged { noun: "blob", why });
        }
        let rest = part.start + wanted..part.end;
        if !rest.is_empty() {
            self.pieces.push_front((Piece::Extent(extent), rest));
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (first, last, length, expected) in [
            (0, None, 10, Some(0..10)),
            (0, Some(0), 10, Some(0..1)),
            (3, Some(5), 10, Some(3..6)),
            (3, Some(u64::MAX), 10, Some(3..10)),
            (9, None, 10, Some(9..10)),
            (10, None, 10, None),
            (0, None, 0, None),
        ] {
            assert_eq!(
                ByteRange { first, last }.within(length).ok(),
                expected,
                "{first}-{last:?} of {length}"
            );
        }
    }

    #[test]
    fn cuts() {
        let pieces = || ["abc", "", "defg", "hi"].map(|text| Piece::Inline(text.into()));
        let text = |range: Range<u64>| -> String {
            let parts = cut(pieces(), &range).into_iter().map(|(piece, part)| match piece {
                Piece::Inline(bytes) => {
                    String::from_utf8(bytes[part.start as usize..part.end as usize].to_vec()).unwrap()
                }
                Piece::Extent(_) => unreachable!(),
            });
            parts.collect()
        };
        for start in 0..=9 {
            for end in start..=9 {
                assert_eq!(text(start..end), "abcdefghi"[start as usize..end as usize]);
            }
        }
    }
}
