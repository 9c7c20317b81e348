//! Hosted services.

pub mod delete;

use serde::{Deserialize, Serialize};
use welkin_base::{ServiceName, SubscriptionId, Timestamp};
use welkin_management_wire::extended_property::ExtendedProperties;
use welkin_management_wire::hosted_service::{
    CreateHostedService, HostedService, UpdateHostedService, availability,
};
use welkin_management_wire::{ApiError, Element};

use crate::affinity_group;
use crate::deployment;
use crate::failure::Failure;
use crate::location;
use crate::management::{Management, now};
use crate::operation::{self, RequestId};
use crate::quota::{self, Counted, won};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{Kind, Read, SERVICES, State, encode};
use crate::subscription::SubscriptionRecord;

/// Services of one answer, at most. More than any client that does not look for a continuation is likely to have.
const PAGE_SERVICES: usize = 10_000;
/// "Get Hosted Service Properties" tells since this version what sizes roles may have. SMAPI §6 says "later" and no date; a
/// list does not tell it, since it is the same for all.
const CAPABILITIES_SINCE: &str = "2014-10-01";
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
    /// The affinity group that it is in.
    pub affinity_group: Option<String>,
    /// The name that the service's address is to be looked up as.
    pub reverse_dns: Option<String>,
    /// The operation that is deleting it.
    pub held: Option<RequestId>,
}

/// A service that is being deleted is not changed, and gets no deployment.
pub fn free(record: &HostedServiceRecord) -> Result<(), ApiError> {
    let Some(operation) = &record.held else { return Ok(()) };
    let message = format!("the operation {operation} is deleting the hosted service: wait for its end");
    Err(ApiError::conflict(message))
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
        affinity_group: record.affinity_group,
        deleting: record.held.is_some(),
        reverse_dns: record.reverse_dns,
    }
}

/// "List Hosted Services", page by page when there are very many.
pub async fn list(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let (state, id, prefix) = (&management.state, &request.subscription.id, Kind::Service.prefix());
    let after = request.continuation.as_ref().map(|name| Kind::Service.key(name).into());
    let page = state.page(id, prefix, after, PAGE_SERVICES).await?;
    let full = page.len() == PAGE_SERVICES;
    let names =
        page.iter().map(|row| String::from_utf8_lossy(row.key.get(prefix.len()..).unwrap_or_default()));
    let names: Vec<_> = names.collect();
    let mut elements = Vec::new();
    for name in &names {
        let read: Option<Read<HostedServiceRecord>> = state.get(SERVICES, name, KEY).await?;
        let own = read.map(|read| read.record).filter(|record| record.subscription == *id);
        elements
            .extend(own.map(|record| describe(management, request, record).element(request.version, None)));
    }
    let element = Element::new("HostedServices").children(elements);
    let continuation = names.last().filter(|_| full).map(|name| name.clone().into_owned());
    Ok(Reply::Page { element, continuation })
}

/// "Get Hosted Service Properties".
pub async fn get(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.service()?;
    let record = find(management, &request.subscription, &name).await?.record;
    let embed =
        request.parameters.query("embed-detail").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let version = request.version;
    let deployments =
        if embed { Some(deployment::elements(management, &record, version).await?) } else { None };
    let element = describe(management, request, record).element(version, deployments);
    let element =
        element.since(CAPABILITIES_SINCE, version, |service| service.child(location::capabilities()));
    Ok(Reply::Xml(element))
}

/// "Create Hosted Service".
pub async fn create(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let asked = CreateHostedService::parse(&request.body)?;
    let (state, id) = (&management.state, &request.subscription.id);
    let affinity_group = affinity_group::of_place(state, &management.config, id, asked.place).await?;
    let (name, at) = (asked.name, now());
    let record = HostedServiceRecord {
        name: name.clone(),
        subscription: request.subscription.id.clone(),
        label: asked.label,
        description: asked.description,
        created: at,
        modified: at,
        extended_properties: asked.extended_properties,
        affinity_group,
        reverse_dns: asked.reverse_dns,
        held: None,
    };
    let taken = || ApiError::conflict(format!("the hosted service name {name} is taken"));
    if state.get::<HostedServiceRecord>(SERVICES, name.as_str(), KEY).await?.is_some() {
        return Err(taken().into());
    }
    quota::claim(state, id, Counted::Service, name.as_str(), record.affinity_group.as_deref()).await?;
    operation::announce(state, request, SERVICES, name.as_str()).await?;
    let change = State::change(SERVICES, name.as_str()).check_absent(KEY).put(KEY, encode(&record)?);
    let change = operation::record(change, request, name.as_str(), operation::done())?;
    // After another failure it is not known whether the service was made: the next start looks.
    if !won(state.commit(change).await)? {
        quota::give_back(state, id, Counted::Service, name.as_str()).await?;
        return Err(taken().into());
    }
    let path = format!("/subscriptions/{}/compute/{name}", request.subscription.id);
    Ok(Reply::Created { location: format!("{}{path}", request.origin) })
}

/// "Update Hosted Service".
pub async fn update(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let asked = UpdateHostedService::parse(&request.body)?;
    let name = request.parameters.service()?;
    let read = find(management, &request.subscription, &name).await?;
    free(&read.record)?;
    let record = HostedServiceRecord {
        reverse_dns: asked.reverse_dns.or(read.record.reverse_dns),
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

/// "Check Hosted Service Name Availability".
pub async fn check_name(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let Ok(name) = request.parameters.service() else {
        return Ok(Reply::Xml(availability(request.version, Some("HostedServiceNameNotValid"))));
    };
    let taken: Option<Read<HostedServiceRecord>> = management.state.get(SERVICES, name.as_str(), KEY).await?;
    Ok(Reply::Xml(availability(request.version, taken.map(|_| "HostedServiceAlreadyExists"))))
}
