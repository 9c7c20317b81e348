//! The bytes of a source on their way into the blob, and the end of the copy.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use welkin_base::Timestamp;
use welkin_store::Commit;

use crate::Storage;
use crate::blob::append::APPENDED_BLOCKS_MAX;
use crate::blob::change::Next;
use crate::blob::content::{ContentWriter, NewContent};
use crate::blob::copy::source::{CopyPiece, Layout, Pieces};
use crate::blob::hash::Wanted;
use crate::blob::load::Loaded;
use crate::blob::page::edit::Edit;
use crate::blob::page::{PAGE_BYTES, SEGMENT_BYTES};
use crate::blob::row::{Appended, Block, CHUNK_BLOCKS, RowKey, Run};
use crate::blob::state::{BlobRecord, Content, CopyStatus};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::exchange::Exchange;
use crate::record;
use crate::space::BLOBS;

/// After so many bytes, the progress of a copy is written.
const PROGRESS_BYTES: u64 = 32 << 20;
/// And after so long: a copy that was aborted ends soon, however slow its source is.
const PROGRESS_TIME: Duration = Duration::from_secs(5);
/// Appended blocks of one commit.
const APPENDED_ROWS: usize = 64;
/// A block is appended of so much where the source does not say how it is parted.
const APPENDED_BYTES: u64 = 4 << 20;
/// Zeros are written as bytes in pieces of this length, where a blob has no holes.
const ZEROS_BYTES: u64 = 1 << 20;

/// Why a copy ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The source cannot be read on; what the owner is told.
    #[error("{0}")]
    Source(String),
    /// The blob cannot be written on: the copy was aborted, or the store fails.
    #[error(transparent)]
    Blob(#[from] BlobError),
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Self::Blob(error.into())
    }
}

/// A pending copy that is carried out.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    pub storage: &'a Storage,
    pub partition: Vec<u8>,
    pub id: &'a str,
    pub clock: fn() -> Timestamp,
    /// Bytes taken from the source.
    pub copied_bytes: u64,
    /// Bytes that were appended.
    pub written_bytes: u64,
    /// When the progress was written last.
    pub told: Timestamp,
}

impl<'a> Filling<'a> {
    pub(super) fn new(
        storage: &'a Storage,
        partition: Vec<u8>,
        id: &'a str,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self { storage, partition, id, clock, copied_bytes: 0, written_bytes: 0, told: clock() }
    }
}

impl Storage {
    /// Carries out a pending copy: takes its bytes, and ends it. Returns when it has succeeded.
    ///
    /// # Errors
    /// When the source cannot be read on, the copy is no longer pending, or the store fails.
    pub async fn carry_out_copy(
        &self,
        path: BlobPath<'_>,
        id: &str,
        layout: &Layout,
        pieces: &mut Pieces,
        clock: fn() -> Timestamp,
    ) -> Result<BlobRecord, Stopped> {
        let partition = self.copied_partition(path, id).await?;
        let mut filling = Filling::new(self, partition, id, clock);
        let blob = match layout {
            Layout::Whole { length_bytes } => filling.whole(*length_bytes, pieces).await?,
            Layout::Blocks(blocks) => filling.blocks(blocks, pieces).await?,
            Layout::Appended { blocks_bytes, sealed } => {
                filling.appended(blocks_bytes, *sealed, pieces).await?
            }
            Layout::Pages { length_bytes, .. } => filling.pages(*length_bytes, pieces).await?,
        };
        self.forget_copy(&filling.partition, id).await?;
        self.confirm_container(path, &filling.partition).await?;
        Ok(blob)
    }

    /// Takes away what came of a copy that was pending when the server ended, before it begins anew.
    ///
    /// # Errors
    /// When the copy is no longer pending, or the store fails.
    pub async fn restart_copy(&self, path: BlobPath<'_>, id: &str, now: Timestamp) -> Result<(), BlobError> {
        let partition = self.copied_partition(path, id).await?;
        let change = |loaded: &Loaded, _: &mut Next, blob: &mut BlobRecord| {
            let copy = blob.pending(id)?;
            copy.copied_bytes = 0;
            if copy.incremental.is_none() {
                blob.content = blob.content.emptied(loaded);
            }
            Ok(())
        };
        self.change_copied(&partition, &[], now, change).await.map(|_| ())
    }
}

impl Filling<'_> {
    pub(super) fn now(&self) -> Timestamp {
        (self.clock)()
    }

    async fn whole(&mut self, length_bytes: Option<u64>, pieces: &mut Pieces) -> Result<BlobRecord, Stopped> {
        let writer = self.storage.blob_writer(length_bytes).hashing(Wanted::default());
        let content = self.take(writer, u64::MAX, pieces).await?;
        if length_bytes.is_some_and(|length| length != self.copied_bytes) {
            return Err(ended_early());
        }
        let piece = content.piece().clone();
        let finish = |_: &Loaded, _: &mut Next, blob: &mut BlobRecord| {
            blob.content = Content::Whole(piece.clone());
            Ok(())
        };
        self.finish(&[content], finish).await
    }

    async fn blocks(
        &mut self,
        blocks: &[(Vec<u8>, u64)],
        pieces: &mut Pieces,
    ) -> Result<BlobRecord, Stopped> {
        let mut contents = Vec::new();
        for (_, length_bytes) in blocks {
            let writer = self.storage.block_writer(Some(*length_bytes)).hashing(Wanted::default());
            let content = self.take(writer, *length_bytes, pieces).await?;
            if content.piece().length_bytes() != *length_bytes {
                return Err(ended_early());
            }
            contents.push(content);
        }
        let block = |((id, _), content): (&(Vec<u8>, u64), &NewContent)| Block {
            id: id.clone(),
            piece: content.piece().clone(),
        };
        let list: Vec<Block> = blocks.iter().zip(&contents).map(block).collect();
        let finish = |loaded: &Loaded, next: &mut Next, blob: &mut BlobRecord| {
            let number = loaded.new_list();
            let rows = (0..).zip(list.chunks(CHUNK_BLOCKS));
            let rows: BTreeMap<_, _> = rows.map(|(row, part)| ((number, row), part.to_vec())).collect();
            let chunks = u32::try_from(rows.len()).map_err(|_| BlobError::InvalidBlockList)?;
            blob.content = Content::Blocks { list: number, chunks };
            next.lists = rows;
            Ok(())
        };
        self.finish(&contents, finish).await
    }

    async fn appended(
        &mut self,
        blocks_bytes: &[u64],
        seal: bool,
        pieces: &mut Pieces,
    ) -> Result<BlobRecord, Stopped> {
        let mut lengths = blocks_bytes.iter().copied().map(Some).chain(std::iter::repeat(None));
        let mut contents = Vec::new();
        loop {
            let expected = lengths.next().flatten();
            let writer = self.storage.append_writer(expected).hashing(Wanted::default());
            let content = self.take(writer, expected.unwrap_or(APPENDED_BYTES), pieces).await?;
            let length_bytes = content.piece().length_bytes();
            if expected.is_some_and(|expected| expected != length_bytes) {
                return Err(ended_early());
            }
            let ended = length_bytes == 0;
            if !ended {
                contents.push(content);
            }
            if ended || contents.len() == APPENDED_ROWS {
                self.append(&mut contents).await?;
            }
            if ended {
                break;
            }
        }
        let finish = |_: &Loaded, _: &mut Next, blob: &mut BlobRecord| {
            if let Content::Appended { sealed, .. } = &mut blob.content {
                *sealed = seal;
            }
            Ok(())
        };
        self.finish(&[], finish).await
    }

    /// Appends blocks, which nobody sees before the copy has ended.
    async fn append(&mut self, contents: &mut Vec<NewContent>) -> Result<(), Stopped> {
        if contents.is_empty() {
            return Ok(());
        }
        for _ in 0..COMMIT_TRIES_MAX {
            let mut head = self.storage.blob_head(&self.partition, Revision::Current, self.now()).await?;
            self.progress(&mut head.record)?;
            let Content::Appended { list, blocks, .. } = &mut head.record.content else {
                return Err(BlobError::InvalidBlobType.into());
            };
            if *blocks as usize + contents.len() > APPENDED_BLOCKS_MAX as usize {
                return Err(Stopped::Source(
                    "The source has more blocks than an append blob can.".to_owned(),
                ));
            }
            let mut offset_bytes = self.written_bytes;
            let mut commit = Commit::new(BLOBS, self.partition.clone()).check_version(Vec::new(), head.row);
            for content in contents.iter() {
                let row = RowKey::Appended { list: *list, index: *blocks }.to_bytes();
                let block = Appended { offset_bytes, piece: content.piece().clone() };
                commit = commit.put(row, record::encode(&block)?);
                *blocks += 1;
                offset_bytes += content.piece().length_bytes();
            }
            let commit = commit.put(Vec::new(), record::encode(&head.record)?);
            let new = contents.iter().filter_map(NewContent::unnamed).collect();
            if self.storage.exchange(Exchange { new, ..Exchange::of(commit) }).await? {
                self.written_bytes = offset_bytes;
                contents.clear();
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    async fn pages(&mut self, length_bytes: u64, pieces: &mut Pieces) -> Result<BlobRecord, Stopped> {
        let mut offset = 0;
        let mut waiting = BytesMut::new();
        loop {
            let piece = pieces.next(SEGMENT_BYTES - waiting.len() as u64).await.map_err(Stopped::Source)?;
            let ended = piece.is_none();
            let zeros = match piece {
                Some(CopyPiece::Bytes(bytes)) => {
                    waiting.extend_from_slice(&bytes);
                    0
                }
                Some(CopyPiece::Zeros(zeros)) => zeros,
                None => 0,
            };
            if waiting.len() as u64 == SEGMENT_BYTES || ((zeros > 0 || ended) && !waiting.is_empty()) {
                let bytes = waiting.split().freeze();
                self.copied_bytes += bytes.len() as u64;
                let range = offset..offset + bytes.len() as u64;
                offset = range.end;
                self.put_pages(range, bytes).await?;
            }
            offset += zeros;
            self.copied_bytes += zeros;
            if ended {
                break;
            }
        }
        if offset != length_bytes {
            return Err(ended_early());
        }
        self.finish(&[], |_, _, _| Ok(())).await
    }

    /// Writes pages, which nobody sees before the copy has ended; those of zeros alone stay as they are.
    async fn put_pages(&mut self, range: Range<u64>, bytes: Bytes) -> Result<(), Stopped> {
        if !range.start.is_multiple_of(PAGE_BYTES) || !range.end.is_multiple_of(PAGE_BYTES) {
            return Err(Stopped::Source("The source does not consist of whole pages.".to_owned()));
        }
        if bytes.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        let (contents, runs) = self.storage.page_runs(range.start, &bytes, None).await?;
        self.edit(range, &runs, &contents).await
    }

    /// Clears pages, and writes runs there.
    pub(super) async fn edit(
        &mut self,
        range: Range<u64>,
        runs: &[(u32, Run)],
        contents: &[NewContent],
    ) -> Result<(), Stopped> {
        for _ in 0..COMMIT_TRIES_MAX {
            let head = self.storage.blob_head(&self.partition, Revision::Current, self.now()).await?;
            let mut record = head.record.clone();
            self.progress(&mut record)?;
            let edit = Edit { cleared: range.clone(), runs, key: None };
            if self.storage.edit_pages(&self.partition, &head, record, edit, contents).await?.is_some() {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Takes the next bytes of the source into a content.
    async fn take(
        &mut self,
        mut writer: ContentWriter,
        bytes_max: u64,
        pieces: &mut Pieces,
    ) -> Result<NewContent, Stopped> {
        let mut left = bytes_max;
        while left > 0 {
            let bytes = match pieces.next(left.min(ZEROS_BYTES)).await.map_err(Stopped::Source)? {
                None => break,
                Some(CopyPiece::Bytes(bytes)) => bytes,
                Some(CopyPiece::Zeros(zeros)) => Bytes::from(vec![0; usize::try_from(zeros).unwrap_or(0)]),
            };
            let length_bytes = bytes.len() as u64;
            writer.write(bytes).await?;
            left -= length_bytes;
            let last = self.copied_bytes;
            self.copied_bytes += length_bytes;
            let now = self.now();
            if last / PROGRESS_BYTES != self.copied_bytes / PROGRESS_BYTES
                || now.since(self.told) >= PROGRESS_TIME
            {
                self.tell().await?;
                self.told = now;
            }
        }
        Ok(writer.finish().await?)
    }

    /// How far the copy is, if it is still pending. A source may have more bytes than it said.
    fn progress(&self, blob: &mut BlobRecord) -> Result<(), BlobError> {
        let copy = blob.pending(self.id)?;
        copy.copied_bytes = self.copied_bytes;
        copy.total_bytes = copy.total_bytes.max(self.copied_bytes);
        Ok(())
    }

    /// Writes how far the copy is. The ETag stays.
    async fn tell(&self) -> Result<(), Stopped> {
        for _ in 0..COMMIT_TRIES_MAX {
            let mut head = self.storage.blob_head(&self.partition, Revision::Current, self.now()).await?;
            self.progress(&mut head.record)?;
            let commit = Commit::new(BLOBS, self.partition.clone()).check_version(Vec::new(), head.row);
            let commit = commit.put(Vec::new(), record::encode(&head.record)?);
            if try_commit(self.storage.store(), commit).await?.is_some() {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Ends the copy: all of it is seen from now on.
    async fn finish(
        &self,
        contents: &[NewContent],
        change: impl Fn(&Loaded, &mut Next, &mut BlobRecord) -> Result<(), BlobError>,
    ) -> Result<BlobRecord, Stopped> {
        let (now, length_bytes) = (self.now(), self.copied_bytes);
        let finish = |loaded: &Loaded, next: &mut Next, blob: &mut BlobRecord| {
            let copy = blob.pending(self.id)?;
            copy.total_bytes = length_bytes;
            *copy = copy.clone().ended(CopyStatus::Success, now);
            blob.length_bytes = length_bytes;
            change(loaded, next, blob)
        };
        Ok(self.storage.change_copied(&self.partition, contents, now, finish).await?)
    }
}

fn ended_early() -> Stopped {
    Stopped::Source("The source has not as many bytes as it said.".to_owned())
}
