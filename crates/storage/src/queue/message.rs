//! Messages: put, get, peek, update, delete.
//!
//! Getting is a commit on the messages' rows as they were read, so that a message is got by one consumer in each
//! of its visibility periods, whatever the number of consumers and processes.

use std::time::Duration;

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_store::{Commit, Moment, Row, ScanFrom};

use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::queue::QueueError;
use crate::queue::row::{
    MessageId, MessageRecord, PopReceipt, TextRecord, id_key, split_text, split_time_key, time_key,
    time_start,
};
use crate::record;
use crate::space::MESSAGES;
use crate::{Storage, Uid};

/// Expired messages that one get removes on its way.
const EXPIRED_PER_GET: usize = 100;
/// Rows that a get reads beyond those that it wants, for what expired.
const SPARE_ROWS: usize = 4;
/// While others get all that is visible, a get waits for what comes, for so long: a third of the shortest timeout that
/// clients have unless they are told another (30 seconds).
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The least by which two moments differ.
const TICK: Duration = Duration::from_nanos(100);

/// A message that is to be put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// A new id.
    pub id: MessageId,
    /// A number drawn for its pop receipt.
    pub nonce: u64,
    /// Its text.
    pub text: String,
    /// When it becomes visible.
    pub visible: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
}

/// A message as it was got, put or peeked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// Its id.
    pub id: MessageId,
    /// When it was put.
    pub inserted: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// When it is visible, again.
    pub visible: Timestamp,
    /// What proves that it was got.
    pub pop_receipt: PopReceipt,
    /// How often it was got.
    pub dequeue_count: u32,
    /// Its text.
    pub text: String,
}

impl Got {
    fn of(id: MessageId, visible: Timestamp, record: &MessageRecord, text: String) -> Self {
        let MessageRecord { inserted, expires, dequeue_count, nonce, .. } = *record;
        let pop_receipt = PopReceipt { visible, nonce };
        Self { id, inserted, expires, visible, pop_receipt, dequeue_count, text }
    }
}

/// A message as it lies at the head of its queue.
pub(super) struct Found {
    pub(super) row: Row,
    pub(super) id: MessageId,
    pub(super) visible: Timestamp,
    pub(super) record: MessageRecord,
}

/// A message and when it is visible.
type Placed = (MessageId, Timestamp, MessageRecord);

impl Storage {
    /// Puts a message.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn put_message(
        &self,
        account: Uid,
        queue: &str,
        new: NewMessage,
        now: Timestamp,
    ) -> Result<Got, QueueError> {
        let queue = self.queue(account, queue).await?.messages;
        let NewMessage { id, nonce, text, visible, expires } = new;
        let (short, long) = split_text(text.clone())?;
        let record = MessageRecord { inserted: now, expires, dequeue_count: 0, nonce, text: short };
        let commit = messages(queue).check_absent(id_key(id)).put(id_key(id), long);
        let commit = commit.put(time_key(visible, id), record::encode(&record)?);
        if !self.commit_placing(queue, visible, commit).await? {
            // Ids are random, and the caller's: one that is taken twice is its error.
            return Err(EngineError::Busy.into());
        }
        self.live_queues().came(queue, expires);
        Ok(Got::of(id, visible, &record, text))
    }

    /// Gets up to `messages_max` messages from the head of the queue, which become invisible for a while.
    /// `nonce` is drawn for their pop receipts. The clock is read anew at each try: when others get all that was
    /// visible, messages that were put meanwhile count, so that none is answered only when there was none.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn get_messages(
        &self,
        account: Uid,
        queue: &str,
        messages_max: usize,
        visibility_timeout: Duration,
        nonce: u64,
        clock: impl Fn() -> Timestamp,
    ) -> Result<Vec<Got>, QueueError> {
        let queue = self.queue(account, queue).await?.messages;
        // Who waits for others has lost nothing: only commits that were tried count.
        let mut tries = 0;
        let begun = clock();
        let mut now = begun;
        while tries < COMMIT_TRIES_MAX && now.since(begun) < WAIT_MAX {
            let released = self.live_queues().released(queue);
            let rows_max = messages_max + self.live_queues().claims(queue) + SPARE_ROWS;
            let (found, _) = self.head(queue, rows_max, now).await?;
            let full = found.len() == rows_max;
            let (expired, visible): (Vec<_>, Vec<_>) =
                found.into_iter().partition(|f| f.record.expires <= now);
            let nothing = expired.is_empty() && visible.is_empty();
            let claim = self.live_queues().claim(queue, visible.iter().map(|f| &f.row.key), messages_max);
            let wanted = visible.into_iter().filter(|f| claim.has(&f.row.key)).collect::<Vec<_>>();
            let gone = expired.len().min(EXPIRED_PER_GET);
            if wanted.is_empty() && expired.is_empty() {
                if nothing {
                    return Ok(Vec::new());
                }
                // All are others' that get them right now: there is more to see when one is done.
                released.await;
                now = clock();
                continue;
            }
            tries += 1;
            let visible = now.plus(visibility_timeout);
            let (commit, moved) = moved(queue, wanted, &expired[..gone], visible, nonce)?;
            if self.commit_placing(queue, visible, commit).await? {
                expired.iter().take(gone).for_each(|f| self.live_queues().expired(queue, f.record.expires));
                if !moved.is_empty() || !full {
                    return self.with_texts(&self.store().moment(), queue, moved).await;
                }
            }
            now = clock();
        }
        Err(EngineError::Busy.into())
    }

    /// Reads up to `messages_max` messages from the head of the queue, and leaves them as they are.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn peek_messages(
        &self,
        account: Uid,
        queue: &str,
        messages_max: usize,
        now: Timestamp,
    ) -> Result<Vec<Got>, QueueError> {
        let queue = self.queue(account, queue).await?.messages;
        let (found, moment) = self.head(queue, messages_max + EXPIRED_PER_GET, now).await?;
        let alive = found.into_iter().filter(|f| f.record.expires > now).take(messages_max);
        self.with_texts(&moment, queue, alive.map(|f| (f.id, f.visible, f.record)).collect()).await
    }

    /// Makes a message that was got invisible until `visible`, with another text if there is one.
    ///
    /// # Errors
    /// When the message is gone, or the pop receipt is not its own any more.
    pub async fn update_message(
        &self,
        account: Uid,
        queue: &str,
        (id, receipt): (MessageId, PopReceipt),
        (visible, text): (Timestamp, Option<String>),
        nonce: u64,
        now: Timestamp,
    ) -> Result<PopReceipt, QueueError> {
        let queue = self.queue(account, queue).await?.messages;
        let Found { row, mut record, .. } = self.receipted(queue, id, receipt, now).await?;
        record.nonce = nonce;
        let visible = apart(visible, receipt.visible);
        let mut commit = messages(queue).check_version(row.key.clone(), row.version).delete(row.key);
        if let Some(text) = text {
            let (short, long) = split_text(text)?;
            record.text = short;
            commit = commit.put(id_key(id), long);
        }
        let commit = commit.put(time_key(visible, id), record::encode(&record)?);
        match self.commit_placing(queue, visible, commit).await? {
            true => Ok(PopReceipt { visible, nonce }),
            false => Err(self.missing(queue, id).await?),
        }
    }

    /// Deletes a message that was got.
    ///
    /// # Errors
    /// When the message is gone, or the pop receipt is not its own any more.
    pub async fn delete_message(
        &self,
        account: Uid,
        queue: &str,
        (id, receipt): (MessageId, PopReceipt),
        now: Timestamp,
    ) -> Result<(), QueueError> {
        let queue = self.queue(account, queue).await?.messages;
        let found = self.receipted(queue, id, receipt, now).await?;
        match try_commit(self.store(), remove(messages(queue), &found)).await? {
            Some(_) => {
                self.live_queues().went(queue);
                Ok(())
            }
            None => Err(self.missing(queue, id).await?),
        }
    }

    /// Commits rows that place messages at `visible`; false when a check did not hold.
    async fn commit_placing(
        &self,
        queue: Uid,
        visible: Timestamp,
        commit: Commit,
    ) -> Result<bool, QueueError> {
        let placing = self.live_queues().place(queue, visible);
        let store = self.store().clone();
        // A task of its own: when the client goes away the commit may still happen, and is placing until then.
        let task = tokio::spawn(async move {
            let committed = try_commit(&store, commit).await;
            drop(placing);
            committed
        });
        match task.await {
            Ok(committed) => Ok(committed?.is_some()),
            Err(_) => Err(EngineError::Busy.into()),
        }
    }

    /// Up to `rows_max` messages that are visible, those first that became so first; and the moment of which they are.
    async fn head(
        &self,
        queue: Uid,
        rows_max: usize,
        now: Timestamp,
    ) -> Result<(Vec<Found>, Moment), QueueError> {
        let scan = self.live_queues().scan(queue);
        // Not before: where the scan begins is what holds from now on.
        let moment = self.store().moment();
        let place = |moment| ScanFrom::Row(partition(queue), time_start(moment));
        // No further: where a consumer's messages come back, most were deleted.
        let later = now.plus(TICK);
        let rows =
            self.store().scan_at(&moment, MESSAGES, place(scan.from).until(place(later)), rows_max).await?;
        let first = rows.first().and_then(|row| split_time_key(&row.key));
        scan.end(first.map_or(later, |(visible, _)| visible));
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let Some((visible, id)) = split_time_key(&row.key) else { break };
            let record = record::decode(&row.value)?;
            found.push(Found { row, id, visible, record });
        }
        Ok((found, moment))
    }

    /// Messages with their texts of that moment; one that was cleared meanwhile is left out.
    async fn with_texts(
        &self,
        moment: &Moment,
        queue: Uid,
        found: Vec<Placed>,
    ) -> Result<Vec<Got>, QueueError> {
        let mut got = Vec::with_capacity(found.len());
        for (id, visible, mut record) in found {
            let text = match record.text.take() {
                Some(text) => Some(text),
                None => {
                    let row = self.store().get_at(moment, MESSAGES, queue.as_bytes(), &id_key(id)).await?;
                    row.map(|row| record::decode::<TextRecord>(&row.value)).transpose()?.map(|text| text.0)
                }
            };
            got.extend(text.map(|text| Got::of(id, visible, &record, text)));
        }
        Ok(got)
    }

    /// The message, if the receipt is its own.
    async fn receipted(
        &self,
        queue: Uid,
        id: MessageId,
        receipt: PopReceipt,
        now: Timestamp,
    ) -> Result<Found, QueueError> {
        let row = self.store().get(MESSAGES, queue.as_bytes(), &time_key(receipt.visible, id)).await?;
        let Some(row) = row else { return Err(self.missing(queue, id).await?) };
        let record: MessageRecord = record::decode(&row.value)?;
        if record.nonce != receipt.nonce {
            return Err(QueueError::PopReceiptMismatch);
        }
        if record.expires <= now {
            return Err(QueueError::MessageNotFound);
        }
        Ok(Found { row, id, visible: receipt.visible, record })
    }

    /// Why a message is not where a receipt says.
    async fn missing(&self, queue: Uid, id: MessageId) -> Result<QueueError, QueueError> {
        let row = self.store().get(MESSAGES, queue.as_bytes(), &id_key(id)).await?;
        Ok(if row.is_some() { QueueError::PopReceiptMismatch } else { QueueError::MessageNotFound })
    }
}

pub(super) fn partition(queue: Uid) -> Bytes {
    Bytes::copy_from_slice(queue.as_bytes())
}

pub(super) fn messages(queue: Uid) -> Commit {
    Commit::new(MESSAGES, partition(queue))
}

/// Moments that are never the same, so that a key is not written twice in one commit.
fn apart(visible: Timestamp, before: Timestamp) -> Timestamp {
    if visible == before { visible.plus(TICK) } else { visible }
}

/// Removes a message's two rows.
pub(super) fn remove(commit: Commit, found: &Found) -> Commit {
    let key = found.row.key.clone();
    commit.check_version(key.clone(), found.row.version).delete(key).delete(id_key(found.id))
}

/// The commit that makes messages invisible until `visible` and removes those that expired, and the messages as they
/// are then.
fn moved(
    queue: Uid,
    wanted: Vec<Found>,
    expired: &[Found],
    visible: Timestamp,
    nonce: u64,
) -> Result<(Commit, Vec<Placed>), EngineError> {
    let mut commit = expired.iter().fold(messages(queue), remove);
    let mut moved = Vec::with_capacity(wanted.len());
    for Found { row, id, visible: before, mut record } in wanted {
        let visible = apart(visible, before);
        record.dequeue_count = record.dequeue_count.saturating_add(1);
        record.nonce = nonce;
        commit = commit.check_version(row.key.clone(), row.version).delete(row.key);
        commit = commit.put(time_key(visible, id), record::encode(&record)?);
        moved.push((id, visible, record));
    }
    Ok((commit, moved))
}
