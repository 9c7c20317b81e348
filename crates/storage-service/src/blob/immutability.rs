//! Immutability policies, legal holds, and expiry.

use std::time::Duration;

use http::{Response, StatusCode};
use welkin_base::Timestamp;
use welkin_storage::blob::state::{BlobRecord, Immutability};
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead};
use welkin_transport::Body;

use super::properties::set_state;
use super::{Answer, conditions, current_target, target, told};
use crate::answer::{empty, http_date, set};
use crate::context::Context;

const UNTIL: &str = "x-ms-immutability-policy-until-date";
const MODE: &str = "x-ms-immutability-policy-mode";
const HOLD: &str = "x-ms-legal-hold";
const EXPIRY_TIME: &str = "x-ms-expiry-time";

/// The policy that a request gives a blob, if any.
pub(super) fn policy_of(head: &RequestHead, now: Timestamp) -> Result<Option<Immutability>, ProtocolError> {
    let Some(text) = head.header(UNTIL)?.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let until = date(UNTIL, text)?;
    if until <= now {
        return Err(ProtocolError::header(UNTIL, text));
    }
    let locked = match head.header(MODE)? {
        None | Some("") => false,
        Some(mode) if mode.eq_ignore_ascii_case("unlocked") => false,
        Some(mode) if mode.eq_ignore_ascii_case("locked") => true,
        Some(other) => return Err(ProtocolError::header(MODE, other)),
    };
    Ok(Some(Immutability { until, locked }))
}

/// Whether a request puts a blob under a legal hold, if it says.
pub(super) fn hold_of(head: &RequestHead) -> Result<Option<bool>, ProtocolError> {
    match head.header(HOLD)? {
        None | Some("") => Ok(None),
        Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
        Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
        Some(other) => Err(ProtocolError::header(HOLD, other)),
    }
}

/// Sets what a blob's properties say of its protection.
pub(super) fn set_protection(response: &mut Response<Body>, blob: &BlobRecord) {
    if let Some(policy) = blob.immutability {
        set(response, UNTIL, &http_date(policy.until));
        set(response, MODE, if policy.locked { "locked" } else { "unlocked" });
    }
    if blob.legal_hold {
        set(response, HOLD, "true");
    }
}

pub(super) async fn set_policy(context: &Context) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let policy =
        policy_of(&context.head, context.now)?.ok_or_else(|| ProtocolError::missing_header(UNTIL))?;
    let path = target.path(context);
    let set = context.storage.set_immutability(path, target.revision, policy, &conditions, context.now);
    let blob = set.await.map_err(told)?;
    let mut response = empty(StatusCode::OK);
    set_protection(&mut response, &blob);
    Ok(response)
}

pub(super) async fn delete_policy(context: &Context) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let path = target.path(context);
    let deleted = context.storage.delete_immutability(path, target.revision, &conditions, context.now);
    deleted.await.map_err(told)?;
    Ok(empty(StatusCode::OK))
}

pub(super) async fn set_legal_hold(context: &Context) -> Answer {
    let (target, conditions) = (target(context)?, conditions(context)?);
    let hold = hold_of(&context.head)?.ok_or_else(|| ProtocolError::missing_header(HOLD))?;
    let path = target.path(context);
    let blob = context.storage.set_legal_hold(path, target.revision, hold, &conditions, context.now);
    let blob = blob.await.map_err(told)?;
    let mut response = empty(StatusCode::OK);
    set(&mut response, HOLD, if blob.legal_hold { "true" } else { "false" });
    Ok(response)
}

pub(super) async fn set_expiry(context: &Context) -> Answer {
    let (target, conditions) = (current_target(context)?, conditions(context)?);
    let option = context.head.header("x-ms-expiry-option")?;
    let option = option.ok_or_else(|| ProtocolError::missing_header("x-ms-expiry-option"))?;
    let time = || {
        let text = context.head.header(EXPIRY_TIME)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| ProtocolError::missing_header(EXPIRY_TIME))
    };
    let span = || {
        let text = time()?;
        text.parse().map(Duration::from_millis).map_err(|_| ProtocolError::header(EXPIRY_TIME, text))
    };
    let expiry = match option {
        "NeverExpire" => Expiry::Never,
        "RelativeToNow" => Expiry::At(context.now.plus(span()?)),
        "RelativeToCreation" => Expiry::AfterCreation(span()?),
        "Absolute" => Expiry::At(date(EXPIRY_TIME, time()?)?),
        other => return Err(ProtocolError::header("x-ms-expiry-option", other)),
    };
    if let Expiry::At(moment) = expiry
        && moment <= context.now
    {
        return Err(ErrorCode::InvalidHeaderValue.into());
    }
    let expires = |created: Timestamp| match expiry {
        Expiry::Never => None,
        Expiry::At(moment) => Some(moment),
        Expiry::AfterCreation(span) => Some(created.plus(span)),
    };
    let path = target.path(context);
    let blob = context.storage.set_blob_expiry(path, expires, &conditions, context.now).await;
    let blob = blob.map_err(told)?;
    let mut response = empty(StatusCode::OK);
    set_state(&mut response, blob.etag, blob.modified);
    Ok(response)
}

#[derive(Debug, Clone, Copy)]
enum Expiry {
    Never,
    At(Timestamp),
    AfterCreation(Duration),
}

fn date(name: &'static str, text: &str) -> Result<Timestamp, ProtocolError> {
    httpdate::parse_http_date(text).map(Timestamp::from).map_err(|_| ProtocolError::header(name, text))
}
