//! Access tiers.

use http::StatusCode;
use welkin_storage::blob::state::AccessTier;
use welkin_storage_wire::{ProtocolError, RequestHead};

use super::{Answer, conditions, target, told};
use crate::answer::empty;
use crate::context::Context;

/// The header that names a tier.
const HEADER: &str = "x-ms-access-tier";

/// The tier that a request names, if any.
pub(super) fn of(head: &RequestHead) -> Result<Option<AccessTier>, ProtocolError> {
    let parse = |text: &str| text.parse().map_err(|_| ProtocolError::header(HEADER, text));
    head.header(HEADER)?.filter(|text| !text.is_empty()).map(parse).transpose()
}

pub(super) async fn set(context: &Context) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let tier = of(&context.head)?.ok_or_else(|| ProtocolError::missing_header(HEADER))?;
    match context.head.header("x-ms-rehydrate-priority")? {
        None | Some("High" | "Standard") => {}
        Some(other) => return Err(ProtocolError::header("x-ms-rehydrate-priority", other)),
    }
    let path = target.path(context);
    let set = context.storage.set_blob_tier(path, target.revision, tier, &conditions, context.now);
    set.await.map_err(told)?;
    Ok(empty(StatusCode::OK))
}
