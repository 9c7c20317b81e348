//! Index tags.

use http::StatusCode;
use welkin_storage_wire::blob::find::{self, Found};
use welkin_storage_wire::blob::list::ListQuery;
use welkin_storage_wire::blob::tag_filter::{Place, TagFilter};
use welkin_storage_wire::blob::tags as wire;
use welkin_storage_wire::{ErrorCode, ProtocolError};

use super::{Answer, conditions, target, told};
use crate::answer::{empty, xml};
use crate::context::{Context, RequestBody};

/// The body of Set Blob Tags: ten tags with short fields.
const TAGS_BYTES_MAX: usize = 64 * 1024;

pub(super) async fn get(context: &Context) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let path = target.path(context);
    let tags = context.storage.blob_tags(path, target.revision, &conditions, context.now).await;
    Ok(xml(StatusCode::OK, wire::write(&tags.map_err(told)?)))
}

pub(super) async fn set(context: &Context, body: &mut RequestBody) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let tags = wire::parse(&body.whole(TAGS_BYTES_MAX).await?)?;
    let path = target.path(context);
    let set = context.storage.set_blob_tags(path, target.revision, &tags, &conditions, context.now);
    set.await.map_err(told)?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Find Blobs by Tags, in the account or in one container.
pub(super) async fn find(context: &Context, container: Option<&str>) -> Answer {
    let missing = || {
        ProtocolError::from(ErrorCode::MissingRequiredQueryParameter)
            .with_detail("QueryParameterName", "where")
    };
    let expression = context.head.query.get_filled("where").ok_or_else(missing)?;
    let filter = TagFilter::parse(expression, Place::Where)?;
    let ask = ListQuery::of(&context.head.query)?;
    let place = (ask.marker.as_deref(), ask.results_max);
    let page = context.storage.find_blobs(context.account.uid, container, &filter, place, context.now);
    let page = page.await.map_err(told)?;
    let found: Vec<Found> =
        page.items.into_iter().map(|(container, name, tags)| Found { container, name, tags }).collect();
    let endpoint = format!("{}/", context.head.endpoint(context.scheme()));
    Ok(xml(StatusCode::OK, find::write(&endpoint, expression, &found, page.next.as_deref())))
}
