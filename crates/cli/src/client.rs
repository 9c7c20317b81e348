//! The command line's client of a cloud: the management API over mutual TLS, and blobs for packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::Agent;
use ureq::http::{Method, Request, StatusCode};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use welkin_base::{AccountName, SubscriptionId};
use welkin_management_wire::answer::{self, Outcome};
use welkin_management_wire::cloud_status::{CLOUD_STATUS_BYTES_MAX, CloudStatus};
use welkin_management_wire::{Element, VERSION, VERSION_HEADER};
use welkin_pki::{Identity, PkiError};

/// A call may take this long: listing a cloud asks the fabric controller for each deployment.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A connection must be made within this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause between looks at an operation.
const POLL: Duration = Duration::from_millis(250);

/// Where a cloud is and what we are in it: `cloud.toml` of the admin folder, beside the certificate
/// (`cert.pem`, `key.pem`) and the cluster's authority (`ca.pem`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Address of the management API, such as `https://127.0.0.1:8443`.
    pub management: String,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The cloud's location; empty when the cloud is to be asked.
    #[serde(default)]
    pub location: String,
    /// The blob endpoint, such as `http://127.0.0.1:10000`; empty when the cloud is to be asked.
    #[serde(default)]
    pub blob_endpoint: String,
    /// The queue endpoint.
    #[serde(default)]
    pub queue_endpoint: String,
    /// The table endpoint.
    #[serde(default)]
    pub table_endpoint: String,
    /// The storage account for packages and for samples, made by the first deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_account: Option<AccountName>,
    /// The three storage endpoints as role instances reach them, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guest_endpoints: Option<GuestEndpoints>,
    /// The folder that this was read from.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// Storage, as role instances reach it: URLs before the account's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestEndpoints {
    /// Blobs.
    pub blob: String,
    /// Queues.
    pub queue: String,
    /// Tables.
    pub table: String,
}

/// Why a call has no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A file of the admin folder.
    #[error("cannot read {path}: {why}; `welkin up` writes it")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Certificates.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// No answer.
    #[error("{what} does not answer ({why}): is the cloud up? see `welkin status`")]
    Unreachable {
        /// The management API or storage.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// The answer is an error.
    #[error("{what} refuses: {message} ({code})")]
    Refused {
        /// The management API or storage.
        what: &'static str,
        /// The HTTP status.
        status: u16,
        /// The error's code.
        code: String,
        /// The error's message.
        message: String,
    },
    /// The answer is not understood.
    #[error("{what} answers with something else than expected: {why}")]
    Malformed {
        /// The management API or storage.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// Nothing says which cloud is meant.
    #[error(
        "there is no cloud in {} and no profile {name:?}: start a cloud with `welkin up`, or say where yours is with \
         `welkin login`",
        state.display()
    )]
    NoProfile {
        /// The profile that was looked for.
        name: String,
        /// The state folder that was looked at.
        state: PathBuf,
    },
    /// The time is up.
    #[error("{what} took longer than {seconds} s")]
    TimedOut {
        /// What we waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
}

impl ClientError {
    /// Whether the server says that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its body, as text.
    pub text: String,
    /// `x-ms-request-id`: the operation's id, for those that go on.
    pub request_id: String,
}

const MANAGEMENT: &str = "the management API";

impl Settings {
    /// Settings of a cloud of which only the management API is known; it tells the rest.
    #[must_use]
    pub fn remote(management: String, subscription: SubscriptionId) -> Self {
        let id: String = subscription.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
        // A GUID has 32 digits, so that this is a name of 18 characters.
        let name = format!("welkin{}", id.get(..12).unwrap_or_default().to_ascii_lowercase());
        Self {
            management,
            subscription,
            location: String::new(),
            blob_endpoint: String::new(),
            queue_endpoint: String::new(),
            table_endpoint: String::new(),
            default_account: AccountName::new(&name).ok(),
            guest_endpoints: None,
            folder: PathBuf::new(),
        }
    }

    /// Reads the settings of an admin folder.
    ///
    /// # Errors
    /// When the folder does not have them.
    pub fn load(folder: &Path) -> Result<Self, ClientError> {
        let path = folder.join("cloud.toml");
        let text = fs::read_to_string(&path)
            .map_err(|error| ClientError::File { path: path.clone(), why: error.to_string() })?;
        let settings: Self = toml::from_str(&text)
            .map_err(|error| ClientError::File { path, why: error.message().to_owned() })?;
        Ok(Self { folder: folder.to_owned(), ..settings })
    }
}

/// A client of one cloud.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    base: String,
    settings: Settings,
}

impl Client {
    /// A client with the admin folder's certificate.
    ///
    /// # Errors
    /// When the folder's certificates cannot be read.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        let identity = Identity::load(&settings.folder)?;
        let path = settings.folder.join("ca.pem");
        let authority = fs::read(&path)
            .map_err(|error| ClientError::File { path: path.clone(), why: error.to_string() })?;
        let bad = |error: ureq::Error| ClientError::File { path: path.clone(), why: error.to_string() };
        let own = Certificate::from_pem(identity.certificate_pem().as_bytes()).map_err(bad)?;
        let key = PrivateKey::from_pem(identity.key_pem().as_bytes()).map_err(bad)?;
        let roots = RootCerts::new_with_certs(&[Certificate::from_pem(&authority).map_err(bad)?]);
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .client_cert(Some(ClientCert::new_with_certs(&[own], key)))
            .root_certs(roots)
            .build();
        let base = format!("{}/{}", settings.management.trim_end_matches('/'), settings.subscription);
        Ok(Self { agent: agent(tls), base, settings: settings.clone() })
    }

    /// The settings that it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Reads a resource of the management API, as XML.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get(&self, path: &str) -> Result<Answer, ClientError> {
        self.call(&Method::GET, path, None)
    }

    /// Creates or changes a resource.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn post(&self, path: &str, body: Element) -> Result<Answer, ClientError> {
        self.call(&Method::POST, path, Some(body))
    }

    /// Asks a resource to do something that needs no more words.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn post_empty(&self, path: &str) -> Result<Answer, ClientError> {
        self.call(&Method::POST, path, None)
    }

    /// Changes a resource.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn put(&self, path: &str, body: Element) -> Result<Answer, ClientError> {
        self.call(&Method::PUT, path, Some(body))
    }

    /// The location for what names none: the profile's, else the cloud's first.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn location(&self) -> Result<String, ClientError> {
        if !self.settings.location.is_empty() {
            return Ok(self.settings.location.clone());
        }
        let answer = self.get("locations")?;
        answer::text(&answer.text, &["Location", "Name"]).ok_or_else(|| ClientError::Malformed {
            what: MANAGEMENT,
            why: "the cloud names no location".to_owned(),
        })
    }

    /// The blob endpoint, without the account's name: the profile's, else what the account says.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn blob_endpoint(&self, account: &AccountName) -> Result<String, ClientError> {
        if !self.settings.blob_endpoint.is_empty() {
            return Ok(self.settings.blob_endpoint.trim_end_matches('/').to_owned());
        }
        let answer = self.get(&format!("services/storageservices/{account}"))?;
        let endpoint = answer::text(&answer.text, &["StorageServiceProperties", "Endpoints", "Endpoint"])
            .unwrap_or_default();
        let without_account = endpoint.trim_end_matches('/').strip_suffix(&format!("/{account}"));
        without_account.map(str::to_owned).ok_or_else(|| ClientError::Malformed {
            what: MANAGEMENT,
            why: format!("the blob endpoint of {account} is {endpoint:?}"),
        })
    }

    /// Deletes a resource.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn delete(&self, path: &str) -> Result<Answer, ClientError> {
        self.call(&Method::DELETE, path, None)
    }

    /// Reads one of Welkin's own resources, as JSON.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn get_json<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let answer = self.get(path)?;
        serde_json::from_str(&answer.text)
            .map_err(|error| ClientError::Malformed { what: MANAGEMENT, why: error.to_string() })
    }

    /// Services, deployments, instances and nodes.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn status(&self) -> Result<CloudStatus, ClientError> {
        self.get_json("welkin/status")
    }

    /// Waits until an operation has ended.
    ///
    /// # Errors
    /// When it failed, or runs longer than `limit`.
    pub fn wait(&self, operation: &Answer, what: &str, limit: Duration) -> Result<Vec<String>, ClientError> {
        let path = format!("operations/{}", operation.request_id);
        let end = Instant::now() + limit;
        loop {
            let answer = self.get(&path)?;
            match answer::outcome(&answer.text) {
                Some(Outcome::Succeeded) => {
                    // What a name has must not steer the terminal.
                    let plain = |warning: String| warning.replace(char::is_control, " ");
                    return Ok(answer::warnings(&answer.text).into_iter().map(plain).collect());
                }
                Some(Outcome::Failed(code, message)) => {
                    return Err(ClientError::Refused { what: MANAGEMENT, status: 400, code, message });
                }
                Some(Outcome::InProgress) if Instant::now() < end => std::thread::sleep(POLL),
                Some(Outcome::InProgress) => {
                    return Err(ClientError::TimedOut { what: what.to_owned(), seconds: limit.as_secs() });
                }
                None => {
                    let why = "an operation's status cannot be read".to_owned();
                    return Err(ClientError::Malformed { what: MANAGEMENT, why });
                }
            }
        }
    }

    fn call(&self, method: &Method, path: &str, body: Option<Element>) -> Result<Answer, ClientError> {
        let unreachable =
            |error: ureq::Error| ClientError::Unreachable { what: MANAGEMENT, why: error.to_string() };
        let bytes = body.map(Element::to_document).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header(VERSION_HEADER, VERSION)
            .header("content-type", "application/xml")
            .body(bytes)
            .map_err(|error| ClientError::Malformed { what: MANAGEMENT, why: error.to_string() })?;
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let id = response.headers().get("x-ms-request-id").and_then(|value| value.to_str().ok());
        let request_id = id.unwrap_or("").to_owned();
        let status = response.status();
        let limit = CLOUD_STATUS_BYTES_MAX as u64;
        let text = response.body_mut().with_config().limit(limit).read_to_string().map_err(unreachable)?;
        if status.is_success() {
            return Ok(Answer { text, request_id });
        }
        Err(refused(MANAGEMENT, status, &text))
    }
}

/// The error that an answer tells.
pub fn refused(what: &'static str, status: StatusCode, text: &str) -> ClientError {
    let (code, message) =
        answer::error(text).unwrap_or_else(|| (status.to_string(), text.trim().chars().take(500).collect()));
    ClientError::Refused { what, status: status.as_u16(), code, message }
}

/// An agent that speaks to nobody but who is named: no proxy, no redirects.
pub fn agent(tls: TlsConfig) -> Agent {
    Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .max_redirects(0)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .timeout_connect(Some(CONNECT_TIMEOUT))
        .timeout_global(Some(CALL_TIMEOUT))
        .build()
        .into()
}
