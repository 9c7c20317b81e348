//! Forwards: what a container that was renamed leaves under its old name.
//!
//! A forward is there from the moment of the rename. It is for whoever knows the container by its uid and an old
//! name: a write that began before the rename, a pending copy, and a note of the cleaner about a deletion that the
//! rename forestalled. When nobody can need it any more, the cleaner takes it away.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_store::{Row, ScanFrom, Version};

use super::rename::ARRIVAL;
use super::{ContainerRecord, Deletion};
use crate::cleaner::GRACE;
use crate::error::EngineError;
use crate::record::{self, Record};
use crate::space::{CONTAINERS, COPIES, GARBAGE};
use crate::{Storage, Uid};

/// What the key of a forward begins with; the container's uid follows.
const FORWARD: u8 = b'f';
/// How long a forward stays at least. A request that began before the rename ends within [`GRACE`].
pub(super) const KEPT: Duration = GRACE.saturating_mul(2);
/// Rows of the first scan of a name.
const SCAN_ROWS: usize = 100;

/// A container was renamed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Forward {
    /// The partition of the name that it got.
    pub to: Vec<u8>,
    /// The version of the arrival there. Another arrival of the same container is not meant.
    pub arrival: u64,
    /// When it was renamed.
    pub since: Timestamp,
}

impl Record for Forward {
    const NOUN: &'static str = "forward of a container";
    const VERSION: u8 = 1;
}

/// Where a container is that was once under a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Whereabouts {
    /// It is there, under this or another name.
    There,
    /// It was deleted, and can be restored.
    Deleted,
    /// It is gone for good.
    Gone,
}

/// The key of a container's forward.
pub(super) fn forward_key(container: Uid) -> Vec<u8> {
    [&[FORWARD], &container.as_bytes()[..]].concat()
}

/// The container that a forward is of.
fn forwarded(key: &[u8]) -> Option<Uid> {
    match Uid::split(key.strip_prefix(&[FORWARD])?)? {
        (uid, b"") => Some(uid),
        _ => None,
    }
}

/// Whether a row with this key is a forward.
pub(crate) fn is_forward(key: &[u8]) -> bool {
    forwarded(key).is_some()
}

/// Whether a forward can be read.
pub(crate) fn read_forward(row: &Row) -> Result<(), EngineError> {
    record::decode::<Forward>(&row.value).map(|_| ())
}

impl Storage {
    /// All rows of a name, of one moment.
    pub(super) async fn rows_of_name(&self, partition: &[u8]) -> Result<Vec<Row>, EngineError> {
        let mut rows_max = SCAN_ROWS;
        loop {
            let from = ScanFrom::Partition(partition.to_vec().into());
            let mut rows = self.store().scan(CONTAINERS, from, rows_max).await?;
            let is_whole = rows.len() < rows_max || rows.last().is_some_and(|row| row.partition != partition);
            rows.retain(|row| row.partition == partition);
            if is_whole {
                return Ok(rows);
            }
            rows_max *= 2;
        }
    }

    /// Where the container with the uid is, which was once under the name of this partition. Each step reads one
    /// name at one moment, and leads on as long as renames lead on; the container cannot slip through.
    pub(crate) async fn whereabouts(&self, partition: &[u8], uid: Uid) -> Result<Whereabouts, EngineError> {
        let (mut partition, mut arrival) = (partition.to_vec(), None);
        loop {
            let mut next: Option<Forward> = None;
            for row in self.rows_of_name(&partition).await? {
                let is_own = || record::decode::<ContainerRecord>(&row.value).map(|found| found.uid == uid);
                match &row.key[..] {
                    b"" if is_own()? => return Ok(Whereabouts::There),
                    ARRIVAL if arrival == Some(row.version) => return Ok(Whereabouts::There),
                    key if Deletion::of_key(key).is_some() && is_own()? => return Ok(Whereabouts::Deleted),
                    key if forwarded(key) == Some(uid) => next = Some(record::decode(&row.value)?),
                    _ => {}
                }
            }
            let Some(forward) = next else { return Ok(Whereabouts::Gone) };
            (partition, arrival) = (forward.to, Some(Version(forward.arrival)));
        }
    }

    /// The containers that were renamed from this name, as far as it is remembered.
    pub(crate) async fn renamed_from(&self, partition: &[u8]) -> Result<Vec<Uid>, EngineError> {
        Ok(self.rows_of_name(partition).await?.iter().filter_map(|row| forwarded(&row.key)).collect())
    }

    /// Whether a rename that is under way has happened: its forward is there.
    pub(super) async fn has_left(
        &self,
        from: &[u8],
        container: Uid,
        arrival: &Row,
    ) -> Result<bool, EngineError> {
        let row = self.store().get(CONTAINERS, from, &forward_key(container)).await?;
        let Some(row) = row else { return Ok(false) };
        let forward: Forward = record::decode(&row.value)?;
        Ok(forward.to == arrival.partition && Version(forward.arrival) == arrival.version)
    }

    /// For the cleaner: takes away forwards from this name that nobody needs; false when one must wait.
    pub(super) async fn remove_forwards(
        &self,
        partition: &[u8],
        now: Timestamp,
    ) -> Result<bool, EngineError> {
        let mut all = true;
        for row in self.rows_of_name(partition).await? {
            let Some(uid) = forwarded(&row.key) else { continue };
            let forward: Forward = record::decode(&row.value)?;
            if now.since(forward.since) < KEPT {
                // A later note is about it.
                continue;
            }
            // The forward is what says that the container has arrived.
            self.settle(&forward.to).await?;
            all &= !self.is_forward_needed(uid).await? && self.delete_row(CONTAINERS, &row).await?;
        }
        Ok(all)
    }

    /// Whether a note names the container by what may be an old name.
    async fn is_forward_needed(&self, container: Uid) -> Result<bool, EngineError> {
        if self.store().get(GARBAGE, container.as_bytes(), b"").await?.is_some() {
            return Ok(true);
        }
        Ok(!self.rows_under(COPIES, container, 1).await?.is_empty())
    }
}
