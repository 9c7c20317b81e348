//! Operations: what was asked, by whom, and how it is going.

pub mod history;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use welkin_base::{SubscriptionId, Timestamp};
use welkin_management_wire::operation_status::{self, Progress};
use welkin_management_wire::{ApiError, Parameters};
use welkin_pki::Sha1Thumbprint;
use welkin_store::{Commit, Row, Space};

use crate::failure::Failure;
use crate::management::{Management, now};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{ACCOUNTS, Kind, Read, SERVICES, SUBSCRIPTIONS, State, encode};
use crate::subscription::SubscriptionRecord;

/// How long an operation is kept after its end: the API tells of 90 days (SMAPI §6).
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

/// Operations that are looked at together when old ones are forgotten.
const FORGET_ROWS: usize = 256;

/// The id of a request and of the operation that it starts: 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// A new id.
    pub fn generate() -> Self {
        Self(Uuid::new_v4().simple().to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = uuid::Error;
    /// With or without dashes, in any case.
    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        Ok(Self(Uuid::parse_str(text)?.simple().to_string()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operation as it is stored, beside what it changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperationRecord {
    /// Whose.
    pub subscription: SubscriptionId,
    /// The operation's name in the API.
    pub name: String,
    /// What it is about.
    pub object: String,
    /// The path of what it is about, as it is read.
    pub path: String,
    /// What the request's path named, by name.
    pub parameters: Vec<(String, String)>,
    /// Who asked.
    pub caller: Sha1Thumbprint,
    /// From where.
    pub client: IpAddr,
    /// When.
    pub started: Timestamp,
    /// How far it is.
    pub progress: Progress,
}

/// The key of an operation's row.
pub fn key(id: &RequestId) -> String {
    format!("operation/{id}")
}

/// Puts the operation where the subscription finds it: by its id, and by when it began. To be called before the commit
/// that makes or finishes it. `partition` is that of the commit.
pub async fn announce(
    state: &State,
    request: &Request,
    space: Space,
    partition: &str,
) -> Result<(), Failure> {
    let place = format!("{}/{partition}/{}", space.name, request.began.ticks());
    let change = State::change_subscription(&request.subscription.id)
        .put(Kind::Operation.key(request.id.as_str()), place.clone())
        .put(history::key(request.began, &request.id), place);
    state.commit(change).await
}

/// Adds to a commit that `request` is an operation that begins, or is done at once.
pub fn record(
    commit: Commit,
    request: &Request,
    object: &str,
    progress: Progress,
) -> Result<Commit, Failure> {
    let record = OperationRecord {
        subscription: request.subscription.id.clone(),
        name: format!("{:?}", request.operation),
        object: object.to_owned(),
        path: history::path(request, object),
        parameters: history::parameters(request),
        caller: request.caller,
        client: request.client,
        started: request.began,
        progress,
    };
    Ok(commit.put(key(&request.id), encode(&record)?))
}

/// An operation that did at once what was asked.
pub fn done() -> Progress {
    Progress::Succeeded { at: now(), warnings: Vec::new() }
}

/// Adds to a commit how an operation ended: well, perhaps with warnings, or not.
pub async fn finish(
    state: &State,
    commit: Commit,
    space: Space,
    object: &str,
    id: &RequestId,
    result: Result<Vec<String>, ApiError>,
) -> Result<Commit, Failure> {
    let row_key = key(id);
    let Some(read): Option<Read<OperationRecord>> = state.get(space, object, &row_key).await? else {
        return Ok(commit);
    };
    let at = now();
    let progress = match result {
        Ok(warnings) => Progress::Succeeded { at, warnings },
        Err(error) => Progress::Failed { at, error },
    };
    let record = OperationRecord { progress, ..read.record };
    Ok(commit.check_version(row_key.clone(), read.version).put(row_key, encode(&record)?))
}

/// What [`announce`] wrote: the space and the partition of an operation's record, and when.
fn parse_place(place: &[u8]) -> Option<(Space, &str, Timestamp)> {
    let place = std::str::from_utf8(place).ok()?;
    let mut parts = place.split('/');
    let (space, object, ticks) = (parts.next()?, parts.next()?, parts.next()?);
    let space = [SERVICES, ACCOUNTS, SUBSCRIPTIONS].into_iter().find(|known| known.name == space)?;
    Some((space, object, Timestamp::from_ticks(ticks.parse().ok()?)))
}

/// "Get Operation Status".
pub async fn status(
    management: &Management,
    subscription: &SubscriptionRecord,
    parameters: &Parameters,
) -> Result<Reply, Failure> {
    let unknown = || ApiError::not_found("there is no operation with this id");
    let id: RequestId = parameters.raw("{operation}").parse().map_err(|_| unknown())?;
    let place = management.state.entry(&subscription.id, Kind::Operation, id.as_str()).await?;
    let place = place.ok_or_else(unknown)?;
    let (space, object, _) = parse_place(&place.value).ok_or_else(unknown)?;
    let read: Option<Read<OperationRecord>> = management.state.get(space, object, &key(&id)).await?;
    let record = read.map(|read| read.record).filter(|record| record.subscription == subscription.id);
    let record = record.ok_or_else(unknown)?;
    Ok(Reply::Xml(operation_status::element(id.as_str(), &record.progress)))
}

/// Forgets operations that ended longer ago than the API tells of. What runs is never forgotten.
pub async fn forget_old(state: &State) -> Result<u32, Failure> {
    let mut forgotten = 0;
    for subscription in state.subscriptions().await? {
        let mut after = None;
        loop {
            let page = state.page(&subscription, history::PREFIX, after, FORGET_ROWS).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.key.clone());
            for row in page {
                let Some((began, id)) = history::parse_key(&row.key) else { continue };
                // They are in order of their beginning, and none ends before it begins.
                if now().since(began) < KEPT {
                    after = None;
                    break;
                }
                forgotten += u32::from(forget(state, &subscription, &id, &row).await?);
            }
            if after.is_none() {
                break;
            }
        }
    }
    Ok(forgotten)
}

/// Forgets one operation, if it is old.
async fn forget(
    state: &State,
    subscription: &SubscriptionId,
    id: &RequestId,
    row: &Row,
) -> Result<bool, Failure> {
    let row_key = key(id);
    if let Some((space, partition, _)) = parse_place(&row.value) {
        let read: Option<Read<OperationRecord>> = state.get(space, partition, &row_key).await?;
        match read {
            Some(read) if !is_old(&read.record, now()) => return Ok(false),
            Some(read) => {
                let change = State::change(space, partition);
                state.commit(change.check_version(row_key.clone(), read.version).delete(row_key)).await?;
            }
            // Announced, and then refused.
            None => {}
        }
    }
    let change = State::change_subscription(subscription)
        .delete(Kind::Operation.key(id.as_str()))
        .delete(row.key.clone());
    state.commit(change).await?;
    Ok(true)
}

fn is_old(record: &OperationRecord, now: Timestamp) -> bool {
    match &record.progress {
        Progress::InProgress => false,
        Progress::Succeeded { at, .. } | Progress::Failed { at, .. } => now.since(*at) > KEPT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten() {
        let record = |progress| OperationRecord {
            subscription: SubscriptionId::new("11111111-1111-1111-1111-111111111111").unwrap(),
            name: "CreateHostedService".to_owned(),
            object: "guestbook".to_owned(),
            path: "/services/hostedservices/guestbook".to_owned(),
            parameters: Vec::new(),
            client: [127, 0, 0, 1].into(),
            caller: "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709".parse().unwrap(),
            started: Timestamp::from_ticks(0),
            progress,
        };
        let at = Timestamp::from_ticks(0);
        let day = |days: u64| at.plus(Duration::from_secs(days * 24 * 3600));
        let succeeded = Progress::Succeeded { at, warnings: Vec::new() };
        let failed = Progress::Failed { at, error: ApiError::bad_request("") };
        for (progress, now, old) in [
            (succeeded.clone(), day(90), false),
            (succeeded, day(91), true),
            (failed, day(91), true),
            (Progress::InProgress, day(1000), false),
        ] {
            assert_eq!(is_old(&record(progress.clone()), now), old, "{progress:?}");
        }
    }
}
