//! The admin API: accounts and their keys, over mutual TLS, apart from the protocol's ports.

use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use rand::RngCore as _;
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;
use welkin_base::{AccountName, Timestamp};
use welkin_pki::{ClientAuth, Identity};
use welkin_storage::{Account, AccountError, KeyName, NewKeys, Storage, Uid};
use welkin_storage_wire::admin::AccountKeys;
use welkin_transport::{Body, Peer, empty, json, text};

use crate::config::AdminConfig;
use crate::run::{self, RunError};

/// Length of an account key, as Azure's.
const KEY_BYTES: usize = 64;
/// Length of the secret that user delegation keys are derived from.
pub(crate) const DELEGATION_SECRET_BYTES: usize = 32;

/// A bound admin API, not serving yet.
pub(crate) struct Admin {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
}

/// Binds the admin API's address and loads its identity.
pub(crate) async fn bind(config: &AdminConfig) -> Result<Admin, RunError> {
    let identity = Identity::load(&config.identity_folder).map_err(RunError::Admin)?;
    let clients = ClientAuth::Pinned(config.clients.clone());
    let tls = welkin_pki::server_config(&identity, clients).map_err(RunError::Admin)?;
    Ok(Admin { listener: run::bind(config.listen).await?, tls })
}

impl Admin {
    /// Serves until `ended` says true.
    pub(crate) async fn serve(self, storage: Storage, mut ended: watch::Receiver<bool>) {
        let handler = move |_: Peer, request: Request<Incoming>| {
            let storage = storage.clone();
            async move { answer(&storage, &request).await }
        };
        let shutdown = async move {
            let _ = ended.wait_for(|ended| *ended).await;
        };
        welkin_transport::serve(self.listener, self.tls, handler, shutdown).await;
    }
}

async fn answer(storage: &Storage, request: &Request<Incoming>) -> Response<Body> {
    let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
    let result = match (request.method(), path.as_slice()) {
        (&Method::GET, ["v1", "accounts"]) => list(storage).await,
        (&Method::PUT, ["v1", "accounts", name]) => create(storage, name).await,
        (&Method::DELETE, ["v1", "accounts", name]) => delete(storage, name).await,
        (&Method::GET, ["v1", "accounts", name, "keys"]) => keys(storage, name).await,
        (&Method::POST, ["v1", "accounts", name, "keys", which]) => new_key(storage, name, which).await,
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such call")),
    };
    let response = result.unwrap_or_else(|refusal| text(refusal.status, refusal.why));
    tracing::info!(method = %request.method(), path = request.uri().path(), status = response.status().as_u16(), "admin");
    response
}

type Answer = Result<Response<Body>, Refusal>;

/// Why a call is not done.
struct Refusal {
    status: StatusCode,
    why: String,
}

impl Refusal {
    fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self { status, why: why.into() }
    }
}

async fn list(storage: &Storage) -> Answer {
    let names = storage.accounts().await.map_err(|error| refuse(&error.into()))?;
    Ok(json(StatusCode::OK, &names))
}

async fn create(storage: &Storage, name: &str) -> Answer {
    let keys = NewKeys {
        primary: random_bytes(KEY_BYTES),
        secondary: random_bytes(KEY_BYTES),
        delegation: random_bytes(DELEGATION_SECRET_BYTES),
    };
    let uid = Uid::from_bytes(uuid::Uuid::new_v4().into_bytes());
    let account = Account::new(parse_name(name)?, uid, Timestamp::from(SystemTime::now()), keys);
    storage.create_account(&account).await.map_err(|error| refuse(&error))?;
    Ok(json(StatusCode::CREATED, &keys_of(&account)))
}

async fn delete(storage: &Storage, name: &str) -> Answer {
    let now = Timestamp::from(SystemTime::now());
    storage.delete_account(&parse_name(name)?, now).await.map_err(|error| refuse(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn keys(storage: &Storage, name: &str) -> Answer {
    let name = parse_name(name)?;
    let account = storage.account(&name).await.map_err(|error| refuse(&error.into()))?;
    let account = account.ok_or_else(|| refuse(&AccountError::NotFound(name)))?;
    Ok(json(StatusCode::OK, &keys_of(&account)))
}

async fn new_key(storage: &Storage, name: &str, which: &str) -> Answer {
    let which = match which {
        "primary" => KeyName::Primary,
        "secondary" => KeyName::Secondary,
        _ => return Err(Refusal::new(StatusCode::NOT_FOUND, "a key is primary or secondary")),
    };
    let replaced = storage.replace_account_key(&parse_name(name)?, which, &random_bytes(KEY_BYTES)).await;
    Ok(json(StatusCode::OK, &keys_of(&replaced.map_err(|error| refuse(&error))?)))
}

fn parse_name(name: &str) -> Result<AccountName, Refusal> {
    AccountName::new(name).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.to_string()))
}

fn refuse(error: &AccountError) -> Refusal {
    let status = match error {
        AccountError::NotFound(_) => StatusCode::NOT_FOUND,
        AccountError::AlreadyExists(_) => StatusCode::CONFLICT,
        AccountError::Engine(error) => {
            tracing::error!(%error, "the engine failed");
            return Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "the storage engine failed; its log says why",
            );
        }
    };
    Refusal::new(status, error.to_string())
}

pub(crate) fn random_bytes(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn keys_of(account: &Account) -> AccountKeys {
    AccountKeys {
        primary: STANDARD.encode(&account.primary_key),
        secondary: STANDARD.encode(&account.secondary_key),
    }
}
