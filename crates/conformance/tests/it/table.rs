//! The table service and azure-data-tables from PyPI, unmodified: `python/table.py`.

use crate::storage::StorageService;

#[test]
fn python_client() {
    StorageService::start().check("table.py");
}
