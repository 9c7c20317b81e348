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
use welkin_storage_wire::admin::{AccountKeys, AccountSettings};
use welkin_transport::{Body, Peer, empty, json, read_json, text};

use crate::config::AdminConfig;
use crate::run::{self, RunError};

/// Length of an account key, as Azure's.
const KEY_BYTES: usize = 64;
/// Length of the secret that user delegation keys are derived from.
pub(crate) const DELEGATION_SECRET_BYTES: usize = 32;

/// The body of new settings: a thousand scopes of 63 characters.
const SETTINGS_BYTES_MAX: usize = 128 * 1024;

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
            async move { answer(&storage, request).await }
        };
        let shutdown = async move {
            let _ = ended.wait_for(|ended| *ended).await;
        };
        welkin_transport::serve(self.listener, self.tls, handler, shutdown).await;
    }
}

async fn answer(storage: &Storage, request: Request<Incoming>) -> Response<Body> {
    let (request, body) = request.into_parts();
    let path: Vec<&str> = request.uri.path().split('/').skip(1).collect();
    let result = match (&request.method, path.as_slice()) {
        (&Method::GET, ["v1", "accounts"]) => list(storage).await,
        (&Method::PUT, ["v1", "accounts", name]) => create(storage, name).await,
        (&Method::DELETE, ["v1", "accounts", name]) => delete(storage, name).await,
        (&Method::GET, ["v1", "accounts", name, "settings"]) => settings(storage, name).await,
        (&Method::PUT, ["v1", "accounts", name, "settings"]) => set_settings(storage, name, body).await,
        (&Method::DELETE, ["v1", "accounts", name, "delegation-keys"]) => revoke(storage, name).await,
        (&Method::GET, ["v1", "accounts", name, "keys"]) => keys(storage, name).await,
        (&Method::POST, ["v1", "accounts", name, "keys", which]) => new_key(storage, name, which).await,
        _ => Err(Refusal::new(StatusCode::NOT_FOUND, "there is no such call")),
    };
    let response = result.unwrap_or_else(|refusal| text(refusal.status, refusal.why));
    tracing::info!(method = %request.method, path = request.uri.path(), status = response.status().as_u16(), "admin");
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
    Ok(json(StatusCode::OK, &keys_of(&find(storage, name).await?)))
}

async fn find(storage: &Storage, name: &str) -> Result<Account, Refusal> {
    let name = parse_name(name)?;
    let account = storage.account(&name).await.map_err(|error| refuse(&error.into()))?;
    account.ok_or_else(|| refuse(&AccountError::NotFound(name)))
}

async fn settings(storage: &Storage, name: &str) -> Answer {
    let settings = find(storage, name).await?.settings;
    let settings = AccountSettings {
        versioning: settings.versioning,
        container_retention_days: settings.container_retention_days,
        encryption_scopes: settings.encryption_scopes,
    };
    Ok(json(StatusCode::OK, &settings))
}

async fn set_settings(storage: &Storage, name: &str, body: Incoming) -> Answer {
    let bad = |why: String| Refusal::new(StatusCode::BAD_REQUEST, why);
    let read = read_json(body, SETTINGS_BYTES_MAX).await;
    let settings: AccountSettings = read.map_err(|error| bad(error.to_string()))?;
    settings.check().map_err(|error| bad(error.to_string()))?;
    let changed = storage.change_account(&parse_name(name)?, |account| set(account, &settings)).await;
    changed.map_err(|error| refuse(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

/// Gives the account these settings.
pub(crate) fn set(account: &mut Account, settings: &AccountSettings) {
    account.settings = welkin_storage::AccountSettings {
        versioning: settings.versioning,
        container_retention_days: settings.container_retention_days,
        encryption_scopes: settings.encryption_scopes.clone(),
    };
}

async fn revoke(storage: &Storage, name: &str) -> Answer {
    let secret = random_bytes(DELEGATION_SECRET_BYTES);
    let replace = |account: &mut Account| account.delegation_secret.clone_from(&secret);
    storage.change_account(&parse_name(name)?, replace).await.map_err(|error| refuse(&error))?;
    Ok(empty(StatusCode::NO_CONTENT))
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
        AccountError::AlreadyExists(_) | AccountError::Protected(_) => StatusCode::CONFLICT,
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
