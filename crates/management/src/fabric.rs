//! The fabric controller (FC), as management speaks to it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;

use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use sha2::Digest as _;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;
use welkin_base::{DeploymentId, Digest, InstanceName, ServiceName, Sha1Thumbprint, SubscriptionId};
use welkin_fabric_wire::certificate::{KeptCertificate, ServiceCertificate};
use welkin_fabric_wire::{
    CoresUsed, DeploymentGoal, DeploymentObserved, FabricIdentity, NodeStatus, PACKAGE_BYTES_MAX,
    RebootEvent, Refusal, Slots, Taken, Warnings,
};
use welkin_management_wire::{ApiError, ErrorCode};
use welkin_pki::{Identity, PkiError, ServerAuth, client_config};
use welkin_transport::{CALL_TIMEOUT_MS, CallError, Client, read_body, read_json};

use crate::config::FabricConfig;
use crate::failure::Failure;
use crate::leader::{Replicas, Sent};

/// An answer of the FC in bytes, at most: what it says is bounded before it is read.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// The end of an instance's console in bytes, at most.
const LOG_BYTES_MAX: usize = 1 << 20;
/// Of a refusal this much is read.
const REFUSAL_BYTES_MAX: usize = 256 << 10;

/// Whose a service certificate is.
type Owner<'a> = (&'a SubscriptionId, &'a ServiceName);

fn certificates_of((subscription, service): Owner<'_>) -> String {
    format!("/v1/certificates/{subscription}/{service}")
}

/// A client of the FC, in however many replicas.
#[derive(Debug, Clone)]
pub struct Fabric {
    replicas: Replicas,
}

impl Fabric {
    /// A client with management's own certificate.
    pub fn new(config: &[FabricConfig], identity: &Identity) -> Result<Self, PkiError> {
        let client = |config: &FabricConfig| {
            let tls = client_config(Some(identity), ServerAuth::Pinned(config.thumbprint))?;
            Ok(Client::new(config.address, tls))
        };
        Ok(Self { replicas: Replicas::new(config.iter().map(client).collect::<Result<_, PkiError>>()?) })
    }

    /// Who the FC is to those who send it packages.
    pub async fn identity(&self) -> Result<FabricIdentity, Failure> {
        self.get("/v1/identity").await
    }

    /// Gives the FC a package, as it was sent.
    ///
    /// An FC that has the package already says so without reading the body, which breaks the connection under the
    /// sender. So it is asked with an empty body first: that has another digest, and is refused by one that has not.
    pub async fn put_package(&self, digest: Digest, file: &Path) -> Result<(), Failure> {
        let path = format!("/v1/packages/{digest}");
        match self.ask(Method::PUT, &path, Sent::Bytes(Bytes::new())).await {
            Err(Failure::Fabric(CallError::Refused { status: StatusCode::BAD_REQUEST, .. })) => {}
            other => return other,
        }
        self.ask(Method::PUT, &path, Sent::File(file)).await
    }

    /// Gives the FC the goal of a deployment. What it refuses is the customer's to put right.
    /// All deployments of the subscription have `cores_max` cores together. The warnings are answered.
    pub async fn put_goal(
        &self,
        id: &DeploymentId,
        goal: &DeploymentGoal,
        cores_max: u32,
        warnings: Warnings,
    ) -> Result<Vec<String>, Failure> {
        let malformed = |error: serde_json::Error| Failure::Fabric(CallError::Malformed(error.to_string()));
        let body = Sent::Bytes(serde_json::to_vec(goal).map_err(malformed)?.into());
        let path = format!("/v1/deployments/{id}?cores_max={cores_max}&warnings={}", warnings.as_str());
        let response = success(self.replicas.send(Method::PUT, &path, body).await?).await?;
        let taken = read_json(response.into_body(), ANSWER_BYTES_MAX).await;
        let taken: Taken = taken.map_err(|e| Failure::Fabric(CallError::Malformed(e.to_string())))?;
        Ok(taken.warnings)
    }

    /// A deployment as the FC sees it; `None` when it does not have it.
    pub async fn observed(&self, id: &DeploymentId) -> Result<Option<DeploymentObserved>, Failure> {
        match self.get(&format!("/v1/deployments/{id}")).await {
            Ok(observed) => Ok(Some(observed)),
            Err(Failure::Fabric(error)) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Has the FC remove a deployment. That it is gone already is no error.
    pub async fn delete(&self, id: &DeploymentId) -> Result<(), Failure> {
        match self.ask(Method::DELETE, &format!("/v1/deployments/{id}"), Sent::Bytes(Bytes::new())).await {
            Err(Failure::Fabric(error)) if error.is_not_found() => Ok(()),
            other => other,
        }
    }

    /// Has the FC put the deployments of a service into these slots.
    pub async fn put_slots(&self, service: &ServiceName, slots: &Slots) -> Result<(), Failure> {
        let malformed = |error: serde_json::Error| Failure::Fabric(CallError::Malformed(error.to_string()));
        let body = Sent::Bytes(serde_json::to_vec(slots).map_err(malformed)?.into());
        self.ask(Method::PUT, &format!("/v1/services/{service}/slots"), body).await
    }

    /// VMs of a deployment that were started again; `None` when the FC does not have it.
    pub async fn events(&self, id: &DeploymentId) -> Result<Option<Vec<RebootEvent>>, Failure> {
        match self.get(&format!("/v1/deployments/{id}/events")).await {
            Ok(events) => Ok(Some(events)),
            Err(Failure::Fabric(error)) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a package, as it was sent, into `file`.
    pub async fn get_package(&self, digest: Digest, file: &mut tokio::fs::File) -> Result<(), Failure> {
        let path = format!("/v1/packages/{digest}");
        let response = self.replicas.send(Method::GET, &path, Sent::Bytes(Bytes::new())).await?;
        let mut body = success(response).await?.into_body();
        let (mut hash, mut length_bytes) = (sha2::Sha256::new(), 0u64);
        let failed = |source| Failure::File { doing: "keep a package", source };
        let broken = |why: String| Failure::Fabric(CallError::Malformed(why));
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| broken(error.to_string()))?;
            let Ok(piece) = frame.into_data() else { continue };
            length_bytes += piece.len() as u64;
            if length_bytes > PACKAGE_BYTES_MAX {
                return Err(broken("the package is too long".to_owned()));
            }
            hash.update(&piece);
            file.write_all(&piece).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        if Digest::from_bytes(hash.finalize().into()) == digest {
            Ok(())
        } else {
            Err(broken("the package broke off".to_owned()))
        }
    }

    /// Gives the FC a service certificate to keep.
    pub async fn put_certificate(
        &self,
        owner: Owner<'_>,
        thumbprint: &Sha1Thumbprint,
        certificate: &ServiceCertificate,
    ) -> Result<(), Failure> {
        let malformed = |error: serde_json::Error| Failure::Fabric(CallError::Malformed(error.to_string()));
        let body = Sent::Bytes(serde_json::to_vec(certificate).map_err(malformed)?.into());
        self.ask(Method::PUT, &format!("{}/{thumbprint}", certificates_of(owner)), body).await
    }

    /// Has the FC forget a service certificate. That it has none is no error.
    pub async fn delete_certificate(
        &self,
        owner: Owner<'_>,
        thumbprint: &Sha1Thumbprint,
    ) -> Result<(), Failure> {
        self.ask(
            Method::DELETE,
            &format!("{}/{thumbprint}", certificates_of(owner)),
            Sent::Bytes(Bytes::new()),
        )
        .await
    }

    /// Has the FC forget every certificate of a hosted service.
    pub async fn delete_certificates(&self, owner: Owner<'_>) -> Result<(), Failure> {
        self.ask(Method::DELETE, &certificates_of(owner), Sent::Bytes(Bytes::new())).await
    }

    /// The service certificates that the FC keeps.
    pub async fn certificates(&self) -> Result<Vec<KeptCertificate>, Failure> {
        self.get("/v1/certificates").await
    }

    /// Cores that a subscription's deployments use.
    pub async fn cores_used(&self, id: &SubscriptionId) -> Result<u32, Failure> {
        let used: CoresUsed = self.get(&format!("/v1/subscriptions/{id}/cores")).await?;
        Ok(used.cores)
    }

    /// The cluster's nodes.
    pub async fn nodes(&self) -> Result<Vec<NodeStatus>, Failure> {
        self.get("/v1/nodes").await
    }

    /// Has the FC reboot, reimage or rebuild an instance.
    pub async fn act(&self, id: &DeploymentId, instance: &InstanceName, action: &str) -> Result<(), Failure> {
        let path = format!("/v1/deployments/{id}/instances/{instance}/{action}");
        self.ask(Method::POST, &path, Sent::Bytes(Bytes::new())).await
    }

    /// The end of an instance's console; `None` when there is no such instance.
    pub async fn log(&self, id: &DeploymentId, instance: &InstanceName) -> Result<Option<String>, Failure> {
        let path = format!("/v1/deployments/{id}/instances/{instance}/log");
        let response = self.replicas.send(Method::GET, &path, Sent::Bytes(Bytes::new())).await?;
        match success(response).await {
            Ok(response) => {
                let bytes = read_body(response.into_body(), LOG_BYTES_MAX).await;
                let bytes = bytes.map_err(|e| Failure::Fabric(CallError::Malformed(e.to_string())))?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
            Err(Failure::Fabric(error)) if error.is_not_found() => Ok(None),
            Err(other) => Err(other),
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let response = self.replicas.send(Method::GET, path, Sent::Bytes(Bytes::new())).await?;
        let read = read_json(success(response).await?.into_body(), ANSWER_BYTES_MAX);
        let late = || CallError::Malformed("the answer does not come to an end".to_owned());
        let read = timeout(Duration::from_millis(CALL_TIMEOUT_MS), Box::pin(read)).await;
        let read = read.map_err(|_| Failure::Fabric(late()))?;
        read.map_err(|error| Failure::Fabric(CallError::Malformed(error.to_string())))
    }

    async fn ask(&self, method: Method, path: &str, body: Sent<'_>) -> Result<(), Failure> {
        let response = self.replicas.send(method, path, body).await?;
        let response = success(response).await?;
        // Read to the end, so that the connection serves the next call.
        let _ = read_body(response.into_body(), REFUSAL_BYTES_MAX).await;
        Ok(())
    }
}

/// The response, if it says that what was asked is done.
async fn success(response: Response<Incoming>) -> Result<Response<Incoming>, Failure> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let body = read_body(response.into_body(), REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let message = String::from_utf8_lossy(&body).into_owned();
    Err(match (status, serde_json::from_str::<Refusal>(&message)) {
        (StatusCode::UNPROCESSABLE_ENTITY, Ok(refusal)) => {
            ApiError::bad_request(refusal.messages.join("\n")).into()
        }
        (StatusCode::NOT_IMPLEMENTED, _) => ApiError::new(ErrorCode::NotImplemented, message).into(),
        (StatusCode::CONFLICT, _) => ApiError::conflict(message).into(),
        // The node that would know does not answer the FC.
        (StatusCode::BAD_GATEWAY, _) => ApiError::new(ErrorCode::ServerBusy, message).into(),
        _ => Failure::Fabric(CallError::Refused { status, message }),
    })
}
