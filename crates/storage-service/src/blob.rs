//! The blob service: its operations, from request to answer.

mod append;
pub(crate) mod batch;
mod block_list;
mod container;
pub(crate) mod copy;
mod delete;
mod encryption;
mod hash;
mod immutability;
mod lease;
mod limit;
mod list;
mod page;
mod properties;
pub mod query;
mod read;
mod snapshot;
mod source;
mod tags;
mod tier;
mod write;

use http::Response;
use welkin_base::Timestamp;
use welkin_storage::Account;
use welkin_storage::blob::condition::{Conditions, ETags};
use welkin_storage::blob::lease::LeaseId;
use welkin_storage::blob::{BlobPath, Revision};
use welkin_storage_wire::blob::lease as lease_wire;
use welkin_storage_wire::condition::ConditionHeaders;
use welkin_storage_wire::operation::BlobResource;
use welkin_storage_wire::{BlobOperation, ErrorCode, ProtocolError, RequestHead};
use welkin_transport::Body;

use self::encryption::KEY;
use crate::context::{Context, RequestBody};
use crate::delegation;
use crate::service;

type Answer = Result<Response<Body>, ProtocolError>;

/// Does an operation of the blob service.
///
/// # Errors
/// With the protocol's code for what is wrong.
pub async fn handle(context: &Context, operation: BlobOperation, body: &mut RequestBody) -> Answer {
    use BlobOperation as Op;
    match operation {
        Op::GetBlobServiceProperties => service::properties(context),
        Op::SetBlobServiceProperties => service::set_properties(context, body).await,
        Op::GetBlobServiceStats => service::stats(context),
        Op::GetUserDelegationKey => delegation::user_delegation_key(context, body).await,
        Op::ListContainers => list::containers(context).await,
        Op::GetAccountInformation => Ok(container::account_information()),
        Op::CreateContainer => container::create(context).await,
        Op::GetContainerProperties | Op::GetContainerMetadata => container::properties(context).await,
        Op::SetContainerMetadata => container::set_metadata(context).await,
        Op::GetContainerAcl => container::access(context).await,
        Op::SetContainerAcl => container::set_access_policies(context, body).await,
        Op::RestoreContainer => container::restore(context).await,
        Op::RenameContainer => container::rename(context).await,
        Op::LeaseContainer => lease::container(context).await,
        Op::DeleteContainer => container::delete(context).await,
        Op::ListBlobs => list::blobs(context).await,
        Op::PutBlob => write::put(context, body).await,
        Op::PutAppendBlob => append::put(context, body).await,
        Op::AppendBlock => append::append(context, body).await,
        Op::SealBlob => append::seal(context).await,
        Op::PutPageBlob => page::put(context, body).await,
        Op::PutPage => page::put_page(context, body).await,
        Op::GetPageRanges | Op::GetPageRangesDiff => page::ranges(context).await,
        Op::GetBlob => read::get(context).await,
        Op::GetBlobProperties => read::properties(context).await,
        Op::GetBlobMetadata => read::metadata(context).await,
        Op::SetBlobProperties => write::set_properties(context).await,
        Op::SetBlobMetadata => write::set_metadata(context).await,
        Op::DeleteBlob => delete::delete(context).await,
        Op::UndeleteBlob => delete::undelete(context).await,
        Op::SnapshotBlob => snapshot::create(context).await,
        Op::LeaseBlob => lease::blob(context).await,
        Op::GetBlobTags => tags::get(context).await,
        Op::SetBlobTags => tags::set(context, body).await,
        Op::FindBlobsByTags => tags::find(context, None).await,
        Op::FindBlobsByTagsInContainer => {
            tags::find(context, Some(&container::container_name(context)?)).await
        }
        Op::QueryBlobContents => query::query(context, body).await,
        Op::SetBlobTier => tier::set(context).await,
        Op::SetImmutabilityPolicy => immutability::set_policy(context).await,
        Op::DeleteImmutabilityPolicy => immutability::delete_policy(context).await,
        Op::SetLegalHold => immutability::set_legal_hold(context).await,
        Op::SetBlobExpiry => immutability::set_expiry(context).await,
        Op::PutBlobFromUrl => Box::pin(copy::put_blob(context, body)).await,
        Op::PutBlockFromUrl => Box::pin(copy::put_block(context, body)).await,
        Op::AppendBlockFromUrl => Box::pin(copy::append(context, body)).await,
        Op::PutPageFromUrl => Box::pin(copy::put_page(context, body)).await,
        Op::CopyBlob => Box::pin(copy::copy(context, body)).await,
        Op::CopyBlobFromUrl => Box::pin(copy::copy_from_url(context, body)).await,
        Op::AbortCopyBlob => Box::pin(copy::abort(context, body)).await,
        Op::IncrementalCopyBlob => Box::pin(copy::incremental(context, body)).await,
        Op::PutBlock => block_list::put_block(context, body).await,
        Op::PutBlockList => block_list::put(context, body).await,
        Op::GetBlockList => block_list::get(context).await,
        other => {
            // The dispatcher answers these before; a row of the table says otherwise than this match.
            tracing::error!(operation = other.spec().name, "the table says built, and no handler is");
            Err(ErrorCode::NotImplemented.into())
        }
    }
}

/// The blob that a request names, and which state of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    container: String,
    name: String,
    revision: Revision,
}

impl Target {
    /// As the engine names the blob.
    fn path<'a>(&'a self, context: &'a Context) -> BlobPath<'a> {
        self.path_in(&context.account)
    }

    /// As the engine names the blob of this account.
    fn path_in<'a>(&'a self, account: &'a Account) -> BlobPath<'a> {
        BlobPath { account, container: &self.container, name: &self.name }
    }
}

/// The blob that the request names, with its snapshot or version.
fn target(context: &Context) -> Result<Target, ProtocolError> {
    target_of(&context.head)
}

fn target_of(head: &RequestHead) -> Result<Target, ProtocolError> {
    let BlobResource::Blob { container, blob } = BlobResource::of(head)? else {
        return Err(ErrorCode::InvalidUri.into());
    };
    let moment = |name: &'static str| -> Result<Option<Timestamp>, ProtocolError> {
        let parse = |text| Timestamp::parse_rfc3339(text).map_err(|_| ProtocolError::query(name, text));
        head.query.get_filled(name).map(parse).transpose()
    };
    let revision = match (moment("snapshot")?, moment("versionid")?) {
        (None, None) => Revision::Current,
        (Some(at), None) => Revision::Snapshot(at),
        (None, Some(at)) => Revision::Version(at),
        (Some(_), Some(_)) => return Err(ErrorCode::MutuallyExclusiveQueryParameters.into()),
    };
    Ok(Target { container, name: blob, revision })
}

/// The blob that the request names, where only the blob itself can be meant and not a snapshot or version.
fn current_target(context: &Context) -> Result<Target, ProtocolError> {
    let target = target(context)?;
    match target.revision {
        Revision::Current => Ok(target),
        Revision::Snapshot(_) => Err(ErrorCode::SnapshotOperationNotSupported.into()),
        Revision::Version(_) => Err(ErrorCode::InvalidVersionForOperation.into()),
    }
}

fn conditions(context: &Context) -> Result<Conditions, ProtocolError> {
    Ok(Conditions {
        lease: lease_wire::lease_id(&context.head)?.map(LeaseId),
        customer_key: encryption::key_of(context, &KEY)?,
        ..engine_conditions(ConditionHeaders::of(&context.head.headers)?)
    })
}

fn engine_conditions(headers: ConditionHeaders) -> Conditions {
    let tags = |texts: Vec<String>| match texts.iter().any(|text| text == "*") {
        true => ETags::Any,
        false => ETags::OneOf(texts),
    };
    Conditions {
        if_match: headers.if_match.map(tags),
        if_none_match: headers.if_none_match.map(tags),
        if_modified_since: headers.if_modified_since,
        if_unmodified_since: headers.if_unmodified_since,
        if_tags: headers.if_tags,
        ..Conditions::default()
    }
}

fn told(error: impl Into<crate::error::ServiceError>) -> ProtocolError {
    crate::error::told(&error.into())
}
