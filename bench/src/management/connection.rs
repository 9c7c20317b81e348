//! One connection of a customer: HTTP/1.1 over mutual TLS, kept for all requests of a worker.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::storage::StorageError;

/// The newest version that the API knows.
const VERSION: &str = "2017-01-01";
/// How much of an unexpected answer an error shows.
const SHOWN_BYTES: usize = 300;

/// Where the API is, and who asks.
#[derive(Debug, Clone)]
pub struct Door {
    /// Its address.
    pub address: SocketAddr,
    /// The customer's certificate, and the server's that is expected.
    pub tls: Arc<ClientConfig>,
    /// The subscription's id.
    pub subscription: String,
}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    door: Door,
    sender: SendRequest<Full<Bytes>>,
}

/// An answer with the expected status.
#[derive(Debug)]
pub struct Answer {
    /// The operation's id.
    pub request_id: String,
    /// The body.
    pub body: Bytes,
}

impl Connection {
    /// Connects, with a TLS handshake of its own.
    pub async fn open(door: &Door) -> Result<Self, StorageError> {
        let stream = TcpStream::connect(door.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::IpAddress(door.address.ip().into());
        let stream = TlsConnector::from(Arc::clone(&door.tls)).connect(name, stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
        tokio::spawn(connection);
        Ok(Self { door: door.clone(), sender })
    }

    /// Asks for what is below the subscription; the answer must have the status `wanted`.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: String,
        wanted: StatusCode,
    ) -> Result<Answer, StorageError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("/{}/{path}", self.door.subscription))
            .header(header::HOST, self.door.address.to_string())
            .header(header::CONTENT_LENGTH, body.len())
            .header("x-ms-version", VERSION)
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| StorageError::Http(error.to_string()))?;
        let response = self.sender.send_request(request).await.map_err(|error| broken(&error))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| broken(&error))?.to_bytes();
        if head.status != wanted {
            let body = String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]).into_owned();
            return Err(StorageError::Status { status: head.status.as_u16(), wanted, body });
        }
        let id = head.headers.get("x-ms-request-id").and_then(|id| id.to_str().ok());
        Ok(Answer { request_id: id.unwrap_or("").to_owned(), body })
    }

    /// Reads.
    pub async fn get(&mut self, path: &str) -> Result<Answer, StorageError> {
        self.send(Method::GET, path, String::new(), StatusCode::OK).await
    }

    /// Whether an operation has succeeded; one that failed ends the run.
    pub async fn has_succeeded(&mut self, operation: &str) -> Result<bool, StorageError> {
        let status = self.get(&format!("operations/{operation}")).await?.body;
        let status = String::from_utf8_lossy(&status);
        match (status.contains("<Status>Succeeded</Status>"), status.contains("<Status>InProgress</Status>"))
        {
            (true, _) => Ok(true),
            (_, true) => Ok(false),
            _ => Err(StorageError::Answer(status.into_owned())),
        }
    }
}

fn broken(error: &hyper::Error) -> StorageError {
    StorageError::Http(error.to_string())
}
