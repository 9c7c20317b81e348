//! Hashes of content: MD5 and CRC-64, as far as anyone asks for them (STORAGE, section 3).

use std::fmt;

use bytes::Bytes;
use crc64fast_nvme::Digest as Crc64;
use md5::{Digest as _, Md5};
use tokio::task::JoinHandle;

use crate::error::EngineError;

/// Content is hashed beside the writing of it in batches of this much; less is not worth another thread.
const BATCH_BYTES: usize = 512 * 1024;
/// A batch has at most so many pieces: a client that sends byte by byte would have each cost more than it holds.
const BATCH_PIECES: usize = 1024;

/// Which hashes are asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wanted {
    /// MD5.
    pub md5: bool,
    /// CRC-64.
    pub crc64: bool,
}

/// The hashes that were asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hashes {
    /// The MD5.
    pub md5: Option<[u8; 16]>,
    /// The CRC-64 of NVM Express, the least significant byte first, as the protocol has it.
    pub crc64: Option<[u8; 8]>,
}

/// Takes bytes in order, and says their hashes.
pub struct Hasher {
    md5: Option<Md5>,
    crc64: Option<Crc64>,
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher(..)")
    }
}

impl Hasher {
    /// Nothing taken yet.
    #[must_use]
    pub fn new(wanted: Wanted) -> Self {
        Self { md5: wanted.md5.then(Md5::new), crc64: wanted.crc64.then(Crc64::new) }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(crc64) = &mut self.crc64 {
            crc64.write(bytes);
        }
    }

    /// The hashes.
    #[must_use]
    pub fn finish(self) -> Hashes {
        Hashes {
            md5: self.md5.map(|md5| md5.finalize().into()),
            crc64: self.crc64.map(|crc64| crc64.sum64().to_le_bytes()),
        }
    }

    /// The hashes of these bytes.
    #[must_use]
    pub fn of(wanted: Wanted, bytes: &[u8]) -> Hashes {
        let mut hasher = Self::new(wanted);
        hasher.update(bytes);
        hasher.finish()
    }
}

/// Hashes while others write. One batch at a time is away, so that memory stays bounded and no thread waits for
/// a slow client.
#[derive(Debug)]
pub(crate) struct HashingBeside {
    hasher: Option<Hasher>,
    away: Option<JoinHandle<Hasher>>,
    pending: Vec<Bytes>,
    pending_bytes: usize,
}

impl HashingBeside {
    pub(crate) fn new(wanted: Wanted) -> Self {
        let hasher = Some(Hasher::new(wanted));
        Self { hasher, away: None, pending: Vec::new(), pending_bytes: 0 }
    }

    pub(crate) async fn update(&mut self, bytes: Bytes) -> Result<(), EngineError> {
        self.pending_bytes += bytes.len();
        self.pending.push(bytes);
        if self.pending_bytes < BATCH_BYTES && self.pending.len() < BATCH_PIECES {
            return Ok(());
        }
        let mut hasher = self.back().await?;
        let pieces = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        self.away = Some(tokio::task::spawn_blocking(move || {
            pieces.iter().for_each(|piece| hasher.update(piece));
            hasher
        }));
        Ok(())
    }

    pub(crate) async fn finish(mut self) -> Result<Hashes, EngineError> {
        let mut hasher = self.back().await?;
        self.pending.iter().for_each(|piece| hasher.update(piece));
        Ok(hasher.finish())
    }

    async fn back(&mut self) -> Result<Hasher, EngineError> {
        let damaged = |why: &str| EngineError::Damaged { noun: "hash", why: why.to_owned() };
        if let Some(away) = self.away.take() {
            return away.await.map_err(|error| damaged(&error.to_string()));
        }
        self.hasher.take().ok_or_else(|| damaged("it was lost"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn known_values() {
        // Check values of the catalogues of CRCs (CRC-64/NVME) and of RFC 1321.
        let wanted = Wanted { md5: true, crc64: true };
        let hashes = Hasher::of(wanted, b"123456789");
        assert_eq!(hashes.crc64, Some(0xae8b_1486_0a79_9888_u64.to_le_bytes()));
        let md5 = Hasher::of(wanted, b"abc").md5.map(u128::from_be_bytes);
        assert_eq!(md5, Some(0x9001_5098_3cd2_4fb0_d696_3f7d_28e1_7f72));
        let mut beside = HashingBeside::new(wanted);
        let bytes = Bytes::from((0..3_000_000_u32).map(|n| n as u8).collect::<Vec<_>>());
        for piece in bytes.chunks(300_001) {
            beside.update(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        assert_eq!(beside.finish().await.unwrap(), Hasher::of(wanted, &bytes));
    }
}
