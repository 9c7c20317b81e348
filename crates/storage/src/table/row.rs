//! How entities lie in the store.
//!
//! ```text
//! partition    table uid (16 bytes), partition key in ordinal form
//! key          row key in ordinal form
//! value        timestamp and properties
//! ```
//!
//! The *ordinal form* of a text is UTF-8, but for characters beyond U+FFFF: their two UTF-16 code units are each
//! written as three bytes. So the order of bytes is the order of UTF-16 code units, which the service promises.

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_storage_wire::table::{Entity, EntityKey, Properties};
use welkin_store::Row;

use crate::Uid;
use crate::error::EngineError;
use crate::record::{self, Record};

/// An entity's value in the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct EntityRecord {
    pub(crate) timestamp: Timestamp,
    pub(crate) properties: Properties,
}

impl Record for EntityRecord {
    const NOUN: &'static str = "entity";
    const VERSION: u8 = 1;
}

/// Partition of the entities of a partition key.
pub(crate) fn partition(table: Uid, partition_key: &str) -> Vec<u8> {
    table.key(&ordinal(partition_key))
}

/// Reads a row as an entity.
pub(crate) fn entity(row: &Row) -> Result<Entity, EngineError> {
    entity_of(key(row)?, row)
}

/// Reads a row, whose keys were read, as an entity.
pub(crate) fn entity_of(key: EntityKey, row: &Row) -> Result<Entity, EngineError> {
    let EntityRecord { timestamp, properties } = record::decode(&row.value)?;
    Ok(Entity { key, timestamp, properties })
}

/// Reads a row's keys.
pub(crate) fn key(row: &Row) -> Result<EntityKey, EngineError> {
    let partition = row.partition.get(Uid::LENGTH_BYTES..).and_then(text);
    let (Some(partition), Some(row)) = (partition, text(&row.key)) else {
        let why = "its key is no text in ordinal form".to_owned();
        return Err(EngineError::Damaged { noun: EntityRecord::NOUN, why });
    };
    Ok(EntityKey { partition, row })
}

/// The ordinal form of a text.
pub(crate) fn ordinal(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        if c <= '\u{ffff}' {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                bytes.extend([
                    0xE0 | (high >> 4),
                    0x80 | ((high & 0x0F) << 2) | (low >> 6),
                    0x80 | (low & 0x3F),
                ]);
            }
        }
    }
    bytes
}

/// The text of an ordinal form.
fn text(bytes: &[u8]) -> Option<String> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some(text.to_owned());
    }
    let mut units = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(&first) = rest.first() {
        let length = match first {
            0x00..=0x7F => 1,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            _ => return None,
        };
        let (piece, after) = rest.split_at_checked(length)?;
        let start = u16::from(first) & [0, 0x7F, 0x1F, 0x0F].get(length)?;
        units.push(piece.iter().skip(1).fold(start, |unit, byte| (unit << 6) | u16::from(byte & 0x3F)));
        rest = after;
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use welkin_storage_wire::table::value::compare_ordinal;

    use super::*;

    proptest! {
        #[test]
        fn ordinal_round_trips_and_keeps_the_order(a in "[a\\PC\u{e000}-\u{10ffff}]{0,6}", b in "[a\\PC\u{e000}-\u{10ffff}]{0,6}") {
            prop_assert_eq!(text(&ordinal(&a)), Some(a.clone()));
            prop_assert_eq!(ordinal(&a).cmp(&ordinal(&b)), compare_ordinal(&a, &b));
        }
    }
}
