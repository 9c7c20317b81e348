//! Content that is encrypted with a key which each request brings (STORAGE, section 3).
//!
//! Every piece of content has a key of its own: HKDF-SHA256 of the client's key, a salt that is random for each
//! request, and a number that grows with each piece of the request. Within a piece, chunks of 64 KiB are sealed
//! with AES-256-GCM, the chunk's number being the nonce: no nonce is used twice under one key, and any range can
//! be read by its chunks. The piece's length lies in its row, so that a chunk that is missing is noticed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Bytes, BytesMut};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::{digest, hkdf};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::blob::BlobError;
use crate::blob::state::{BlobRecord, Encryption};
use crate::error::EngineError;

/// Bytes of a chunk before it is sealed.
pub(crate) const CHUNK_BYTES: u64 = 64 * 1024;
/// Bytes that sealing adds.
pub(crate) const TAG_BYTES: u64 = 16;

/// A key that a request brings, for what it reads and writes.
#[derive(Clone)]
pub struct CustomerKey(Arc<Inner>);

struct Inner {
    key: Zeroizing<[u8; 32]>,
    sha256: [u8; 32],
    salt: [u8; 16],
    pieces: AtomicU32,
}

impl fmt::Debug for CustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomerKey(..)")
    }
}

impl PartialEq for CustomerKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.sha256 == other.0.sha256
    }
}

impl Eq for CustomerKey {}

/// What a piece is sealed with, beside the client's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seal {
    /// The SHA-256 of the client's key.
    pub(crate) key_sha256: [u8; 32],
    salt: [u8; 16],
    number: u32,
}

impl CustomerKey {
    /// The key; `salt` is random, and new for each request.
    #[must_use]
    pub fn new(key: [u8; 32], salt: [u8; 16]) -> Self {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest::digest(&digest::SHA256, &key).as_ref());
        Self(Arc::new(Inner { key: Zeroizing::new(key), sha256, salt, pieces: AtomicU32::new(0) }))
    }

    /// The SHA-256 of the key.
    #[must_use]
    pub fn sha256(&self) -> [u8; 32] {
        self.0.sha256
    }

    /// Begins to seal a piece.
    pub(crate) fn sealer(&self) -> Result<Sealer, EngineError> {
        let number = self.0.pieces.fetch_add(1, Ordering::Relaxed);
        let seal = Seal { key_sha256: self.0.sha256, salt: self.0.salt, number };
        Ok(Sealer { key: self.piece_key(&seal)?, seal, buffer: BytesMut::new(), chunk: 0 })
    }

    fn piece_key(&self, seal: &Seal) -> Result<LessSafeKey, EngineError> {
        let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &seal.salt);
        let number = seal.number.to_be_bytes();
        let info = [&number[..]];
        let secret = salt.extract(&*self.0.key);
        let key = secret.expand(&info, &AES_256_GCM).map_err(|_| failed("no key can be derived"))?;
        Ok(LessSafeKey::new(UnboundKey::from(key)))
    }

    /// Opens consecutive chunks, of which the first has this number.
    pub(crate) fn open(&self, seal: &Seal, first_chunk: u32, sealed: &[u8]) -> Result<Bytes, EngineError> {
        let key = self.piece_key(seal)?;
        let size = usize::try_from(CHUNK_BYTES + TAG_BYTES).unwrap_or(usize::MAX);
        let mut opened = BytesMut::with_capacity(sealed.len());
        for (chunk, sealed) in (first_chunk..).zip(sealed.chunks(size)) {
            let mut sealed = sealed.to_vec();
            let plain = key.open_in_place(nonce(chunk), Aad::empty(), &mut sealed);
            opened.extend_from_slice(plain.map_err(|_| failed("a chunk cannot be decrypted"))?);
        }
        Ok(opened.freeze())
    }
}

fn failed(why: &str) -> EngineError {
    EngineError::Damaged { noun: "encrypted content", why: why.to_owned() }
}

fn nonce(chunk: u32) -> Nonce {
    let mut bytes = [0; 12];
    bytes[8..].copy_from_slice(&chunk.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Bytes of content of this length when it is sealed.
pub(crate) fn sealed_length_bytes(length_bytes: u64) -> u64 {
    length_bytes + length_bytes.div_ceil(CHUNK_BYTES) * TAG_BYTES
}

/// Seals a piece, chunk by chunk.
pub(crate) struct Sealer {
    key: LessSafeKey,
    pub(crate) seal: Seal,
    buffer: BytesMut,
    chunk: u32,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(..)")
    }
}

impl Sealer {
    /// Takes bytes; gives the chunks that are full.
    pub(crate) fn update(&mut self, bytes: &[u8]) -> Result<Bytes, EngineError> {
        self.buffer.extend_from_slice(bytes);
        let size = usize::try_from(CHUNK_BYTES).unwrap_or(usize::MAX);
        let mut sealed = Vec::new();
        while self.buffer.len() >= size {
            let chunk = self.buffer.split_to(size);
            self.seal(&chunk, &mut sealed)?;
        }
        Ok(sealed.into())
    }

    /// The last chunk.
    pub(crate) fn finish(&mut self) -> Result<Bytes, EngineError> {
        let rest = self.buffer.split();
        let mut sealed = Vec::new();
        if !rest.is_empty() {
            self.seal(&rest, &mut sealed)?;
        }
        Ok(sealed.into())
    }

    fn seal(&mut self, chunk: &[u8], sealed: &mut Vec<u8>) -> Result<(), EngineError> {
        let start = sealed.len();
        sealed.extend_from_slice(chunk);
        let tag = self.key.seal_in_place_separate_tag(nonce(self.chunk), Aad::empty(), &mut sealed[start..]);
        sealed.extend_from_slice(tag.map_err(|_| failed("a chunk cannot be encrypted"))?.as_ref());
        self.chunk = self.chunk.checked_add(1).ok_or_else(|| failed("it has too many chunks"))?;
        Ok(())
    }
}

impl BlobRecord {
    /// Whether a request that brings this key, or none, may read or change the content.
    ///
    /// # Errors
    /// When the blob is encrypted with another key, or needs one, or has none.
    pub(crate) fn check_key(&self, key: Option<&CustomerKey>) -> Result<(), BlobError> {
        match (&self.encryption, key) {
            (Encryption::CustomerKey(sha256), Some(key)) if *sha256 == key.sha256() => Ok(()),
            (Encryption::CustomerKey(_), Some(_)) => Err(BlobError::CustomerKeyDiffers),
            (Encryption::CustomerKey(_), None) => Err(BlobError::CustomerKeyNeeded),
            (_, Some(_)) => Err(BlobError::NoCustomerKey),
            (_, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_keys_of_their_own() {
        let key = CustomerKey::new([7; 32], [1; 16]);
        let plain = vec![5; 200_000];
        let seal = |plain: &[u8]| {
            let mut sealer = key.sealer().unwrap();
            let sealed = [sealer.update(plain).unwrap(), sealer.finish().unwrap()].concat();
            (sealer.seal, sealed)
        };
        let ((first, sealed), (second, other)) = (seal(&plain), seal(&plain));
        assert_ne!(sealed, other);
        assert_eq!(sealed.len() as u64, sealed_length_bytes(200_000));
        assert_eq!(key.open(&first, 0, &sealed).unwrap(), plain);
        let chunk = (CHUNK_BYTES + TAG_BYTES) as usize;
        assert_eq!(key.open(&first, 2, &sealed[2 * chunk..]).unwrap(), plain[2 * CHUNK_BYTES as usize..]);
        assert!(key.open(&second, 0, &sealed).is_err());
        assert!(key.open(&first, 1, &sealed).is_err());
        assert!(CustomerKey::new([8; 32], [1; 16]).open(&first, 0, &sealed).is_err());
    }
}
