//! What a handler knows of its request, and how it reads the body.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::sync::mpsc;
use welkin_base::Timestamp;
use welkin_storage::{Account, Storage};
use welkin_storage_wire::sas::{Arrival, KeyRange};
use welkin_storage_wire::{ErrorCode, ProtocolError, RequestHead};

use crate::admission::Admission;
use crate::auth::issuer::Issuer;
use crate::auth::token::User;
use crate::config::Timeouts;
use crate::copies::Copies;
use crate::pace::Allowance;

/// After an error, this much of the body is still read, so that the client reads the answer instead of a reset.
const DRAIN_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// And for this long at most.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(5);

/// An authenticated and authorized request.
#[derive(Debug, Clone)]
pub struct Context {
    /// The engine.
    pub storage: Storage,
    /// The account that is asked.
    pub account: Account,
    /// The request's head.
    pub head: RequestHead,
    /// Who asks.
    pub authorization: Authorization,
    /// When the request came.
    pub now: Timestamp,
    /// From where and how it came: what a batch's inner requests are authorized by.
    pub arrival: Arrival,
    /// Whose bearer tokens are taken.
    pub issuer: Option<Arc<Issuer>>,
    /// What copies need of the server.
    pub copies: Arc<Copies>,
    /// Who may take how much.
    pub(crate) admission: Arc<Admission>,
    /// Its id.
    pub request_id: String,
}

impl Context {
    /// How URLs of this server begin, as the client reaches it.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.arrival.https { "https" } else { "http" }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authorization {
    /// The owner of an account key: may do anything.
    Key,
    /// The holder of a shared access signature that permits the operation.
    Sas {
        /// It may create but not overwrite.
        only_creates: bool,
        /// The entities that it is limited to.
        key_range: KeyRange,
    },
    /// The user of a bearer token, whose roles permit the operation.
    Bearer(User),
    /// Anyone.
    Anonymous,
}

/// Where the body of a request comes from.
#[derive(Debug)]
enum Sent {
    /// Nowhere: a request within a batch has none.
    Nothing,
    /// The client sends it, and may be silent for so long at a time.
    ByClient { incoming: Incoming, silence: Duration, allowance: Allowance },
    /// A source has it that the client names.
    BySource(mpsc::Receiver<io::Result<Bytes>>, Option<u64>),
}

/// The body of a request, read in pieces.
#[derive(Debug)]
pub struct RequestBody {
    sent: Sent,
    /// The client waits for `100 Continue` before it sends.
    expects_continue: bool,
    started: bool,
    received_bytes: u64,
}

impl RequestBody {
    /// The body of a request with these headers.
    #[must_use]
    pub fn new(incoming: Incoming, headers: &http::HeaderMap, timeouts: &Timeouts) -> Self {
        let expects_continue = headers.contains_key(http::header::EXPECT);
        let allowance = Allowance::new(timeouts.request_per_mib());
        let sent = Sent::ByClient { incoming, silence: timeouts.silence(), allowance };
        Self { sent, expects_continue, started: false, received_bytes: 0 }
    }

    /// A body of nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self { sent: Sent::Nothing, expects_continue: false, started: false, received_bytes: 0 }
    }

    /// The bytes of a source, which count as the body of a request that names it.
    pub(crate) fn of_source(pieces: mpsc::Receiver<io::Result<Bytes>>, length_bytes: Option<u64>) -> Self {
        Self {
            sent: Sent::BySource(pieces, length_bytes),
            expects_continue: false,
            started: false,
            received_bytes: 0,
        }
    }

    /// Its length, where the client says it.
    #[must_use]
    pub fn length_bytes(&self) -> Option<u64> {
        match &self.sent {
            Sent::Nothing => Some(0),
            Sent::ByClient { incoming, .. } => incoming.size_hint().exact(),
            Sent::BySource(_, length_bytes) => *length_bytes,
        }
    }

    /// How much of it the client has sent so far, as it was read.
    pub(crate) fn received_bytes(&self) -> u64 {
        self.received_bytes
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// When the client breaks off, is silent for too long or too slow.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, ProtocolError> {
        self.started = true;
        let (incoming, silence, allowance) = match &mut self.sent {
            Sent::Nothing => return Ok(None),
            Sent::ByClient { incoming, silence, allowance } => (incoming, *silence, allowance),
            Sent::BySource(pieces, _) => {
                return pieces.recv().await.transpose().map_err(|error| {
                    let why = format!("The source of the copy broke off: {error}.");
                    ProtocolError::saying(ErrorCode::CannotVerifyCopySource, why)
                });
            }
        };
        loop {
            let asked = Instant::now();
            let frame = tokio::time::timeout(silence.min(allowance.left()), incoming.frame()).await;
            allowance.spend(asked.elapsed());
            match frame {
                Err(_) => return Err(ErrorCode::OperationTimedOut.into()),
                Ok(None) => return Ok(None),
                Ok(Some(Ok(frame))) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.received_bytes += bytes.len() as u64;
                        allowance.earn(bytes.len());
                        return Ok(Some(bytes));
                    }
                }
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "the client broke off");
                    return Err(ProtocolError::saying(
                        ErrorCode::InvalidInput,
                        "The request body broke off.",
                    ));
                }
            }
        }
    }

    /// The whole body, of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// When it is longer, or cannot be read.
    pub async fn whole(&mut self, bytes_max: usize) -> Result<Bytes, ProtocolError> {
        let too_large = || ProtocolError::from(ErrorCode::RequestBodyTooLarge);
        if self.length_bytes().is_some_and(|length| length > bytes_max as u64) {
            return Err(too_large());
        }
        let mut whole = bytes::BytesMut::new();
        while let Some(piece) = self.piece().await? {
            if whole.len() + piece.len() > bytes_max {
                return Err(too_large());
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// Reads what is left, within bounds, when an error is answered. A client that waits for `100 Continue`
    /// sends nothing.
    pub(crate) async fn drain(&mut self) {
        if self.expects_continue && !self.started {
            return;
        }
        let rest = async {
            let mut read = 0;
            while let Ok(Some(piece)) = self.piece().await {
                read += piece.len() as u64;
                if read > DRAIN_BYTES_MAX {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(DRAIN_TIME_MAX, rest).await;
    }
}
