//! Writing a blob: put, set properties and metadata.

use std::collections::BTreeMap;

use welkin_base::Timestamp;
use welkin_store::Commit;

use crate::Storage;
use crate::blob::change::{Change, Next, change};
use crate::blob::condition::{Access, Conditions, next_etag};
use crate::blob::container::Metadata;
use crate::blob::content::{NewContent, Piece};
use crate::blob::load::Loaded;
use crate::blob::row::{Block, RowKey};
use crate::blob::state::{
    AccessTier, BlobRecord, Content, CopyState, Encryption, Immutability, Properties, Tags, Tier,
};
use crate::blob::{BlobError, BlobPath, Revision, lease, retention};
use crate::due::Due;
use crate::error::{COMMIT_TRIES_MAX, EngineError, try_commit};
use crate::exchange::Exchange;
use crate::record;
use crate::space::BLOBS;

/// What a new blob has beside its bytes.
#[derive(Debug, Clone, Default)]
pub struct NewBlob {
    /// Its properties.
    pub properties: Properties,
    /// Its metadata.
    pub metadata: Metadata,
    /// Its index tags.
    pub tags: Tags,
    /// Its access tier, where the client names one.
    pub tier: Option<AccessTier>,
    /// Until when it may not be changed.
    pub immutability: Option<Immutability>,
    /// Whether a legal hold is on it.
    pub legal_hold: bool,
    /// How its bytes are encrypted.
    pub encryption: Encryption,
    /// The copy that it comes from.
    pub copy: Option<CopyState>,
    /// What must hold.
    pub conditions: Conditions,
    /// Whoever writes may create blobs, but not overwrite them.
    pub only_creates: bool,
}

/// The content of a blob that replaces what is there.
#[derive(Debug)]
pub(crate) struct Replacement {
    pub length_bytes: u64,
    pub content: Content,
    /// Rows of its list, by list and index.
    pub lists: BTreeMap<(u32, u32), Vec<Block>>,
}

impl Replacement {
    /// Content that has no rows of its own yet.
    pub(crate) fn of(content: Content, length_bytes: u64) -> Self {
        Self { length_bytes, content, lists: BTreeMap::new() }
    }
}

impl NewBlob {
    /// Whether the write may replace what is there.
    pub(crate) fn check(&self, last: Option<&BlobRecord>, now: Timestamp) -> Result<(), BlobError> {
        if self.only_creates && last.is_some() {
            return Err(BlobError::OverwriteNotAllowed);
        }
        match self.conditions.check_blob(last, Access::Write, now) {
            Err(BlobError::ConditionNotMet) if self.conditions.must_create() => {
                Err(BlobError::BlobAlreadyExists)
            }
            result => result,
        }
    }

    /// The head that replaces what is there.
    fn head(&self, last: Option<&BlobRecord>, now: Timestamp, replacement: &Replacement) -> BlobRecord {
        let etag = next_etag(now, last.map(|last| last.etag));
        let created = last.map_or(now, |last| last.created);
        BlobRecord {
            modified: now,
            properties: self.properties.clone(),
            metadata: self.metadata.clone(),
            lease: lease::after_write(last.and_then(|last| last.lease.as_ref()), now),
            tags: self.tags.clone(),
            tier: Tier { access: self.tier, changed: self.tier.map(|_| now) },
            immutability: self.immutability,
            legal_hold: self.legal_hold,
            encryption: self.encryption.clone(),
            copy: self.copy.clone(),
            ..BlobRecord::new(created, etag, replacement.length_bytes, replacement.content.clone())
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
        path: BlobPath<'_>,
        content: NewContent,
        new: &NewBlob,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let piece = content.piece().clone();
        let make = |_: &Loaded| Ok(Replacement::of(Content::Whole(piece.clone()), piece.length_bytes()));
        self.replace_blob(path, std::slice::from_ref(&content), new, now, make).await
    }

    /// Replaces what is there, if it may be, by what `make` says of the rows as they are. `contents` are the new
    /// bytes that the replacement names.
    pub(crate) async fn replace_blob(
        &self,
        path: BlobPath<'_>,
        contents: &[NewContent],
        new: &NewBlob,
        now: Timestamp,
        make: impl Fn(&Loaded) -> Result<Replacement, BlobError>,
    ) -> Result<BlobRecord, BlobError> {
        if new.immutability.is_some() || new.legal_hold {
            self.note_protection(path).await?;
        }
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let loaded = self.load_blob(&partition).await?;
            let last = loaded.visible(now);
            new.check(last, now)?;
            if let Some(last) = last.filter(|_| !path.account.settings.versioning) {
                last.check_mutable(now)?;
            }
            let replacement = make(&loaded)?;
            let mut head = new.head(last, now, &replacement);
            let mut next = Next::of(&loaded);
            retention::overwritten(&mut next, path.account, now);
            let other_type = last.is_some_and(|last| last.blob_type() != head.blob_type());
            if other_type && next.live_snapshots().next().is_some() {
                return Err(BlobError::SnapshotsPresent);
            }
            head.version = retention::new_version(&next, path.account, now);
            next.put(Revision::Current, head.clone());
            next.lists = replacement.lists;
            next.keeps_staged = false;
            if self.commit_change(&partition, &loaded, &next, contents).await? {
                self.confirm_container(path, &partition).await?;
                return Ok(head);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// Commits what a blob is to be; false when it changed since it was read. What is freed goes; `contents` are
    /// named.
    pub(crate) async fn commit_change(
        &self,
        partition: &[u8],
        loaded: &Loaded,
        next: &Next,
        contents: &[NewContent],
    ) -> Result<bool, EngineError> {
        let Change { commit, freed, leaves } = change(partition, loaded, next)?;
        if leaves {
            self.note_leftovers(partition).await?;
        }
        for at in next.new_deadlines(loaded) {
            self.note_due(Due::Blob, partition, at).await?;
        }
        let pieces = next.lists.values().flatten().map(|block| &block.piece);
        let moved = pieces.filter_map(Piece::extent).cloned().collect();
        let new = contents.iter().filter_map(NewContent::unnamed).collect();
        self.exchange(Exchange { commit, new, moved, freed }).await
    }

    /// Set Blob Properties: replaces all.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub async fn set_blob_properties(
        &self,
        path: BlobPath<'_>,
        properties: &Properties,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let change = |record: &mut BlobRecord| {
            record.check_mutable(now)?;
            record.properties.clone_from(properties);
            record.copy = None;
            record.touch(now);
            Ok(())
        };
        self.change_blob(path, Revision::Current, conditions, now, change).await
    }

    /// Set Blob Metadata: replaces all.
    ///
    /// # Errors
    /// When there is no such blob, or a condition does not hold.
    pub async fn set_blob_metadata(
        &self,
        path: BlobPath<'_>,
        metadata: &Metadata,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let change = |record: &mut BlobRecord| {
            record.check_key(conditions.customer_key.as_ref())?;
            record.check_mutable(now)?;
            record.metadata.clone_from(metadata);
            record.touch(now);
            Ok(())
        };
        self.write_blob(path, conditions, now, change).await
    }

    /// Changes one head and nothing else: not its content. Where the change is a write in the protocol's sense,
    /// `change` calls [`BlobRecord::touch`].
    pub(crate) async fn change_blob(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        conditions: &Conditions,
        now: Timestamp,
        change: impl Fn(&mut BlobRecord) -> Result<(), BlobError>,
    ) -> Result<BlobRecord, BlobError> {
        let partition = self.blob_partition(path).await?;
        for _ in 0..COMMIT_TRIES_MAX {
            let mut head = self.blob_head(&partition, revision, now).await?;
            conditions.check_blob(Some(&head.record), Access::Write, now)?;
            let expired = head.record.expires;
            change(&mut head.record)?;
            if let Some(at) = head.record.expires.filter(|_| head.record.expires != expired) {
                self.note_due(Due::Blob, &partition, at).await?;
            }
            let key = RowKey::Head(head.revision).to_bytes();
            let commit = Commit::new(BLOBS, partition.clone()).check_version(key.clone(), head.row);
            if try_commit(self.store(), commit.put(key, record::encode(&head.record)?)).await?.is_some() {
                self.confirm_container(path, &partition).await?;
                return Ok(head.record);
            }
        }
        Err(EngineError::Busy.into())
    }
}

impl BlobRecord {
    /// It was written: its ETag and Last-Modified change, and a lease that has ended is forgotten.
    pub(crate) fn touch(&mut self, now: Timestamp) {
        self.etag = next_etag(now, Some(self.etag));
        self.modified = now;
        self.lease = lease::after_write(self.lease.as_ref(), now);
    }
}
