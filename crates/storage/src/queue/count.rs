//! How many messages a queue has.

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_store::ScanFrom;

use super::message::{Found, messages, partition, remove};
use super::row::{split_time_key, time_start};
use super::{QueueError, QueueRecord};
use crate::error::try_commit;
use crate::record;
use crate::space::MESSAGES;
use crate::{Storage, Uid};

/// Rows of one scan that counts.
const COUNT_SCAN_ROWS: usize = 5000;
/// Counting stops here: the count is approximate, and a request's work is bounded.
const COUNT_MAX: u64 = 1_000_000;
/// Expired messages that one count removes.
const EXPIRED_PER_COUNT: usize = 500;

/// What one count finds.
struct Counted {
    alive: u64,
    /// When the first of those expires.
    expires: Timestamp,
    expired: Vec<Found>,
}

impl Storage {
    /// How many messages the queue has, visible or not, about. Those that expired are not counted, and some of them
    /// removed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn approximate_messages_count(
        &self,
        queue: &QueueRecord,
        now: Timestamp,
    ) -> Result<u64, QueueError> {
        let queue = queue.messages;
        if let Some(count) = self.live_queues().count(queue, now) {
            return Ok(count);
        }
        let counted = self.count(queue, now).await?;
        self.live_queues().counted(queue, counted.alive, counted.expires, now);
        if !counted.expired.is_empty() {
            // Those that someone else changes right now are left to the next.
            let commit = counted.expired.iter().fold(messages(queue), remove);
            try_commit(self.store(), commit).await?;
        }
        Ok(counted.alive)
    }

    async fn count(&self, queue: Uid, now: Timestamp) -> Result<Counted, QueueError> {
        let mut counted = Counted { alive: 0, expires: Timestamp::MAX, expired: Vec::new() };
        let mut from = ScanFrom::Row(partition(queue), time_start(self.live_queues().scan(queue).from));
        while counted.alive < COUNT_MAX {
            let range = from.until(ScanFrom::AfterPartition(partition(queue)));
            let rows = self.store().scan(MESSAGES, range, COUNT_SCAN_ROWS).await?;
            let full = rows.len() == COUNT_SCAN_ROWS;
            let mut last: Option<(Bytes, Bytes)> = None;
            for row in rows {
                last = Some((row.partition.clone(), row.key.clone()));
                let Some((visible, id)) = split_time_key(&row.key) else { continue };
                let record: super::row::MessageRecord = record::decode(&row.value)?;
                if record.expires > now {
                    counted.alive += 1;
                    counted.expires = counted.expires.min(record.expires);
                } else if counted.expired.len() < EXPIRED_PER_COUNT {
                    counted.expired.push(Found { row, id, visible, record });
                }
            }
            match last {
                Some((partition, key)) if full => from = ScanFrom::AfterRow(partition, key),
                _ => break,
            }
        }
        Ok(counted)
    }
}
