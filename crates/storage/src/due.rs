//! Notes of moments at which something ceases to exist, so that the cleaner need not look at all that exists.
//!
//! A note is made before the change that it is about. Where that change did not happen, or was taken back, the
//! cleaner finds nothing to do. Nobody sees what is due, whether or not the cleaner has come to it.

use welkin_base::Timestamp;
use welkin_store::{Commit, ScanFrom};

use crate::Storage;
use crate::error::{EngineError, try_commit};
use crate::space::DUE;

/// Notes looked at in one pass.
const NOTES_PER_PASS: usize = 200;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// A blob.
    Blob,
    /// A container.
    Container,
}

impl Due {
    fn byte(self) -> u8 {
        match self {
            Self::Blob => b'b',
            Self::Container => b'c',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Blob, Self::Container].into_iter().find(|due| due.byte() == byte)
    }
}

/// A moment as a partition, in the order of moments.
fn partition_of(at: Timestamp) -> [u8; 8] {
    (at.ticks() ^ i64::MIN).to_be_bytes()
}

impl Storage {
    /// Notes that something in this partition ceases to exist at a moment.
    pub(crate) async fn note_due(
        &self,
        due: Due,
        partition: &[u8],
        at: Timestamp,
    ) -> Result<(), EngineError> {
        let key = [&[due.byte()], partition].concat();
        let commit = Commit::new(DUE, partition_of(at).to_vec()).put(key, &b""[..]);
        try_commit(self.store(), commit).await.map(|_| ())
    }

    /// Removes what was due; true when there may be more.
    pub(crate) async fn clean_due(&self, now: Timestamp) -> Result<bool, EngineError> {
        let rows = self.store().scan(DUE, ScanFrom::Start, NOTES_PER_PASS).await?;
        let due_until = partition_of(now);
        let mut done = 0;
        for row in rows.iter().take_while(|row| row.partition[..] <= due_until[..]) {
            let removed = match row.key.split_first().and_then(|(kind, rest)| Some((Due::of(*kind)?, rest))) {
                Some((Due::Blob, partition)) => self.remove_due_of_blob(partition, now).await?,
                Some((Due::Container, partition)) => self.remove_due_containers(partition, now).await?,
                None => true,
            };
            if removed {
                self.delete_row(DUE, row).await?;
                done += 1;
            }
        }
        Ok(done > 0)
    }
}
