//! What copies need of the server: which hosts are its own, how others are asked, and how many copies are carried
//! out at a time.

pub(crate) mod foreign;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use welkin_pki::PkiError;
use welkin_storage::Uid;
use welkin_storage_wire::blob::copy::SourceUrl;
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead};

use crate::config::Config;
use crate::throttle::{Handled, Throttle};
use foreign::Client;

/// Copies that are carried out at a time; more are told that the server is busy.
const COPIES_MAX: usize = 256;
/// Of those, for one account: slow sources of one must not keep the others from copying.
const ACCOUNT_COPIES_MAX: usize = 32;

/// Why copies cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum CopiesError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is no authority to check the certificates of sources with.
    #[error("there is no authority to check the certificates of sources with; configure copy.authority")]
    NoAuthority,
    /// The authority cannot be used.
    #[error("the authority of copy.authority cannot be used: {0}")]
    Authority(#[from] PkiError),
    /// There is no client.
    #[error("cannot set up the client that reads sources: {0}")]
    Client(String),
}

/// Copies of a server.
#[derive(Debug)]
pub struct Copies {
    /// Hosts with ports that are this server's.
    own: Vec<String>,
    pub(crate) host_suffixes: Vec<String>,
    /// What asks other servers, where that is permitted.
    pub(crate) client: Option<Client>,
    places: Arc<Semaphore>,
    accounts: Arc<Throttle<Uid>>,
}

/// A place among the copies that are carried out, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    _copy: OwnedSemaphorePermit,
    _of_account: Handled<Uid>,
}

impl Copies {
    /// As configured.
    ///
    /// # Errors
    /// When the client that asks other servers cannot be set up.
    pub fn new(config: &Config) -> Result<Arc<Self>, CopiesError> {
        let client = match config.copy.foreign_sources {
            true => Some(Client::new(&config.copy)?),
            false => None,
        };
        let listened = config.blob_listen.iter().chain(&config.blob_https_listen);
        Ok(Arc::new(Self {
            own: listened.map(ToString::to_string).collect(),
            host_suffixes: config.host_suffixes.clone(),
            client,
            places: Arc::new(Semaphore::new(COPIES_MAX)),
            accounts: Throttle::new(ACCOUNT_COPIES_MAX),
        }))
    }

    /// Whether the source is of this server: by the host that the request itself was sent to, an address that is
    /// listened on, or a domain of its accounts. Only whoever may read it there can copy it, so that a wrong host
    /// in a request gives nobody more than was his.
    pub(crate) fn is_own(&self, head: &RequestHead, url: &SourceUrl) -> bool {
        let Some(authority) = url.authority() else { return true };
        let asked = head.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let host = authority.rsplit_once(':').map_or(authority.as_str(), |(host, _)| host);
        asked.is_some_and(|asked| asked.eq_ignore_ascii_case(&authority))
            || self.own.contains(&authority)
            || self.host_suffixes.iter().any(|suffix| host.ends_with(&format!(".blob.{suffix}")))
    }

    /// A place among the copies that are carried out, for an account.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn place(&self, account: Uid) -> Result<Place, ProtocolError> {
        let copy = self.places.clone().try_acquire_owned().ok();
        let place = copy.zip(self.accounts.enter(account));
        let place = place.map(|(copy, of_account)| Place { _copy: copy, _of_account: of_account });
        place.ok_or_else(|| ProtocolError::from(ErrorCode::ServerBusy).with_header("retry-after", "1"))
    }
}
