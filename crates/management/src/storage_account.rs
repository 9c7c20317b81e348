//! Storage accounts: whose they are. What is in them, and their keys, the storage service has.

pub mod work;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use welkin_base::{AccountName, SubscriptionId, Timestamp};
use welkin_management_wire::extended_property::ExtendedProperties;
use welkin_management_wire::hosted_service::availability;
use welkin_management_wire::operation_status::Progress;
use welkin_management_wire::storage_account::{
    self as wire, CreateStorageAccount, KeyType, Status, StorageAccount, UpdateStorageAccount,
};
use welkin_management_wire::{ApiError, Element, ErrorCode};
use welkin_storage_wire::admin::AccountKeys;

use crate::affinity_group;
use crate::failure::Failure;
use crate::management::{Management, now};
use crate::operation;
use crate::quota::{self, Counted, won};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{ACCOUNTS, Kind, Read, State, encode};
use crate::subscription::SubscriptionRecord;

use work::{Change, Hold};

/// How long a request waits for the storage service to delete an account or to make a key anew before it answers.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(25);
/// The key of an account's row.
pub const KEY: &str = "account";

/// A storage account as it is stored here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRecord {
    /// Its name.
    pub name: AccountName,
    /// Whose.
    pub subscription: SubscriptionId,
    /// For people.
    pub label: String,
    /// For people.
    pub description: Option<String>,
    /// The operation that is making or deleting it.
    pub held: Option<Hold>,
    /// When it was created.
    pub created: Timestamp,
    /// The customer's own.
    pub extended_properties: ExtendedProperties,
    /// The affinity group that it is in.
    pub affinity_group: Option<String>,
}

fn unknown(name: &AccountName) -> ApiError {
    ApiError::not_found(format!("there is no storage account {name}"))
}

/// The account of this name, if the subscription has it.
pub async fn find(
    management: &Management,
    subscription: &SubscriptionId,
    name: &AccountName,
) -> Result<Read<AccountRecord>, Failure> {
    let read: Option<Read<AccountRecord>> = management.state.get(ACCOUNTS, name.as_str(), KEY).await?;
    let own = read.filter(|read| read.record.subscription == *subscription);
    Ok(own.ok_or_else(|| unknown(name))?)
}

/// Every account of a subscription.
pub async fn all(
    management: &Management,
    subscription: &SubscriptionRecord,
) -> Result<Vec<AccountRecord>, Failure> {
    let mut accounts = Vec::new();
    for name in management.state.names(&subscription.id, Kind::Account).await? {
        let read: Option<Read<AccountRecord>> = management.state.get(ACCOUNTS, &name, KEY).await?;
        accounts.extend(read.map(|read| read.record).filter(|record| record.subscription == subscription.id));
    }
    Ok(accounts)
}

fn url(request: &Request, name: &AccountName) -> String {
    request.url(&format!("services/storageservices/{name}"))
}

fn describe(management: &Management, request: &Request, record: AccountRecord) -> Element {
    let storage = &management.config.storage;
    let endpoint = |base: &str| format!("{}/{}/", base.trim_end_matches('/'), record.name);
    let endpoints =
        [&storage.blob_endpoint, &storage.queue_endpoint, &storage.table_endpoint].map(|base| endpoint(base));
    let account = StorageAccount {
        url: url(request, &record.name),
        name: record.name,
        label: record.label,
        description: record.description,
        location: management.config.location.clone(),
        created: record.created,
        endpoints,
        extended_properties: record.extended_properties,
        affinity_group: record.affinity_group,
        status: match record.held.map(|hold| hold.change) {
            Some(Change::Make) => Status::Creating,
            Some(Change::Delete) => Status::Deleting,
            Some(Change::Regenerate(_)) | None => Status::Created,
        },
    };
    account.element(request.version)
}

/// "List Storage Accounts".
pub async fn list(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let accounts = all(management, &request.subscription).await?;
    let elements = accounts.into_iter().map(|record| describe(management, request, record));
    Ok(Reply::Xml(Element::new("StorageServices").children(elements)))
}

/// "Get Storage Account Properties".
pub async fn get(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.account()?;
    let read = find(management, &request.subscription.id, &name).await?;
    Ok(Reply::Xml(describe(management, request, read.record)))
}

/// "Create Storage Account": 202, and the storage service makes it.
pub async fn create(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let asked = CreateStorageAccount::parse(&request.body)?;
    let (state, id) = (&management.state, &request.subscription.id);
    let affinity_group = affinity_group::of_place(state, &management.config, id, asked.place).await?;
    let name = asked.name;
    let taken = || ApiError::conflict(format!("the storage account name {name} is taken"));
    if management.storage.keys(&name).await?.is_some() {
        return Err(taken().into());
    }
    let record = AccountRecord {
        name: name.clone(),
        subscription: request.subscription.id.clone(),
        label: asked.label,
        description: asked.description,
        held: Some(Hold { operation: request.id.clone(), change: Change::Make }),
        created: now(),
        extended_properties: asked.extended_properties,
        affinity_group,
    };
    quota::claim(state, id, Counted::Account, name.as_str(), record.affinity_group.as_deref()).await?;
    operation::announce(state, request, ACCOUNTS, name.as_str()).await?;
    let change = State::change(ACCOUNTS, name.as_str()).check_absent(KEY).put(KEY, encode(&record)?);
    let change = operation::record(change, request, name.as_str(), Progress::InProgress)?;
    // After another failure it is not known whether the record was made: the next start looks.
    if !won(state.commit(change).await)? {
        quota::give_back(state, id, Counted::Account, name.as_str()).await?;
        return Err(taken().into());
    }
    work::start(management, name);
    Ok(Reply::ACCEPTED)
}

/// "Update Storage Account".
pub async fn update(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let asked = UpdateStorageAccount::parse(&request.body)?;
    let name = request.parameters.account()?;
    let read = find(management, &request.subscription.id, &name).await?;
    free(&read.record)?;
    let record = AccountRecord {
        label: asked.label.unwrap_or(read.record.label),
        description: asked.description.or(read.record.description),
        extended_properties: asked.extended_properties.unwrap_or(read.record.extended_properties),
        ..read.record
    };
    operation::announce(&management.state, request, ACCOUNTS, name.as_str()).await?;
    let change =
        State::change(ACCOUNTS, name.as_str()).check_version(KEY, read.version).put(KEY, encode(&record)?);
    let change = operation::record(change, request, name.as_str(), operation::done())?;
    management.state.commit(change).await?;
    Ok(Reply::OK)
}

/// "Delete Storage Account": the account and all in it. When that takes long the operation goes on after the answer.
pub async fn delete(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.account()?;
    let read = find(management, &request.subscription.id, &name).await?;
    free(&read.record)?;
    change_held(management, request, name, read, Change::Delete).await?;
    Ok(Reply::OK)
}

/// Holds an account for a change, and waits for its end. What takes long goes on after the answer, and after a restart.
async fn change_held(
    management: &Arc<Management>,
    request: &Request,
    name: AccountName,
    read: Read<AccountRecord>,
    change: Change,
) -> Result<(), Failure> {
    let held = Some(Hold { operation: request.id.clone(), change });
    let record = AccountRecord { held, ..read.record };
    operation::announce(&management.state, request, ACCOUNTS, name.as_str()).await?;
    let change =
        State::change(ACCOUNTS, name.as_str()).check_version(KEY, read.version).put(KEY, encode(&record)?);
    let change = operation::record(change, request, name.as_str(), Progress::InProgress)?;
    management.state.commit(change).await?;
    match tokio::time::timeout(CHANGE_TIMEOUT, work::start(management, name)).await {
        Ok(Ok(result)) => Ok(result?),
        Ok(Err(_)) | Err(_) => {
            let message = "it takes long: the operation goes on under the id of this request";
            Err(ApiError::new(ErrorCode::OperationTimedOut, message).into())
        }
    }
}

/// An account that an operation holds is changed by no other.
fn free(record: &AccountRecord) -> Result<(), ApiError> {
    let Some(hold) = &record.held else { return Ok(()) };
    let doing = match hold.change {
        Change::Make => "making",
        Change::Delete => "deleting",
        Change::Regenerate(_) => "making a key anew of",
    };
    let message = format!("the operation {} is {doing} the account: wait for its end", hold.operation);
    Err(ApiError::conflict(message))
}

fn keys_reply(request: &Request, name: &AccountName, keys: Option<AccountKeys>) -> Result<Reply, Failure> {
    let keys = keys.ok_or_else(|| unknown(name))?;
    Ok(Reply::Xml(wire::keys(&url(request, name), &keys.primary, &keys.secondary)))
}

/// "Get Storage Account Keys".
pub async fn keys(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.account()?;
    find(management, &request.subscription.id, &name).await?;
    keys_reply(request, &name, management.storage.keys(&name).await?)
}

/// "Regenerate Storage Account Keys": the old key is cut off at once.
pub async fn regenerate(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let key = KeyType::parse(&request.body)?;
    let name = request.parameters.account()?;
    let read = find(management, &request.subscription.id, &name).await?;
    free(&read.record)?;
    change_held(management, request, name.clone(), read, Change::Regenerate(key)).await?;
    keys_reply(request, &name, management.storage.keys(&name).await?)
}

/// "Check Storage Account Name Availability".
pub async fn check_name(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.account()?;
    let row: Option<Read<AccountRecord>> = management.state.get(ACCOUNTS, name.as_str(), KEY).await?;
    let taken = row.is_some() || management.storage.keys(&name).await?.is_some();
    let reason = taken.then(|| format!("the storage account name {name} is taken"));
    Ok(Reply::Xml(availability(request.version, reason.as_deref())))
}
