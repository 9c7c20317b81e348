//! Reading a blob: its properties, and a range of its bytes as a stream of bounded pieces.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_store::ExtentRef;

use crate::Storage;
use crate::blob::condition::{Access, Conditions};
use crate::blob::content::{Piece, Sealed};
use crate::blob::encryption::{CHUNK_BYTES, CustomerKey, TAG_BYTES, sealed_length_bytes};
use crate::blob::load::{Head, list_of};
use crate::blob::row::Block;
use crate::blob::state::{BlobRecord, Content};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{COMMIT_TRIES_MAX, EngineError};
use crate::release::ReadGuard;

/// A reader holds at most this much in memory. The store reads such pieces where they are asked for, and keeps them.
const READ_BYTES: u64 = welkin_store::READ_BYTES as u64;

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

/// Bytes of a blob that lie together: those of a piece, or zeros where there is none.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub piece: Option<Piece>,
    /// Which bytes of the piece.
    pub within: Range<u64>,
}

impl Part {
    /// All of a piece.
    pub(crate) fn whole(piece: Piece) -> Self {
        let within = 0..piece.length_bytes();
        Self { piece: Some(piece), within }
    }

    fn length_bytes(&self) -> u64 {
        self.within.end - self.within.start
    }
}

/// The bytes of a blob at one moment. They stay readable while it lives, whatever happens to the blob.
#[derive(Debug)]
pub struct BlobReader {
    storage: Storage,
    parts: VecDeque<Part>,
    key: Option<CustomerKey>,
    _guard: ReadGuard,
}

impl Storage {
    /// The properties of a blob, a snapshot or a version.
    ///
    /// # Errors
    /// When there is no such container or blob, or a condition does not hold.
    pub async fn blob(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let partition = self.blob_partition(path).await?;
        let head = self.blob_head(&partition, revision, now).await?;
        conditions.check_blob(Some(&head.record), Access::Read, now)?;
        head.record.check_key(conditions.customer_key.as_ref())?;
        Ok(head.record)
    }

    /// The properties of a blob, a snapshot or a version, and a reader of the range, or of the whole.
    ///
    /// # Errors
    /// When there is no such container or blob, a condition does not hold, or the range is outside.
    pub async fn read_blob(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        range: Option<ByteRange>,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<(BlobRecord, Range<u64>, BlobReader), BlobError> {
        self.read_if(path, revision, range, conditions, now, BlobRecord::check_readable).await
    }

    /// The same, of what may be read as `check` says.
    pub(crate) async fn read_if(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        range: Option<ByteRange>,
        conditions: &Conditions,
        now: Timestamp,
        check: impl Fn(&BlobRecord) -> Result<(), BlobError>,
    ) -> Result<(BlobRecord, Range<u64>, BlobReader), BlobError> {
        let guard = self.releaser().read_guard();
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let head = self.blob_head(&partition, revision, now).await?;
            let blob = &head.record;
            conditions.check_blob(Some(blob), Access::Read, now)?;
            blob.check_key(conditions.customer_key.as_ref())?;
            check(blob)?;
            if revision == Revision::Current {
                blob.check_not_incremental()?;
            }
            let range = match range {
                Some(range) => range.within(blob.length_bytes)?,
                None => 0..blob.length_bytes,
            };
            let parts = self.blob_parts(&partition, blob, &range).await?;
            // The rows are the head's if the head is still there after they were read.
            if matches!(blob.content, Content::Whole(_))
                || self.blob_head(&partition, revision, now).await?.still_has(&head)
            {
                let key = conditions.customer_key.clone();
                let reader = BlobReader { storage: self.clone(), parts, key, _guard: guard };
                return Ok((head.record, range, reader));
            }
        }
        Err(EngineError::Busy.into())
    }

    /// What the bytes of a range are, by the rows as they are now.
    async fn blob_parts(
        &self,
        partition: &[u8],
        blob: &BlobRecord,
        range: &Range<u64>,
    ) -> Result<VecDeque<Part>, EngineError> {
        match &blob.content {
            Content::Whole(piece) => Ok(cut([Part::whole(piece.clone())], range)),
            Content::Blocks { list, chunks } => {
                self.listed_parts(partition, (*list, *chunks), blob.length_bytes, range).await
            }
            Content::Appended { list, blocks, .. } => {
                self.appended_parts(partition, *list, *blocks, range).await
            }
            Content::Pages { .. } => self.page_parts(partition, &blob.content, range).await,
        }
    }

    /// A head and the blocks of its list, of one moment.
    pub(crate) async fn blob_blocks(
        &self,
        partition: &[u8],
        revision: Revision,
        now: Timestamp,
    ) -> Result<(BlobRecord, Vec<Block>), BlobError> {
        let mut head = self.blob_head(partition, revision, now).await?;
        loop {
            let Some((list, rows)) = list_of(&head.record.content) else {
                return Ok((head.record, Vec::new()));
            };
            let blocks = self.list_blocks(partition, list, rows).await?;
            // The list is the head's if the head is still there after the list was read.
            let again = self.blob_head(partition, revision, now).await?;
            if again.row == head.row {
                return Ok((head.record, blocks));
            }
            head = again;
        }
    }
}

impl Head {
    /// Whether rows that were read under an earlier reading of the head are still its own. Appended blocks never
    /// change.
    fn still_has(&self, earlier: &Self) -> bool {
        match (&self.record.content, &earlier.record.content) {
            (Content::Appended { list, .. }, Content::Appended { list: last, .. }) => list == last,
            _ => self.row == earlier.row,
        }
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn damaged(why: &str) -> EngineError {
    EngineError::Damaged { noun: "blob", why: why.to_owned() }
}

/// What consecutive parts have in the range.
pub(crate) fn cut(parts: impl IntoIterator<Item = Part>, range: &Range<u64>) -> VecDeque<Part> {
    let mut offset = 0;
    let mut within = VecDeque::new();
    for part in parts {
        let end = offset + part.length_bytes();
        let wanted = range.start.max(offset)..range.end.min(end);
        if wanted.start < wanted.end {
            let start = part.within.start;
            let part_of = start + (wanted.start - offset)..start + (wanted.end - offset);
            within.push_back(Part { within: part_of, ..part });
        }
        offset = end;
    }
    within
}

impl BlobReader {
    /// A reader of parts.
    pub(crate) fn over(storage: &Storage, parts: VecDeque<Part>, key: Option<CustomerKey>) -> Self {
        Self { storage: storage.clone(), parts, key, _guard: storage.releaser().read_guard() }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the store fails, or what is on disk is damaged.
    pub async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        self.next_of(READ_BYTES).await
    }

    /// The next bytes, not many more than so many where they can be read in parts; `None` at the end.
    ///
    /// # Errors
    /// When the store fails, or what is on disk is damaged.
    pub async fn next_of(&mut self, bytes_max: u64) -> Result<Option<Bytes>, EngineError> {
        let bytes_max = bytes_max.clamp(CHUNK_BYTES, READ_BYTES);
        let Some(Part { piece, within }) = self.parts.pop_front() else {
            return Ok(None);
        };
        match piece {
            Some(Piece::Inline(bytes)) => {
                let part =
                    usize::try_from(within.start).unwrap_or(0)..usize::try_from(within.end).unwrap_or(0);
                Ok(Some(bytes.slice(part)))
            }
            Some(Piece::Extent(extent)) => self.read(extent, within, bytes_max).await.map(Some),
            Some(Piece::Sealed(sealed)) => self.read_sealed(sealed, within, bytes_max).await.map(Some),
            None => Ok(Some(self.zeros(within, bytes_max))),
        }
    }

    /// Passes over zeros that come next because nothing was written there; says how many.
    pub(crate) fn skip_zeros(&mut self) -> u64 {
        let mut zeros = 0;
        while self.parts.front().is_some_and(|part| part.piece.is_none()) {
            zeros += self.parts.pop_front().map_or(0, |part| part.length_bytes());
        }
        zeros
    }

    /// The lengths of what lies together: the blocks of an append blob.
    pub(crate) fn part_lengths(&self) -> Vec<u64> {
        self.parts.iter().map(Part::length_bytes).collect()
    }

    async fn read(
        &mut self,
        extent: ExtentRef,
        within: Range<u64>,
        bytes_max: u64,
    ) -> Result<Bytes, EngineError> {
        let wanted = (within.end - within.start).min(bytes_max);
        let length = usize::try_from(wanted).unwrap_or(usize::MAX);
        let bytes = self.storage.store().read_extent(&extent, within.start, length).await?;
        if bytes.len() as u64 != wanted {
            return Err(damaged("an extent ended early"));
        }
        self.put_back(Some(Piece::Extent(extent)), within.start + wanted..within.end);
        Ok(bytes)
    }

    async fn read_sealed(
        &mut self,
        sealed: Box<Sealed>,
        within: Range<u64>,
        bytes_max: u64,
    ) -> Result<Bytes, EngineError> {
        let key = self.key.clone().ok_or_else(|| damaged("it is encrypted with a client's key"))?;
        let first = within.start / CHUNK_BYTES;
        let end = within.end.min(first * CHUNK_BYTES + bytes_max);
        let chunk_bytes = CHUNK_BYTES + TAG_BYTES;
        let stored_end = end.div_ceil(CHUNK_BYTES) * chunk_bytes;
        let stored = first * chunk_bytes..stored_end.min(sealed_length_bytes(sealed.length_bytes));
        let length = size(stored.end - stored.start);
        let bytes = match &sealed.piece {
            Piece::Inline(bytes) => bytes.slice(size(stored.start).min(bytes.len())..),
            Piece::Extent(extent) => self.storage.store().read_extent(extent, stored.start, length).await?,
            Piece::Sealed(_) => return Err(damaged("it is encrypted twice")),
        };
        let chunk = u32::try_from(first).map_err(|_| damaged("it has too many chunks"))?;
        let plain = key.open(&sealed.seal, chunk, bytes.get(..length).unwrap_or(&bytes))?;
        let start = size(within.start - first * CHUNK_BYTES);
        let wanted = start..start + size(end - within.start);
        if plain.len() < wanted.end {
            return Err(damaged("an encrypted piece ended early"));
        }
        self.put_back(Some(Piece::Sealed(sealed)), end..within.end);
        Ok(plain.slice(wanted))
    }

    fn zeros(&mut self, within: Range<u64>, bytes_max: u64) -> Bytes {
        let wanted = (within.end - within.start).min(bytes_max);
        self.put_back(None, within.start + wanted..within.end);
        Bytes::from(vec![0; usize::try_from(wanted).unwrap_or(0)])
    }

    fn put_back(&mut self, piece: Option<Piece>, within: Range<u64>) {
        if !within.is_empty() {
            self.parts.push_front(Part { piece, within });
        }
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
        let parts = || ["abc", "", "defg", "hi"].map(|text| Part::whole(Piece::Inline(text.into())));
        let text = |range: Range<u64>| -> String {
            let parts = cut(parts(), &range).into_iter().map(|part| match part.piece {
                Some(Piece::Inline(bytes)) => {
                    let bytes = &bytes[part.within.start as usize..part.within.end as usize];
                    String::from_utf8(bytes.to_vec()).unwrap()
                }
                _ => unreachable!(),
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
