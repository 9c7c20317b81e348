//! Conditional atomic commits.

use bytes::Bytes;

use crate::error::StoreError;
use crate::row::{Space, Version};

/// A condition on a row of the commit's partition, evaluated atomically with the writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// No such row.
    Absent(Bytes),
    /// The row has exactly this version.
    Version(Bytes, Version),
    /// The row exists, at any version.
    Present(Bytes),
}

/// A change of a row of the commit's partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// The row has this value afterwards.
    Put(Bytes, Bytes),
    /// There is no such row afterwards; deleting what does not exist is no error.
    Delete(Bytes),
}

/// Checks and writes of one partition: all of it happens, or none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The space.
    pub space: Space,
    /// The partition.
    pub partition: Bytes,
    /// All must hold.
    pub checks: Vec<Check>,
    /// Applied together. Writing one key twice is a programmer's error.
    pub writes: Vec<Write>,
}

impl Commit {
    /// A commit with nothing in it yet.
    #[must_use]
    pub fn new(space: Space, partition: impl Into<Bytes>) -> Self {
        Self { space, partition: partition.into(), checks: Vec::new(), writes: Vec::new() }
    }

    /// The row must not exist.
    #[must_use]
    pub fn check_absent(mut self, key: impl Into<Bytes>) -> Self {
        self.checks.push(Check::Absent(key.into()));
        self
    }

    /// The row must have this version.
    #[must_use]
    pub fn check_version(mut self, key: impl Into<Bytes>, version: Version) -> Self {
        self.checks.push(Check::Version(key.into(), version));
        self
    }

    /// The row must be as it was read: absent, or at that version.
    #[must_use]
    pub fn check_unchanged(self, key: impl Into<Bytes>, read: Option<Version>) -> Self {
        match read {
            Some(version) => self.check_version(key, version),
            None => self.check_absent(key),
        }
    }

    /// The row must exist.
    #[must_use]
    pub fn check_present(mut self, key: impl Into<Bytes>) -> Self {
        self.checks.push(Check::Present(key.into()));
        self
    }

    /// Writes a row.
    #[must_use]
    pub fn put(mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Put(key.into(), value.into()));
        self
    }

    /// Removes a row.
    #[must_use]
    pub fn delete(mut self, key: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Delete(key.into()));
        self
    }
}

/// Why a commit did not happen.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A check did not hold; nothing was written. Read again and decide anew.
    #[error("the check on row {check} of the commit did not hold")]
    Conflict {
        /// Index into [`Commit::checks`].
        check: usize,
    },
    /// The store failed. Whether the commit happened is unknown, unless the error says otherwise.
    #[error(transparent)]
    Store(#[from] StoreError),
}
