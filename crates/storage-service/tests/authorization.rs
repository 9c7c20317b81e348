//! Every operation of the protocol, asked by those who may and by those who may not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod rig;

use rig::{Rig, Sample, account_sas, dev_key, other_key, sample, service_sas};
use welkin_storage_wire::operation::{
    Anonymous, BlobOperation, Operation, QueueOperation, ResourceType, Service, TableOperation,
};
use welkin_storage_wire::shared_key::AccountKey;

/// Codes that say that one may not.
const REFUSALS: [&str; 9] = [
    "NoAuthenticationInformation",
    "InvalidAuthenticationInfo",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "AuthorizationServiceMismatch",
    "AuthorizationResourceTypeMismatch",
    "AuthorizationProtocolMismatch",
    "InsufficientAccountPermissions",
];
const LETTERS: &str = "racwdxyltfmeopiu";

/// `expected` is a code, or nothing where the operation is not refused.
async fn check(rig: &Rig, what: &str, operation: Operation, sample: &Sample, expected: &str) {
    let reply = rig.send(sample).await;
    let name = operation.spec().name;
    assert!(reply.status >= 200, "{name}, {what}: no answer");
    match expected {
        "" => assert!(
            !REFUSALS.contains(&reply.code.as_str()),
            "{name}, {what}: {} {}",
            reply.status,
            reply.code
        ),
        code => assert_eq!(reply.code, code, "{name}, {what}: {}", reply.status),
    }
}

fn is_delegation(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::Blob(BlobOperation::GetUserDelegationKey)
            | Operation::Queue(QueueOperation::GetUserDelegationKey)
    )
}

/// Operations of the account's service have no resource that a service SAS could name; a batch of entities names its
/// table in its parts.
fn service_resource(operation: Operation) -> Option<(&'static str, &'static str)> {
    let spec = operation.spec();
    match (spec.service, spec.resource) {
        (_, ResourceType::Service) => None,
        (Service::Blob, _) => match operation {
            Operation::Blob(BlobOperation::CreateContainer) => Some(("/made", "c")),
            Operation::Blob(
                BlobOperation::DeleteContainer
                | BlobOperation::RestoreContainer
                | BlobOperation::RenameContainer
                | BlobOperation::LeaseContainer,
            ) => Some(("/none", "c")),
            _ => Some(("/container", "c")),
        },
        (Service::Queue, _) => match operation {
            Operation::Queue(QueueOperation::CreateQueue) => Some(("/made", "")),
            Operation::Queue(QueueOperation::DeleteQueue) => Some(("/none", "")),
            _ => Some(("/queue", "")),
        },
        (Service::Table, _) => match operation {
            Operation::Table(
                TableOperation::QueryTables | TableOperation::CreateTable | TableOperation::DeleteTable,
            ) => None,
            _ => Some(("/table", "")),
        },
    }
}

async fn keys_and_anyone(rig: &Rig, operation: Operation) {
    let (sample, spec) = (sample(operation), operation.spec());
    let with_key = if is_delegation(operation) { "AuthenticationFailed" } else { "" };
    let (stranger, anyone) = match (spec.anonymous, spec.name) {
        (Anonymous::Always, _) => ("CorsPreflightFailure", "CorsPreflightFailure"),
        (Anonymous::Never, _) => ("AuthenticationFailed", "NoAuthenticationInformation"),
        _ => ("AuthenticationFailed", "ResourceNotFound"),
    };
    if spec.anonymous != Anonymous::Always {
        check(rig, "account key", operation, &sample.signed(&dev_key()), with_key).await;
    }
    check(rig, "another key", operation, &sample.signed(&other_key()), stranger).await;
    check(rig, "anyone", operation, &sample, anyone).await;
}

async fn account_signatures(rig: &Rig, operation: Operation) {
    let (sample, spec) = (sample(operation), operation.spec());
    let (own, own_type) = (spec.service.sas_letter().to_string(), spec.resource.sas_letter().to_string());
    let others: String = "bqt".replace(&own, "");
    let other_types: String = "sco".replace(&own_type, "");
    let lacking: String = LETTERS.chars().filter(|c| !spec.account_sas.contains(*c)).collect();
    let permitted = if spec.account_sas.is_empty() { "AuthorizationPermissionMismatch" } else { "" };
    for (what, permissions, services, types, expected) in [
        ("account SAS", LETTERS, own.as_str(), own_type.as_str(), permitted),
        ("account SAS without its letters", &lacking, &own, &own_type, "AuthorizationPermissionMismatch"),
        ("account SAS of other services", LETTERS, &others, &own_type, "AuthorizationServiceMismatch"),
        ("account SAS of other types", LETTERS, &own, &other_types, "AuthorizationResourceTypeMismatch"),
    ] {
        let query = account_sas(&dev_key(), permissions, services, types);
        check(rig, what, operation, &sample.with_query(&query), expected).await;
    }
    for letter in spec.account_sas.chars() {
        let query = account_sas(&dev_key(), &letter.to_string(), &own, &own_type);
        check(rig, &format!("account SAS with {letter}"), operation, &sample.with_query(&query), "").await;
    }
    let forged = sample.with_query(&account_sas(&other_key(), LETTERS, &own, &own_type));
    check(rig, "account SAS of another key", operation, &forged, "AuthenticationFailed").await;
}

async fn service_signatures(rig: &Rig, operation: Operation) {
    let (sample, spec) = (sample(operation), operation.spec());
    let Some((resource, sr)) = service_resource(operation) else {
        return;
    };
    let of = |key: AccountKey, permissions: &str| {
        sample.with_query(&service_sas(&key, spec.service, resource, sr, permissions))
    };
    let lacking: String = LETTERS.chars().filter(|c| !spec.service_sas.contains(*c)).collect();
    let mismatch = "AuthorizationPermissionMismatch";
    let permitted = if spec.service_sas.is_empty() { mismatch } else { "" };
    check(rig, "service SAS", operation, &of(dev_key(), LETTERS), permitted).await;
    check(rig, "service SAS without its letters", operation, &of(dev_key(), &lacking), mismatch).await;
    check(rig, "service SAS of another key", operation, &of(other_key(), LETTERS), "AuthenticationFailed")
        .await;
    for letter in spec.service_sas.chars() {
        let what = format!("service SAS with {letter}");
        check(rig, &what, operation, &of(dev_key(), &letter.to_string()), "").await;
    }
}

#[tokio::test]
async fn every_operation() {
    let rig = Rig::start(|_| {}).await;
    for operation in Operation::all() {
        keys_and_anyone(&rig, operation).await;
        if operation.spec().anonymous != Anonymous::Always {
            account_signatures(&rig, operation).await;
            service_signatures(&rig, operation).await;
        }
    }
    rig.end().await;
}
