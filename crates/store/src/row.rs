//! Rows and where they live.

use bytes::Bytes;

/// An ordered set of rows, such as all containers or all blobs.
///
/// The number is what is stored, so it never changes; the name is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space {
    /// Stored in front of every key of the space. Unique in one store.
    pub id: u16,
    /// For logs and errors.
    pub name: &'static str,
}

impl Space {
    /// A space with a stored number and a name for people.
    #[must_use]
    pub const fn new(id: u16, name: &'static str) -> Self {
        Self { id, name }
    }
}

/// The version of a row: the sequence number of the commit that wrote it. Never reused, and
/// higher for each later commit in the same store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

/// A row as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its partition.
    pub partition: Bytes,
    /// Its key within the partition.
    pub key: Bytes,
    /// Its value.
    pub value: Bytes,
    /// Its version, to be checked in a commit.
    pub version: Version,
}

/// A place between rows, where a scan begins or ends. Scans go up in byte order of (partition, key).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ScanFrom {
    /// The first row of the space.
    Start,
    /// The first row of this partition, or of the next one after it.
    Partition(Bytes),
    /// This row, or the next after it.
    Row(Bytes, Bytes),
    /// The next row after this one: continuation.
    AfterRow(Bytes, Bytes),
    /// The first row of the next partition after this one.
    AfterPartition(Bytes),
}

impl ScanFrom {
    /// The rows from here on, but none that a scan from `until` would give.
    ///
    /// A scan that need not go further should say so: looking for more, it would pass over all that was deleted
    /// behind its last row.
    #[must_use]
    pub fn until(self, until: Self) -> ScanRange {
        ScanRange { from: self, until: Some(until) }
    }
}

/// What a scan may give: rows from one place on, up to another or to the end of the space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRange {
    /// Where it begins.
    pub from: ScanFrom,
    /// Where it ends.
    pub until: Option<ScanFrom>,
}

impl From<ScanFrom> for ScanRange {
    fn from(from: ScanFrom) -> Self {
        Self { from, until: None }
    }
}
