//! What the storage service is told when it starts.

mod store;
mod timeouts;

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};
use welkin_pki::Thumbprint;
use welkin_storage_wire::admin::AccountSettings;

pub use store::StoreConfig;
pub use timeouts::Timeouts;

/// Connections at a time, of all addresses together. One that is idle takes some 20 KB (measured with 9,500), so that
/// all take some 320 MB.
pub const CONNECTIONS_MAX: usize = 16_384;
/// Requests of one account that are handled at a time; more are told that the server is busy.
pub const ACCOUNT_REQUESTS_MAX: usize = 1024;

/// Requests of one blob, queue, table or entity that are handled at a time: half of what the account has, so that a hot
/// one leaves the other half to the rest.
pub const PARTITION_REQUESTS_MAX: usize = ACCOUNT_REQUESTS_MAX / 2;
/// Bytes of blobs that are read ahead of clients, of all together: 64 clients that each have four pieces of 1 MiB on
/// their way.
pub const READ_AHEAD_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Configuration of the storage service; TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the data; made when missing.
    pub data_folder: PathBuf,
    /// Addresses of the blob service; port 10000 by convention.
    #[serde(default)]
    pub blob_listen: Vec<SocketAddr>,
    /// Addresses of the queue service; port 10001 by convention.
    #[serde(default)]
    pub queue_listen: Vec<SocketAddr>,
    /// Addresses of the table service; port 10002 by convention.
    #[serde(default)]
    pub table_listen: Vec<SocketAddr>,
    /// Addresses of the blob service over HTTPS.
    #[serde(default)]
    pub blob_https_listen: Vec<SocketAddr>,
    /// Addresses of the queue service over HTTPS.
    #[serde(default)]
    pub queue_https_listen: Vec<SocketAddr>,
    /// Addresses of the table service over HTTPS.
    #[serde(default)]
    pub table_https_listen: Vec<SocketAddr>,
    /// Domains under which `{account}.blob.{suffix}` names an account. Any other host means that the account is
    /// the first segment of the path.
    #[serde(default)]
    pub host_suffixes: Vec<String>,
    /// Where metrics are served for Prometheus, over plain HTTP at `/metrics`; without it, nowhere. They name no
    /// accounts, and anyone who reaches the address can read them.
    #[serde(default)]
    pub metrics_listen: Option<SocketAddr>,
    /// Connections at a time, of all addresses together. When there are so many, the one that has been idle for the
    /// longest is closed for one that comes; while none is idle, those that come wait.
    #[serde(default = "connections_max")]
    pub connections_max: usize,
    /// How long clients have.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Requests of one account that are handled at a time; more are told that the server is busy.
    #[serde(default = "account_requests_max")]
    pub account_requests_max: usize,
    /// Requests of one blob, queue, table or entity that are handled at a time; more are told that the server is busy.
    #[serde(default = "partition_requests_max")]
    pub partition_requests_max: usize,
    /// Bytes of blobs that are read ahead of clients, of all together. Beyond, each client is read for in small pieces.
    #[serde(default = "read_ahead_bytes_max")]
    pub read_ahead_bytes_max: usize,
    /// How much memory and disk the store takes.
    #[serde(default)]
    pub store: StoreConfig,
    /// Serves the well-known development account `devstoreaccount1`, whose key is public. Only on loopback.
    #[serde(default)]
    pub dev: bool,
    /// Settings of the development account; without them, they are as they are.
    #[serde(default)]
    pub dev_settings: Option<AccountSettings>,
    /// The certificate of HTTPS; without it, one is made in the data folder.
    #[serde(default)]
    pub tls: Option<TlsFiles>,
    /// Whose bearer tokens are taken.
    #[serde(default)]
    pub openid: Option<OpenIdConfig>,
    /// Where copies may come from.
    #[serde(default)]
    pub copy: CopyConfig,
    /// Where accounts are managed; without it, they are as they are.
    #[serde(default)]
    pub admin: Option<AdminConfig>,
}

fn connections_max() -> usize {
    CONNECTIONS_MAX
}

fn account_requests_max() -> usize {
    ACCOUNT_REQUESTS_MAX
}

fn partition_requests_max() -> usize {
    PARTITION_REQUESTS_MAX
}

fn read_ahead_bytes_max() -> usize {
    READ_AHEAD_BYTES_MAX
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data_folder: PathBuf::from("welkin-storage"),
            blob_listen: Vec::new(),
            queue_listen: Vec::new(),
            table_listen: Vec::new(),
            blob_https_listen: Vec::new(),
            queue_https_listen: Vec::new(),
            table_https_listen: Vec::new(),
            host_suffixes: Vec::new(),
            metrics_listen: None,
            connections_max: CONNECTIONS_MAX,
            timeouts: Timeouts::default(),
            account_requests_max: ACCOUNT_REQUESTS_MAX,
            partition_requests_max: PARTITION_REQUESTS_MAX,
            read_ahead_bytes_max: READ_AHEAD_BYTES_MAX,
            store: StoreConfig::default(),
            dev: false,
            dev_settings: None,
            tls: None,
            openid: None,
            copy: CopyConfig::default(),
            admin: None,
        }
    }
}

/// Files of a certificate in PEM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The server's certificate, and after it those of the authorities between.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// An OpenID Connect issuer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenIdConfig {
    /// Its URL, exactly as its tokens' `iss` has it. What it publishes is found below it, over HTTPS.
    pub issuer: String,
    /// What its tokens for this service have as `aud`; a final `/` makes no difference.
    pub audience: String,
    /// The claim that holds the names of the user's roles.
    #[serde(default = "roles_claim")]
    pub roles_claim: String,
    /// A file with the issuer's keys (a JSON Web Key Set); without it, they are fetched from the issuer.
    #[serde(default)]
    pub jwks: Option<PathBuf>,
    /// A file with the authority (PEM) of the issuer's HTTPS; without it, those that the system trusts.
    #[serde(default)]
    pub authority: Option<PathBuf>,
}

fn roles_claim() -> String {
    "roles".to_owned()
}

/// Sources of copies on other servers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopyConfig {
    /// Whether other servers are asked for sources. Then who may write a blob can have this server ask any public
    /// address over HTTP or HTTPS.
    #[serde(default)]
    pub foreign_sources: bool,
    /// Addresses that are not public and may be asked nevertheless, such as `192.168.1.0/24`.
    #[serde(default)]
    pub private_sources: Vec<IpNet>,
    /// A file with the authority (PEM) of the sources' HTTPS; without it, those that the system trusts.
    #[serde(default)]
    pub authority: Option<PathBuf>,
}

/// The admin API of the storage service, over mutual TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Its address.
    pub listen: SocketAddr,
    /// Folder with `cert.pem` and `key.pem`.
    pub identity_folder: PathBuf,
    /// SHA-256 thumbprints of the clients that may use it.
    pub clients: Vec<Thumbprint>,
}
