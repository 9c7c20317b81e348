//! Row keys as the tables keep them, in the order that scans promise.
//!
//! ```text
//! space id     u16, big-endian
//! partition    each byte 00 written as 00 FF, then the end mark 00 01
//! key          as it is
//! ```
//!
//! The end mark sorts below an escaped zero and below every other byte, so a partition sorts
//! before all that it is a prefix of.

use crate::error::StoreError;
use crate::local::options::{KEY_BYTES_MAX, PARTITION_BYTES_MAX, RESERVED_SPACE_ID_MIN};
use crate::row::{ScanFrom, Space};

const ZERO: [u8; 2] = [0x00, 0xFF];
const END: [u8; 2] = [0x00, 0x01];
/// Sorts after every row of a partition and before every longer partition.
const AFTER_END: [u8; 2] = [0x00, 0x02];

/// The stored key of a row.
pub(crate) fn row_key(space: Space, partition: &[u8], key: &[u8]) -> Vec<u8> {
    let mut out = partition_start(space, partition, key.len());
    out.extend_from_slice(&END);
    out.extend_from_slice(key);
    out
}

/// The first stored key that a scan may return.
pub(crate) fn scan_start(space: Space, from: &ScanFrom) -> Vec<u8> {
    match from {
        ScanFrom::Start => space.id.to_be_bytes().to_vec(),
        ScanFrom::Partition(partition) => row_key(space, partition, b""),
        ScanFrom::Row(partition, key) => row_key(space, partition, key),
        ScanFrom::AfterRow(partition, key) => {
            let mut out = row_key(space, partition, key);
            out.push(0);
            out
        }
        ScanFrom::AfterPartition(partition) => {
            let mut out = partition_start(space, partition, 0);
            out.extend_from_slice(&AFTER_END);
            out
        }
    }
}

/// The first stored key that no longer belongs to the space; none for the last space.
pub(crate) fn scan_end(space: Space) -> Option<[u8; 2]> {
    space.id.checked_add(1).map(u16::to_be_bytes)
}

/// Splits a stored key into the partition and where the key begins; `None` when it is no such key.
pub(crate) fn split(stored: &[u8]) -> Option<(Vec<u8>, usize)> {
    let mut partition = Vec::with_capacity(stored.len());
    let mut at = 2;
    loop {
        match stored.get(at)? {
            0x00 => match stored.get(at + 1)? {
                0xFF => partition.push(0x00),
                0x01 => return Some((partition, at + 2)),
                _ => return None,
            },
            &byte => {
                partition.push(byte);
                at += 1;
                continue;
            }
        }
        at += 2;
    }
}

/// Whether a stored key is one of a row that a store takes.
pub(crate) fn is_row_key(stored: &[u8]) -> bool {
    let space = stored.first_chunk::<2>().map(|space| u16::from_be_bytes(*space));
    space.is_some_and(|space| space < RESERVED_SPACE_ID_MIN)
        && split(stored).is_some_and(|(partition, at)| {
            partition.len() <= PARTITION_BYTES_MAX && stored.len() - at <= KEY_BYTES_MAX
        })
}

/// Whether the space may be used and the names have lengths that fit.
pub(crate) fn check_names(space: Space, partition: &[u8], key: &[u8]) -> Result<(), StoreError> {
    if space.id >= RESERVED_SPACE_ID_MIN {
        return Err(StoreError::ReservedSpace { id: space.id, name: space.name });
    }
    check_length("partition", partition.len(), PARTITION_BYTES_MAX)?;
    check_length("key", key.len(), KEY_BYTES_MAX)
}

/// Whether `what` is short enough.
pub(crate) fn check_length(what: &'static str, length: usize, max: usize) -> Result<(), StoreError> {
    if length > max {
        return Err(StoreError::TooLarge { what, length_bytes: length as u64, length_bytes_max: max as u64 });
    }
    Ok(())
}

fn partition_start(space: Space, partition: &[u8], extra: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(partition.len() + extra + 8);
    out.extend_from_slice(&space.id.to_be_bytes());
    for &byte in partition {
        match byte {
            0x00 => out.extend_from_slice(&ZERO),
            byte => out.push(byte),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPACE: Space = Space::new(7, "test");

    proptest! {
        #[test]
        fn order_of_stored_keys_is_order_of_rows(
            a in (proptest::collection::vec(0u8..3, 0..5), proptest::collection::vec(0u8..3, 0..5)),
            b in (proptest::collection::vec(0u8..3, 0..5), proptest::collection::vec(0u8..3, 0..5)),
        ) {
            let stored = |(partition, key): &(Vec<u8>, Vec<u8>)| row_key(SPACE, partition, key);
            prop_assert_eq!(stored(&a).cmp(&stored(&b)), a.cmp(&b));
        }

        #[test]
        fn split_gives_back_what_was_joined(
            partition in proptest::collection::vec(any::<u8>(), 0..20),
            key in proptest::collection::vec(any::<u8>(), 0..20),
        ) {
            let stored = row_key(SPACE, &partition, &key);
            let (partition_back, at) = split(&stored).unwrap();
            prop_assert_eq!(partition_back, partition);
            prop_assert_eq!(&stored[at..], &key[..]);
        }

        #[test]
        fn after_partition_is_between_it_and_the_next(
            a in proptest::collection::vec(0u8..3, 0..4),
            b in proptest::collection::vec(0u8..3, 0..4),
            key in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let start = scan_start(SPACE, &ScanFrom::AfterPartition(a.clone().into()));
            prop_assert_eq!(row_key(SPACE, &b, &key) >= start, b > a);
        }
    }
}
