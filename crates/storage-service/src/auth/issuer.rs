//! The OpenID Connect issuer whose bearer tokens are taken, and its keys: from a file, or found by discovery
//! over HTTPS, kept, and fetched again when a token names one that is not known.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use tokio::sync::Mutex;
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use crate::config::OpenIdConfig;

/// A document of the issuer has at most this many bytes.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;
/// A fetch takes this long at most.
const FETCH_TIME_MAX: Duration = Duration::from_secs(10);
/// Between two fetches; doubled after each that failed.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// Keys are fetched again after this long, so that withdrawn ones stop working.
const KEYS_AGE_MAX: Duration = Duration::from_secs(24 * 3600);

/// Why an issuer's keys cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The issuer is no URL of HTTPS.
    #[error("the issuer {0} is no https:// URL")]
    NotHttps(String),
    /// There is no authority to check the issuer's certificate with.
    #[error("there is no authority to check the issuer's certificate with; configure one")]
    NoAuthority,
    /// The issuer does not answer as it should.
    #[error("{url}: {why}")]
    Fetch {
        /// What was asked.
        url: String,
        /// Why.
        why: String,
    },
}

/// An issuer with the keys that are known.
pub struct Issuer {
    config: OpenIdConfig,
    /// What fetches keys; `None` when they are from a file.
    agent: Option<Agent>,
    keys: Mutex<Keys>,
}

struct Keys {
    set: Arc<JwkSet>,
    fetched: Option<Instant>,
    tried: Option<Instant>,
    pause: Duration,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("url", &self.config.issuer).finish_non_exhaustive()
    }
}

/// What discovery says, as far as it is needed (OpenID Connect Discovery 1.0, section 3).
#[derive(Debug, Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Issuer {
    /// The issuer that the configuration names. Nothing is fetched yet.
    ///
    /// # Errors
    /// When a file cannot be read, or the issuer's URL is not of HTTPS.
    pub fn new(config: OpenIdConfig) -> Result<Self, IssuerError> {
        let (agent, set) = match &config.jwks {
            Some(path) => {
                let bad = |why: serde_json::Error| IssuerError::Fetch {
                    url: path.display().to_string(),
                    why: why.to_string(),
                };
                (None, serde_json::from_slice(&read(path)?).map_err(bad)?)
            }
            None if !config.issuer.starts_with("https://") => {
                return Err(IssuerError::NotHttps(config.issuer));
            }
            None => (Some(agent(config.authority.as_deref())?), JwkSet { keys: Vec::new() }),
        };
        let keys = Mutex::new(Keys { set: Arc::new(set), fetched: None, tried: None, pause: PAUSE });
        Ok(Self { config, agent, keys })
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.config.issuer
    }

    /// What its tokens for this service have as `aud`.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.config.audience
    }

    /// The claim that holds the names of roles.
    #[must_use]
    pub fn roles_claim(&self) -> &str {
        &self.config.roles_claim
    }

    /// The key of that id. One that is not known is looked for at the issuer.
    pub async fn key(&self, kid: &str) -> Option<DecodingKey> {
        // Held while fetching, so that many requests with a new key fetch once.
        let mut keys = self.keys.lock().await;
        if let Some(agent) = &self.agent
            && keys.want_fetch(kid, Instant::now())
        {
            keys.tried = Some(Instant::now());
            let (agent, issuer) = (agent.clone(), self.config.issuer.clone());
            let fetched = tokio::task::spawn_blocking(move || fetch_keys(&agent, &issuer)).await;
            keys.take(fetched.ok());
        }
        keys.set.find(kid).and_then(|key| DecodingKey::from_jwk(key).ok())
    }
}

impl Keys {
    fn want_fetch(&self, kid: &str, now: Instant) -> bool {
        let since = |then: Option<Instant>| then.map(|then| now.saturating_duration_since(then));
        let stale = since(self.fetched).is_none_or(|age| age > KEYS_AGE_MAX);
        let rested = since(self.tried).is_none_or(|pause| pause >= self.pause);
        rested && (stale || self.set.find(kid).is_none())
    }

    fn take(&mut self, fetched: Option<Result<JwkSet, IssuerError>>) {
        match fetched {
            Some(Ok(set)) => {
                (self.set, self.fetched, self.pause) = (Arc::new(set), self.tried, PAUSE);
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the issuer's keys cannot be fetched");
                self.pause = (self.pause * 2).min(PAUSE_MAX);
            }
            None => {}
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, IssuerError> {
    std::fs::read(path).map_err(|source| IssuerError::File { path: path.display().to_string(), source })
}

fn agent(authority: Option<&Path>) -> Result<Agent, IssuerError> {
    let roots: Vec<Certificate<'static>> = match authority {
        Some(path) => {
            let pem = read(path)?;
            let items = ureq::tls::parse_pem(&pem).filter_map(Result::ok);
            items
                .filter_map(|item| match item {
                    ureq::tls::PemItem::Certificate(certificate) => Some(certificate),
                    _ => None,
                })
                .collect()
        }
        None => {
            let found = rustls_native_certs::load_native_certs();
            found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
        }
    };
    if roots.is_empty() {
        return Err(IssuerError::NoAuthority);
    }
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::from(roots))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    let config = Agent::config_builder().tls_config(tls).https_only(true).max_redirects(0);
    Ok(config.timeout_global(Some(FETCH_TIME_MAX)).build().into())
}

fn fetch_keys(agent: &Agent, issuer: &str) -> Result<JwkSet, IssuerError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let discovery: Discovery = fetch(agent, &url)?;
    if discovery.issuer != issuer {
        return Err(IssuerError::Fetch { url, why: format!("it is of the issuer {}", discovery.issuer) });
    }
    fetch(agent, &discovery.jwks_uri)
}

fn fetch<T: serde::de::DeserializeOwned>(agent: &Agent, url: &str) -> Result<T, IssuerError> {
    let failed = |why: String| IssuerError::Fetch { url: url.to_owned(), why };
    let mut response = agent.get(url).call().map_err(|error| failed(error.to_string()))?;
    let bytes = response.body_mut().with_config().limit(DOCUMENT_BYTES_MAX).read_to_vec();
    let bytes = bytes.map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))
}
