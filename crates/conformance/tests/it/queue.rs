//! The queue service and azure-storage-queue from PyPI, unmodified: `python/queue_service.py`.

use crate::storage::StorageService;

#[test]
fn python_client() {
    StorageService::start().check("queue_service.py");
}
