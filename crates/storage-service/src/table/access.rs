//! Stored access policies of a table: Get Table ACL and Set Table ACL.

use http::{Response, StatusCode};
use welkin_storage_wire::access as wire;

use super::{Answer, told};
use crate::answer::set;
use crate::context::{Context, RequestBody};

/// The body of Set Table ACL: five policies with short fields.
const BODY_BYTES_MAX: usize = 64 << 10;

/// Get Table ACL.
pub(super) async fn get(context: &Context, table: &str) -> Answer {
    let policies = context.storage.table_policies(context.account.uid, table).await;
    let policies = policies.map_err(|error| told(&error))?;
    let mut response = Response::new(wire::write(&policies).into_bytes());
    set(&mut response, "content-type", "application/xml");
    Ok(response)
}

/// Set Table ACL.
pub(super) async fn set_policies(context: &Context, table: &str, body: &mut RequestBody) -> Answer {
    let policies = wire::parse(&body.whole(BODY_BYTES_MAX).await?)?;
    let changed = context.storage.set_table_policies(context.account.uid, table, &policies).await;
    changed.map_err(|error| told(&error))?;
    let mut response = Response::new(Vec::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
