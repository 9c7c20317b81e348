//! Leases of blobs and containers (STORAGE, section 5).

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;

/// A lease's id: a GUID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseId(pub [u8; 16]);

/// A lease as it lies in the store. What it is at a moment depends on the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Who holds it, or held it last.
    pub id: LeaseId,
    /// For how long it was taken; `None` without end.
    pub duration_seconds: Option<u32>,
    /// What became of it.
    pub phase: Phase,
}

/// What became of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Held until then, or without end; expired afterwards.
    Held(Option<Timestamp>),
    /// Being broken: held until then, and broken afterwards.
    Breaking(Timestamp),
    /// Broken.
    Broken,
}
