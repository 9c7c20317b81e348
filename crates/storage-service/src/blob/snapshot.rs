//! Snapshots.

use http::StatusCode;
use welkin_storage_wire::metadata;

use super::properties::{set_state, set_version};
use super::write::written;
use super::{Answer, conditions, current_target, told};
use crate::answer::set;
use crate::context::Context;

pub(super) async fn create(context: &Context) -> Answer {
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let pairs = Some(metadata::of(&context.head.headers)?).filter(|pairs| !pairs.is_empty());
    let snapshot =
        context.storage.snapshot_blob(target.path(context), pairs.as_ref(), &conditions, context.now);
    let snapshot = snapshot.await.map_err(told)?;
    let mut response = written(StatusCode::CREATED);
    set_state(&mut response, snapshot.record.etag, snapshot.record.modified);
    set(&mut response, "x-ms-snapshot", &snapshot.at.to_iso7());
    set_version(&mut response, snapshot.version);
    Ok(response)
}
