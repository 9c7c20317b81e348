//! An account as an operator has it: made over the admin API, its keys replaced while clients work, under a domain of
//! its own, with a given certificate: `python/account.py`, with the official Python clients.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::oneshot;
use welkin_pki::Identity;
use welkin_storage_service::{AdminConfig, Config, TlsFiles};

use crate::python::python;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/account.py");
/// The domain of the accounts.
const SUFFIX: &str = "storage.test";
/// The service starts, and ends, within this time, unless it never does.
const LIMIT: Duration = Duration::from_secs(30);

fn config(folder: &Path, addresses: &[SocketAddr; 7], operator: &Identity) -> Config {
    save(&Identity::self_signed("storage").unwrap(), &folder.join("server"));
    Config {
        data_folder: folder.join("data"),
        blob_listen: vec![addresses[0]],
        queue_listen: vec![addresses[1]],
        table_listen: vec![addresses[2]],
        blob_https_listen: vec![addresses[3]],
        queue_https_listen: vec![addresses[4]],
        table_https_listen: vec![addresses[5]],
        host_suffixes: vec![SUFFIX.to_owned()],
        tls: Some(TlsFiles { certificate: folder.join("given.pem"), key: folder.join("given.key") }),
        admin: Some(AdminConfig {
            listen: addresses[6],
            identity_folder: folder.join("server"),
            clients: vec![operator.thumbprint()],
        }),
        ..Config::default()
    }
}

fn save(identity: &Identity, folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    identity.save(folder).unwrap();
}

#[test]
fn python_clients() {
    let folder = TempDir::new().unwrap();
    let prepared = Command::new(python()).args([SCRIPT, "prepare"]).arg(folder.path()).status().unwrap();
    assert!(prepared.success());
    let operator = Identity::self_signed("operator").unwrap();
    save(&operator, &folder.path().join("operator"));
    // All are taken before any is given back, so that they differ.
    let taken = [(); 7].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = taken.map(|listener| listener.local_addr().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let config = config(folder.path(), &addresses, &operator);
    let running = runtime.spawn(welkin_storage_service::run(config, async move {
        let _ = stopped.await;
    }));
    let end = Instant::now() + LIMIT;
    while !addresses.iter().all(|address| std::net::TcpStream::connect(address).is_ok()) {
        assert!(!running.is_finished() && Instant::now() < end, "the service does not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut script = Command::new(python());
    script.arg(SCRIPT).env("FOLDER", folder.path()).env("SUFFIX", SUFFIX);
    let names = ["BLOB", "QUEUE", "TABLE", "BLOB_HTTPS", "QUEUE_HTTPS", "TABLE_HTTPS", "ADMIN"];
    for (name, address) in names.iter().zip(addresses) {
        script.env(format!("{name}_PORT"), address.port().to_string());
    }
    assert!(script.status().unwrap().success(), "account.py failed; its output says where");
    stop.send(()).unwrap();
    let ended = runtime.block_on(async { tokio::time::timeout(LIMIT, running).await });
    ended.unwrap().unwrap().unwrap();
}
