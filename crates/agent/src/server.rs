//! The agent's only door: what the fabric controller says and reads, over mutual TLS.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::Mutex;
use welkin_agent_wire::limits::{CERTIFICATE_BYTES_MAX, NODE_GOAL_BYTES_MAX};
use welkin_agent_wire::{NodeCapacity, NodeGoal, SealedCertificate};
use welkin_base::{DeploymentId, Digest, InstanceId, InstanceName, NodeName};
use welkin_node::{NodeNetwork, check};
use welkin_pki::UnsealingKey;
use welkin_transport::{Body, BodyError, empty, full, json, read_json, text};

use crate::certificate;
use crate::console;
use crate::folder::Folder;
use crate::goal;
use crate::image::{ImageError, Images};
use crate::shared::Shared;

/// What the handlers need.
#[derive(Debug)]
pub struct Server {
    pub node: NodeName,
    pub network: NodeNetwork,
    pub capacity: NodeCapacity,
    pub folder: Folder,
    pub images: Images,
    pub shared: Arc<Shared>,
    /// Private keys are sealed to it. It is made anew at each start and never leaves memory.
    pub transport: UnsealingKey,
    /// One goal at a time is compared with the held one and kept.
    pub goals: Mutex<()>,
}

impl Server {
    /// Answers one request.
    pub async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (request.method(), parts.as_slice()) {
            (&Method::GET, ["v1", "observed"]) => json(StatusCode::OK, &self.shared.observed().node),
            (&Method::PUT, ["v1", "goal"]) => self.put_goal(request).await,
            (&Method::HEAD, ["v1", "images", digest]) => self.head_image(digest),
            (&Method::PUT, ["v1", "images", digest]) => self.put_image(digest, request).await,
            (&Method::PUT, ["v1", "instances", deployment, instance, "certificates", thumbprint]) => {
                self.put_certificate((deployment, instance, thumbprint), request).await
            }
            (&Method::GET, ["v1", "instances", deployment, instance, "log"]) => {
                self.log(deployment, instance)
            }
            _ => text(StatusCode::NOT_FOUND, format!("there is no {} {path}", request.method())),
        }
    }

    async fn put_goal(&self, request: Request<Incoming>) -> Response<Body> {
        let wanted: NodeGoal = match read_json(request.into_body(), NODE_GOAL_BYTES_MAX).await {
            Ok(goal) => goal,
            Err(error @ BodyError::TooLarge { .. }) => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string());
            }
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        if let Err(error) = check(&wanted, &self.node, &self.network, &self.capacity) {
            return text(StatusCode::BAD_REQUEST, error.to_string());
        }
        let _one = self.goals.lock().await;
        if let Some(held) = self.shared.goal() {
            if held.generation > wanted.generation {
                let message = format!("the node holds generation {}", held.generation);
                return text(StatusCode::CONFLICT, message);
            }
            if held.generation == wanted.generation && *held != wanted {
                let message = format!("the node holds another goal of generation {}", held.generation);
                return text(StatusCode::CONFLICT, message);
            }
            if *held == wanted {
                return empty(StatusCode::OK);
            }
        }
        if let Err(error) = goal::save(&self.folder, &wanted) {
            tracing::error!(%error, "the goal cannot be kept");
            return text(StatusCode::INSUFFICIENT_STORAGE, format!("the goal cannot be kept: {error}"));
        }
        let instances = wanted.instances.len();
        tracing::info!(generation = wanted.generation.0, instances, "took a goal");
        self.shared.set_goal(wanted);
        empty(StatusCode::OK)
    }

    fn head_image(&self, digest: &str) -> Response<Body> {
        match digest.parse::<Digest>() {
            Ok(digest) if self.images.path(&digest).exists() => empty(StatusCode::OK),
            Ok(_) => empty(StatusCode::NOT_FOUND),
            Err(_) => empty(StatusCode::BAD_REQUEST),
        }
    }

    async fn put_image(&self, digest: &str, request: Request<Incoming>) -> Response<Body> {
        let digest = match digest.parse::<Digest>() {
            Ok(digest) => digest,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        match self.images.receive(digest, request.into_body()).await {
            Ok(()) => {
                tracing::info!(%digest, "took an image");
                self.shared.wake.notify_one();
                empty(StatusCode::OK)
            }
            Err(error) => {
                tracing::warn!(%digest, %error, "refused an image");
                let status = match error {
                    ImageError::Disk(_) => StatusCode::INSUFFICIENT_STORAGE,
                    ImageError::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
                    ImageError::Digest { .. } | ImageError::Broken(_) => StatusCode::BAD_REQUEST,
                };
                text(status, error.to_string())
            }
        }
    }

    async fn put_certificate(
        &self,
        (deployment, instance, thumbprint): (&str, &str, &str),
        request: Request<Incoming>,
    ) -> Response<Body> {
        let (Some(id), Ok(thumbprint)) = (instance_id(deployment, instance), thumbprint.parse()) else {
            return text(StatusCode::BAD_REQUEST, "not a certificate of an instance");
        };
        let sealed: SealedCertificate = match read_json(request.into_body(), CERTIFICATE_BYTES_MAX).await {
            Ok(sealed) => sealed,
            Err(error @ BodyError::TooLarge { .. }) => {
                return text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string());
            }
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        if !self.shared.goal().is_some_and(|goal| certificate::is_wanted(&goal, &id, &thumbprint)) {
            return text(StatusCode::NOT_FOUND, format!("the goal of {id} does not name the certificate"));
        }
        let line = match certificate::line(&self.transport, &id, &thumbprint, sealed) {
            Ok(line) => line,
            Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
        };
        let guest = self.shared.observed().guests.get(&id).cloned();
        if guest.is_some_and(|guest| guest.try_send(line).is_ok()) {
            tracing::info!(instance = %id, %thumbprint, "passed a certificate on");
            return empty(StatusCode::OK);
        }
        text(StatusCode::CONFLICT, format!("the guest of {id} cannot be told now"))
    }

    fn log(&self, deployment: &str, instance: &str) -> Response<Body> {
        let Some(id) = instance_id(deployment, instance) else {
            return text(StatusCode::BAD_REQUEST, "not an instance");
        };
        let Some(slot) = self.shared.observed().slots.get(&id).copied() else {
            return text(StatusCode::NOT_FOUND, format!("this node has no instance {id}"));
        };
        let bytes = console::shown(&self.folder.vm(slot)).unwrap_or_default();
        let mut response = Response::new(full(String::from_utf8_lossy(&bytes).into_owned()));
        let kind = http::HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
        response
    }
}

fn instance_id(deployment: &str, instance: &str) -> Option<InstanceId> {
    Some(InstanceId::new(DeploymentId::new(deployment).ok()?, InstanceName::new(instance).ok()?))
}
