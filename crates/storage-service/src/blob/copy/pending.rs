//! Copies that go on after their request was answered, and those that were pending when the server ended.

use std::time::SystemTime;

use tokio::sync::OwnedSemaphorePermit;
use welkin_base::Timestamp;
use welkin_storage::blob::condition::{Conditions, ETags, etag_text};
use welkin_storage::blob::copy::{Layout, LocalSource, PendingCopy, Pieces, Stopped};
use welkin_storage::blob::state::BlobRecord;
use welkin_storage::blob::{BlobError, BlobPath};
use welkin_storage::{Account, EngineError, Storage};

use crate::blob::Target;
use crate::context::Context;
use crate::copies::Copies;

/// A pending copy, and whom it is for.
#[derive(Debug)]
pub(super) struct Pending {
    storage: Storage,
    account: Account,
    container: String,
    name: String,
    id: String,
    /// Its place among the copies that are carried out.
    _place: Option<OwnedSemaphorePermit>,
}

fn clock() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

impl Pending {
    pub(super) fn new(
        context: &Context,
        target: &Target,
        begun: &BlobRecord,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            storage: context.storage.clone(),
            account: context.account.clone(),
            container: target.container.clone(),
            name: target.name.clone(),
            id: begun.copy.as_ref().map(|copy| copy.id.clone()).unwrap_or_default(),
            _place: Some(place),
        }
    }

    fn path(&self) -> BlobPath<'_> {
        BlobPath { account: &self.account, container: &self.container, name: &self.name }
    }

    /// Copies the bytes; the blob when all are there.
    pub(super) async fn carry_out(self, layout: Layout, mut pieces: Pieces) -> Option<BlobRecord> {
        let done = self.storage.carry_out_copy(self.path(), &self.id, &layout, &mut pieces, clock);
        self.ended(done.await).await
    }

    /// Copies what changed up to a snapshot; the blob when all is there.
    pub(super) async fn carry_out_incremental(
        self,
        account: Account,
        source: LocalSource,
    ) -> Option<BlobRecord> {
        let path = BlobPath { account: &account, container: &source.container, name: &source.name };
        let from = (path, source.revision);
        let done = self.storage.carry_out_incremental_copy(self.path(), &self.id, from, clock);
        self.ended(done.await).await
    }

    async fn ended(&self, done: Result<BlobRecord, Stopped>) -> Option<BlobRecord> {
        let why = match done {
            Ok(blob) => return Some(blob),
            Err(Stopped::Blob(
                BlobError::Copy(_) | BlobError::BlobNotFound | BlobError::ContainerNotFound,
            )) => {
                tracing::info!(copy = self.id, "a copy was aborted, or its blob is gone");
                return None;
            }
            Err(Stopped::Source(why)) => why,
            Err(Stopped::Blob(error)) => {
                tracing::error!(%error, copy = self.id, "a copy cannot be written");
                "The copy cannot be written.".to_owned()
            }
        };
        self.fail(&why).await;
        None
    }

    async fn fail(&self, why: &str) {
        if let Err(error) = self.storage.fail_copy(self.path(), &self.id, why, clock()).await {
            tracing::warn!(%error, copy = self.id, "a copy that failed stays pending until the server starts anew");
        }
    }

    /// Begins the copy anew.
    async fn resume(self, source: LocalSource) {
        if let Err(error) = self.storage.restart_copy(self.path(), &self.id, clock()).await {
            tracing::warn!(%error, copy = self.id, "a copy cannot begin anew");
            return;
        }
        let Ok(Some(account)) = self.storage.account(&source.account).await else {
            return self.fail("The source's account cannot be found.").await;
        };
        let path = BlobPath { account: &account, container: &source.container, name: &source.name };
        let etags = Some(ETags::OneOf(vec![etag_text(source.etag)]));
        let unchanged = Conditions { if_match: etags, ..Conditions::default() };
        // Whether it may be copied, although it is archived, was decided when the copy began.
        match self.storage.copy_source(path, source.revision, &unchanged, true, clock()).await {
            Ok(source) => {
                self.carry_out(source.layout, Pieces::of(source.reader)).await;
            }
            Err(error) => {
                let why = format!(
                    "The server ended before the copy did, and the source is not as it was: {error}."
                );
                self.fail(&why).await;
            }
        }
    }
}

/// Goes on with the copies that were pending when the server ended; call it before any request is answered. Those
/// from other servers fail: how they were authorized is not kept.
///
/// # Errors
/// When the store fails.
pub(crate) async fn resume(storage: &Storage, copies: &Copies) -> Result<(), EngineError> {
    for pending in storage.pending_copies(clock()).await? {
        let PendingCopy { account, container, name, copy, source } = pending;
        tracing::info!(copy = copy.id, "a copy was pending when the server ended");
        let (storage, id, place) = (storage.clone(), copy.id.clone(), copies.place().ok());
        let pending = Pending { storage, account, container, name, id, _place: place };
        match source {
            Some(source) if copy.incremental.is_some() => {
                tokio::spawn(async move {
                    match pending.storage.account(&source.account).await {
                        Ok(Some(account)) => drop(pending.carry_out_incremental(account, source).await),
                        Ok(None) | Err(_) => pending.fail("The source's account cannot be found.").await,
                    }
                });
            }
            Some(source) => {
                tokio::spawn(pending.resume(source));
            }
            None => pending.fail("The server ended before the copy did.").await,
        }
    }
    Ok(())
}
