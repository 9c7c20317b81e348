//! The guestbook in storage: entries in a table, pictures in blobs, work for the worker in a queue.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use welkin_sdk::{Blob, Container, Queue, StorageAccount, StorageError, Table};

use crate::picture::Kind;

/// All entries are in one partition: the newest come back in one query.
const PARTITION: &str = "guestbook";
/// Entries on the page.
const SHOWN_MAX: u32 = 24;

/// An entry, as the table has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    partition_key: String,
    row_key: String,
    /// Who signed.
    pub name: String,
    /// What they wrote.
    pub message: String,
    /// The picture's blob; empty for none.
    pub picture: String,
    /// The thumbnail's blob; empty until the worker has made it, and `-` when it could not.
    pub thumbnail: String,
    /// When, as RFC 3339.
    pub signed_at: String,
    /// The instance that took it.
    pub signed_on: String,
}

/// A new entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Who signs.
    pub name: String,
    /// What they write.
    pub message: String,
    /// Their picture.
    pub picture: Option<(Kind, Vec<u8>)>,
}

/// What the worker is told.
#[derive(Serialize)]
struct Work<'a> {
    partition: &'a str,
    row: &'a str,
    picture: &'a str,
}

/// The guestbook's places in storage.
#[derive(Debug, Clone)]
pub struct Guestbook {
    entries: Table,
    pictures: Container,
    thumbnails: Container,
    work: Queue,
}

impl Guestbook {
    /// The guestbook in an account.
    pub fn new(account: &StorageAccount) -> Self {
        Self {
            entries: account.table("entries"),
            pictures: account.container("pictures"),
            thumbnails: account.container("thumbnails"),
            work: account.queue("thumbnail-work"),
        }
    }

    /// Makes what does not exist yet.
    pub fn prepare(&self) -> Result<(), StorageError> {
        self.entries.create_if_missing()?;
        self.pictures.create_if_missing()?;
        self.thumbnails.create_if_missing()?;
        self.work.create_if_missing()
    }

    /// Keeps a new entry. The picture goes first and the message last, so that whatever fails between, the
    /// page never names a picture that is not there, and the worker never finds an entry missing.
    pub fn sign(&self, signature: &Signature, instance: &str) -> Result<(), StorageError> {
        let now = OffsetDateTime::now_utc();
        let id = Uuid::new_v4().simple().to_string();
        let picture = if signature.picture.is_some() { id.clone() } else { String::new() };
        if let Some((kind, bytes)) = &signature.picture {
            self.pictures.put(&picture, kind.media_type(), bytes)?;
        }
        let entry = Entry {
            partition_key: PARTITION.to_owned(),
            row_key: row_key(now, &id),
            name: signature.name.clone(),
            message: signature.message.clone(),
            picture,
            thumbnail: String::new(),
            signed_at: now.format(&Rfc3339).unwrap_or_default(),
            signed_on: instance.to_owned(),
        };
        self.entries.insert(&entry)?;
        if entry.picture.is_empty() {
            return Ok(());
        }
        let work = Work { partition: PARTITION, row: &entry.row_key, picture: &entry.picture };
        let work = serde_json::to_string(&work).map_err(|e| StorageError::Request(e.to_string()))?;
        self.work.put(&work)
    }

    /// The newest entries, newest first.
    pub fn latest(&self) -> Result<Vec<Entry>, StorageError> {
        let filter = format!("PartitionKey eq '{PARTITION}'");
        Ok(self.entries.query(&filter, SHOWN_MAX, None)?.entities)
    }

    /// A picture as it was sent.
    pub fn picture(&self, name: &str) -> Result<Blob, StorageError> {
        self.pictures.get(name)
    }

    /// A thumbnail, once the worker has made it.
    pub fn thumbnail(&self, name: &str) -> Result<Blob, StorageError> {
        self.thumbnails.get(name)
    }
}

/// Rows come back in the order of their keys, so the key counts down: the newest is the first.
fn row_key(now: OffsetDateTime, id: &str) -> String {
    let millis = u64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    format!("{:020}-{id}", u64::MAX - millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newer_entries_come_first() {
        let key = |seconds| row_key(OffsetDateTime::from_unix_timestamp(seconds).unwrap(), "x");
        assert!(key(1_793_491_201) < key(1_793_491_200));
        assert!(key(10) < key(9));
        assert_eq!(key(1).len(), key(1_793_491_200).len());
    }
}
