//! The management API: which operation a request calls, its body, and answers as the command line reads them.

use http::{Method, Uri};
use welkin_base::Timestamp;
use welkin_management_wire::affinity_group::{CreateAffinityGroup, UpdateAffinityGroup, check_name};
use welkin_management_wire::deployment::change::{
    ChangeConfiguration, Rollback, Swap, UpgradeDeployment, parse_instances, parse_walk,
};
use welkin_management_wire::deployment::{CreateDeployment, parse_status};
use welkin_management_wire::hosted_service::{CreateHostedService, UpdateHostedService};
use welkin_management_wire::management_certificate::AddCertificate;
use welkin_management_wire::service_certificate::{CertificateFile, parse_key};
use welkin_management_wire::storage_account::{CreateStorageAccount, KeyType, UpdateStorageAccount};
use welkin_management_wire::subscription_operation::Query;
use welkin_management_wire::{ApiError, TABLE, answer, check_version, route, subscription_of};

use crate::input::{line, text};

/// What was accepted. A refusal is the client's fault, and its answer is XML that a client can read.
fn accepted<T>(result: Result<T, ApiError>) -> Option<T> {
    let error = match result {
        Ok(value) => return Some(value),
        Err(error) => error,
    };
    assert!(error.code.status().is_client_error(), "bad input is no fault of the server: {error:?}");
    let document = error.element().to_document();
    let written = String::from_utf8(document).unwrap();
    assert!(answer::error(&written).is_some(), "an error cannot be read: {written}");
    None
}

/// A request: method and target in the first line, the version in the second.
pub(crate) fn request(data: &[u8]) {
    let (head, version) = line(data);
    accepted(check_version(Some(&text(version))));
    let head = text(head);
    let Some((method, target)) = head.split_once(' ') else { return };
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), target.parse::<Uri>()) else { return };
    let subscription = subscription_of(&uri);
    assert!(subscription.is_none_or(|named| !named.contains('/')));
    let Some(call) = accepted(route(&method, &uri)) else { return };
    assert!(TABLE.iter().any(|row| row.operation == call.operation && row.method == method));
    let parameters = &call.parameters;
    accepted(parameters.service());
    accepted(parameters.account());
    accepted(parameters.instance());
    accepted(parameters.slot());
    accepted(parameters.deployment());
    accepted(check_name(parameters.raw("{key}")));
    accepted(parse_key(parameters.raw("{key}")));
    accepted(Query::parse(parameters, Timestamp::from_ticks(639_000_000_000_000_000)));
}

/// A body, read as that of each operation.
pub(crate) fn body(data: &[u8]) {
    accepted(CreateHostedService::parse(data));
    accepted(UpdateHostedService::parse(data));
    accepted(CreateDeployment::parse(data));
    accepted(parse_status(data));
    accepted(ChangeConfiguration::parse(data));
    accepted(UpgradeDeployment::parse(data));
    accepted(Rollback::parse(data));
    accepted(Swap::parse(data));
    accepted(parse_walk(data));
    accepted(parse_instances(data));
    accepted(AddCertificate::parse(data));
    accepted(CreateAffinityGroup::parse(data));
    accepted(UpdateAffinityGroup::parse(data));
    accepted(UpdateStorageAccount::parse(data));
    accepted(CreateStorageAccount::parse(data));
    accepted(KeyType::parse(data));
    if let Some(file) = accepted(CertificateFile::parse(data)) {
        assert!(file.data.len() <= data.len());
    }
}

/// An answer. The command line takes it from a server, and must not fail whatever that says.
pub(crate) fn answers(data: &[u8]) {
    let text = text(data);
    let _ = (answer::error(&text), answer::outcome(&text));
    let _ = (answer::text(&text, &["Url"]), answer::texts(&text, &["RoleInstanceList", "RoleInstance"]));
}
