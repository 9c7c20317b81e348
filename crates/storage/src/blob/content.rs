//! The bytes of a blob or block on their way in.
//!
//! Small contents stay in memory and later lie in the row; large ones go to an extent as they come. Bytes that
//! no commit took are given back when they are dropped.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use welkin_store::{ExtentRef, ExtentWriter};

use crate::Storage;
use crate::blob::encryption::{CustomerKey, Seal, Sealer, sealed_length_bytes};
use crate::blob::hash::{Hashes, HashingBeside, Wanted};
use crate::error::EngineError;
use crate::exchange::Unnamed;

/// Contents up to this length lie in the row. One write then costs one flush instead of two, and a listing still
/// reads at most this much for each blob.
pub const INLINE_BYTES_MAX: usize = 16 * 1024;
/// Block contents always lie in extents: a list of 50,000 blocks must fit into rows.
const BLOCK_INLINE_BYTES_MAX: usize = 0;

/// Where content lies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// In the row itself. Encoded and decoded in one copy, where a `Vec` is taken byte by byte.
    Inline(Bytes),
    /// In an extent.
    Extent(ExtentRef),
    /// In one of both, encrypted with a client's key.
    Sealed(Box<Sealed>),
}

/// Content that is encrypted with a client's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub(crate) seal: Seal,
    /// Its length before it was encrypted.
    pub(crate) length_bytes: u64,
    /// Where it lies.
    pub(crate) piece: Piece,
}

impl Piece {
    /// Its length.
    #[must_use]
    pub fn length_bytes(&self) -> u64 {
        match self {
            Self::Inline(bytes) => bytes.len() as u64,
            Self::Extent(extent) => extent.length_bytes(),
            Self::Sealed(sealed) => sealed.length_bytes,
        }
    }

    /// The extent that it lies in.
    #[must_use]
    pub fn extent(&self) -> Option<&ExtentRef> {
        match self {
            Self::Inline(_) => None,
            Self::Extent(extent) => Some(extent),
            Self::Sealed(sealed) => sealed.piece.extent(),
        }
    }

    /// The SHA-256 of the client's key that it is encrypted with.
    #[must_use]
    pub fn key_sha256(&self) -> Option<[u8; 32]> {
        match self {
            Self::Sealed(sealed) => Some(sealed.seal.key_sha256),
            _ => None,
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
    hashing: HashingBeside,
    sealer: Option<Sealer>,
    length_bytes: u64,
}

impl Storage {
    /// Begins the content of a blob; `length_expected` is what the client announced.
    #[must_use]
    pub fn blob_writer(&self, length_expected: Option<u64>) -> ContentWriter {
        self.content_writer(length_expected, INLINE_BYTES_MAX)
    }

    /// Begins a block that is appended.
    #[must_use]
    pub fn append_writer(&self, length_expected: Option<u64>) -> ContentWriter {
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
            hashing: HashingBeside::new(Wanted { md5: true, crc64: false }),
            sealer: None,
            length_bytes: 0,
        }
    }
}

impl ContentWriter {
    /// Computes these hashes, instead of the MD5. Call it before the first bytes.
    #[must_use]
    pub fn hashing(mut self, wanted: Wanted) -> Self {
        self.hashing = HashingBeside::new(wanted);
        self
    }

    /// Encrypts the content with the client's key, where there is one. Call it before the first bytes.
    ///
    /// # Errors
    /// When no key can be derived.
    pub fn sealed_with(mut self, key: Option<&CustomerKey>) -> Result<Self, EngineError> {
        if let Some(key) = key {
            self.sealer = Some(key.sealer()?);
            self.length_expected = self.length_expected.map(sealed_length_bytes);
        }
        Ok(self)
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), EngineError> {
        self.length_bytes += bytes.len() as u64;
        self.hashing.update(bytes.clone()).await?;
        match &mut self.sealer {
            Some(sealer) => {
                let sealed = sealer.update(&bytes)?;
                self.store(sealed).await
            }
            None => self.store(bytes).await,
        }
    }

    async fn store(&mut self, bytes: Bytes) -> Result<(), EngineError> {
        if bytes.is_empty() {
            return Ok(());
        }
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
    pub async fn finish(mut self) -> Result<NewContent, EngineError> {
        if let Some(mut sealer) = self.sealer.take() {
            let last = sealer.finish()?;
            self.store(last).await?;
            self.sealer = Some(sealer);
        }
        let mut piece = match self.extent {
            Some(extent) => Piece::Extent(extent.finish().await?),
            None => Piece::Inline(self.buffered.freeze()),
        };
        if let Some(sealer) = self.sealer {
            let (seal, length_bytes) = (sealer.seal, self.length_bytes);
            piece = Piece::Sealed(Box::new(Sealed { seal, length_bytes, piece }));
        }
        // Until a row names the extent, it is given back when something goes wrong.
        let unnamed = piece.extent().map(|extent| Unnamed::new(extent.clone(), self.storage));
        let mut content = NewContent { piece, hashes: Hashes::default(), unnamed };
        content.hashes = self.hashing.finish().await?;
        Ok(content)
    }
}

/// Durable content that no row names yet. Dropped before one does, it is given back.
#[derive(Debug)]
pub struct NewContent {
    piece: Piece,
    hashes: Hashes,
    unnamed: Option<Arc<Unnamed>>,
}

impl NewContent {
    /// The hashes of the bytes that were asked for; unasked, the MD5.
    #[must_use]
    pub fn hashes(&self) -> Hashes {
        self.hashes
    }

    /// Where it lies.
    #[must_use]
    pub fn piece(&self) -> &Piece {
        &self.piece
    }

    /// Its extent, for the commit after which a row names it.
    pub(crate) fn unnamed(&self) -> Option<Arc<Unnamed>> {
        self.unnamed.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_lies_in_its_row_as_it_always_did() {
        let piece = Piece::Inline(Bytes::from_static(b"abc"));
        let stored = postcard::to_allocvec(&piece).unwrap();
        assert_eq!(stored, [0, 3, b'a', b'b', b'c']);
        // The first shape had a `Vec` here.
        assert_eq!(stored[1..], postcard::to_allocvec(&b"abc".to_vec()).unwrap());
        assert_eq!(postcard::from_bytes::<Piece>(&stored).unwrap(), piece);
    }
}
