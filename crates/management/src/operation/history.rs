//! "List Subscription Operations": what was created, changed and deleted, in the order in which it was asked for.

use std::str::FromStr as _;

use welkin_base::Timestamp;
use welkin_management_wire::subscription_operation::{
    Query, SubscriptionOperation, list as list_element, status,
};
use welkin_management_wire::{ApiError, TABLE};
use welkin_store::Row;

use super::{OperationRecord, RequestId, key as record_key, parse_place};
use crate::failure::Failure;
use crate::management::{Management, now};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::Read;

/// What the keys of the history begin with.
pub const PREFIX: &str = "history/";
/// Operations of one page, at most.
const PAGE_OPERATIONS: usize = 100;
/// Operations that are looked at for one page, at most: a filter that nothing passes ends too.
const PAGE_LOOKS: usize = 1000;
/// Operations that are looked at together.
const PAGE_ROWS: usize = 100;

/// The key of an operation in the history.
pub fn key(began: Timestamp, id: &RequestId) -> String {
    format!("{PREFIX}{:020}/{id}", began.ticks())
}

/// What [`key`] wrote.
pub fn parse_key(key: &[u8]) -> Option<(Timestamp, RequestId)> {
    let (ticks, id) = std::str::from_utf8(key).ok()?.strip_prefix(PREFIX)?.split_once('/')?;
    Some((Timestamp::from_ticks(ticks.parse().ok()?), RequestId::from_str(id).ok()?))
}

/// "List Subscription Operations".
pub async fn list(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let query = Query::parse(&request.parameters, now())?;
    let (state, id) = (&management.state, &request.subscription.id);
    let mut after = match &query.continuation {
        Some(token) => token_key(token)?,
        None => format!("{PREFIX}{:020}", query.start.ticks()),
    };
    let (mut listed, mut looks) = (Vec::new(), 0);
    loop {
        let page = state.page(id, PREFIX, Some(after.clone().into()), PAGE_ROWS).await?;
        let ended = page.len() < PAGE_ROWS;
        for row in page {
            match parse_key(&row.key) {
                Some((began, _)) if began > query.end => return Ok(Reply::Xml(list_element(&listed, None))),
                _ => {}
            }
            listed.extend(read(management, request, &row, &query).await?);
            looks += 1;
            after = String::from_utf8_lossy(&row.key).into_owned();
            if listed.len() == PAGE_OPERATIONS || looks == PAGE_LOOKS {
                return Ok(Reply::Xml(list_element(&listed, after.strip_prefix(PREFIX))));
            }
        }
        if ended {
            return Ok(Reply::Xml(list_element(&listed, None)));
        }
    }
}

fn token_key(token: &str) -> Result<String, ApiError> {
    let key = format!("{PREFIX}{token}");
    match parse_key(key.as_bytes()) {
        Some(_) => Ok(key),
        None => Err(ApiError::bad_request("ContinuationToken is not one that this API gave")),
    }
}

/// The operation of a row, if it was not refused and the filters let it pass.
async fn read(
    management: &Management,
    request: &Request,
    row: &Row,
    query: &Query,
) -> Result<Option<SubscriptionOperation>, Failure> {
    let Some(((_, id), (space, partition, _))) = parse_key(&row.key).zip(parse_place(&row.value)) else {
        return Ok(None);
    };
    let read: Option<Read<OperationRecord>> =
        management.state.get(space, partition, &record_key(&id)).await?;
    let own = read.map(|read| read.record).filter(|record| record.subscription == request.subscription.id);
    let operation = own.map(|record| describe(&id, record));
    Ok(operation.filter(|operation| {
        query.status.is_none_or(|wanted| status(&operation.progress) == wanted)
            && query.object.as_ref().is_none_or(|wanted| is_object(wanted, &operation.object))
    }))
}

/// Names have no case, and a client may give the whole URL.
fn is_object(wanted: &str, object: &str) -> bool {
    let wanted = wanted.trim_end_matches('/').to_ascii_lowercase();
    wanted.ends_with(&object.to_ascii_lowercase())
}

fn describe(id: &RequestId, record: OperationRecord) -> SubscriptionOperation {
    SubscriptionOperation {
        id: id.to_string(),
        object: format!("/{}/{}", record.subscription, record.path),
        name: record.name,
        parameters: record.parameters,
        caller: record.caller.to_string(),
        client: record.client.to_string(),
        started: record.started,
        progress: record.progress,
    }
}

/// The path below the subscription of what a request is about. What is created is named by its body, not by the path.
pub fn path(request: &Request, object: &str) -> String {
    let template = TABLE.iter().find(|row| row.operation == request.operation).map_or("", |row| row.template);
    let named = |placeholder| match request.parameters.raw(placeholder) {
        "" => object,
        name => name,
    };
    let (deployment, slot) = (request.parameters.raw("{deployment}"), request.parameters.raw("{slot}"));
    let mut path: Vec<&str> = Vec::new();
    for part in template.split('/') {
        match part {
            "{deployment}" if deployment.is_empty() => path.extend(["deploymentslots", slot]),
            "{deployment}" => path.extend(["deployments", deployment]),
            "{service}" | "{account}" | "{slot}" | "{key}" | "{instance}" => path.push(named(part)),
            // Not what is operated on, but the operation.
            "keys" | "package" => {}
            _ => path.push(part),
        }
    }
    if !template.contains('{') {
        path.push(object);
    }
    path.join("/")
}

/// Names and values of what the request's path named.
pub fn parameters(request: &Request) -> Vec<(String, String)> {
    let mut parameters = vec![("subscriptionID".to_owned(), request.subscription.id.to_string())];
    for (placeholder, name) in [
        ("{service}", "serviceName"),
        ("{deployment}", "deploymentName"),
        ("{slot}", "deploymentSlot"),
        ("{instance}", "roleInstanceName"),
        ("{account}", "serviceName"),
        ("{key}", "name"),
    ] {
        match request.parameters.raw(placeholder) {
            "" => {}
            value => parameters.push((name.to_owned(), value.to_owned())),
        }
    }
    parameters
}
