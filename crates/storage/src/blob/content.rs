//! The bytes of a blob or block on their way in.
//!
//! Small contents stay in memory and later lie in the row; large ones go to an extent as they come. Bytes that
//! no commit took are given back when they are dropped.

use bytes::{Bytes, BytesMut};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use welkin_store::{ExtentRef, ExtentWriter};

use crate::Storage;
use crate::error::EngineError;

/// Contents up to this length lie in the row. One write then costs one flush instead of two, and a listing still
/// reads at most this much for each blob.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;
/// Block contents always lie in extents: a list of 50,000 blocks must fit into rows.
const BLOCK_INLINE_BYTES_MAX: usize = 0;

/// Where content lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// In the row itself.
    Inline(Vec<u8>),
    /// In an extent.
    Extent(ExtentRef),
}

impl Piece {
    /// Its length.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Extent(extent) => extent.length_bytes(),
        }
    }

    /// The extent that it lies in.
    #[must_use]
    pub fn extent(&self) -> Option<&ExtentRef> {
        match self {
            Self::Inline(_) => None,
            Self::Extent(extent) => Some(extent),
        }
    }
}

/// Takes the bytes of new content, in order.
#[derive(Debug)]
pub struct ContentWriter {
    storage: Storage,
    inline_bytes_max: usize,
    length_expected: Option<u64>,
    buffered: BytesMut,
    extent: Option<ExtentWriter>,
    md5: Md5,
    length_bytes: u64,
}

impl Storage {
    /// Begins the content of a blob; `length_expected` is what the client announced.
    #[must_use]
    pub fn blob_writer(&self, length_expected: Option<u64>) -> ContentWriter {
        self.content_writer(length_expected, INLINE_BYTES_MAX)
    }

    /// Begins the content of a block.
    #[must_use]
    pub fn block_writer(&self, length_expected: Option<u64>) -> ContentWriter {
        self.content_writer(length_expected, BLOCK_INLINE_BYTES_MAX)
    }

    fn content_writer(&self, length_expected: Option<u64>, inline_bytes_max: usize) -> ContentWriter {
        ContentWriter {
            storage: self.clone(),
            inline_bytes_max,
            length_expected,
            buffered: BytesMut::new(),
            extent: None,
            md5: Md5::new(),
            length_bytes: 0,
        }
    }
}

impl ContentWriter {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), EngineError> {
        self.md5.update(&bytes);
        self.length_bytes += bytes.len() as u64;
        if let Some(extent) = &mut self.extent {
            return Ok(extent.write(bytes).await?);
        }
        self.buffered.extend_from_slice(&bytes);
        if self.buffered.len() > self.inline_bytes_max {
            let mut extent = self.storage.store().extent_writer(self.length_expected).await?;
            extent.write(self.buffered.split().freeze()).await?;
            self.extent = Some(extent);
        }
        Ok(())
    }

    /// How many bytes it has taken.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Makes the content durable, unless it will lie in the row.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn finish(self) -> Result<NewContent, EngineError> {
        let piece = match self.extent {
            Some(extent) => Piece::Extent(extent.finish().await?),
            None => Piece::Inline(self.buffered.to_vec()),
        };
        let md5 = self.md5.finalize().into();
        Ok(NewContent { piece, md5, storage: self.storage, claimed: false })
    }
}

/// Durable content that no row names yet. Dropped unclaimed, it is given back.
#[derive(Debug)]
pub struct NewContent {
    piece: Piece,
    md5: [u8; 16],
    storage: Storage,
    claimed: bool,
}

impl NewContent {
    /// The MD5 of the bytes.
    #[must_use]
    pub fn md5(&self) -> [u8; 16] {
        self.md5
    }

    /// Where it lies.
    #[must_use]
    pub fn piece(&self) -> &Piece {
        &self.piece
    }

    /// From here on a row may name it. Called before the commit, since a commit whose caller goes away still
    /// happens, and an extent that a row names must never be given back.
    pub(crate) fn claim(&mut self) {
        self.claimed = true;
    }

    /// The commit did not happen.
    pub(crate) fn unclaim(&mut self) {
        self.claimed = false;
    }
}

impl Drop for NewContent {
    fn drop(&mut self) {
        if let (false, Some(extent)) = (self.claimed, self.piece.extent()) {
            self.storage.releaser().discard(vec![extent.clone()]);
        }
    }
}
