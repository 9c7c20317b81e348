//! Deleting and restoring blobs.

use http::StatusCode;
use welkin_storage::blob::Revision;
use welkin_storage::blob::delete::{Deleting, Outcome};
use welkin_storage_wire::{ErrorCode, ProtocolError};

use super::{Answer, conditions, current_target, target, told};
use crate::answer::{empty, set};
use crate::context::Context;

pub(super) async fn delete(context: &Context) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let deleting = deleting(context, target.revision)?;
    let outcome = context.storage.delete_blob(target.path(context), deleting, &conditions, context.now);
    let for_good = match outcome.await.map_err(told)? {
        Outcome::Gone => "true",
        Outcome::Kept => "false",
    };
    let mut response = empty(StatusCode::ACCEPTED);
    set(&mut response, "x-ms-delete-type-permanent", for_good);
    Ok(response)
}

pub(super) async fn undelete(context: &Context) -> Answer {
    let target = current_target(context)?;
    context.storage.undelete_blob(target.path(context), context.now).await.map_err(told)?;
    Ok(empty(StatusCode::OK))
}

fn deleting(context: &Context, revision: Revision) -> Result<Deleting, ProtocolError> {
    const SNAPSHOTS: &str = "x-ms-delete-snapshots";
    let permanent = match context.head.query.get_filled("deletetype") {
        None => false,
        Some(text) if text.eq_ignore_ascii_case("permanent") => true,
        Some(other) => return Err(ProtocolError::query("deletetype", other)),
    };
    match (revision, context.head.header(SNAPSHOTS)?, permanent) {
        (Revision::Current, _, true) => Err(ProtocolError::query("deletetype", "permanent")),
        (Revision::Current, None, false) => Ok(Deleting::Blob),
        (Revision::Current, Some(text), false) if text.eq_ignore_ascii_case("include") => {
            Ok(Deleting::WithSnapshots)
        }
        (Revision::Current, Some(text), false) if text.eq_ignore_ascii_case("only") => {
            Ok(Deleting::OnlySnapshots)
        }
        (Revision::Current, Some(other), false) => Err(ProtocolError::header(SNAPSHOTS, other)),
        // A snapshot or version has no snapshots.
        (_, Some(_), _) => Err(ProtocolError::saying(
            ErrorCode::InvalidInput,
            "x-ms-delete-snapshots is for a blob, and the request names a snapshot or a version.",
        )),
        (revision, None, true) => Ok(Deleting::ForGood(revision)),
        (revision, None, false) => Ok(Deleting::One(revision)),
    }
}
