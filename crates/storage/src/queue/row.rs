//! How messages lie in the store. A message has two rows in the partition of its queue's uid:
//!
//! ```text
//! v, when it is visible (8 bytes), id (16 bytes)    the message, with its text where that is short
//! i, id (16 bytes)                                  its text where that is long, or nothing
//! ```
//!
//! Moments are ticks, big-endian, with the sign flipped, so that the order of bytes is that of time: the head of
//! the queue is the first row, and what is invisible lies behind all that is visible. A message that is got moves
//! to the moment when it will be visible again, and a long text stays where it is. The second row tells a message that
//! was got by someone else from one that is gone.
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

use crate::error::EngineError;
use crate::record::{self, Record};

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

/// A text of at most this many bytes lies with its message, which is written anew whenever it moves.
const SHORT_TEXT_BYTES_MAX: usize = 1024;

/// A message's value in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRecord {
    pub(crate) inserted: Timestamp,
    pub(crate) expires: Timestamp,
    pub(crate) dequeue_count: u32,
    pub(crate) nonce: u64,
    /// The text; `None` when it lies in the row by id.
    pub(crate) text: Option<String>,
}

impl Record for MessageRecord {
    const NOUN: &'static str = "message";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, fields: &[u8]) -> Option<Result<Self, postcard::Error>> {
        (version == 1).then(|| postcard::from_bytes::<MessageV1>(fields).map(Into::into))
    }
}

/// The first shape: the text always lies with the message.
#[derive(Serialize, Deserialize)]
struct MessageV1 {
    inserted: Timestamp,
    expires: Timestamp,
    dequeue_count: u32,
    nonce: u64,
    text: String,
}

impl From<MessageV1> for MessageRecord {
    fn from(old: MessageV1) -> Self {
        let MessageV1 { inserted, expires, dequeue_count, nonce, text } = old;
        Self { inserted, expires, dequeue_count, nonce, text: Some(text) }
    }
}

/// A long text, in the row by id. Rows of the first shape hold something else there, and are not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TextRecord(pub(crate) String);

impl Record for TextRecord {
    const NOUN: &'static str = "text of a message";
    const VERSION: u8 = 1;
}

/// Where a text goes: into the message, or as the value of the row by id.
pub(crate) fn split_text(text: String) -> Result<(Option<String>, Bytes), EngineError> {
    match text.len() <= SHORT_TEXT_BYTES_MAX {
        true => Ok((Some(text), Bytes::new())),
        false => Ok((None, record::encode(&TextRecord(text))?)),
    }
}

/// The first byte of the keys of messages by time.
const BY_TIME: u8 = b'v';
/// The first byte of the keys of messages by id. Sorts before the others.
const BY_ID: u8 = b'i';

/// Where the rows of that moment and later ones begin.
pub(crate) fn time_start(from: Timestamp) -> Bytes {
    [&[BY_TIME][..], &moment(from)].concat().into()
}

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

/// A moment as eight bytes in the order of time.
fn moment(moment: Timestamp) -> [u8; 8] {
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

impl PopReceipt {
    /// When the message is visible again.
    #[must_use]
    pub fn visible(self) -> Timestamp {
        self.visible
    }
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

    #[test]
    fn old_shapes_are_read() {
        let at = Timestamp::from_ticks(7);
        let old = MessageV1 { inserted: at, expires: at, dequeue_count: 1, nonce: 2, text: "x".into() };
        let bytes = postcard::to_extend(&old, vec![1]).unwrap();
        assert_eq!(record::decode::<MessageRecord>(&bytes).unwrap(), old.into());
    }

    #[test]
    fn long_texts_lie_apart() {
        for (length_bytes, with_message) in [(0, true), (1024, true), (1025, false)] {
            let (short, long) = split_text("x".repeat(length_bytes)).unwrap();
            assert_eq!((short.is_some(), long.is_empty()), (with_message, with_message), "{length_bytes}");
        }
    }

    proptest! {
        #[test]
        fn keys_are_in_order_of_time(a in -1_000_000_000_i64..i64::MAX / 4, b in -1_000_000_000_i64..i64::MAX / 4, id in any::<u128>()) {
            let id = MessageId(Uuid::from_u128(id));
            let (a, b) = (Timestamp::from_ticks(a), Timestamp::from_ticks(b));
            let (key_a, key_b) = (time_key(a, id), time_key(b, id));
            prop_assert_eq!(key_a.cmp(&key_b), a.cmp(&b));
            prop_assert_eq!(split_time_key(&key_a), Some((a, id)));
            prop_assert_eq!(split_time_key(&id_key(id)), None);
            prop_assert!(id_key(id) < time_start(Timestamp::MIN) && time_start(a) <= key_a);
        }

        #[test]
        fn receipts_round_trip(ticks in 0_i64..i64::MAX / 4, nonce in any::<u64>()) {
            let receipt = PopReceipt { visible: Timestamp::from_ticks(ticks), nonce };
            prop_assert_eq!(receipt.to_string().parse(), Ok(receipt));
        }
    }
}
