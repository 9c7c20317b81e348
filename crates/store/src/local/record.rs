//! A row's value as it is stored: its checksum and version in front.
//!
//! ```text
//! crc32c   u32, little-endian, over stored key, version, value
//! version  u64, little-endian
//! value
//! ```

use crate::error::StoreError;
use crate::row::Version;

/// Bytes in front of the value.
pub(crate) const HEAD_BYTES: usize = 12;

/// The stored form of `value`.
pub(crate) fn seal(key: &[u8], version: Version, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEAD_BYTES + value.len());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&version.0.to_le_bytes());
    out.extend_from_slice(value);
    let crc = checksum(key, &out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The version and value of a stored row, verified.
pub(crate) fn open<'a>(key: &[u8], stored: &'a [u8]) -> Result<(Version, &'a [u8]), StoreError> {
    let damaged = |why: &str| StoreError::Damaged {
        what: format!("the row {} in the tables", key.escape_ascii()),
        why: why.to_owned(),
    };
    let (crc, rest) = stored.split_first_chunk::<4>().ok_or_else(|| damaged("it is too short"))?;
    let (version, value) = rest.split_first_chunk::<8>().ok_or_else(|| damaged("it is too short"))?;
    if checksum(key, rest) != u32::from_le_bytes(*crc) {
        return Err(damaged("its checksum does not match"));
    }
    Ok((Version(u64::from_le_bytes(*version)), value))
}

fn checksum(key: &[u8], rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_found() {
        let stored = seal(b"key", Version(9), b"value");
        assert_eq!(open(b"key", &stored).unwrap(), (Version(9), &b"value"[..]));
        assert!(open(b"kez", &stored).is_err());
        for bit in 0..stored.len() * 8 {
            let mut bad = stored.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(b"key", &bad).is_err(), "bit {bit}");
        }
        for length in 0..stored.len() {
            assert!(open(b"key", &stored[..length]).is_err(), "length {length}");
        }
    }
}
