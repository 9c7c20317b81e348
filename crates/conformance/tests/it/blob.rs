//! The blob service and azure-storage-blob from PyPI, unmodified.

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
fn python_client_queries() {
    StorageService::start().check("blob_query.py");
}
