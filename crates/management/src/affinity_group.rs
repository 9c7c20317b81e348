//! Affinity groups. What is in one names it in its entry in the subscription's partition ([`crate::quota`]), so that a group
//! is never deleted while something is in it.

use serde::{Deserialize, Serialize};
use welkin_base::{SubscriptionId, Timestamp};
use welkin_management_wire::affinity_group::{
    AffinityGroup, CreateAffinityGroup, Members, UpdateAffinityGroup, check_name,
};
use welkin_management_wire::hosted_service::Place;
use welkin_management_wire::{ApiError, Element};
use welkin_store::Commit;

use crate::config::Config;
use crate::failure::Failure;
use crate::location;
use crate::management::{Management, now};
use crate::operation;
use crate::quota::{self, TRIES, won};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{Kind, Read, SUBSCRIPTIONS, State, decode, encode};
use crate::subscription;

/// Affinity groups of a subscription, at most: each list of them reads all.
const GROUPS_MAX: usize = 250;

/// An affinity group as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Its name, as the customer writes it.
    pub name: String,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// When it was created.
    pub created: Timestamp,
}

fn unknown(name: &str) -> ApiError {
    ApiError::not_found(format!("there is no affinity group {name}"))
}

async fn read(state: &State, id: &SubscriptionId, name: &str) -> Result<Option<Read<GroupRecord>>, Failure> {
    state.get(SUBSCRIPTIONS, id.as_str(), &Kind::Group.key(name)).await
}

/// The group that a request names in its path.
async fn find(management: &Management, request: &Request) -> Result<Read<GroupRecord>, Failure> {
    let name = request.parameters.raw("{key}");
    check_name(name)?;
    let found = read(&management.state, &request.subscription.id, name).await?;
    Ok(found.ok_or_else(|| unknown(name))?)
}

/// The affinity group of something that is to be made, as its own record writes the name.
pub async fn of_place(
    state: &State,
    config: &Config,
    id: &SubscriptionId,
    place: Place,
) -> Result<Option<String>, Failure> {
    match place {
        Place::Location(name) => {
            location::check(config, &name)?;
            Ok(None)
        }
        Place::AffinityGroup(name) => {
            check_name(&name)?;
            let group = read(state, id, &name).await?;
            let group = group.ok_or_else(|| ApiError::bad_request(unknown(&name).message))?;
            Ok(Some(group.record.name))
        }
    }
}

fn describe(management: &Management, record: GroupRecord) -> AffinityGroup {
    AffinityGroup {
        name: record.name,
        label: record.label,
        description: record.description,
        location: management.config.location.clone(),
        created: record.created,
    }
}

/// "List Affinity Groups".
pub async fn list(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let mut elements = Vec::new();
    for row in management.state.entries(&request.subscription.id, Kind::Group.prefix()).await? {
        let record = decode(SUBSCRIPTIONS, &row.value)?;
        elements.push(describe(management, record).element(request.version, None));
    }
    Ok(Reply::Xml(Element::new("AffinityGroups").children(elements)))
}

/// "Get Affinity Group Properties": with what is in it.
pub async fn get(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let record = find(management, request).await?.record;
    let (state, id) = (&management.state, &request.subscription.id);
    let of = |base: &'static str, names: Vec<String>| {
        names.into_iter().map(|name| (request.url(&format!("services/{base}/{name}")), name)).collect()
    };
    let members = Members {
        services: of("hostedservices", quota::members(state, id, Kind::Service, &record.name).await?),
        accounts: of("storageservices", quota::members(state, id, Kind::Account, &record.name).await?),
    };
    Ok(Reply::Xml(describe(management, record).element(request.version, Some(&members))))
}

/// "Create Affinity Group".
pub async fn create(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let asked = CreateAffinityGroup::parse(&request.body)?;
    location::check(&management.config, &asked.location)?;
    let (state, id) = (&management.state, &request.subscription.id);
    let (key, name) = (Kind::Group.key(&asked.name), asked.name);
    let record = GroupRecord {
        name: name.clone(),
        label: asked.label,
        description: asked.description,
        created: now(),
    };
    operation::announce(state, request, SUBSCRIPTIONS, id.as_str()).await?;
    for _ in 0..TRIES {
        let own = subscription::read(state, id).await?;
        if read(state, id, &name).await?.is_some() {
            return Err(ApiError::conflict(format!("there is an affinity group {name} already")).into());
        }
        if state.names(id, Kind::Group).await?.len() >= GROUPS_MAX {
            let message = format!("a subscription has at most {GROUPS_MAX} affinity groups: delete one");
            return Err(ApiError::conflict(message).into());
        }
        let change = subscription::touch(&own)?.check_absent(key.clone()).put(key.clone(), encode(&record)?);
        let change = operation::record(change, request, &name, operation::done())?;
        if won(state.commit(change).await)? {
            let location = format!("{}/subscriptions/{id}/affinitygroup/{name}", request.origin);
            return Ok(Reply::Created { location });
        }
    }
    Err(Failure::Raced)
}

/// "Update Affinity Group".
pub async fn update(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let asked = UpdateAffinityGroup::parse(&request.body)?;
    let read = find(management, request).await?;
    let record = GroupRecord { label: asked.label, description: asked.description, ..read.record };
    let key = Kind::Group.key(&record.name);
    let change: Commit = State::change_subscription(&request.subscription.id)
        .check_version(key.clone(), read.version)
        .put(key, encode(&record)?);
    finish(management, request, change, &record.name).await
}

/// "Delete Affinity Group": refused while something is in it.
pub async fn delete(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let (state, id) = (&management.state, &request.subscription.id);
    for _ in 0..TRIES {
        let read = find(management, request).await?;
        // Whatever comes into the group or leaves it changes the usage too.
        let usage = state.get::<quota::UsageRecord>(SUBSCRIPTIONS, id.as_str(), quota::KEY).await?;
        let name = &read.record.name;
        for kind in [Kind::Service, Kind::Account] {
            if let Some(member) = quota::members(state, id, kind, name).await?.first() {
                let message = format!("{member} is in the affinity group {name}: delete that first");
                return Err(ApiError::conflict(message).into());
            }
        }
        let key = Kind::Group.key(name);
        let change = State::change_subscription(id)
            .check_unchanged(quota::KEY, usage.map(|usage| usage.version))
            .check_version(key.clone(), read.version)
            .delete(key);
        match finish(management, request, change, name).await {
            Err(Failure::Raced) => {}
            other => return other,
        }
    }
    Err(Failure::Raced)
}

async fn finish(
    management: &Management,
    request: &Request,
    change: Commit,
    name: &str,
) -> Result<Reply, Failure> {
    let id = request.subscription.id.as_str();
    operation::announce(&management.state, request, SUBSCRIPTIONS, id).await?;
    management.state.commit(operation::record(change, request, name, operation::done())?).await?;
    Ok(Reply::OK)
}
