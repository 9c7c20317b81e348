//! Operations: what was asked, by whom, and how it is going.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use welkin_base::{SubscriptionId, Timestamp};
use welkin_management_wire::operation_status::{self, Progress};
use welkin_management_wire::{ApiError, Parameters};
use welkin_pki::Sha1Thumbprint;
use welkin_store::{Commit, Space};

use crate::config::SubscriptionConfig;
use crate::failure::Failure;
use crate::management::{Management, now};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{ACCOUNTS, Kind, Read, SERVICES, State, encode};

/// How long an operation is kept after its end: the API tells of 90 days (SMAPI §6).
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);

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
    /// Who asked.
    pub caller: Sha1Thumbprint,
    /// When.
    pub started: Timestamp,
    /// How far it is.
    pub progress: Progress,
}

/// The key of an operation's row.
pub fn key(id: &RequestId) -> String {
    format!("operation/{id}")
}

/// Puts the operation into the index. To be called before the commit that makes or finishes it.
pub async fn announce(state: &State, request: &Request, space: Space, object: &str) -> Result<(), Failure> {
    let place = format!("{}/{object}/{}", space.name, now().ticks());
    state.enter(&request.subscription.id, Kind::Operation, request.id.as_str(), &place).await
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
        caller: request.caller,
        started: now(),
        progress,
    };
    Ok(commit.put(key(&request.id), encode(&record)?))
}

/// An operation that did at once what was asked.
pub fn done() -> Progress {
    Progress::Succeeded { at: now() }
}

/// Adds to a commit how an operation ended.
pub async fn finish(
    state: &State,
    commit: Commit,
    space: Space,
    object: &str,
    id: &RequestId,
    result: Result<(), ApiError>,
) -> Result<Commit, Failure> {
    let row_key = key(id);
    let Some(read): Option<Read<OperationRecord>> = state.get(space, object, &row_key).await? else {
        return Ok(commit);
    };
    let at = now();
    let progress = match result {
        Ok(()) => Progress::Succeeded { at },
        Err(error) => Progress::Failed { at, error },
    };
    let record = OperationRecord { progress, ..read.record };
    Ok(commit.check_version(row_key.clone(), read.version).put(row_key, encode(&record)?))
}

/// What [`announce`] wrote: the space and the partition of an operation's record, and when.
fn parse_place(place: &str) -> Option<(Space, &str, Timestamp)> {
    let mut parts = place.split('/');
    let (space, object, ticks) = (parts.next()?, parts.next()?, parts.next()?);
    let space = [SERVICES, ACCOUNTS].into_iter().find(|known| known.name == space)?;
    Some((space, object, Timestamp::from_ticks(ticks.parse().ok()?)))
}

/// "Get Operation Status".
pub async fn status(
    management: &Management,
    subscription: &SubscriptionConfig,
    parameters: &Parameters,
) -> Result<Reply, Failure> {
    let unknown = || ApiError::not_found("there is no operation with this id");
    let id: RequestId = parameters.raw("{operation}").parse().map_err(|_| unknown())?;
    let place = management.state.place(&subscription.id, Kind::Operation, id.as_str()).await?;
    let place = place.ok_or_else(unknown)?;
    let (space, object, _) = parse_place(&place).ok_or_else(unknown)?;
    let read: Option<Read<OperationRecord>> = management.state.get(space, object, &key(&id)).await?;
    let record = read.map(|read| read.record).filter(|record| record.subscription == subscription.id);
    let record = record.ok_or_else(unknown)?;
    Ok(Reply::Xml(operation_status::element(id.as_str(), &record.progress)))
}

/// Forgets operations that ended longer ago than the API tells of. What runs is never forgotten.
pub async fn forget_old(state: &State) -> Result<u32, Failure> {
    let mut forgotten = 0;
    for subscription in state.subscriptions().await? {
        for id in state.names(&subscription, Kind::Operation).await? {
            let entry = state.entry(&subscription, Kind::Operation, &id).await?;
            let Some(place) = state.place(&subscription, Kind::Operation, &id).await? else { continue };
            let Some((space, object, announced)) = parse_place(&place) else { continue };
            let row_key = format!("operation/{id}");
            let read: Option<Read<OperationRecord>> = state.get(space, object, &row_key).await?;
            match read {
                Some(read) if !is_old(&read.record, now()) => continue,
                Some(read) => {
                    let change = State::change(space, object);
                    state.commit(change.check_version(row_key.clone(), read.version).delete(row_key)).await?;
                }
                // Announced just now, and about to be committed.
                None if now().since(announced) < KEPT => continue,
                // Announced, and then refused.
                None => {}
            }
            state.leave(&subscription, Kind::Operation, &id, entry).await?;
            forgotten += 1;
        }
    }
    Ok(forgotten)
}

fn is_old(record: &OperationRecord, now: Timestamp) -> bool {
    match &record.progress {
        Progress::InProgress => false,
        Progress::Succeeded { at } | Progress::Failed { at, .. } => now.since(*at) > KEPT,
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
            caller: "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709".parse().unwrap(),
            started: Timestamp::from_ticks(0),
            progress,
        };
        let at = Timestamp::from_ticks(0);
        let day = |days: u64| at.plus(Duration::from_secs(days * 24 * 3600));
        let failed = Progress::Failed { at, error: ApiError::bad_request("") };
        for (progress, now, old) in [
            (Progress::Succeeded { at }, day(90), false),
            (Progress::Succeeded { at }, day(91), true),
            (failed, day(91), true),
            (Progress::InProgress, day(1000), false),
        ] {
            assert_eq!(is_old(&record(progress.clone()), now), old, "{progress:?}");
        }
    }
}
