//! Stored access policies of containers, queues and tables.

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;

/// A stored access policy, which shared access signatures lean on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPolicy {
    /// Its name in the container, queue or table.
    pub id: String,
    /// Not valid before.
    pub start: Option<Timestamp>,
    /// Not valid from here on.
    pub expiry: Option<Timestamp>,
    /// Permission letters.
    pub permissions: Option<String>,
}
