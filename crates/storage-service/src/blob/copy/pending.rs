//! Copies that go on after their request was answered, and those that were pending when the server ended.

use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;
use tracing::Instrument as _;
use welkin_base::Timestamp;
use welkin_storage::blob::condition::{Conditions, ETags, etag_text};
use welkin_storage::blob::copy::{Layout, LocalSource, PendingCopy, Pieces, Stopped};
use welkin_storage::blob::state::BlobRecord;
use welkin_storage::blob::write::NewBlob;
use welkin_storage::blob::{BlobError, BlobPath};
use welkin_storage::{Account, EngineError, Storage};
use welkin_storage_wire::{ErrorCode, ProtocolError};

use crate::blob::{Target, told};
use crate::context::Context;
use crate::copies::{Copies, Place};

/// A copy that cannot be ended is tried again so often; after that it waits for the next start.
const FAIL_TRIES_MAX: usize = 30;
const FAIL_PAUSE: Duration = Duration::from_secs(2);

/// Where the bytes of a copy come from.
#[derive(Debug)]
pub(super) enum Bytes {
    /// All of a source, which a server that starts may find again.
    All { layout: Layout, pieces: Pieces, source: Option<LocalSource> },
    /// What changed up to a snapshot of a blob in this account.
    Changed { account: Box<Account>, source: LocalSource },
}

/// A pending copy, and whom it is for.
#[derive(Debug)]
struct Pending {
    storage: Storage,
    account: Account,
    container: String,
    name: String,
    id: String,
    /// Its place among the copies that are carried out.
    _place: Option<Place>,
}

fn clock() -> Timestamp {
    Timestamp::from(SystemTime::now())
}

/// Begins a copy and carries it out, whether or not the client stays. Returns when it has begun, or `at_once` when
/// it has ended.
///
/// # Errors
/// When it cannot begin.
pub(super) async fn start(
    context: &Context,
    target: Target,
    new: NewBlob,
    bytes: Bytes,
    at_once: bool,
) -> Result<BlobRecord, ProtocolError> {
    let pending = Pending {
        storage: context.storage.clone(),
        account: context.account.clone(),
        container: target.container,
        name: target.name,
        id: new.copy.as_ref().map(|copy| copy.id.clone()).unwrap_or_default(),
        _place: Some(context.copies.place(context.account.uid)?),
    };
    let (tell, begun) = oneshot::channel();
    let now = context.now;
    let copying = async move {
        match pending.begin(&new, &bytes, now).await {
            Ok(begun) => {
                // A client that went away is told nothing.
                let _ = tell.send(Ok(begun));
                pending.carry_out(bytes).await
            }
            Err(error) => {
                let _ = tell.send(Err(error));
                None
            }
        }
    };
    let copying = tokio::spawn(copying.in_current_span());
    let begun = begun.await.map_err(|_| ErrorCode::InternalError)?.map_err(told)?;
    match at_once {
        true => Ok(copying.await.ok().flatten().unwrap_or(begun)),
        false => Ok(begun),
    }
}

impl Pending {
    async fn begin(&self, new: &NewBlob, bytes: &Bytes, now: Timestamp) -> Result<BlobRecord, BlobError> {
        match bytes {
            Bytes::All { layout, source, .. } => {
                self.storage.begin_copy(self.path(), new, layout, source.clone(), now).await
            }
            Bytes::Changed { source, .. } => {
                self.storage.begin_incremental_copy(self.path(), new, source.clone(), now).await
            }
        }
    }

    fn path(&self) -> BlobPath<'_> {
        BlobPath { account: &self.account, container: &self.container, name: &self.name }
    }

    /// Copies the bytes; the blob when all are there.
    async fn carry_out(&self, bytes: Bytes) -> Option<BlobRecord> {
        let done = match bytes {
            Bytes::All { layout, mut pieces, .. } => {
                self.storage.carry_out_copy(self.path(), &self.id, &layout, &mut pieces, clock).await
            }
            Bytes::Changed { account, source } => {
                let path = BlobPath { account: &account, container: &source.container, name: &source.name };
                let from = (path, source.revision);
                self.storage.carry_out_incremental_copy(self.path(), &self.id, from, clock).await
            }
        };
        self.ended(done).await
    }

    async fn ended(&self, done: Result<BlobRecord, Stopped>) -> Option<BlobRecord> {
        let why = match done {
            Ok(blob) => return Some(blob),
            Err(Stopped::Blob(BlobError::Copy(_))) => {
                tracing::info!(copy = self.id, "a copy was aborted");
                return None;
            }
            Err(Stopped::Blob(BlobError::BlobNotFound | BlobError::ContainerNotFound)) => {
                tracing::info!(copy = self.id, "the blob of a copy is gone");
                "The blob is gone.".to_owned()
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

    /// Ends the copy as failed, as soon as that can be written.
    async fn fail(&self, why: &str) {
        for _ in 0..FAIL_TRIES_MAX {
            match self.storage.fail_copy(self.path(), &self.id, why, clock()).await {
                Err(BlobError::Engine(error)) => {
                    tracing::warn!(%error, copy = self.id, "a copy cannot be ended as failed");
                    tokio::time::sleep(FAIL_PAUSE).await;
                }
                // It was aborted meanwhile, or the blob is gone.
                Ok(()) | Err(_) => return,
            }
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
                let (layout, pieces) = (source.layout, Pieces::of(source.reader));
                self.carry_out(Bytes::All { layout, pieces, source: None }).await;
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
        let (storage, id, place) = (storage.clone(), copy.id.clone(), copies.place(account.uid).ok());
        let pending = Pending { storage, account, container, name, id, _place: place };
        match source {
            Some(source) if copy.incremental.is_some() => {
                tokio::spawn(async move {
                    match pending.storage.account(&source.account).await {
                        Ok(Some(account)) => {
                            pending.carry_out(Bytes::Changed { account: Box::new(account), source }).await;
                        }
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
