//! The service from its configuration to its end: refusals, and the admin API over mutual TLS.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends where it cannot go on"
)]

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use http::Method;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use welkin_pki::{Identity, ServerAuth, client_config};
use welkin_storage_service::{AdminConfig, Config, RunError, run};
use welkin_storage_wire::admin::AccountKeys;
use welkin_transport::{CallError, Client, full};

/// Longer than any start takes.
const LIMIT: Duration = Duration::from_secs(20);

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn config(folder: &TempDir) -> Config {
    Config { data_folder: folder.path().join("data"), blob_listen: vec![free_address()], ..Config::default() }
}

async fn refused(config: Config) -> RunError {
    let running = run(config, std::future::pending());
    tokio::time::timeout(LIMIT, running).await.unwrap().unwrap_err()
}

#[tokio::test]
async fn the_development_account_stays_on_loopback() {
    let folder = TempDir::new().unwrap();
    let public = vec!["0.0.0.0:0".parse().unwrap()];
    let error = refused(Config { dev: true, queue_listen: public, ..config(&folder) }).await;
    assert!(error.to_string().contains("loopback only"), "{error}");
    assert!(!folder.path().join("data").exists());
}

#[tokio::test]
async fn a_taken_port_is_told() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let blob_listen = vec![taken.local_addr().unwrap()];
    let error = refused(Config { blob_listen, ..config(&folder) }).await;
    assert!(error.to_string().contains("configure another address"), "{error}");
    assert!(!folder.path().join("data").exists());
}

struct Running {
    _folder: TempDir,
    client: Client,
    stranger: Client,
    stop: oneshot::Sender<()>,
    running: JoinHandle<Result<(), RunError>>,
}

async fn start() -> Running {
    let folder = TempDir::new().unwrap();
    let [server, friend, stranger] =
        ["storage", "friend", "stranger"].map(|n| Identity::self_signed(n).unwrap());
    let identity_folder = folder.path().join("identity");
    std::fs::create_dir(&identity_folder).unwrap();
    server.save(&identity_folder).unwrap();
    let listen = free_address();
    let admin = AdminConfig { listen, identity_folder, clients: vec![friend.thumbprint()] };
    let config = Config { admin: Some(admin), ..config(&folder) };
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(run(config, async move {
        let _ = stopped.await;
    }));
    let as_client = |identity: &Identity| {
        let tls = client_config(Some(identity), ServerAuth::Pinned(server.thumbprint())).unwrap();
        Client::new(listen, tls)
    };
    let (client, stranger) = (as_client(&friend), as_client(&stranger));
    let up = async {
        while client.get_json::<Vec<String>>("/v1/accounts", 1000).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, up).await.unwrap();
    Running { _folder: folder, client, stranger, stop, running }
}

async fn call(client: &Client, method: Method, path: &str) -> u16 {
    client.send(method, path, full("")).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn accounts_are_managed_by_those_who_may() {
    let service = start().await;
    let client = &service.client;
    for (method, path, status) in [
        (Method::GET, "/v1/accounts/first/keys", 404),
        (Method::PUT, "/v1/accounts/first", 201),
        (Method::PUT, "/v1/accounts/first", 409),
        (Method::PUT, "/v1/accounts/Bad_Name", 400),
        (Method::POST, "/v1/accounts/first/keys/tertiary", 404),
        (Method::GET, "/v1/nothing", 404),
    ] {
        assert_eq!(call(client, method.clone(), path).await, status, "{method} {path}");
    }
    let keys = |path: &'static str| client.get_json::<AccountKeys>(path, 4096);
    let before = keys("/v1/accounts/first/keys").await.unwrap();
    assert_eq!(call(client, Method::POST, "/v1/accounts/first/keys/primary").await, 200);
    let after = keys("/v1/accounts/first/keys").await.unwrap();
    assert!(before.primary != after.primary && before.secondary == after.secondary);
    let refused = service.stranger.get_json::<Vec<String>>("/v1/accounts", 1000).await;
    assert!(matches!(refused, Err(CallError::Unreachable { .. })), "{refused:?}");
    assert_eq!(call(client, Method::DELETE, "/v1/accounts/first").await, 204);
    assert_eq!(client.get_json::<Vec<String>>("/v1/accounts", 1000).await.unwrap(), Vec::<String>::new());
    service.stop.send(()).unwrap();
    tokio::time::timeout(LIMIT, service.running).await.unwrap().unwrap().unwrap();
}
