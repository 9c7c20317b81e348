//! Writing a blob: put, set properties and metadata, delete.

use welkin_base::Timestamp;

use crate::blob::BlobError;
use crate::blob::condition::{Access, Conditions, next_etag};
use crate::blob::container::Metadata;
use crate::blob::content::NewContent;
use crate::blob::state::{BlobRecord, Content, Loaded, Properties};
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::record;
use crate::space::BLOBS;
use crate::{Storage, Uid};

/// What a new blob has beside its bytes.
#[derive(Debug, Clone, Default)]
pub struct NewBlob {
    /// Its properties.
    pub properties: Properties,
    /// Its metadata.
    pub metadata: Metadata,
    /// What must hold.
    pub conditions: Conditions,
    /// Whoever writes may create blobs, but not overwrite them.
    pub only_creates: bool,
}

impl NewBlob {
    /// Whether the write may replace what is there.
    pub(crate) fn check(&self, loaded: &Loaded) -> Result<(), BlobError> {
        if self.only_creates && loaded.head.is_some() {
            return Err(BlobError::OverwriteNotAllowed);
        }
        match self.conditions.check(loaded.state(), Access::Write) {
            Err(BlobError::ConditionNotMet) if self.conditions.must_create() => {
                Err(BlobError::BlobAlreadyExists)
            }
            result => result,
        }
    }

    /// The head that replaces what is there.
    pub(crate) fn head(
        &self,
        loaded: &Loaded,
        now: Timestamp,
        length_bytes: u64,
        content: Content,
    ) -> BlobRecord {
        let last = loaded.head.as_ref().map(|(head, _)| head);
        BlobRecord {
            created: last.map_or(now, |head| head.created),
            modified: now,
            etag: next_etag(now, last.map(|head| head.etag)),
            length_bytes,
            properties: self.properties.clone(),
            metadata: self.metadata.clone(),
            content,
        }
    }
}

impl Storage {
    /// Put Blob: the blob has this content afterwards, and no uncommitted blocks.
    ///
    /// # Errors
    /// When there is no such container, or a condition does not hold; then nothing is kept.
    pub async fn put_blob(
        &self,
        (account, container, name): (Uid, &str, &str),
        mut content: NewContent,
        new: &NewBlob,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let partition = self.container(account, container).await?.uid.key(name.as_bytes());
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            new.check(&loaded)?;
            let piece = content.piece().clone();
            let head = new.head(&loaded, now, piece.length_bytes(), Content::Whole(piece));
            let commit = loaded.commit_without_rest(&partition, 0).put(&b""[..], record::encode(&head)?);
            content.claim();
            if try_commit(self.store(), commit).await?.is_some() {
                self.free_all(&loaded);
                return Ok(head);
            }
            content.unclaim();
        }
        Err(EngineError::Busy.into())
    }

    /// Set Blob Properties: replaces all.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub async fn set_blob_properties(
        &self,
        blob: (Uid, &str, &str),
        properties: &Properties,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        self.change_blob(blob, conditions, now, |head| head.properties.clone_from(properties)).await
    }

    /// Set Blob Metadata: replaces all.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub async fn set_blob_metadata(
        &self,
        blob: (Uid, &str, &str),
        metadata: &Metadata,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        self.change_blob(blob, conditions, now, |head| head.metadata.clone_from(metadata)).await
    }

    /// Delete Blob: the blob and its uncommitted blocks are gone.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub async fn delete_blob(
        &self,
        (account, container, name): (Uid, &str, &str),
        conditions: &Conditions,
    ) -> Result<(), BlobError> {
        let partition = self.container(account, container).await?.uid.key(name.as_bytes());
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            let state = loaded.state().ok_or(BlobError::BlobNotFound)?;
            conditions.check(Some(state), Access::Write)?;
            if self.remove_loaded(&partition, &loaded).await? {
                return Ok(());
            }
        }
        Err(EngineError::Busy.into())
    }

    /// For the cleaner: removes blobs of a deleted container; says how many rows.
    pub(crate) async fn remove_blobs(&self, container: Uid, rows_max: usize) -> Result<usize, EngineError> {
        let mut rows = self.rows_under(BLOBS, container, rows_max).await?;
        rows.dedup_by(|a, b| a.partition == b.partition);
        for row in &rows {
            let loaded = self.load_blob(&row.partition).await?;
            self.remove_loaded(&row.partition, &loaded).await?;
        }
        Ok(rows.len())
    }

    async fn remove_loaded(&self, partition: &[u8], loaded: &Loaded) -> Result<bool, EngineError> {
        let mut commit = loaded.commit_without_rest(partition, 0);
        if loaded.head.is_some() {
            commit = commit.delete(&b""[..]);
        }
        let removed = try_commit(self.store(), commit).await?.is_some();
        if removed {
            self.free_all(loaded);
        }
        Ok(removed)
    }

    fn free_all(&self, loaded: &Loaded) {
        let mut extents = loaded.committed_extents();
        extents.extend(loaded.staged_extents());
        self.releaser().free(extents.into_iter().collect());
    }

    async fn change_blob(
        &self,
        (account, container, name): (Uid, &str, &str),
        conditions: &Conditions,
        now: Timestamp,
        change: impl Fn(&mut BlobRecord),
    ) -> Result<BlobRecord, BlobError> {
        let partition = self.container(account, container).await?.uid.key(name.as_bytes());
        for _ in 0..COMMIT_TRIES_MAX {
            let (mut head, version) = self.blob_head(&partition).await?;
            conditions.check(Some((head.etag, head.modified)), Access::Write)?;
            change(&mut head);
            head.etag = next_etag(now, Some(head.etag));
            head.modified = now;
            let commit = welkin_store::Commit::new(BLOBS, partition.clone()).check_version(&b""[..], version);
            if try_commit(self.store(), commit.put(&b""[..], record::encode(&head)?)).await?.is_some() {
                return Ok(head);
            }
        }
        Err(EngineError::Busy.into())
    }
}
