//! The client's end of the control socket.

use std::io;
use std::path::Path;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use welkin_storage::check::{Checked, Finding};
use welkin_transport::control::{self, SOCKET_FILE};
use welkin_transport::{Body, full, read_body};

use super::{Line, Stats};

/// Longest line of a check, and longest answer that is not a stream.
const LINE_BYTES: usize = 1024 * 1024;

/// Why the running service could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket does not answer.
    #[error("the storage service does not answer at {path}: {source}")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It stopped answering.
    #[error("the storage service stopped answering: {0}")]
    Lost(String),
    /// It refused.
    #[error("the storage service failed: {0}")]
    Refused(String),
}

/// A connection to the control socket of a running service.
#[derive(Debug)]
pub struct Client(UnixStream);

impl Client {
    /// Connects to the service that has the folder open; `None` when there is none.
    ///
    /// # Errors
    /// When there is one and it cannot be reached, such as for want of permission.
    pub async fn connect(folder: &Path) -> Result<Option<Self>, ControlError> {
        let path = folder.join(SOCKET_FILE);
        match UnixStream::connect(&path).await {
            Ok(stream) => Ok(Some(Self(stream))),
            Err(error) => match error.kind() {
                // Refused: a crash left the socket.
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::NotADirectory => {
                    Ok(None)
                }
                _ => Err(ControlError::Connect { path: path.display().to_string(), source: error }),
            },
        }
    }

    /// The service's figures.
    ///
    /// # Errors
    /// When the service fails.
    pub async fn stats(self) -> Result<Stats, ControlError> {
        let body = self.call(Method::GET, "/stats").await?;
        let body =
            read_body(body, LINE_BYTES).await.map_err(|error| ControlError::Lost(error.to_string()))?;
        serde_json::from_slice(&body).map_err(|error| ControlError::Lost(error.to_string()))
    }

    /// Gives out a backup of what is there now, piece by piece. Its end says whether it is whole.
    ///
    /// # Errors
    /// When the service fails.
    pub async fn backup(self, out: &mpsc::Sender<Bytes>) -> Result<(), ControlError> {
        let mut body = self.call(Method::POST, "/backup").await?;
        while let Some(piece) = next(&mut body).await? {
            if out.send(piece).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    /// Has the service look at everything, and reports what it finds.
    ///
    /// # Errors
    /// When the service fails.
    pub async fn check(self, report: mpsc::Sender<Finding>) -> Result<Checked, ControlError> {
        let mut body = self.call(Method::POST, "/check").await?;
        let mut buffer = BytesMut::new();
        loop {
            while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
                let line = buffer.split_to(end);
                buffer.advance(1);
                match serde_json::from_slice(&line).map_err(|error| ControlError::Lost(error.to_string()))? {
                    // Who does not listen any more is not told any more.
                    Line::Finding(finding) => drop(report.send(finding).await),
                    Line::Done(checked) => return Ok(checked),
                    Line::Failed(why) => return Err(ControlError::Refused(why)),
                }
            }
            match next(&mut body).await? {
                Some(piece) if buffer.len() < LINE_BYTES => buffer.extend_from_slice(&piece),
                _ => return Err(ControlError::Lost("the check was not ended".to_owned())),
            }
        }
    }

    async fn call(self, method: Method, path: &'static str) -> Result<Body, ControlError> {
        let sent = control::send(self.0, method, path, full("")).await;
        let response = sent.map_err(|error| ControlError::Lost(error.to_string()))?;
        let (head, body) = response.into_parts();
        let body = body.map_err(Into::into).boxed();
        if head.status == StatusCode::OK {
            return Ok(body);
        }
        let why = read_body(body, LINE_BYTES).await.unwrap_or_default();
        Err(ControlError::Refused(String::from_utf8_lossy(&why).into_owned()))
    }
}

async fn next(body: &mut Body) -> Result<Option<Bytes>, ControlError> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| ControlError::Lost(error.to_string()))?;
        if let Ok(bytes) = frame.into_data() {
            return Ok(Some(bytes));
        }
    }
    Ok(None)
}
