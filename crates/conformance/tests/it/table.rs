//! The table service and azure-data-tables from PyPI and @azure/data-tables from npm, unmodified.

use crate::storage::StorageService;

#[test]
fn python_client() {
    StorageService::start().check("table.py");
}

#[test]
fn javascript_client() {
    StorageService::start().check_javascript("table.mjs");
}
