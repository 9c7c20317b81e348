//! The other replicas: content is given to them before a row names it, and fetched from them when it is missing here.
//!
//! | call, of another replica only | what |
//! |---|---|
//! | `HEAD /v1/content/{packages or images}/{sha256}` | whether it is there, which keeps it from being swept for a while |
//! | `GET …` | it |
//! | `PUT …` | takes it |

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::fs::File;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::io::ReaderStream;
use welkin_base::Digest;
use welkin_pki::{Identity, PkiError, ServerAuth, client_config};
use welkin_transport::{Body, CallError, Client, empty, full, read_body, stream, text};

use crate::config::PeerConfig;
use crate::content::{ContentFolder, Kind};

/// A replica that has not said by then whether it has something is taken to be silent.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// A large package on a slow link. Silence of a replica that dies on the way ends with its connection.
const SEND_TIMEOUT: Duration = Duration::from_secs(300);
/// What is read of a file at once.
const PIECE_BYTES: usize = 256 << 10;
/// Of a refusal this much is read.
const REFUSAL_BYTES_MAX: usize = 4 << 10;

/// The other replicas of this controller.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
    peers: Arc<[Peer]>,
}

#[derive(Debug, Clone)]
struct Peer {
    name: String,
    client: Client,
}

/// Too few replicas have it.
#[derive(Debug, thiserror::Error)]
#[error("{held} of {replicas} fabric controllers have it, and {majority} must: {}", .why.join("; "))]
pub(crate) struct NotSpread {
    held: usize,
    replicas: usize,
    majority: usize,
    why: Vec<String>,
}

impl Peers {
    pub fn new(configured: &[PeerConfig], identity: &Identity) -> Result<Self, PkiError> {
        let peer = |peer: &PeerConfig| {
            let tls = client_config(Some(identity), ServerAuth::Pinned(peer.thumbprint))?;
            Ok(Peer { name: peer.name.clone(), client: Client::new(peer.address, tls) })
        };
        Ok(Self { peers: configured.iter().map(peer).collect::<Result<_, PkiError>>()? })
    }

    /// Returns when a majority of the replicas, this one among them, has the content durably. The others get it
    /// meanwhile, or fetch it later.
    pub async fn spread(&self, kind: Kind, digest: &Digest, file: &Path) -> Result<(), NotSpread> {
        let replicas = self.peers.len() + 1;
        let majority = replicas / 2 + 1;
        let mut held = 1;
        let mut why = Vec::new();
        let mut sent = JoinSet::new();
        for peer in &*self.peers {
            let (peer, digest, file) = (peer.clone(), *digest, file.to_owned());
            sent.spawn(async move {
                let given = peer.give(kind, &digest, &file).await;
                given.map_err(|error| format!("{}: {error}", peer.name))
            });
        }
        while held < majority {
            match sent.join_next().await {
                Some(Ok(Ok(()))) => held += 1,
                Some(Ok(Err(error))) => why.push(error),
                Some(Err(error)) => why.push(error.to_string()),
                None => return Err(NotSpread { held, replicas, majority, why }),
            }
        }
        sent.detach_all();
        Ok(())
    }

    /// Fetches content into `folder` from whichever replica has it. Answers whether it is there now.
    pub async fn fetch(&self, kind: Kind, digest: &Digest, folder: &ContentFolder) -> bool {
        for peer in &*self.peers {
            match peer.take(kind, digest, folder).await {
                Ok(true) => {
                    tracing::info!(%digest, ?kind, from = peer.name, "fetched what was missing here");
                    return true;
                }
                Ok(false) => {}
                Err(error) => tracing::debug!(%digest, ?kind, from = peer.name, error, "not fetched"),
            }
        }
        false
    }
}

impl Peer {
    async fn has(&self, path: &str) -> Result<bool, CallError> {
        let late = CallError::TimedOut { address: self.client.address() };
        let asked = self.client.send(Method::HEAD, path, full(""));
        let head = timeout(ASK_TIMEOUT, Box::pin(asked)).await.unwrap_or(Err(late))?;
        Ok(head.status() == StatusCode::OK)
    }

    async fn give(&self, kind: Kind, digest: &Digest, file: &Path) -> Result<(), CallError> {
        let path = path(kind, digest);
        if self.has(&path).await? {
            return Ok(());
        }
        let unreadable =
            |error: std::io::Error| CallError::Malformed(format!("it cannot be read here: {error}"));
        let bytes = File::open(file).await.map_err(unreadable)?;
        let body = stream(ReaderStream::with_capacity(bytes, PIECE_BYTES));
        let late = CallError::TimedOut { address: self.client.address() };
        let sent = self.client.send(Method::PUT, &path, body);
        let response = timeout(SEND_TIMEOUT, Box::pin(sent)).await.unwrap_or(Err(late))?;
        let status = response.status();
        let message = read_body(response.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
        if status.is_success() {
            return Ok(());
        }
        Err(CallError::Refused { status, message: String::from_utf8_lossy(&message).into_owned() })
    }

    async fn take(&self, kind: Kind, digest: &Digest, folder: &ContentFolder) -> Result<bool, String> {
        let path = path(kind, digest);
        if !self.has(&path).await.map_err(|error| error.to_string())? {
            return Ok(false);
        }
        let fetched = async {
            let response = self.client.send(Method::GET, &path, full("")).await.map_err(|e| e.to_string())?;
            if response.status() != StatusCode::OK {
                return Ok(false);
            }
            let received = folder.receive(response.into_body(), digest, kind.bytes_max()).await;
            received.map(|()| true).map_err(|error| error.to_string())
        };
        timeout(SEND_TIMEOUT, Box::pin(fetched)).await.unwrap_or_else(|_| Err("it takes too long".to_owned()))
    }
}

fn path(kind: Kind, digest: &Digest) -> String {
    format!("/v1/content/{}/{digest}", kind.as_str())
}

/// Answers another replica's call about content.
pub(crate) async fn answer(
    folder: &ContentFolder,
    kind: Kind,
    digest: &Digest,
    request: Request<Incoming>,
) -> Response<Body> {
    match *request.method() {
        Method::HEAD => empty(if folder.has(digest).await { StatusCode::OK } else { StatusCode::NOT_FOUND }),
        Method::GET => match File::open(folder.file(digest)).await {
            Ok(file) => Response::new(stream(ReaderStream::with_capacity(file, PIECE_BYTES))),
            Err(_) => empty(StatusCode::NOT_FOUND),
        },
        Method::PUT => match folder.receive(request.into_body(), digest, kind.bytes_max()).await {
            Ok(()) => empty(StatusCode::OK),
            Err(error) => {
                tracing::warn!(%digest, %error, "another replica's content is not taken");
                text(StatusCode::BAD_REQUEST, error.to_string())
            }
        },
        _ => empty(StatusCode::METHOD_NOT_ALLOWED),
    }
}
