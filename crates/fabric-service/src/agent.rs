//! The controller's side of a fabric agent's contract.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use http::{Method, StatusCode};
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use welkin_agent_wire::limits::{MESSAGE_BYTES_MAX, NODE_OBSERVED_BYTES_MAX};
use welkin_agent_wire::{NodeGoal, NodeObserved, SealedCertificate};
use welkin_base::{Digest, InstanceId, Sha1Thumbprint};
use welkin_transport::{CallError, Client, full, read_body, stream};

/// An agent answers from memory; what takes longer is a silent agent.
const READ_TIMEOUT: Duration = Duration::from_millis(3_000);
/// An agent checks a goal and makes it durable before it answers.
const GOAL_TIMEOUT: Duration = Duration::from_secs(15);
/// What is read of an image at once.
const PIECE_BYTES: usize = 256 << 10;
/// The end of an instance's console, in bytes, at most.
const LOG_BYTES_MAX: usize = 1 << 20;

/// A fabric agent.
#[derive(Debug, Clone)]
pub struct Agent {
    client: Client,
}

impl Agent {
    /// The agent that `client` reaches.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// What the node observes.
    ///
    /// # Errors
    /// When there is no answer in time, or it is not one.
    pub async fn observed(&self) -> Result<NodeObserved, CallError> {
        let call = self.client.get_json("/v1/observed", NODE_OBSERVED_BYTES_MAX);
        self.within(READ_TIMEOUT, Box::pin(call)).await
    }

    /// Gives the node its goal.
    ///
    /// # Errors
    /// When it does not take it.
    pub async fn push_goal(&self, goal: &NodeGoal) -> Result<(), CallError> {
        self.within(GOAL_TIMEOUT, Box::pin(self.client.put_json("/v1/goal", goal))).await
    }

    /// Gives the node an image, unless it has it.
    ///
    /// # Errors
    /// When the file cannot be read or the node does not take it.
    pub async fn push_image(&self, image: &Digest, file: &Path) -> Result<(), CallError> {
        let path = format!("/v1/images/{image}");
        let head =
            self.within(READ_TIMEOUT, Box::pin(self.client.send(Method::HEAD, &path, full("")))).await?;
        if head.status() == StatusCode::OK {
            return Ok(());
        }
        let unreadable = |error: std::io::Error| {
            CallError::Malformed(format!("image {image} cannot be read here: {error}"))
        };
        let bytes = File::open(file).await.map_err(unreadable)?;
        let body = stream(ReaderStream::with_capacity(bytes, PIECE_BYTES));
        let response = Box::pin(self.client.send(Method::PUT, &path, body)).await?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        let message = read_body(response.into_body(), MESSAGE_BYTES_MAX).await.unwrap_or_default();
        Err(CallError::Refused { status, message: String::from_utf8_lossy(&message).into_owned() })
    }

    /// Gives an instance a certificate.
    ///
    /// # Errors
    /// When the node does not take it.
    pub async fn push_certificate(
        &self,
        id: &InstanceId,
        thumbprint: &Sha1Thumbprint,
        certificate: &SealedCertificate,
    ) -> Result<(), CallError> {
        let path = format!("/v1/instances/{}/{}/certificates/{thumbprint}", id.deployment(), id.name());
        self.within(READ_TIMEOUT, Box::pin(self.client.put_json(&path, certificate))).await
    }

    /// The end of an instance's console.
    ///
    /// # Errors
    /// When the node does not answer, or has no log of it.
    pub async fn log(&self, id: &InstanceId) -> Result<String, CallError> {
        let path = format!("/v1/instances/{}/{}/log", id.deployment(), id.name());
        let response =
            self.within(GOAL_TIMEOUT, Box::pin(self.client.send(Method::GET, &path, full("")))).await?;
        let status = response.status();
        let body = self.within(
            GOAL_TIMEOUT,
            Box::pin(async {
                read_body(response.into_body(), LOG_BYTES_MAX).await.map_err(|error| match error {
                    welkin_transport::BodyError::TooLarge { .. } => CallError::TooLarge,
                    other => CallError::Malformed(other.to_string()),
                })
            }),
        );
        let text = String::from_utf8_lossy(&body.await?).into_owned();
        if status.is_success() { Ok(text) } else { Err(CallError::Refused { status, message: text }) }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        call: Pin<Box<dyn Future<Output = Result<T, CallError>> + Send + '_>>,
    ) -> Result<T, CallError> {
        let address = self.client.address();
        tokio::time::timeout(limit, call).await.unwrap_or(Err(CallError::TimedOut { address }))
    }
}
