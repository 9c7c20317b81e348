//! Stored access policies of a queue: Get Queue ACL and Set Queue ACL.

use http::{Response, StatusCode};
use welkin_storage_wire::{ProtocolError, access as wire};
use welkin_transport::Body;

use super::told;
use crate::answer::{empty, xml};
use crate::context::{Context, RequestBody};

/// The body of Set Queue ACL: five policies with short fields.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Get Queue ACL.
pub(super) async fn policies(context: &Context, queue: &str) -> Result<Response<Body>, ProtocolError> {
    let policies = context.storage.queue_policies(context.account.uid, queue).await;
    let policies = policies.map_err(|error| told(&error))?;
    Ok(xml(StatusCode::OK, wire::write(&policies)))
}

/// Set Queue ACL.
pub(super) async fn set_policies(
    context: &Context,
    queue: &str,
    body: &mut RequestBody,
) -> Result<Response<Body>, ProtocolError> {
    let policies = wire::parse(&body.whole(BODY_BYTES_MAX).await?)?;
    let set = context.storage.set_queue_policies(context.account.uid, queue, &policies).await;
    set.map_err(|error| told(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}
