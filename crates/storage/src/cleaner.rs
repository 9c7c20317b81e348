//! Removes what lies under deleted accounts, containers, tables and queues, in the background, a bounded number of rows
//! at a time.
//!
//! A deletion first notes the uid as garbage and then removes the row that names it. A note whose uid is still
//! named (the deletion did not happen, or not yet) is left alone, and dropped after [`GRACE`]. A note stays for
//! that long after everything is removed, since a write that began before the deletion may end after it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use welkin_base::{AccountName, Timestamp};
use welkin_store::{Commit, Row, ScanFrom, Space};

use crate::blob::container::{Whereabouts, container_of};
use crate::error::{EngineError, try_commit};
use crate::queue::QueueRecord;
use crate::record::{self, Record};
use crate::space::{CONTAINERS, ENTITIES, GARBAGE, MESSAGES, QUEUES, TABLES};
use crate::table::TableRecord;
use crate::{Storage, Uid};

/// How long a write may take that began before a deletion.
pub const GRACE: Duration = Duration::from_secs(3600);
/// Notes looked at in one pass.
const NOTES_PER_PASS: usize = 100;
/// Rows removed of each note in one pass.
const ROWS_PER_PASS: usize = 500;

/// A note: everything under a uid is to be removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Garbage {
    kind: Kind,
    deleted: Timestamp,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Kind {
    /// An account of this name.
    Account(AccountName),
    /// A container whose row has this partition.
    Container(Vec<u8>),
    /// A table whose row has this partition.
    Table(Vec<u8>),
    /// The messages of a queue whose row has this partition.
    Queue(Vec<u8>),
    /// Leftovers of the blob whose rows have the note's partition; the key that the cleaner came to, and when it
    /// was through for the first time.
    Blob { after: Vec<u8>, swept: Option<Timestamp> },
}

impl Record for Garbage {
    const NOUN: &'static str = "note of the cleaner";
    const VERSION: u8 = 1;
}

impl Garbage {
    pub(crate) fn account(name: AccountName, now: Timestamp) -> Self {
        Self { kind: Kind::Account(name), deleted: now }
    }

    pub(crate) fn container(partition: Vec<u8>, now: Timestamp) -> Self {
        Self { kind: Kind::Container(partition), deleted: now }
    }

    pub(crate) fn table(partition: Vec<u8>, now: Timestamp) -> Self {
        Self { kind: Kind::Table(partition), deleted: now }
    }

    pub(crate) fn blob(after: Vec<u8>, swept: Option<Timestamp>) -> Self {
        Self { kind: Kind::Blob { after, swept }, deleted: Timestamp::MIN }
    }

    pub(crate) fn queue(partition: Vec<u8>, now: Timestamp) -> Self {
        Self { kind: Kind::Queue(partition), deleted: now }
    }
}

/// The note that the cleaner came to; `None` when it came to the end. Notes stay for a while after all is done, and
/// those behind them must not wait so long.
#[derive(Debug, Default)]
pub(crate) struct Cleaned(Mutex<Option<Bytes>>);

impl Cleaned {
    fn set(&self, partition: Option<Bytes>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = partition;
    }

    fn take(&self) -> Option<Bytes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Storage {
    pub(crate) async fn add_garbage(&self, uid: Uid, garbage: Garbage) -> Result<(), EngineError> {
        let commit = Commit::new(GARBAGE, uid.as_bytes().to_vec()).put(&b""[..], record::encode(&garbage)?);
        try_commit(self.store(), commit).await.map(|_| ())
    }

    /// One pass of the cleaner. True when there may be more to do right away.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn clean(&self, now: Timestamp) -> Result<bool, EngineError> {
        let from = self.cleaned().take().map_or(ScanFrom::Start, ScanFrom::AfterPartition);
        let notes = self.store().scan(GARBAGE, from, NOTES_PER_PASS).await?;
        let last = notes.last().filter(|_| notes.len() == NOTES_PER_PASS).map(|note| note.partition.clone());
        let mut more = self.clean_due(now).await? || last.is_some();
        self.cleaned().set(last);
        for row in notes {
            let Some((uid, _)) = Uid::split(&row.partition) else {
                continue;
            };
            let note: Garbage = record::decode(&row.value)?;
            if let Kind::Blob { after, swept } = &note.kind {
                more |= self.clean_blob(&row, after, *swept, now, ROWS_PER_PASS).await?;
                continue;
            }
            let old = now.since(note.deleted) > GRACE;
            let removed =
                if self.is_named(uid, &note.kind).await? { 0 } else { self.remove(uid, &note, now).await? };
            more |= removed > 0;
            if old && removed == 0 {
                let commit = Commit::new(GARBAGE, row.partition.clone()).check_version(row.key, row.version);
                try_commit(self.store(), commit.delete(&b""[..])).await?;
            }
        }
        Ok(more)
    }

    /// Whether a row still names the uid.
    async fn is_named(&self, uid: Uid, kind: &Kind) -> Result<bool, EngineError> {
        let named = match kind {
            Kind::Account(name) => self.account(name).await?.map(|account| account.uid),
            Kind::Container(partition) => {
                return Ok(self.whereabouts(partition, uid).await? != Whereabouts::Gone);
            }
            Kind::Table(partition) => {
                self.record_at::<TableRecord>(TABLES, partition).await?.map(|table| table.uid)
            }
            Kind::Queue(partition) => {
                self.record_at::<QueueRecord>(QUEUES, partition).await?.map(|queue| queue.messages)
            }
            Kind::Blob { .. } => None,
        };
        Ok(named == Some(uid))
    }

    async fn record_at<T: Record>(&self, space: Space, partition: &[u8]) -> Result<Option<T>, EngineError> {
        let row = self.store().get(space, partition, b"").await?;
        row.map(|row| record::decode(&row.value)).transpose()
    }

    /// Removes a bounded number of rows under the uid; says how many.
    async fn remove(&self, uid: Uid, note: &Garbage, now: Timestamp) -> Result<usize, EngineError> {
        match note.kind {
            Kind::Container(_) => self.remove_blobs(uid, ROWS_PER_PASS).await,
            Kind::Table(_) => self.remove_rows(ENTITIES, uid).await,
            Kind::Queue(_) => self.remove_rows(MESSAGES, uid).await,
            Kind::Blob { .. } => Ok(0),
            Kind::Account(_) => {
                let container = |row: &Row| {
                    let uid = container_of(row)?;
                    Ok(uid.map(|uid| (uid, Garbage::container(row.partition.to_vec(), now))))
                };
                let table = |row: &Row| {
                    let record = record::decode::<TableRecord>(&row.value)?;
                    Ok(Some((record.uid, Garbage::table(row.partition.to_vec(), now))))
                };
                let queue = |row: &Row| {
                    let record = record::decode::<QueueRecord>(&row.value)?;
                    Ok(Some((record.messages, Garbage::queue(row.partition.to_vec(), now))))
                };
                let containers = self.remove_named(CONTAINERS, uid, container).await?;
                let tables = self.remove_named(TABLES, uid, table).await?;
                Ok(containers + tables + self.remove_named(QUEUES, uid, queue).await?)
            }
        }
    }

    /// Removes rows of an account; the uids that they name are noted before as garbage.
    async fn remove_named(
        &self,
        space: Space,
        account: Uid,
        note_of: impl Fn(&Row) -> Result<Option<(Uid, Garbage)>, EngineError>,
    ) -> Result<usize, EngineError> {
        let rows = self.rows_under(space, account, ROWS_PER_PASS).await?;
        for row in &rows {
            if let Some((uid, note)) = note_of(row)? {
                self.add_garbage(uid, note).await?;
            }
            self.delete_row(space, row).await?;
        }
        Ok(rows.len())
    }

    /// Removes rows under a uid, those of one partition in one commit.
    async fn remove_rows(&self, space: Space, uid: Uid) -> Result<usize, EngineError> {
        let rows = self.rows_under(space, uid, ROWS_PER_PASS).await?;
        for rows in rows.chunk_by(|a, b| a.partition == b.partition) {
            let Some(first) = rows.first() else { continue };
            let commit = Commit::new(space, first.partition.clone());
            let commit = rows.iter().fold(commit, |commit, row| commit.delete(row.key.clone()));
            try_commit(self.store(), commit).await?;
        }
        Ok(rows.len())
    }

    /// Up to `rows_max` rows of the space whose partition begins with the uid.
    pub(crate) async fn rows_under(
        &self,
        space: Space,
        uid: Uid,
        rows_max: usize,
    ) -> Result<Vec<Row>, EngineError> {
        let from = ScanFrom::Partition(uid.as_bytes().to_vec().into());
        let mut rows = self.store().scan(space, from, rows_max).await?;
        rows.retain(|row| row.partition.starts_with(uid.as_bytes()));
        Ok(rows)
    }

    /// Deletes the row if it is as it was read.
    pub(crate) async fn delete_row(&self, space: Space, row: &Row) -> Result<bool, EngineError> {
        let commit = Commit::new(space, row.partition.clone()).check_version(row.key.clone(), row.version);
        Ok(try_commit(self.store(), commit.delete(row.key.clone())).await?.is_some())
    }
}
