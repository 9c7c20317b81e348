//! The client's side: one server, known by address and TLS settings.

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode, header};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use crate::body::{Body, BodyError, BoxError, full, read_body, read_json};
use crate::{CALL_TIMEOUT_MS, HANDSHAKE_TIMEOUT_MS, STREAM_TIMEOUT_MS};

/// Of a refusal's message this much is kept.
const MESSAGE_BYTES_MAX: usize = 16 << 10;
/// Idle connections that are kept for the next call: as many as a customer has requests in hand, since a handshake costs
/// more than the call.
const IDLE_MAX: usize = 64;

/// Why a call has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection, or it broke.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// The server.
        address: SocketAddr,
        /// Why, for people.
        why: String,
    },
    /// The server answered with another status than success.
    #[error("{status}: {message}")]
    Refused {
        /// Its status.
        status: StatusCode,
        /// The body, as text.
        message: String,
    },
    /// The answer is longer than the caller takes.
    #[error("the answer is too long")]
    TooLarge,
    /// The answer is not what the caller expects.
    #[error("the answer is not as expected: {0}")]
    Malformed(String),
    /// No answer in time.
    #[error("{address} did not answer in time")]
    TimedOut {
        /// The server.
        address: SocketAddr,
    },
}

impl CallError {
    /// Whether the server says that there is no such thing.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: StatusCode::NOT_FOUND, .. })
    }
}

/// A client of one server. Clones share connections.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
    idle: Arc<Mutex<Vec<SendRequest<Body>>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the server at `address`. Nothing is connected yet.
    #[must_use]
    pub fn new(address: SocketAddr, tls: Arc<ClientConfig>) -> Self {
        Self { address, tls, idle: Arc::default() }
    }

    /// The server's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Reads a value, if the answer has at most `bytes_max` bytes.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn get_json<T: DeserializeOwned>(&self, path: &str, bytes_max: usize) -> Result<T, CallError> {
        self.within(CALL_TIMEOUT_MS, async {
            let response = success(self.exchange(Method::GET, path, full("")).await?).await?;
            read_json(response.into_body(), bytes_max).await.map_err(|error| self.of_body(error))
        })
        .await
    }

    /// Writes a value.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn put_json<T: Serialize>(&self, path: &str, value: &T) -> Result<(), CallError> {
        let bytes = serde_json::to_vec(value).map_err(|error| CallError::Malformed(error.to_string()))?;
        self.within(CALL_TIMEOUT_MS, async {
            success(self.exchange(Method::PUT, path, full(bytes)).await?).await.map(drop)
        })
        .await
    }

    /// Sends any request; the answer may have any status, and its body is still to be read.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Response<Incoming>, CallError> {
        self.within(STREAM_TIMEOUT_MS, self.exchange(method, path, body)).await
    }

    /// Sees that there is a connection for the next call, so that a failure of that call is none of a server that
    /// cannot be reached.
    ///
    /// # Errors
    /// When it cannot.
    pub async fn connect(&self) -> Result<(), CallError> {
        let sender = Box::pin(self.connection()).await?;
        self.idle.lock().await.push(sender);
        Ok(())
    }

    async fn within<T>(
        &self,
        limit_ms: u64,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let limit = Duration::from_millis(limit_ms);
        tokio::time::timeout(limit, call).await.unwrap_or(Err(CallError::TimedOut { address: self.address }))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Body,
    ) -> Result<Response<Incoming>, CallError> {
        let mut builder = Request::builder().method(method).uri(path);
        builder = builder.header(header::HOST, self.address.to_string());
        if let Some(length) = body.size_hint().exact() {
            builder = builder.header(header::CONTENT_LENGTH, length);
        }
        let request = builder.body(body).map_err(|error| CallError::Malformed(error.to_string()))?;
        let mut sender = self.connection().await?;
        let response = sender.send_request(request).await.map_err(|error| self.unreachable(&error))?;
        self.keep(sender);
        Ok(response)
    }

    /// Puts the connection back once its answer has been read whole.
    fn keep(&self, mut sender: SendRequest<Body>) {
        let idle = Arc::clone(&self.idle);
        tokio::spawn(async move {
            if sender.ready().await.is_ok() {
                let mut idle = idle.lock().await;
                if idle.len() < IDLE_MAX {
                    idle.push(sender);
                }
            }
        });
    }

    async fn connection(&self) -> Result<SendRequest<Body>, CallError> {
        while let Some(sender) = self.idle.lock().await.pop() {
            if sender.is_ready() {
                return Ok(sender);
            }
        }
        self.within(HANDSHAKE_TIMEOUT_MS, async {
            let stream = TcpStream::connect(self.address).await.map_err(|error| self.unreachable(&error))?;
            let _ = stream.set_nodelay(true);
            let name = ServerName::IpAddress(self.address.ip().into());
            let connector = TlsConnector::from(Arc::clone(&self.tls));
            let stream = connector.connect(name, stream).await.map_err(|error| self.unreachable(&error))?;
            let (sender, connection) =
                handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(&error))?;
            tokio::spawn(connection);
            Ok(sender)
        })
        .await
    }

    fn unreachable(&self, error: &dyn Error) -> CallError {
        let mut why = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            why = format!("{why}: {cause}");
            source = cause.source();
        }
        CallError::Unreachable { address: self.address, why }
    }

    fn of_body(&self, error: BodyError) -> CallError {
        match error {
            BodyError::TooLarge { .. } => CallError::TooLarge,
            BodyError::Malformed(why) => CallError::Malformed(why),
            BodyError::Broken(why) => {
                let why: BoxError = why;
                CallError::Unreachable { address: self.address, why: why.to_string() }
            }
        }
    }
}

async fn success(response: Response<Incoming>) -> Result<Response<Incoming>, CallError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let message = match read_body(response.into_body(), MESSAGE_BYTES_MAX).await {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    };
    Err(CallError::Refused { status, message })
}
