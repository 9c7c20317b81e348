//! How messages lie in the store. A message has two rows in the partition of its queue's uid:
//!
//! ```text
//! v, when it is visible (8 bytes), id (16 bytes)    the message
//! i, id (16 bytes)                                  when it is visible (8 bytes)
//! ```
//!
//! Moments are ticks, big-endian, with the sign flipped, so that the order of bytes is that of time: the head of
//! the queue is the first row, and what is invisible lies behind all that is visible. A message that is got moves
//! to the moment when it will be visible again. The second row tells a message that was got by someone else from
//! one that is gone.
//!
//! A *pop receipt* is that moment and a number drawn when the message moved there: it finds the row, and proves
//! that whoever shows it was the last to move the message.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use welkin_base::Timestamp;

use crate::record::Record;

/// A message's id: a GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId(pub Uuid);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for MessageId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Uuid::parse_str(text).map(Self)
    }
}

/// A message's value in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRecord {
    pub(crate) inserted: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) dequeue_count: u32,
    pub(crate) nonce: u64,
    pub(crate) text: String,
}

impl Record for MessageRecord {
    const NOUN: &'static str = "message";
    const VERSION: u8 = 1;
}

/// The first byte of the keys of messages by time.
const BY_TIME: u8 = b'v';
/// The first byte of the keys of messages by id. Sorts before the others.
const BY_ID: u8 = b'i';

/// Where the rows by time begin.
pub(crate) const TIME_START: &[u8] = &[BY_TIME];

/// Key of the message that is visible from `visible` on.
pub(crate) fn time_key(visible: Timestamp, id: MessageId) -> Bytes {
    [&[BY_TIME][..], &moment(visible), id.0.as_bytes()].concat().into()
}

/// Reads a key of a message by time.
pub(crate) fn split_time_key(key: &[u8]) -> Option<(Timestamp, MessageId)> {
    let (first, rest) = key.split_first()?;
    let (ticks, id) = rest.split_first_chunk::<8>()?;
    let id = Uuid::from_slice(id).ok()?;
    (*first == BY_TIME).then_some((of_moment(*ticks), MessageId(id)))
}

/// Key of the row that says when a message is visible.
pub(crate) fn id_key(id: MessageId) -> Bytes {
    [&[BY_ID][..], id.0.as_bytes()].concat().into()
}

/// Whether a key is one of those by id.
pub(crate) fn is_id_key(key: &[u8]) -> bool {
    key.first() == Some(&BY_ID)
}

/// A moment as eight bytes in the order of time.
pub(crate) fn moment(moment: Timestamp) -> [u8; 8] {
    (moment.ticks() ^ i64::MIN).to_be_bytes()
}

fn of_moment(bytes: [u8; 8]) -> Timestamp {
    Timestamp::from_ticks(i64::from_be_bytes(bytes) ^ i64::MIN)
}

/// What proves that its bearer was the last to get or change a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PopReceipt {
    pub(crate) visible: Timestamp,
    pub(crate) nonce: u64,
}

/// A text is no pop receipt of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a pop receipt")]
pub struct NoPopReceipt;

impl fmt::Display for PopReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [moment(self.visible), self.nonce.to_be_bytes()].concat();
        f.write_str(&STANDARD.encode(bytes))
    }
}

impl FromStr for PopReceipt {
    type Err = NoPopReceipt;
    fn from_str(text: &str) -> Result<Self, NoPopReceipt> {
        // A client that does not encode the query has its plus signs read as they are, or as spaces.
        let bytes = STANDARD.decode(text.replace(' ', "+")).map_err(|_| NoPopReceipt)?;
        let (visible, nonce) = bytes.split_first_chunk::<8>().ok_or(NoPopReceipt)?;
        let nonce = nonce.try_into().map_err(|_| NoPopReceipt)?;
        Ok(Self { visible: of_moment(*visible), nonce: u64::from_be_bytes(nonce) })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_are_in_order_of_time(a in -1_000_000_000_i64..i64::MAX / 4, b in -1_000_000_000_i64..i64::MAX / 4, id in any::<u128>()) {
            let id = MessageId(Uuid::from_u128(id));
            let (a, b) = (Timestamp::from_ticks(a), Timestamp::from_ticks(b));
            let (key_a, key_b) = (time_key(a, id), time_key(b, id));
            prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
            prop_assert_eq!(split_time_key(&key_a), Some((a, id)));
            prop_assert_eq!(split_time_key(&id_key(id)), None);
            prop_assert!(is_id_key(&id_key(id)) && !is_id_key(&key_a));
        }

        #[test]
        fn receipts_round_trip(ticks in 0_i64..i64::MAX / 4, nonce in any::<u64>()) {
            let receipt = PopReceipt { visible: Timestamp::from_ticks(ticks), nonce };
            prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
        }
    }
}
