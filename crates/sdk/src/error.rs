//! What a storage call can end with.

/// Why a storage call did not succeed. No variant holds a key.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The connection string cannot be used.
    #[error("the storage connection string {0}")]
    ConnectionString(String),
    /// The service was not reached, or broke off.
    #[error("cannot reach storage at {address}: {reason}")]
    Unreachable {
        /// The endpoint.
        address: String,
        /// Why.
        reason: String,
    },
    /// The service refused.
    #[error("storage answered {status} {code}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The protocol's error code, such as `BlobNotFound`; empty when the answer had none.
        code: String,
        /// The service's words.
        message: String,
    },
    /// The answer is not what the protocol says.
    #[error("storage gave an answer that cannot be read: {0}")]
    Malformed(String),
    /// The request cannot be made.
    #[error("the request cannot be made: {0}")]
    Request(String),
}

impl StorageError {
    /// Whether the service said that the thing does not exist.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }

    /// Whether the service said that the thing exists already, or is in another state than asked.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused { status: 409, .. })
    }

    /// Whether the thing changed since it was read (its ETag did not match).
    #[must_use]
    pub fn is_changed(&self) -> bool {
        matches!(self, Self::Refused { status: 412, .. })
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Refused { status: 500..=599, .. })
    }
}

/// Turns "exists already" into success.
pub(crate) fn exists_is_fine(result: Result<(), StorageError>) -> Result<(), StorageError> {
    match result {
        Err(error) if error.is_conflict() => Ok(()),
        other => other,
    }
}
