//! Notes of copies that are pending, for a server that starts.

use serde::{Deserialize, Serialize};
use welkin_base::{AccountName, Timestamp};
use welkin_store::{Commit, Row, ScanFrom};

use crate::blob::state::CopyState;
use crate::blob::write::NewBlob;
use crate::blob::{BlobError, BlobPath, Revision};
use crate::error::{EngineError, try_commit};
use crate::record::{self, Record};
use crate::space::COPIES;
use crate::{Account, Storage};

/// Notes of one scan.
const SCAN_ROWS: usize = 200;

/// A source that lies in this store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalSource {
    /// Its account.
    pub account: AccountName,
    /// Its container.
    pub container: String,
    /// The blob's name.
    pub name: String,
    /// Which state of it.
    pub revision: Revision,
    /// The state's ETag.
    pub etag: u64,
}

/// A copy that was pending when the server ended.
#[derive(Debug, Clone)]
pub struct PendingCopy {
    /// The account of the blob that is copied to.
    pub account: Account,
    /// Its container.
    pub container: String,
    /// Its name.
    pub name: String,
    /// The copy.
    pub copy: CopyState,
    /// The source, where it lies in this store and the copy can begin anew.
    pub source: Option<LocalSource>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    account: AccountName,
    container: String,
    name: String,
    source: Option<LocalSource>,
}

impl Record for Note {
    const NOUN: &'static str = "note of a copy";
    const VERSION: u8 = 1;
}

/// Whether a note can be read.
pub(crate) fn read_note(row: &Row) -> Result<(), EngineError> {
    record::decode::<Note>(&row.value).map(|_| ())
}

impl Storage {
    pub(super) async fn note_copy(
        &self,
        path: BlobPath<'_>,
        new: &NewBlob,
        source: Option<LocalSource>,
    ) -> Result<(), BlobError> {
        let Some(copy) = &new.copy else { return Ok(()) };
        let partition = self.blob_partition(path).await?;
        let note = Note {
            account: path.account.name.clone(),
            container: path.container.to_owned(),
            name: path.name.to_owned(),
            source,
        };
        let commit = Commit::new(COPIES, partition).put(copy.id.clone().into_bytes(), record::encode(&note)?);
        try_commit(self.store(), commit).await?;
        Ok(())
    }

    pub(super) async fn forget_copy(&self, partition: &[u8], id: &str) -> Result<(), EngineError> {
        let commit = Commit::new(COPIES, partition.to_vec()).delete(id.as_bytes().to_vec());
        try_commit(self.store(), commit).await.map(|_| ())
    }

    /// The partition of a blob that is copied to. Its container may have been renamed since the copy began.
    pub(super) async fn copied_partition(&self, path: BlobPath<'_>, id: &str) -> Result<Vec<u8>, BlobError> {
        let found = self.blob_partition(path).await;
        let name = path.account.uid.key(path.container.as_bytes());
        let renamed = self.renamed_from(&name).await?;
        let elsewhere = renamed.iter().map(|uid| uid.key(path.name.as_bytes()));
        for partition in found.as_ref().ok().cloned().into_iter().chain(elsewhere) {
            if self.store().get(COPIES, &partition, id.as_bytes()).await?.is_some() {
                return Ok(partition);
            }
        }
        found
    }

    /// The copies that are pending. Call it before any request is answered: then nobody carries them out.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn pending_copies(&self, now: Timestamp) -> Result<Vec<PendingCopy>, EngineError> {
        let mut pending = Vec::new();
        let mut from = ScanFrom::Start;
        loop {
            let rows = self.store().scan(COPIES, from, SCAN_ROWS).await?;
            for row in &rows {
                match self.pending_copy(row, now).await? {
                    Some(copy) => pending.push(copy),
                    None => {
                        self.delete_row(COPIES, row).await?;
                    }
                }
            }
            match rows.last() {
                Some(last) if rows.len() == SCAN_ROWS => {
                    from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
                }
                _ => return Ok(pending),
            }
        }
    }

    /// The copy that a note is about, if it is still pending.
    async fn pending_copy(&self, row: &Row, now: Timestamp) -> Result<Option<PendingCopy>, EngineError> {
        let note: Note = record::decode(&row.value)?;
        let Some(account) = self.account(&note.account).await? else { return Ok(None) };
        let path = BlobPath { account: &account, container: &note.container, name: &note.name };
        let id = String::from_utf8_lossy(&row.key).into_owned();
        let found = match self.copied_partition(path, &id).await {
            Ok(partition) if row.partition == partition => {
                self.blob_head(&partition, Revision::Current, now).await
            }
            Ok(_) => return Ok(None),
            Err(error) => Err(error),
        };
        let mut blob = match found {
            Ok(head) => head.record,
            Err(BlobError::Engine(error)) => return Err(error),
            Err(_) => return Ok(None),
        };
        let Ok(copy) = blob.pending(&id).cloned() else { return Ok(None) };
        let Note { container, name, source, .. } = note;
        Ok(Some(PendingCopy { account, container, name, copy, source }))
    }
}
