//! Reads the records of a backup, from bytes in pieces of any length. Pure, and believes nothing: what it gives out has
//! the right checksums, lengths within the store's limits, and rows and extents in order.

use bytes::{Buf as _, Bytes, BytesMut};

use crate::backup::{
    BYTES, BackupError, CONTENT_BYTES_MAX, END, EXTENT, FAILURE, HEAD_BYTES, HEADER, Header, MAGIC,
    ROW_HEAD_BYTES, ROWS, Totals,
};
use crate::local::{EXTENT_BYTES_MAX, VALUE_BYTES_MAX, is_row_key};
use crate::row::Version;

/// What comes next in a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The first: what it says about itself.
    Header(Header),
    /// Rows, with stored keys.
    #[doc(hidden)]
    Rows(Vec<(Bytes, Version, Bytes)>),
    /// An extent begins.
    Extent {
        /// Its id.
        id: u64,
        /// How many bytes of it follow.
        length_bytes: u64,
    },
    /// The next bytes of the extent.
    Bytes(Bytes),
    /// The last: what was in it.
    End(Totals),
}

/// Reads a backup.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// Where the buffer begins.
    offset: u64,
    crc: u32,
    header: Option<Header>,
    key: Bytes,
    extent: Option<u64>,
    /// Bytes of the extent that are to come.
    missing_bytes: u64,
    totals: Totals,
    is_ended: bool,
}

impl Decoder {
    /// Takes the next bytes of the backup.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next item; `None` when more bytes are needed for it.
    ///
    /// # Errors
    /// When the bytes are no backup, or not as they were written.
    pub fn next_item(&mut self) -> Result<Option<Item>, BackupError> {
        if self.offset == 0 {
            let known = self.buffer.len().min(MAGIC.len());
            if self.buffer[..known] != MAGIC[..known] {
                return Err(BackupError::NoBackup);
            }
            if known < MAGIC.len() {
                return Ok(None);
            }
            self.advance(MAGIC.len());
        }
        let Some((&[kind, ref length @ ..], _)) = self.buffer.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if self.is_ended {
            return Err(self.damaged("something follows the end"));
        }
        if length > CONTENT_BYTES_MAX {
            return Err(self.damaged("a record is longer than any that is written"));
        }
        let Some(sealed) = self.buffer.get(..HEAD_BYTES + length + 4) else {
            return Ok(None);
        };
        let (record, crc) = sealed.split_at(HEAD_BYTES + length);
        let expected = crc32c::crc32c_append(self.crc, record);
        if crc != expected.to_le_bytes() {
            return Err(self.damaged("a checksum does not match"));
        }
        let mut content = self.buffer.split_to(HEAD_BYTES + length + 4).freeze();
        content.advance(HEAD_BYTES);
        content.truncate(length);
        let item = self.item(kind, content)?;
        self.crc = expected;
        self.offset += (HEAD_BYTES + length + 4) as u64;
        Ok(Some(item))
    }

    /// Call it when there are no more bytes: what was in the backup.
    ///
    /// # Errors
    /// When its end is missing.
    pub fn finish(&self) -> Result<Totals, BackupError> {
        let offset = self.offset + self.buffer.len() as u64;
        match (self.is_ended, self.buffer.is_empty()) {
            (true, true) => Ok(self.totals),
            (true, false) => Err(self.damaged("something follows the end")),
            (false, _) => Err(BackupError::Cut { offset }),
        }
    }

    fn item(&mut self, kind: u8, content: Bytes) -> Result<Item, BackupError> {
        match (kind, self.header) {
            (HEADER, None) => {
                let [taken_unix_ms, store, last_commit] = self.numbers(&content)?;
                let header = Header { taken_unix_ms, store, last_commit };
                self.header = Some(header);
                Ok(Item::Header(header))
            }
            (ROWS, Some(header)) if self.extent.is_none() => self.rows(content, header),
            (EXTENT, Some(header)) if self.missing_bytes == 0 => {
                let [id, length_bytes] = self.numbers(&content)?;
                if self.extent.is_some_and(|before| before >= id) || id > header.last_commit {
                    return Err(self.damaged("the id of an extent is out of order"));
                }
                if length_bytes > EXTENT_BYTES_MAX {
                    return Err(self.damaged("an extent is longer than any that is written"));
                }
                self.extent = Some(id);
                self.missing_bytes = length_bytes;
                self.totals.extents += 1;
                Ok(Item::Extent { id, length_bytes })
            }
            (BYTES, Some(_)) if !content.is_empty() && content.len() as u64 <= self.missing_bytes => {
                self.missing_bytes -= content.len() as u64;
                self.totals.extent_bytes += content.len() as u64;
                Ok(Item::Bytes(content))
            }
            (FAILURE, Some(_)) => {
                Err(BackupError::Failed { why: String::from_utf8_lossy(&content).into_owned() })
            }
            (END, Some(_)) if self.missing_bytes == 0 => {
                let [rows, extents, extent_bytes] = self.numbers(&content)?;
                if (Totals { rows, extents, extent_bytes }) != self.totals {
                    return Err(self.damaged("its end counts other rows and extents than it has"));
                }
                self.is_ended = true;
                Ok(Item::End(self.totals))
            }
            _ => Err(self.damaged("a record is in the wrong place")),
        }
    }

    fn rows(&mut self, mut content: Bytes, header: Header) -> Result<Item, BackupError> {
        let mut rows = Vec::new();
        while !content.is_empty() {
            let malformed = || self.damaged("a row is malformed");
            if content.len() < ROW_HEAD_BYTES {
                return Err(malformed());
            }
            let (key, value) = (content.get_u32_le() as usize, content.get_u32_le() as usize);
            let version = Version(content.get_u64_le());
            if value > VALUE_BYTES_MAX || content.len() < key.saturating_add(value) {
                return Err(malformed());
            }
            let (key, value) = (content.split_to(key), content.split_to(value));
            if !is_row_key(&key) || version.0 > header.last_commit {
                return Err(malformed());
            }
            if self.totals.rows > 0 && self.key >= key {
                return Err(self.damaged("a row is out of order"));
            }
            self.totals.rows += 1;
            self.key = key.clone();
            rows.push((key, version, value));
        }
        // Not a part of the record, which would be kept for it.
        self.key = Bytes::copy_from_slice(&self.key);
        Ok(Item::Rows(rows))
    }

    fn numbers<const N: usize>(&self, content: &[u8]) -> Result<[u64; N], BackupError> {
        let (numbers, rest) = content.as_chunks::<8>();
        match numbers.try_into() {
            Ok(numbers) if rest.is_empty() => Ok(<[[u8; 8]; N]>::map(numbers, u64::from_le_bytes)),
            _ => Err(self.damaged("a record has the wrong length")),
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        self.offset += bytes as u64;
    }

    fn damaged(&self, why: &str) -> BackupError {
        BackupError::Damaged { offset: self.offset, why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::encode::{Encoder, put_row};
    use crate::local::row_key_of;

    fn sample() -> Vec<u8> {
        let mut encoder = Encoder::default();
        let header = Header { taken_unix_ms: 1, store: 2, last_commit: 100 };
        let mut out = encoder.header(header).to_vec();
        let mut rows = BytesMut::new();
        for (key, version) in [(&b"a"[..], 7), (b"b", 100)] {
            put_row(&mut rows, &row_key_of(1, b"partition", key), Version(version), b"value");
        }
        out.extend(encoder.rows(2, &rows));
        out.extend(encoder.extent(3, 5));
        out.extend(encoder.bytes(b"123"));
        out.extend(encoder.bytes(b"45"));
        out.extend(encoder.extent(9, 0));
        out.extend(encoder.end());
        out
    }

    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<Item>, Totals), BackupError> {
        let mut decoder = Decoder::default();
        let mut items = Vec::new();
        for piece in bytes.chunks(piece) {
            decoder.push(piece);
            while let Some(item) = decoder.next_item()? {
                items.push(item);
            }
        }
        Ok((items, decoder.finish()?))
    }

    #[test]
    fn a_backup_reads_back_in_pieces_of_any_length() {
        let bytes = sample();
        let (whole, totals) = read(&bytes, bytes.len()).unwrap();
        assert_eq!(totals, Totals { rows: 2, extents: 2, extent_bytes: 5 });
        assert_eq!(whole.len(), 7);
        for piece in 1..40 {
            assert_eq!(read(&bytes, piece).unwrap().0, whole, "pieces of {piece}");
        }
    }

    #[test]
    fn whatever_is_flipped_or_cut_off_is_an_error() {
        let bytes = sample();
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&bad, 64).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(read(&bytes[..length], 64).is_err(), "length {length}");
        }
        assert!(read(&[&bytes[..], b"x"].concat(), 64).is_err());
    }

    /// Records that are sealed and still cannot be: a backup may have been made by anyone.
    #[test]
    fn what_no_store_writes_is_refused() {
        type Make = fn(&mut Encoder) -> Vec<Bytes>;
        fn row(encoder: &mut Encoder, keys: &[Vec<u8>], version: u64) -> Bytes {
            let mut rows = BytesMut::new();
            for key in keys {
                put_row(&mut rows, key, Version(version), b"");
            }
            encoder.rows(keys.len() as u64, &rows)
        }
        let rows: [(&str, Make); 10] = [
            ("a row of the store's own", |e| {
                vec![row(e, &[row_key_of(0xFFFE, b"", b"12345678")], 1), e.end()]
            }),
            ("a key without partition", |e| vec![row(e, &[b"\0\x01abc".to_vec()], 1), e.end()]),
            ("a version beyond the last", |e| vec![row(e, &[row_key_of(1, b"p", b"k")], 101), e.end()]),
            ("a key twice", |e| vec![row(e, &vec![row_key_of(1, b"p", b"k"); 2], 1), e.end()]),
            ("half a row", |e| vec![e.rows(1, b"123"), e.end()]),
            ("rows after an extent", |e| {
                vec![e.extent(1, 0), row(e, &[row_key_of(1, b"p", b"k")], 1), e.end()]
            }),
            ("ids out of order", |e| vec![e.extent(2, 0), e.extent(2, 0), e.end()]),
            ("an id beyond the last", |e| vec![e.extent(101, 0), e.end()]),
            ("too few bytes", |e| vec![e.extent(1, 2), e.bytes(b"1"), e.end()]),
            ("too many bytes", |e| vec![e.extent(1, 2), e.bytes(b"123"), e.end()]),
        ];
        for (what, make) in rows {
            let mut encoder = Encoder::default();
            let header = Header { taken_unix_ms: 1, store: 2, last_commit: 100 };
            let mut bytes = encoder.header(header).to_vec();
            make(&mut encoder).iter().for_each(|record| bytes.extend_from_slice(record));
            let found = read(&bytes, 4096);
            assert!(matches!(found, Err(BackupError::Damaged { .. })), "{what}: {found:?}");
        }
    }
}
