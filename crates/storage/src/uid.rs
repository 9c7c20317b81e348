//! The id that each account, container, table and queue gets when it is made, and never again.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Sixteen random bytes; the prefix of all keys that lie under the thing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Uid([u8; 16]);

impl Uid {
    /// Length in a key.
    pub const LENGTH_BYTES: usize = 16;

    /// A uid of bytes that no one used before: random ones.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The key of `name` under this uid.
    #[must_use]
    pub fn key(&self, name: &[u8]) -> Vec<u8> {
        [&self.0[..], name].concat()
    }

    /// The uid and the name that a key holds.
    #[must_use]
    pub fn split(key: &[u8]) -> Option<(Self, &[u8])> {
        let (uid, name) = key.split_first_chunk::<16>()?;
        Some((Self(*uid), name))
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&uuid::Uuid::from_bytes(self.0), f)
    }
}
