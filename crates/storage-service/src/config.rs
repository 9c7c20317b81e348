//! What the storage service is told when it starts.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use welkin_pki::Thumbprint;

/// Configuration of the storage service; TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the data; made when missing.
    pub data_folder: PathBuf,
    /// Addresses of the blob service; port 10000 by convention.
    pub blob_listen: Vec<SocketAddr>,
    /// Addresses of the queue service; port 10001 by convention.
    pub queue_listen: Vec<SocketAddr>,
    /// Addresses of the table service; port 10002 by convention.
    pub table_listen: Vec<SocketAddr>,
    /// Domains under which `{account}.blob.{suffix}` names an account. Any other host means that the account is
    /// the first segment of the path.
    #[serde(default)]
    pub host_suffixes: Vec<String>,
    /// Where accounts are managed; without it, they are as they are.
    #[serde(default)]
    pub admin: Option<AdminConfig>,
    /// Serves the well-known development account `devstoreaccount1`, whose key is public. Only on loopback.
    #[serde(default)]
    pub dev: bool,
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
