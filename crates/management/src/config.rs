//! Configuration of the management service.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use welkin_base::SubscriptionId;
use welkin_management_wire::location::OperatingSystem;
use welkin_pki::Thumbprint;

/// Configuration of the management service, in TOML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the service's data, which is made when missing.
    pub data: PathBuf,
    /// Folder with the service's `cert.pem` and `key.pem`. Customers' clients check its chain and name.
    pub identity: PathBuf,
    /// Where the API is served.
    pub listen: SocketAddr,
    /// The name of this cloud's only location.
    pub location: String,
    /// The fabric controller: each of its replicas.
    pub fabric: Vec<FabricConfig>,
    /// The storage service.
    pub storage: StorageConfig,
    /// How much one subscription may ask for.
    #[serde(default)]
    pub limits: Limits,
    /// The guest OS versions that the cloud has.
    #[serde(default)]
    pub operating_systems: Vec<OperatingSystem>,
    /// Subscriptions that are made at a start when they are missing. The operator makes others while the service runs.
    #[serde(default)]
    pub subscriptions: Vec<SubscriptionConfig>,
}

/// How much one subscription may ask for, whatever the others do, and how many connections there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests that one subscription makes in a second, in the long run.
    pub requests_per_second: u32,
    /// Requests that it makes at once after a pause.
    pub requests_burst: u32,
    /// Requests of it that are in hand at a time.
    pub requests_in_hand_max: u32,
    /// Connections of all customers at once. One that waits costs some 60 KiB (docs/performance.md); when there are more,
    /// those that have waited longest of the address that has most give way.
    pub connections_max: usize,
    /// Connections that one address begins in a second, in the long run. What is more is closed before its TLS handshake,
    /// which costs a millisecond of a processor before it is known who asks.
    pub handshakes_per_second: u32,
    /// Connections that it begins at once after a pause.
    pub handshakes_burst: u32,
}

impl Default for Limits {
    /// Measured (docs/performance.md): two processors answer some thousands of reads and of small writes in a second, and some
    /// hundreds of lists and deployments, so that one subscription takes a part of them; and less than all of the memory that
    /// bodies in hand may take.
    fn default() -> Self {
        Self {
            requests_per_second: 500,
            requests_burst: 2_000,
            requests_in_hand_max: 64,
            connections_max: 4_096,
            handshakes_per_second: 100,
            handshakes_burst: 1_000,
        }
    }
}

/// How a replica of the fabric controller is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FabricConfig {
    /// Where its API is.
    pub address: SocketAddr,
    /// Its certificate's SHA-256 thumbprint.
    pub thumbprint: Thumbprint,
}

/// How the storage service is reached, and where customers reach it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageConfig {
    /// Where its administration is.
    pub address: SocketAddr,
    /// Its certificate's SHA-256 thumbprint.
    pub thumbprint: Thumbprint,
    /// The blob endpoint that customers are told, such as `http://127.0.0.1:10000`; the account's name follows it.
    pub blob_endpoint: String,
    /// The queue endpoint that customers are told.
    pub queue_endpoint: String,
    /// The table endpoint that customers are told.
    pub table_endpoint: String,
    /// Other endpoints at which the same blobs answer. A package is fetched from `blob_endpoint` and from these, and
    /// from nowhere else, so that nobody can have management reach an address of their choice.
    #[serde(default)]
    pub other_blob_endpoints: Vec<String>,
}

/// A subscription that is made when it is missing. One that is there stays as it is, but for certificates that it has
/// not had from here before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionConfig {
    /// Its id.
    pub id: SubscriptionId,
    /// Its name, for people.
    pub name: String,
    /// Management certificates, each in PEM, that are registered on it.
    pub certificates: Vec<String>,
    /// How much it may use.
    #[serde(default)]
    pub quotas: Quotas,
}

/// How much a subscription may use. The defaults are the classic service's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quotas {
    /// Virtual processors.
    pub cores: u32,
    /// Hosted services.
    pub hosted_services: u32,
    /// Storage accounts.
    pub storage_accounts: u32,
}

impl Default for Quotas {
    fn default() -> Self {
        Self { cores: 20, hosted_services: 20, storage_accounts: 20 }
    }
}
