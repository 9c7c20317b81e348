//! The blob service and azure-storage-blob from PyPI and @azure/storage-blob from npm, unmodified.

use welkin_storage_wire::admin::AccountSettings;

use crate::storage::StorageService;

#[test]
fn python_client() {
    StorageService::start().check("blob.py");
}

#[test]
fn python_client_on_attributes() {
    StorageService::start().check("blob_attributes.py");
}

#[test]
fn python_client_on_kinds() {
    let encryption_scopes = vec!["scope-a".to_owned(), "scope-b".to_owned()];
    let settings = AccountSettings { encryption_scopes, ..AccountSettings::default() };
    StorageService::start_with(settings).check("blob_kinds.py");
}

#[test]
fn python_client_on_life() {
    StorageService::start().check("blob_life.py");
}

#[test]
fn python_client_on_versions() {
    let settings =
        AccountSettings { versioning: true, container_retention_days: Some(7), ..AccountSettings::default() };
    StorageService::start_with(settings).check("blob_versions.py");
}

#[test]
fn python_client_copies() {
    let other = StorageService::start();
    let [endpoint, ..] = other.endpoints();
    StorageService::start_copying().check_with("blob_copy.py", &[("OTHER_BLOB_ENDPOINT", endpoint)]);
}

#[test]
fn python_client_queries() {
    StorageService::start().check("blob_query.py");
}

#[test]
fn javascript_client() {
    StorageService::start().check_javascript("blob.mjs");
}

#[test]
fn javascript_client_on_kinds() {
    StorageService::start().check_javascript("blob_kinds.mjs");
}
