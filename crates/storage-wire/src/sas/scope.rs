//! What a shared access signature is for, and the resource whose name it covers.

use super::failed;
use crate::error::{ErrorCode, ProtocolError};
use crate::operation::{BlobResource, QueueResource, Service, TableResource};
use crate::request::RequestHead;

/// What a SAS is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// Services of an account.
    Account,
    /// A container and its blobs: `sr=c`.
    Container,
    /// A blob: `sr=b`.
    Blob,
    /// A snapshot of a blob: `sr=bs`.
    Snapshot,
    /// A version of a blob: `sr=bv`.
    Version,
    /// A queue.
    Queue,
    /// A table, or a range of it.
    Table,
}

/// What the request's SAS is for; the request's resource must lie in it.
pub(super) fn of(head: &RequestHead) -> Result<Scope, ProtocolError> {
    if head.query.get("srt").is_some() {
        return Ok(Scope::Account);
    }
    match (head.service, head.query.get("sr")) {
        (Service::Blob, Some("c")) => Ok(Scope::Container),
        (Service::Blob, Some("b")) => Ok(Scope::Blob),
        (Service::Blob, Some("bs")) => Ok(Scope::Snapshot),
        (Service::Blob, Some("bv")) => Ok(Scope::Version),
        (Service::Blob, Some("d")) => Err(failed(
            "sr=d is for directories, which accounts without a hierarchical namespace do not have",
        )),
        (Service::Blob, _) => Err(failed("sr is none of b, c, bs, bv")),
        (Service::Queue, _) => Ok(Scope::Queue),
        (Service::Table, _) => Ok(Scope::Table),
    }
}

/// The resource within the account whose name the signature covers, as `/container` or `/container/blob`.
pub(super) fn covered(head: &RequestHead, scope: Scope) -> Result<String, ProtocolError> {
    match scope {
        Scope::Account => Ok(String::new()),
        Scope::Container | Scope::Blob | Scope::Snapshot | Scope::Version => blob(head, scope),
        Scope::Queue => match QueueResource::of(head)? {
            QueueResource::Account => Err(outside()),
            QueueResource::Queue(queue)
            | QueueResource::Messages(queue)
            | QueueResource::Message { queue, .. } => Ok(format!("/{queue}")),
        },
        Scope::Table => table(head),
    }
}

fn outside() -> ProtocolError {
    ErrorCode::AuthorizationFailure.into()
}

fn blob(head: &RequestHead, scope: Scope) -> Result<String, ProtocolError> {
    let given = |name| head.query.get_filled(name).is_some();
    match (BlobResource::of(head)?, scope) {
        (BlobResource::Container(container) | BlobResource::Blob { container, .. }, Scope::Container) => {
            Ok(format!("/{container}"))
        }
        (BlobResource::Blob { .. }, Scope::Snapshot) if !given("snapshot") => Err(outside()),
        (BlobResource::Blob { .. }, Scope::Version) if !given("versionid") => Err(outside()),
        (BlobResource::Blob { container, blob }, _) => Ok(format!("/{container}/{blob}")),
        _ => Err(outside()),
    }
}

fn table(head: &RequestHead) -> Result<String, ProtocolError> {
    let named = head.query.get("tn").unwrap_or("").to_ascii_lowercase();
    match TableResource::of(head)? {
        TableResource::Table(table) | TableResource::Entity { table, .. }
            if table.to_ascii_lowercase() != named =>
        {
            Err(outside())
        }
        TableResource::Account | TableResource::Tables | TableResource::TableEntry(_) => Err(outside()),
        _ => Ok(format!("/{named}")),
    }
}
