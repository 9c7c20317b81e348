//! Deployment events: VMs that were started again.

use welkin_base::Timestamp;
use welkin_management_wire::deployment::event;
use welkin_management_wire::{ApiError, ErrorCode};

use crate::deployment;
use crate::failure::Failure;
use crate::management::Management;
use crate::reply::Reply;
use crate::request::Request;

/// "List Deployment Events": those from `starttime` to `endtime`, each left out for no limit.
pub async fn list(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let (from, to) = (time(request, "starttime")?, time(request, "endtime")?);
    let (_, _, read) = deployment::find(management, request).await?;
    let mut events = management.fabric.events(&read.record.id).await?.unwrap_or_default();
    events.retain(|event| from.is_none_or(|from| event.at >= from) && to.is_none_or(|to| event.at <= to));
    Ok(Reply::Xml(event::element(&events)))
}

fn time(request: &Request, name: &str) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = request.parameters.query(name).filter(|text| !text.is_empty()) else { return Ok(None) };
    let day = format!("{text}T00:00:00Z");
    let parsed = Timestamp::parse_rfc3339(text).or_else(|_| Timestamp::parse_rfc3339(&day));
    parsed.map(Some).map_err(|error| {
        ApiError::new(ErrorCode::MissingOrInvalidRequiredQueryParameter, format!("{name}: {error}"))
    })
}
