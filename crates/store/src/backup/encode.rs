//! Writes the records of a backup. Pure: bytes out, no I/O.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::backup::{BYTES, END, EXTENT, FAILURE, HEAD_BYTES, HEADER, Header, MAGIC, ROWS, Totals};
use crate::row::Version;

/// Seals records, each with a checksum that goes on from the one before, and counts what is in them.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    crc: u32,
    pub(crate) totals: Totals,
}

impl Encoder {
    /// The beginning of a backup.
    pub(crate) fn header(&mut self, header: Header) -> Bytes {
        let mut content = BytesMut::new();
        for number in [header.taken_unix_ms, header.store, header.last_commit] {
            content.put_u64_le(number);
        }
        let mut out = BytesMut::from(&MAGIC[..]);
        out.extend_from_slice(&self.record(HEADER, &content));
        out.freeze()
    }

    /// Rows that [`put_row`] wrote.
    pub(crate) fn rows(&mut self, rows: u64, content: &[u8]) -> Bytes {
        self.totals.rows += rows;
        self.record(ROWS, content)
    }

    /// The beginning of an extent.
    pub(crate) fn extent(&mut self, id: u64, length_bytes: u64) -> Bytes {
        self.totals.extents += 1;
        let mut content = BytesMut::new();
        content.put_u64_le(id);
        content.put_u64_le(length_bytes);
        self.record(EXTENT, &content)
    }

    /// The next bytes of an extent.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Bytes {
        self.totals.extent_bytes += bytes.len() as u64;
        self.record(BYTES, bytes)
    }

    /// There is no end: why.
    pub(crate) fn failure(&mut self, why: &str) -> Bytes {
        self.record(FAILURE, why.as_bytes())
    }

    /// The end.
    pub(crate) fn end(&mut self) -> Bytes {
        let mut content = BytesMut::new();
        for number in [self.totals.rows, self.totals.extents, self.totals.extent_bytes] {
            content.put_u64_le(number);
        }
        self.record(END, &content)
    }

    fn record(&mut self, kind: u8, content: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(HEAD_BYTES + content.len() + 4);
        out.put_u8(kind);
        out.put_u32_le(content.len() as u32);
        out.put_slice(content);
        self.crc = crc32c::crc32c_append(self.crc, &out);
        out.put_u32_le(self.crc);
        out.freeze()
    }
}

/// Appends a row to the content of a record.
pub(crate) fn put_row(content: &mut BytesMut, key: &[u8], version: Version, value: &[u8]) {
    content.put_u32_le(key.len() as u32);
    content.put_u32_le(value.len() as u32);
    content.put_u64_le(version.0);
    content.put_slice(key);
    content.put_slice(value);
}
