//! Queues: create, delete, list, metadata. Messages lie under a uid of the queue's own, so that deleting and
//! clearing are immediate.
//!
//! * [`message`]: put, get, peek, update, delete.
//! * [`count`]: how many there are.
//! * [`row`]: how messages lie in the store.
//! * [`live`]: what one process knows of queues beside the store: hints, never the truth.

pub mod count;
pub mod live;
pub mod message;
pub mod row;

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;
use welkin_store::{Commit, Row, ScanFrom, StoreError};

use crate::cleaner::Garbage;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record::{self, Record};
use crate::space::QUEUES;
use crate::{Storage, Uid};
use welkin_storage_wire::sas::StoredAccessPolicy;

pub use message::{Got, NewMessage};
pub use row::{MessageId, PopReceipt};

/// Why something cannot be done with a queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    /// There is no such queue.
    #[error("there is no such queue")]
    QueueNotFound,
    /// The name is taken, by a queue with other metadata.
    #[error("the queue exists already")]
    QueueAlreadyExists,
    /// There is no such message.
    #[error("there is no such message")]
    MessageNotFound,
    /// The message was got or changed since that pop receipt.
    #[error("the pop receipt is not the message's")]
    PopReceiptMismatch,
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<StoreError> for QueueError {
    fn from(error: StoreError) -> Self {
        Self::Engine(error.into())
    }
}

/// Names and values, in the order given.
pub type Metadata = Vec<(String, String)>;

/// A queue as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueRecord {
    /// What the keys of its messages begin with.
    pub messages: Uid,
    /// When it was made.
    pub created: Timestamp,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its stored access policies.
    pub policies: Vec<StoredAccessPolicy>,
}

impl Record for QueueRecord {
    const NOUN: &'static str = "queue";
    const VERSION: u8 = 2;

    fn upgrade(version: u8, fields: &[u8]) -> Option<Result<Self, postcard::Error>> {
        (version == 1).then(|| postcard::from_bytes::<QueueV1>(fields).map(Into::into))
    }
}

/// The first shape: without policies.
#[derive(Serialize, Deserialize)]
struct QueueV1 {
    messages: Uid,
    created: Timestamp,
    metadata: Metadata,
}

impl From<QueueV1> for QueueRecord {
    fn from(old: QueueV1) -> Self {
        let QueueV1 { messages, created, metadata } = old;
        Self { messages, created, metadata, policies: Vec::new() }
    }
}

/// Whether a queue was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was.
    New,
    /// It was there, with the same metadata.
    Same,
}

/// A page of the list of queues.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueuePage {
    /// Names and what is stored.
    pub queues: Vec<(String, QueueRecord)>,
    /// Where the list goes on.
    pub next: Option<String>,
}

impl Storage {
    /// Makes a queue. `messages` is a new uid.
    ///
    /// # Errors
    /// When the name is taken by a queue with other metadata.
    pub async fn create_queue(
        &self,
        account: Uid,
        name: &str,
        messages: Uid,
        metadata: Metadata,
        now: Timestamp,
    ) -> Result<Created, QueueError> {
        let record = QueueRecord { messages, created: now, metadata, policies: Vec::new() };
        for _ in 0..COMMIT_TRIES_MAX {
            let commit = Commit::new(QUEUES, account.key(name.as_bytes())).check_absent(&b""[..]);
            if try_commit(self.store(), commit.put(&b""[..], record::encode(&record)?)).await?.is_some() {
                return Ok(Created::New);
            }
            match self.queue(account, name).await {
                Ok(found) if same(&found.metadata, &record.metadata) => return Ok(Created::Same),
                Ok(_) => return Err(QueueError::QueueAlreadyExists),
                Err(QueueError::QueueNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Err(EngineError::Busy.into())
    }

    /// The queue of that name.
    ///
    /// # Errors
    /// When there is none.
    pub async fn queue(&self, account: Uid, name: &str) -> Result<QueueRecord, QueueError> {
        self.queue_row(account, name).await.map(|(queue, _)| queue)
    }

    /// Replaces the queue's metadata.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn set_queue_metadata(
        &self,
        account: Uid,
        name: &str,
        metadata: &Metadata,
    ) -> Result<(), QueueError> {
        self.change_queue(account, name, |queue| queue.metadata.clone_from(metadata)).await
    }

    /// The queue's stored access policies.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn queue_policies(
        &self,
        account: Uid,
        name: &str,
    ) -> Result<Vec<StoredAccessPolicy>, QueueError> {
        Ok(self.queue(account, name).await?.policies)
    }

    /// Replaces the queue's stored access policies.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn set_queue_policies(
        &self,
        account: Uid,
        name: &str,
        policies: &[StoredAccessPolicy],
    ) -> Result<(), QueueError> {
        self.change_queue(account, name, |queue| queue.policies = policies.to_vec()).await
    }

    async fn change_queue(
        &self,
        account: Uid,
        name: &str,
        change: impl Fn(&mut QueueRecord),
    ) -> Result<(), QueueError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let (mut queue, row) = self.queue_row(account, name).await?;
            change(&mut queue);
            if self.replace_queue(&row, &queue).await? {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Deletes the queue. Its messages are out of reach at once, and removed by the cleaner.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn delete_queue(&self, account: Uid, name: &str, now: Timestamp) -> Result<(), QueueError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let (queue, row) = self.queue_row(account, name).await?;
            self.add_garbage(queue.messages, Garbage::queue(row.partition.to_vec(), now)).await?;
            if self.delete_row(QUEUES, &row).await? {
                self.live_queues().forget(queue.messages);
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Removes all messages, by giving the queue a new place for them: `messages` is a new uid.
    ///
    /// # Errors
    /// When there is no such queue.
    pub async fn clear_messages(
        &self,
        account: Uid,
        name: &str,
        messages: Uid,
        now: Timestamp,
    ) -> Result<(), QueueError> {
        for _ in 0..COMMIT_TRIES_MAX {
            let (mut queue, row) = self.queue_row(account, name).await?;
            let old = std::mem::replace(&mut queue.messages, messages);
            self.add_garbage(old, Garbage::queue(row.partition.to_vec(), now)).await?;
            if self.replace_queue(&row, &queue).await? {
                self.live_queues().forget(old);
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Up to `queues_max` queues whose names begin with `prefix`, from `marker` on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_queues(
        &self,
        account: Uid,
        prefix: &str,
        marker: &str,
        queues_max: usize,
    ) -> Result<QueuePage, QueueError> {
        let from = ScanFrom::Partition(account.key(marker.max(prefix).as_bytes()).into());
        let within = account.key(prefix.as_bytes());
        let rows = self.store().scan(QUEUES, from, queues_max + 1).await?;
        let mut page = QueuePage::default();
        for row in rows.iter().take_while(|row| row.partition.starts_with(&within)) {
            let name = Uid::split(&row.partition).map(|(_, name)| String::from_utf8_lossy(name).into_owned());
            let name = name.unwrap_or_default();
            if page.queues.len() == queues_max {
                page.next = Some(name);
                break;
            }
            page.queues.push((name, record::decode(&row.value)?));
        }
        Ok(page)
    }

    async fn queue_row(&self, account: Uid, name: &str) -> Result<(QueueRecord, Row), QueueError> {
        let row = self.store().get(QUEUES, &account.key(name.as_bytes()), b"").await?;
        let row = row.ok_or(QueueError::QueueNotFound)?;
        Ok((record::decode(&row.value)?, row))
    }

    async fn replace_queue(&self, row: &Row, queue: &QueueRecord) -> Result<bool, QueueError> {
        let commit = Commit::new(QUEUES, row.partition.clone()).check_version(row.key.clone(), row.version);
        Ok(try_commit(self.store(), commit.put(row.key.clone(), record::encode(queue)?)).await?.is_some())
    }
}

/// Whether two metadata say the same, in whatever order.
fn same(a: &Metadata, b: &Metadata) -> bool {
    let sorted = |metadata: &Metadata| {
        let mut pairs: Vec<_> = metadata.iter().map(|(n, v)| (n.to_ascii_lowercase(), v.clone())).collect();
        pairs.sort();
        pairs
    };
    sorted(a) == sorted(b)
}

#[cfg(test)]
mod tests;
