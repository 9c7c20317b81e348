//! A group of commits as the log keeps it: all of it happened, or none.
//!
//! ```text
//! crc32c          u32   over all that follows, begun with the store's salt
//! body_bytes      u32   length of the body
//! segment         u64   number of the segment, so that what a reused file held before is not taken for it
//! first           u64   sequence number of the first commit
//! commits         u32
//! magic           u32
//! body            commits: writes u32, then per write: key_bytes u32, value_bytes u32 (DELETED for a delete), key, value
//! ```
//!
//! All numbers are little-endian. The salt is random per store, so bytes that a customer stores
//! cannot pass for a group.

use bytes::Bytes;

/// Length of the head.
pub(crate) const HEAD_BYTES: usize = 32;
const MAGIC: u32 = u32::from_le_bytes(*b"WKG1");
const DELETED: u32 = u32::MAX;

/// One write: the stored key, and the value, or `None` for a delete.
pub(crate) type StoredWrite = (Vec<u8>, Option<Bytes>);

/// One write as found in a log: the sequence number of its commit, the stored key, the value or a delete.
pub(crate) type FoundWrite<'a> = (u64, &'a [u8], Option<&'a [u8]>);

/// Bytes that a commit takes in a group.
pub(crate) fn commit_bytes(writes: &[StoredWrite]) -> usize {
    4 + writes.iter().map(|(key, value)| 8 + key.len() + value.as_ref().map_or(0, Bytes::len)).sum::<usize>()
}

/// Collects commits into a group.
#[derive(Debug, Default)]
pub(crate) struct GroupBuilder {
    bytes: Vec<u8>,
    commits: u32,
}

impl GroupBuilder {
    /// Begins a new group.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEAD_BYTES, 0);
        self.commits = 0;
    }

    /// Appends one commit.
    pub(crate) fn push(&mut self, writes: &[StoredWrite]) {
        self.put_u32(writes.len() as u32);
        for (key, value) in writes {
            self.put_u32(key.len() as u32);
            self.put_u32(value.as_ref().map_or(DELETED, |value| value.len() as u32));
            self.bytes.extend_from_slice(key);
            if let Some(value) = value {
                self.bytes.extend_from_slice(value);
            }
        }
        self.commits += 1;
    }

    /// Commits so far.
    pub(crate) fn commits(&self) -> u32 {
        self.commits
    }

    /// Writes the head, and pads with zeros to whole pages.
    pub(crate) fn finish(&mut self, salt: u64, segment: u64, first: u64, page_bytes: usize) -> &[u8] {
        let body_bytes = (self.bytes.len() - HEAD_BYTES) as u32;
        self.bytes[4..8].copy_from_slice(&body_bytes.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&segment.to_le_bytes());
        self.bytes[16..24].copy_from_slice(&first.to_le_bytes());
        self.bytes[24..28].copy_from_slice(&self.commits.to_le_bytes());
        self.bytes[28..32].copy_from_slice(&MAGIC.to_le_bytes());
        let crc = checksum(salt, &self.bytes[4..]);
        self.bytes[..4].copy_from_slice(&crc.to_le_bytes());
        self.bytes.resize(self.bytes.len().next_multiple_of(page_bytes), 0);
        &self.bytes
    }

    fn put_u32(&mut self, number: u32) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }
}

/// A group found in a segment and verified.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Group<'a> {
    /// Sequence number of its first commit.
    pub(crate) first: u64,
    /// Number of commits.
    pub(crate) commits: u32,
    body: &'a [u8],
}

impl<'a> Group<'a> {
    /// The group at the start of `bytes`, if there is a whole one of this segment.
    pub(crate) fn parse(bytes: &'a [u8], salt: u64, segment: u64) -> Option<Self> {
        let head = bytes.first_chunk::<HEAD_BYTES>()?;
        if u32_at(head, 28)? != MAGIC || u64_at(head, 8)? != segment {
            return None;
        }
        let end = HEAD_BYTES.checked_add(u32_at(head, 4)? as usize)?;
        let body = bytes.get(HEAD_BYTES..end)?;
        if checksum(salt, &bytes[4..end]) != u32_at(head, 0)? {
            return None;
        }
        Some(Self { first: u64_at(head, 16)?, commits: u32_at(head, 24)?, body })
    }

    /// Bytes it takes in the segment.
    pub(crate) fn padded_bytes(&self, page_bytes: usize) -> usize {
        (HEAD_BYTES + self.body.len()).next_multiple_of(page_bytes)
    }

    /// Sequence number after its last commit.
    pub(crate) fn next(&self) -> u64 {
        self.first + u64::from(self.commits)
    }

    /// Its writes, each with the sequence number of its commit; `None` when the body is malformed.
    pub(crate) fn writes(&self) -> Option<Vec<FoundWrite<'a>>> {
        let mut out = Vec::new();
        let mut rest = self.body;
        for sequence in self.first..self.next() {
            for _ in 0..take_u32(&mut rest)? {
                let key_bytes = take_u32(&mut rest)? as usize;
                let value_bytes = take_u32(&mut rest)?;
                let key = rest.split_off(..key_bytes)?;
                let value = match value_bytes {
                    DELETED => None,
                    length => Some(rest.split_off(..length as usize)?),
                };
                out.push((sequence, key, value));
            }
        }
        rest.is_empty().then_some(out)
    }
}

fn checksum(salt: u64, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&salt.to_le_bytes()), bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn take_u32(rest: &mut &[u8]) -> Option<u32> {
    let (number, after) = rest.split_first_chunk::<4>()?;
    *rest = after;
    Some(u32::from_le_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut builder = GroupBuilder::default();
        builder.clear();
        builder.push(&[(b"a".to_vec(), Some(Bytes::from_static(b"1"))), (b"b".to_vec(), None)]);
        builder.push(&[(b"c".to_vec(), Some(Bytes::new()))]);
        builder.finish(42, 3, 100, 512).to_vec()
    }

    #[test]
    fn a_group_reads_back() {
        let bytes = sample();
        let group = Group::parse(&bytes, 42, 3).unwrap();
        assert_eq!((group.first, group.next(), group.padded_bytes(512)), (100, 102, 512));
        let expected: Vec<FoundWrite<'_>> =
            vec![(100, b"a", Some(b"1")), (100, b"b", None), (101, b"c", Some(b""))];
        assert_eq!(group.writes().unwrap(), expected);
    }

    #[test]
    fn other_segments_salts_and_flipped_bits_are_no_group() {
        let bytes = sample();
        assert!(Group::parse(&bytes, 42, 4).is_none());
        assert!(Group::parse(&bytes, 41, 3).is_none());
        let used = bytes.iter().rposition(|&byte| byte != 0).unwrap();
        for bit in 0..used * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Group::parse(&bad, 42, 3).is_none(), "bit {bit}");
        }
    }
}
