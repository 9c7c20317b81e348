//! The queue service and azure-storage-queue from PyPI and @azure/storage-queue from npm, unmodified.

use crate::storage::StorageService;

#[test]
fn python_client() {
    StorageService::start().check("queue_service.py");
}

#[test]
fn javascript_client() {
    StorageService::start().check_javascript("queue.mjs");
}
