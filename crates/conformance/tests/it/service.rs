//! Properties and statistics of services, CORS and the website, with the Python clients and as browsers ask.

use crate::storage::StorageService;

#[test]
fn python_clients() {
    StorageService::start().check("service.py");
}
