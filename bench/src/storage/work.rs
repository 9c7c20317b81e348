//! The works that are measured.

use std::fmt;

use welkin_storage_wire::Service;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// A small blob.
pub const SMALL_BYTES: usize = 4 * KIB;
/// A large blob.
pub const LARGE_BYTES: usize = 4 * MIB;
/// An entity, and a message, of about this size.
pub const ROW_BYTES: usize = KIB;
/// Blobs in the container that is listed: as many as one answer may hold.
pub const LISTED: usize = 5_000;
/// Entities in one answer: as many as one answer may hold.
pub const QUERIED: usize = 1_000;
/// At how many connections each work is measured.
pub const CONNECTIONS: [usize; 3] = [1, 16, 64];

/// What a worker does again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// Put Blob of so many bytes.
    PutBlob(usize),
    /// Get Blob of so many bytes.
    GetBlob(usize),
    /// List Blobs, all in one answer.
    ListBlobs,
    /// Insert Entity.
    InsertEntity,
    /// Query Entities by both keys.
    GetEntity,
    /// Query Entities: a range of row keys of one partition, all in one answer.
    QueryEntities,
    /// Put Message.
    PutMessage,
    /// Put Message, Get Messages (one), Delete Message. The queue stays as short as on any other server.
    PassMessage,
}

impl Work {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 10] = [
        Self::PutBlob(SMALL_BYTES),
        Self::PutBlob(LARGE_BYTES),
        Self::GetBlob(SMALL_BYTES),
        Self::GetBlob(LARGE_BYTES),
        Self::ListBlobs,
        Self::InsertEntity,
        Self::GetEntity,
        Self::QueryEntities,
        Self::PutMessage,
        Self::PassMessage,
    ];

    /// The service that does it.
    pub fn service(self) -> Service {
        match self {
            Self::PutBlob(_) | Self::GetBlob(_) | Self::ListBlobs => Service::Blob,
            Self::InsertEntity | Self::GetEntity | Self::QueryEntities => Service::Table,
            Self::PutMessage | Self::PassMessage => Service::Queue,
        }
    }

    /// Whether one answer holds many items.
    pub fn reads_many(self) -> bool {
        matches!(self, Self::ListBlobs | Self::QueryEntities)
    }

    /// The bytes that one operation makes durable, when that is what it does.
    pub fn durable_bytes(self) -> Option<usize> {
        match self {
            Self::PutBlob(bytes) => Some(bytes),
            Self::InsertEntity | Self::PutMessage => Some(ROW_BYTES),
            _ => None,
        }
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PutBlob(LARGE_BYTES) => f.write_str("Put Blob 4 MiB"),
            Self::PutBlob(bytes) => write!(f, "Put Blob {} KiB", bytes / KIB),
            Self::GetBlob(LARGE_BYTES) => f.write_str("Get Blob 4 MiB"),
            Self::GetBlob(bytes) => write!(f, "Get Blob {} KiB", bytes / KIB),
            Self::ListBlobs => write!(f, "List {LISTED} blobs"),
            Self::InsertEntity => f.write_str("Insert Entity 1 KiB"),
            Self::GetEntity => f.write_str("Query Entity by both keys"),
            Self::QueryEntities => write!(f, "Query a range of {QUERIED} entities"),
            Self::PutMessage => f.write_str("Put Message 1 KiB"),
            Self::PassMessage => f.write_str("Put, Get and Delete Message"),
        }
    }
}
