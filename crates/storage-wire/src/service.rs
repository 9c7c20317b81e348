//! Properties of one service of an account, as Set Service Properties gives them, and its statistics (STORAGE,
//! section 1).
//!
//! Absent parts mean what a new account has: no logging, no metrics, no CORS, no retention, no website.
//!
//! * [`read`]: the body of Set Service Properties. [`write`]: that of Get Service Properties.
//! * [`cors`]: which rule a request meets.

pub mod cors;
pub mod read;
pub mod write;

use serde::{Deserialize, Serialize};
use welkin_base::Timestamp;

use crate::xml::Xml;

/// Properties of one service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceProperties {
    /// Logging of requests.
    pub logging: Option<Logging>,
    /// Metrics of each hour.
    pub hour_metrics: Option<Metrics>,
    /// Metrics of each minute.
    pub minute_metrics: Option<Metrics>,
    /// Origins whose scripts may ask, in the order in which they are tried.
    pub cors: Vec<CorsRule>,
    /// The version of a request that has none.
    pub default_version: Option<String>,
    /// How long deleted blobs are kept; `None` when they are not.
    pub delete_retention: Option<DeleteRetention>,
    /// The website in `$web`.
    pub static_website: Option<StaticWebsite>,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Version of the setting.
    pub version: String,
    /// Deletions.
    pub delete: bool,
    /// Reads.
    pub read: bool,
    /// Writes.
    pub write: bool,
    /// Days that logs are kept.
    pub retention_days: Option<u32>,
}

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Version of the setting.
    pub version: String,
    /// Whether anything is.
    pub enabled: bool,
    /// Whether each operation is, too.
    pub include_apis: Option<bool>,
    /// Days that metrics are kept.
    pub retention_days: Option<u32>,
}

/// What the scripts of some origins may ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CorsRule {
    /// Origins, or `*`.
    pub allowed_origins: Vec<String>,
    /// Methods.
    pub allowed_methods: Vec<String>,
    /// Headers of requests; a final `*` stands for any rest.
    pub allowed_headers: Vec<String>,
    /// Headers of answers that scripts may see; a final `*` stands for any rest.
    pub exposed_headers: Vec<String>,
    /// How long a browser may keep the answer of a preflight.
    pub max_age_seconds: u32,
}

/// How long deleted blobs are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteRetention {
    /// Days.
    pub days: u32,
    /// Whether a kept blob may be deleted for good before.
    pub allow_permanent_delete: bool,
}

/// The website in `$web`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StaticWebsite {
    /// The document of each folder.
    pub index_document: Option<String>,
    /// The document of each folder that has none.
    pub default_index_document_path: Option<String>,
    /// The document that says that there is none.
    pub error_document_404_path: Option<String>,
}

/// What Set Service Properties changes: what its body does not name stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServiceChange {
    /// Logging of requests.
    pub logging: Option<Logging>,
    /// Metrics of each hour.
    pub hour_metrics: Option<Metrics>,
    /// Metrics of each minute.
    pub minute_metrics: Option<Metrics>,
    /// All CORS rules.
    pub cors: Option<Vec<CorsRule>>,
    /// The version of a request that has none.
    pub default_version: Option<String>,
    /// The retention; `Some(None)` ends it.
    pub delete_retention: Option<Option<DeleteRetention>>,
    /// The website; `Some(None)` ends it.
    pub static_website: Option<Option<StaticWebsite>>,
}

impl ServiceChange {
    /// Changes the properties.
    pub fn apply(&self, properties: &mut ServiceProperties) {
        fn replace<T: Clone>(place: &mut T, new: Option<&T>) {
            if let Some(new) = new {
                place.clone_from(new);
            }
        }
        let given = self.clone();
        properties.logging = given.logging.or(properties.logging.take());
        properties.hour_metrics = given.hour_metrics.or(properties.hour_metrics.take());
        properties.minute_metrics = given.minute_metrics.or(properties.minute_metrics.take());
        properties.default_version = given.default_version.or(properties.default_version.take());
        replace(&mut properties.cors, self.cors.as_ref());
        replace(&mut properties.delete_retention, self.delete_retention.as_ref());
        replace(&mut properties.static_website, self.static_website.as_ref());
    }
}

/// The body of Get Service Stats: the secondary has everything that was written until `synced`.
#[must_use]
pub fn stats_body(synced: Timestamp) -> String {
    let mut xml = Xml::new();
    xml.element("StorageServiceStats", |xml| {
        xml.element("GeoReplication", |xml| {
            xml.text("Status", "live");
            xml.text("LastSyncTime", &crate::queue::message::http_date(synced));
        });
    });
    xml.finish()
}
