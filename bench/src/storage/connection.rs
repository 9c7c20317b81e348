//! One keep-alive HTTP/1.1 connection. Each worker has its own, so that their number is the concurrency.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::storage::error::StorageError;

/// A request that takes longer has failed.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How much of an unexpected answer an error shows.
const SHOWN_BYTES: usize = 300;

/// An open connection; it opens itself again when the server has closed it.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

/// An answer with the expected status.
#[derive(Debug)]
pub struct Answer {
    /// How long the body is.
    pub length: u64,
    /// The body, unless it was only counted.
    pub body: Bytes,
}

/// What to do with the body of a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Keep it.
    Body,
    /// Count its bytes as they come.
    Length,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Result<Self, StorageError> {
        Ok(Self { address, sender: connect(address).await? })
    }

    /// Sends a request and reads the whole answer, which must have the status `wanted`.
    pub async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
        wanted: StatusCode,
        keep: Keep,
    ) -> Result<Answer, StorageError> {
        tokio::time::timeout(TIMEOUT, self.exchange(request, wanted, keep))
            .await
            .map_err(|_| StorageError::TimedOut(TIMEOUT))?
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        wanted: StatusCode,
        keep: Keep,
    ) -> Result<Answer, StorageError> {
        // Between two slices a server closes connections that are idle.
        if self.sender.ready().await.is_err() {
            self.sender = connect(self.address).await?;
        }
        let response = self.sender.send_request(request).await.map_err(|error| http_error(&error))?;
        let status = response.status();
        let keep = keep == Keep::Body || status != wanted;
        let mut frames = response.into_body();
        let (mut body, mut length) = (BytesMut::new(), 0);
        while let Some(frame) = frames.frame().await {
            if let Ok(data) = frame.map_err(|error| http_error(&error))?.into_data() {
                length += data.len() as u64;
                if keep {
                    body.extend_from_slice(&data);
                }
            }
        }
        if status != wanted {
            let body =
                String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES)]).replace(['\r', '\n'], " ");
            return Err(StorageError::Status { status, wanted, body });
        }
        Ok(Answer { length, body: body.freeze() })
    }
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Full<Bytes>>, StorageError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, driver) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| http_error(&error))?;
    tokio::spawn(async move {
        // Its errors reach the request that was under way.
        let _ = driver.await;
    });
    Ok(sender)
}

fn http_error(error: &hyper::Error) -> StorageError {
    StorageError::Http(error.to_string())
}
