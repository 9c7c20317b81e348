//! What is copied: a blob of this store at one moment, or bytes from elsewhere.

use bytes::Bytes;
use tokio::sync::mpsc;
use welkin_base::Timestamp;

use crate::Storage;
use crate::blob::condition::Conditions;
use crate::blob::content::Piece;
use crate::blob::load::Loaded;
use crate::blob::read::BlobReader;
use crate::blob::state::{BlobRecord, Content};
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{COMMIT_TRIES_MAX, EngineError};

/// Pieces that are read ahead of the copy.
const READ_AHEAD: usize = 4;

/// How the bytes of the source are parted, which the copy keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// A block blob that was put at once, or anything from elsewhere.
    Whole {
        /// Its length, where it is known.
        length_bytes: Option<u64>,
    },
    /// A block blob: ids and lengths of its blocks.
    Blocks(Vec<(Vec<u8>, u64)>),
    /// An append blob: the lengths of its blocks.
    Appended {
        /// The lengths of its blocks; what comes after them is parted by itself.
        blocks_bytes: Vec<u64>,
        /// Whether the copy is sealed.
        sealed: bool,
    },
    /// A page blob.
    Pages {
        /// Its length.
        length_bytes: u64,
        /// Its sequence number.
        sequence_number: u64,
    },
}

impl Layout {
    /// What the blob is before any bytes have come.
    pub(super) fn empty(&self, loaded: &Loaded) -> Content {
        match self {
            Self::Whole { .. } | Self::Blocks(_) => Content::Whole(Piece::Inline(Bytes::new())),
            Self::Appended { .. } => Content::Appended { list: loaded.new_list(), blocks: 0, sealed: false },
            Self::Pages { sequence_number, .. } => Content::no_pages(loaded.new_epoch(), *sequence_number),
        }
    }
}

/// A source in this store, as it was at one moment: what happens to the blob afterwards does not change it.
#[derive(Debug)]
pub struct CopySource {
    /// The blob.
    pub blob: BlobRecord,
    /// How its bytes are parted.
    pub layout: Layout,
    /// Its bytes.
    pub reader: BlobReader,
}

/// Bytes of a source, in order.
#[derive(Debug)]
pub enum CopyPiece {
    /// These bytes.
    Bytes(Bytes),
    /// So many zeros.
    Zeros(u64),
}

/// The bytes of a source on their way, read a little ahead. An error is told to the copy's owner.
#[derive(Debug)]
pub struct Pieces {
    receiver: mpsc::Receiver<Result<CopyPiece, String>>,
    /// What was taken from the channel and not asked for yet.
    rest: Bytes,
    zeros: u64,
}

/// Where pieces go in; the source has ended when it is dropped.
pub type PieceSender = mpsc::Sender<Result<CopyPiece, String>>;

impl Pieces {
    /// The pieces of a blob of this store.
    #[must_use]
    pub fn of(mut reader: BlobReader) -> Self {
        let (sender, pieces) = Self::channel();
        tokio::spawn(async move {
            loop {
                let piece = match reader.skip_zeros() {
                    0 => match reader.next().await {
                        Ok(Some(bytes)) => Ok(CopyPiece::Bytes(bytes)),
                        Ok(None) => return,
                        Err(error) => {
                            tracing::error!(%error, "cannot read the source of a copy");
                            Err("The source cannot be read.".to_owned())
                        }
                    },
                    zeros => Ok(CopyPiece::Zeros(zeros)),
                };
                let failed = piece.is_err();
                if sender.send(piece).await.is_err() || failed {
                    return;
                }
            }
        });
        pieces
    }

    /// Pieces that are sent from elsewhere.
    #[must_use]
    pub fn channel() -> (PieceSender, Self) {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        (sender, Self { receiver, rest: Bytes::new(), zeros: 0 })
    }

    /// The next bytes or zeros, at most so many; `None` at the end.
    pub(super) async fn next(&mut self, bytes_max: u64) -> Result<Option<CopyPiece>, String> {
        loop {
            if self.zeros > 0 {
                let zeros = self.zeros.min(bytes_max);
                self.zeros -= zeros;
                return Ok(Some(CopyPiece::Zeros(zeros)));
            }
            if !self.rest.is_empty() {
                let length = self.rest.len().min(usize::try_from(bytes_max).unwrap_or(usize::MAX));
                return Ok(Some(CopyPiece::Bytes(self.rest.split_to(length))));
            }
            match self.receiver.recv().await.transpose()? {
                None => return Ok(None),
                Some(CopyPiece::Bytes(bytes)) => self.rest = bytes,
                Some(CopyPiece::Zeros(zeros)) => self.zeros = zeros,
            }
        }
    }
}

impl Storage {
    /// A state of a blob, to be copied; an archived one only where the copy is `rehydrated`, that is in another tier.
    ///
    /// # Errors
    /// When there is no such container or blob, a condition does not hold, or a copy to it is pending.
    pub async fn copy_source(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        conditions: &Conditions,
        rehydrated: bool,
        now: Timestamp,
    ) -> Result<CopySource, BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let check = |blob: &BlobRecord| if rehydrated { Ok(()) } else { blob.check_readable() };
            let (blob, _, reader) = self.read_if(path, revision, None, conditions, now, check).await?;
            if blob.has_pending_copy() {
                return Err(super::CopyError::Pending.into());
            }
            let layout = match &blob.content {
                Content::Whole(_) => Layout::Whole { length_bytes: Some(blob.length_bytes) },
                Content::Blocks { .. } => {
                    let (again, blocks) = self.blob_blocks(&partition, revision, now).await?;
                    if again.etag != blob.etag || again.content != blob.content {
                        continue;
                    }
                    Layout::Blocks(
                        blocks.into_iter().map(|block| (block.id.clone(), block.length_bytes())).collect(),
                    )
                }
                Content::Appended { sealed, .. } => {
                    Layout::Appended { blocks_bytes: reader.part_lengths(), sealed: *sealed }
                }
                Content::Pages { sequence_number, .. } => {
                    Layout::Pages { length_bytes: blob.length_bytes, sequence_number: *sequence_number }
                }
            };
            return Ok(CopySource { blob, layout, reader });
        }
        Err(EngineError::Busy.into())
    }
}
