//! Hosted services.

use serde::{Deserialize, Serialize};
use welkin_base::{ServiceName, SubscriptionId, Timestamp};
use welkin_management_wire::ApiError;
use welkin_management_wire::extended_property::ExtendedProperties;
use welkin_management_wire::hosted_service::{
    CreateHostedService, HostedService, UpdateHostedService, availability,
};

use crate::deployment::{self, SLOTS, slot_key};
use crate::failure::Failure;
use crate::location;
use crate::management::{Management, now};
use crate::operation;
use crate::quota::{self, Counted};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{Kind, Read, SERVICES, State, encode};
use crate::subscription::SubscriptionRecord;

/// The key of a service's row.
pub const KEY: &str = "service";

/// A hosted service as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostedServiceRecord {
    /// Its name, as the customer writes it.
    pub name: ServiceName,
    /// Whose.
    pub subscription: SubscriptionId,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
}

/// The service of this name, if the subscription has it: what others have is not found, just as what nobody has.
pub async fn find(
    management: &Management,
    subscription: &SubscriptionRecord,
    name: &ServiceName,
) -> Result<Read<HostedServiceRecord>, Failure> {
    let read: Option<Read<HostedServiceRecord>> = management.state.get(SERVICES, name.as_str(), KEY).await?;
    let own = read.filter(|read| read.record.subscription == subscription.id);
    Ok(own.ok_or_else(|| ApiError::not_found(format!("there is no hosted service {name}")))?)
}

/// Every service of a subscription.
pub async fn all(
    management: &Management,
    subscription: &SubscriptionRecord,
) -> Result<Vec<HostedServiceRecord>, Failure> {
    let mut services = Vec::new();
    for name in management.state.names(&subscription.id, Kind::Service).await? {
        let read: Option<Read<HostedServiceRecord>> = management.state.get(SERVICES, &name, KEY).await?;
        services.extend(read.map(|read| read.record).filter(|record| record.subscription == subscription.id));
    }
    Ok(services)
}

fn describe(management: &Management, request: &Request, record: HostedServiceRecord) -> HostedService {
    HostedService {
        url: request.url(&format!("services/hostedservices/{}", record.name)),
        name: record.name,
        label: record.label,
        description: record.description,
        location: management.config.location.clone(),
        created: record.created,
        modified: record.modified,
        extended_properties: record.extended_properties,
    }
}

/// "List Hosted Services".
pub async fn list(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let services = all(management, &request.subscription).await?;
    let elements = services
        .into_iter()
        .map(|record| describe(management, request, record).element(request.version, None));
    Ok(Reply::Xml(welkin_management_wire::Element::new("HostedServices").children(elements)))
}

/// "Get Hosted Service Properties".
pub async fn get(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.service()?;
    let record = find(management, &request.subscription, &name).await?.record;
    let embed =
        request.parameters.query("embed-detail").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let deployments = if embed { Some(deployment::elements(management, &record).await?) } else { None };
    Ok(Reply::Xml(describe(management, request, record).element(request.version, deployments)))
}

/// "Create Hosted Service".
pub async fn create(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let asked = CreateHostedService::parse(&request.body)?;
    location::check(&management.config, &asked.location)?;
    let (name, at) = (asked.name, now());
    let record = HostedServiceRecord {
        name: name.clone(),
        subscription: request.subscription.id.clone(),
        label: asked.label,
        description: asked.description,
        created: at,
        modified: at,
        extended_properties: asked.extended_properties,
    };
    let state = &management.state;
    let (id, taken) =
        (&request.subscription.id, || ApiError::conflict(format!("the hosted service name {name} is taken")));
    if state.get::<HostedServiceRecord>(SERVICES, name.as_str(), KEY).await?.is_some() {
        return Err(taken().into());
    }
    quota::claim(state, id, Counted::Service, name.as_str()).await?;
    operation::announce(state, request, SERVICES, name.as_str()).await?;
    let change = State::change(SERVICES, name.as_str()).check_absent(KEY).put(KEY, encode(&record)?);
    let change = operation::record(change, request, name.as_str(), operation::done())?;
    if let Err(failure) = state.commit(change).await {
        quota::give_back(state, id, Counted::Service, name.as_str()).await?;
        return Err(if matches!(failure, Failure::Raced) { taken().into() } else { failure });
    }
    let path = format!("/subscriptions/{}/compute/{name}", request.subscription.id);
    Ok(Reply::Created { location: format!("{}{path}", request.origin) })
}

/// "Update Hosted Service".
pub async fn update(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let asked = UpdateHostedService::parse(&request.body)?;
    let name = request.parameters.service()?;
    let read = find(management, &request.subscription, &name).await?;
    let record = HostedServiceRecord {
        label: asked.label.unwrap_or(read.record.label),
        description: asked.description.or(read.record.description),
        extended_properties: asked.extended_properties.unwrap_or(read.record.extended_properties),
        modified: now(),
        ..read.record
    };
    operation::announce(&management.state, request, SERVICES, name.as_str()).await?;
    let change =
        State::change(SERVICES, name.as_str()).check_version(KEY, read.version).put(KEY, encode(&record)?);
    let change = operation::record(change, request, name.as_str(), operation::done())?;
    management.state.commit(change).await?;
    Ok(Reply::OK)
}

/// "Delete Hosted Service": refused while it has deployments.
pub async fn delete(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.service()?;
    let read = find(management, &request.subscription, &name).await?;
    let mut change = State::change(SERVICES, name.as_str()).check_version(KEY, read.version).delete(KEY);
    for slot in SLOTS {
        if deployment::in_slot(management, name.as_str(), slot).await?.is_some() {
            let message = format!("the hosted service {name} has a deployment: delete that first");
            return Err(ApiError::conflict(message).into());
        }
        change = change.check_absent(slot_key(slot));
    }
    operation::announce(&management.state, request, SERVICES, name.as_str()).await?;
    let change = operation::record(change, request, name.as_str(), operation::done())?;
    management.state.commit(change).await?;
    quota::give_back(&management.state, &request.subscription.id, Counted::Service, name.as_str()).await?;
    Ok(Reply::OK)
}

/// "Check Hosted Service Name Availability".
pub async fn check_name(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let Ok(name) = request.parameters.service() else {
        return Ok(Reply::Xml(availability(Some("HostedServiceNameNotValid"))));
    };
    let taken: Option<Read<HostedServiceRecord>> = management.state.get(SERVICES, name.as_str(), KEY).await?;
    Ok(Reply::Xml(availability(taken.map(|_| "HostedServiceAlreadyExists"))))
}
