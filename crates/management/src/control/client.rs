//! The operator's end of the control socket.

use std::io;
use std::path::Path;

use http::Method;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use welkin_base::SubscriptionId;
use welkin_pki::Sha1Thumbprint;
use welkin_transport::{control, full, read_body};

use super::{Change, Create, SOCKET_FILE, Subscription};

/// An answer in bytes, at most: a list of some ten thousand subscriptions.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Why the running service could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket does not answer.
    #[error("the management service does not answer at {path}: {source}")]
    Connect {
        /// The socket.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It stopped answering.
    #[error("the management service stopped answering: {0}")]
    Lost(String),
    /// It refused, and said why.
    #[error("{0}")]
    Refused(String),
}

/// The control socket of a management service that runs on this machine.
#[derive(Debug, Clone)]
pub struct Client {
    socket: std::path::PathBuf,
}

impl Client {
    /// That of the service with this data folder.
    #[must_use]
    pub fn new(data: &Path) -> Self {
        Self { socket: data.join(SOCKET_FILE) }
    }

    /// Every subscription.
    ///
    /// # Errors
    /// When the service does not answer or fails.
    pub async fn list(&self) -> Result<Vec<Subscription>, ControlError> {
        self.ask(Method::GET, "/subscriptions", Vec::new()).await
    }

    /// One subscription.
    ///
    /// # Errors
    /// When there is none, or the service does not answer or fails.
    pub async fn get(&self, id: &SubscriptionId) -> Result<Subscription, ControlError> {
        self.ask(Method::GET, &format!("/subscriptions/{id}"), Vec::new()).await
    }

    /// Makes a subscription.
    ///
    /// # Errors
    /// When something asked is wrong, or the service does not answer or fails.
    pub async fn create(&self, asked: &Create) -> Result<Subscription, ControlError> {
        self.ask(Method::POST, "/subscriptions", encode(asked)?).await
    }

    /// Changes a subscription.
    ///
    /// # Errors
    /// When something asked is wrong, or the service does not answer or fails.
    pub async fn change(&self, id: &SubscriptionId, asked: &Change) -> Result<Subscription, ControlError> {
        self.ask(Method::PUT, &format!("/subscriptions/{id}"), encode(asked)?).await
    }

    /// Deletes a subscription that has nothing any more.
    ///
    /// # Errors
    /// When it has something, or the service does not answer or fails.
    pub async fn delete(&self, id: &SubscriptionId) -> Result<(), ControlError> {
        self.call(Method::DELETE, &format!("/subscriptions/{id}"), Vec::new()).await.map(drop)
    }

    /// Registers a management certificate, in PEM.
    ///
    /// # Errors
    /// When it is none or there is no room, or the service does not answer or fails.
    pub async fn add_certificate(
        &self,
        id: &SubscriptionId,
        pem: &str,
    ) -> Result<Subscription, ControlError> {
        self.ask(Method::POST, &format!("/subscriptions/{id}/certificates"), pem.as_bytes().to_vec()).await
    }

    /// Removes a management certificate.
    ///
    /// # Errors
    /// When it is not registered, or the service does not answer or fails.
    pub async fn remove_certificate(
        &self,
        id: &SubscriptionId,
        thumbprint: Sha1Thumbprint,
    ) -> Result<Subscription, ControlError> {
        let path = format!("/subscriptions/{id}/certificates/{thumbprint}");
        self.ask(Method::DELETE, &path, Vec::new()).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<T, ControlError> {
        let answer = self.call(method, path, body).await?;
        serde_json::from_slice(&answer).map_err(|error| ControlError::Lost(error.to_string()))
    }

    async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> Result<Vec<u8>, ControlError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|source| {
            let path = self.socket.display().to_string();
            ControlError::Connect { path, source }
        })?;
        let sent = control::send(stream, method, path, full(body)).await;
        let response = sent.map_err(|error| ControlError::Lost(error.to_string()))?;
        let status = response.status();
        let answer = read_body(response.into_body(), ANSWER_BYTES_MAX).await;
        let answer = answer.map_err(|error| ControlError::Lost(error.to_string()))?;
        if status.is_success() {
            return Ok(answer.to_vec());
        }
        Err(ControlError::Refused(String::from_utf8_lossy(&answer).into_owned()))
    }
}

fn encode(value: &impl serde::Serialize) -> Result<Vec<u8>, ControlError> {
    serde_json::to_vec(value).map_err(|error| ControlError::Lost(error.to_string()))
}
