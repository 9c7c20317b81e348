//! Sources of this server.

use std::ops::Range;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue, Method};
use welkin_storage::Account;
use welkin_storage::blob::Revision;
use welkin_storage::blob::condition::Conditions;
use welkin_storage::blob::copy::{CopySource, LocalSource};
use welkin_storage::blob::read::{BlobReader, ByteRange};
use welkin_storage::blob::state::{AccessTier, BlobRecord};
use welkin_storage_wire::blob::copy::{self, SourceUrl};
use welkin_storage_wire::sas::Sas;
use welkin_storage_wire::{BlobOperation, ErrorCode, Operation, ProtocolError, RequestHead, Service};

use super::{Described, unreadable};
use crate::auth;
use crate::blob::encryption::{self, SOURCE_KEY};
use crate::blob::{Target, engine_conditions, target_of, told};
use crate::context::{Authorization, Context};

/// A blob of this server that the client may read.
#[derive(Debug)]
pub(in crate::blob) struct Local {
    pub account: Account,
    pub target: Target,
    pub conditions: Conditions,
    copies_tags: bool,
}

impl Local {
    /// Finds the account that the URL names, and sees that the client may read the blob.
    pub(super) async fn find(
        context: &Context,
        url: &SourceUrl,
        copies_tags: bool,
    ) -> Result<Self, ProtocolError> {
        let head = source_head(context, url).map_err(unreadable)?;
        let wrong = || ProtocolError::from(ErrorCode::InvalidSourceBlobUrl);
        let route = Operation::route(&head).map_err(|_| wrong())?;
        if route != Operation::Blob(BlobOperation::GetBlob) {
            return Err(wrong());
        }
        let mut account = None;
        let tags = copies_tags.then_some(BlobOperation::GetBlobTags);
        for operation in [Some(BlobOperation::GetBlob), tags].into_iter().flatten().map(Operation::Blob) {
            account = Some(authorize(context, &head, operation).await.map_err(unreadable)?);
        }
        let conditions = copy::conditions(&context.head.headers)?;
        let key = encryption::key_of(context, &SOURCE_KEY)?;
        let conditions = Conditions { customer_key: key, ..engine_conditions(conditions) };
        Ok(Self {
            account: account.ok_or_else(wrong)?,
            target: target_of(&head).map_err(|_| wrong())?,
            conditions,
            copies_tags,
        })
    }

    /// A range of its bytes, or all.
    pub(super) async fn read(
        &self,
        context: &Context,
        range: Option<ByteRange>,
    ) -> Result<(BlobRecord, Range<u64>, BlobReader), ProtocolError> {
        let path = self.target.path_in(&self.account);
        let read =
            context.storage.read_blob(path, self.target.revision, range, &self.conditions, context.now);
        let read = read.await.map_err(|error| unreadable(told(error)))?;
        match read.0.has_pending_copy() {
            true => Err(ErrorCode::PendingCopyOperation.into()),
            false => Ok(read),
        }
    }

    /// All of it, with how it is parted; an archived one where the copy has another tier.
    pub(in crate::blob) async fn open(
        &self,
        context: &Context,
        tier: Option<AccessTier>,
    ) -> Result<CopySource, ProtocolError> {
        let path = self.target.path_in(&self.account);
        let (conditions, now) = (&self.conditions, context.now);
        let rehydrated = tier.is_some_and(|tier| tier != AccessTier::Archive);
        let source = context.storage.copy_source(path, self.target.revision, conditions, rehydrated, now);
        source.await.map_err(|error| unreadable(told(error)))
    }

    /// What is known of it beside its bytes.
    pub(in crate::blob) fn describe(&self, blob: &BlobRecord) -> Described {
        Described {
            properties: blob.properties.clone(),
            metadata: blob.metadata.clone(),
            tags: if self.copies_tags { blob.tags.clone() } else { Vec::new() },
        }
    }

    /// What a server that starts needs to find it again.
    pub(in crate::blob) fn named(&self, blob: &BlobRecord) -> LocalSource {
        LocalSource {
            account: self.account.name.clone(),
            container: self.target.container.clone(),
            name: self.target.name.clone(),
            revision: self.target.revision,
            etag: blob.etag,
        }
    }

    /// Whether the request's own blob is the source, or a snapshot or version of it.
    pub(in crate::blob) fn is_within(&self, context: &Context, target: &Target) -> bool {
        let same = self.target.container == target.container && self.target.name == target.name;
        same && self.account.uid == context.account.uid
    }

    /// Which state of the blob it is.
    pub(in crate::blob) fn revision(&self) -> Revision {
        self.target.revision
    }
}

/// The head that a request for the source would have.
fn source_head(context: &Context, url: &SourceUrl) -> Result<RequestHead, ProtocolError> {
    let mut headers = HeaderMap::new();
    let host = url.authority().unwrap_or_default();
    headers.insert(HOST, HeaderValue::from_str(&host).map_err(|_| ErrorCode::InvalidSourceBlobUrl)?);
    if let Some(token) = context.head.headers.get(copy::AUTHORIZATION) {
        headers.insert(AUTHORIZATION, token.clone());
    }
    if let Some(version) = context.head.headers.get("x-ms-version") {
        headers.insert("x-ms-version", version.clone());
    }
    RequestHead::parse(Service::Blob, Method::GET, url.uri(), headers, &context.copies.host_suffixes)
}

/// The source's account, if the client may do the operation on the source. Within one account, who owns a key or
/// has the role needs no further signature.
async fn authorize(
    context: &Context,
    head: &RequestHead,
    operation: Operation,
) -> Result<Account, ProtocolError> {
    let same = head.account == context.account.name.as_str();
    let unsigned = !head.headers.contains_key(AUTHORIZATION) && Sas::of(head)?.is_none();
    let own = match &context.authorization {
        Authorization::Key => true,
        Authorization::Bearer(user) => user.roles.permit(operation),
        Authorization::Sas { .. } | Authorization::Anonymous => false,
    };
    if same && unsigned && own {
        return Ok(context.account.clone());
    }
    // Whatever scheme the URL has, it came the way that the request came.
    let arrival = context.arrival;
    let found = auth::authorize(&context.storage, context.issuer.as_deref(), head, operation, arrival).await;
    found.map(|(account, _)| account)
}
