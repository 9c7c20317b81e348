//! The blob service and azure-storage-blob from PyPI, unmodified: `python/blob.py`.

use crate::storage::StorageService;

#[test]
fn python_client() {
    StorageService::start().check("blob.py");
}
