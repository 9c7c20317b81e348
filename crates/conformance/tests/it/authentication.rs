//! Every way to be let in, with the official Python clients: `python/authentication.py`. The issuer's keys are made by
//! the script; the service reads what it publishes.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::oneshot;
use welkin_storage_service::{Config, DEV_ACCOUNT, DEV_KEY, OpenIdConfig};

use crate::python::python;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/authentication.py");
/// The service starts, and ends, within this time, unless it never does.
const LIMIT: Duration = Duration::from_secs(30);

fn config(folder: &Path, addresses: &[SocketAddr; 5]) -> Config {
    Config {
        data_folder: folder.join("data"),
        blob_listen: vec![addresses[0]],
        queue_listen: vec![addresses[1]],
        table_listen: vec![addresses[2]],
        blob_https_listen: vec![addresses[3]],
        queue_https_listen: vec![addresses[4]],
        dev: true,
        openid: Some(OpenIdConfig {
            issuer: "https://issuer.example.org/tenant".to_owned(),
            audience: "https://storage.azure.com/".to_owned(),
            roles_claim: "roles".to_owned(),
            jwks: Some(folder.join("jwks.json")),
            authority: None,
        }),
        ..Config::default()
    }
}

#[test]
fn python_clients() {
    let folder = TempDir::new().unwrap();
    let prepared = Command::new(python()).arg(SCRIPT).arg("prepare").arg(folder.path()).status().unwrap();
    assert!(prepared.success());
    // All are taken before any is given back, so that they differ.
    let taken = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = taken.map(|listener| listener.local_addr().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let running = runtime.spawn(welkin_storage_service::run(config(folder.path(), &addresses), async move {
        let _ = stopped.await;
    }));
    let certificate = folder.path().join("data/tls/cert.pem");
    let end = std::time::Instant::now() + LIMIT;
    while !certificate.exists() {
        assert!(!running.is_finished() && std::time::Instant::now() < end, "the service does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut script = Command::new(python());
    script.arg(SCRIPT).env("STORAGE_ACCOUNT", DEV_ACCOUNT).env("STORAGE_KEY", DEV_KEY);
    script.env("AUTHORITY", certificate).env("ISSUER_FOLDER", folder.path());
    let names = ["BLOB", "QUEUE", "TABLE", "BLOB_HTTPS", "QUEUE_HTTPS"];
    for (name, address) in names.iter().zip(addresses) {
        let scheme = if name.ends_with("HTTPS") { "https" } else { "http" };
        script.env(format!("{name}_ENDPOINT"), format!("{scheme}://{address}/{DEV_ACCOUNT}"));
    }
    assert!(script.status().unwrap().success(), "authentication.py failed; its output says where");
    stop.send(()).unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(LIMIT, running).await });
    ended.unwrap().unwrap().unwrap();
}
