//! The control socket: a Unix socket in the data folder by which the operator of the cloud, on its machine, makes and
//! changes subscriptions. Whoever may write in the folder may use it, and no one else.
//!
//! It speaks HTTP with JSON:
//!
//! | call | meaning |
//! |---|---|
//! | `GET /subscriptions` | every [`Subscription`] |
//! | `POST /subscriptions` | [`Create`] |
//! | `GET /subscriptions/{id}` | one [`Subscription`] |
//! | `PUT /subscriptions/{id}` | [`Change`] |
//! | `DELETE /subscriptions/{id}` | 204 |
//! | `POST /subscriptions/{id}/certificates` | a certificate in PEM |
//! | `DELETE /subscriptions/{id}/certificates/{thumbprint}` | the [`Subscription`] without it |

pub mod client;

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::{Deserialize, Serialize};
use welkin_base::{SubscriptionId, Timestamp};
use welkin_management_wire::ApiError;
use welkin_transport::control::ControlSocket;
pub use welkin_transport::control::SOCKET_FILE;
use welkin_transport::{Body, empty, json, read_body, text};

use crate::config::Quotas;
use crate::failure::Failure;
use crate::management::Management;
use crate::operator;

/// A body must arrive within this time.
const BODY_TIME: Duration = Duration::from_secs(10);
/// A request or an answer about one subscription in bytes, at most: 25 certificates are the largest part.
const BODY_BYTES_MAX: usize = 1 << 20;

/// A subscription, as the operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// Its id.
    pub id: SubscriptionId,
    /// Its name.
    pub name: String,
    /// Whether it is disabled.
    pub disabled: bool,
    /// When it was created.
    pub created: Timestamp,
    /// How much it may use.
    pub quotas: Quotas,
    /// How much it uses.
    pub usage: Quotas,
    /// SHA-1 thumbprints of its management certificates.
    pub certificates: Vec<String>,
}

/// What is asked of a new subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    /// Its id; a fresh one when there is none.
    pub id: Option<SubscriptionId>,
    /// Its name.
    pub name: String,
    /// How much it may use.
    #[serde(default)]
    pub quotas: Quotas,
    /// Management certificates, each in PEM.
    #[serde(default)]
    pub certificates: Vec<String>,
}

/// What is to be changed; what is absent stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Its name.
    pub name: Option<String>,
    /// Whether it is disabled.
    pub disabled: Option<bool>,
    /// How much it may use.
    pub quotas: Option<Quotas>,
}

/// Answers at the socket for as long as it is polled.
pub async fn serve(socket: ControlSocket, management: Arc<Management>) {
    let handler = move |request| handle(Arc::clone(&management), request);
    socket.serve(handler, std::future::pending()).await;
}

async fn handle(management: Arc<Management>, request: Request<Incoming>) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    tracing::info!(%method, path, "control");
    let body = tokio::time::timeout(BODY_TIME, read_body(request.into_body(), BODY_BYTES_MAX)).await;
    let Ok(Ok(body)) = body else {
        return text(StatusCode::BAD_REQUEST, "the request did not arrive whole");
    };
    let own = Arc::clone(&management);
    // What was begun ends, whether or not the operator waits for it.
    let work = async move { answer(&own, &method, &path, &body).await };
    match management.jobs.finish(work).await {
        Some(Ok(response)) => response,
        Some(Err(failure)) => {
            let error = failure.told();
            text(error.code.status(), error.message)
        }
        None => text(StatusCode::INTERNAL_SERVER_ERROR, "the service failed; its log has the reason"),
    }
}

async fn answer(
    management: &Management,
    method: &Method,
    path: &str,
    body: &[u8],
) -> Result<Response<Body>, Failure> {
    let id = |text: &str| SubscriptionId::new(text).map_err(|error| ApiError::bad_request(error.to_string()));
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    Ok(match (method, segments.as_slice()) {
        (&Method::GET, ["subscriptions"]) => json(StatusCode::OK, &operator::list(management).await?),
        (&Method::POST, ["subscriptions"]) => {
            json(StatusCode::CREATED, &operator::create(management, parse(body)?).await?)
        }
        (&Method::GET, ["subscriptions", one]) => {
            json(StatusCode::OK, &operator::get(management, &id(one)?).await?)
        }
        (&Method::PUT, ["subscriptions", one]) => {
            json(StatusCode::OK, &operator::change(management, &id(one)?, parse(body)?).await?)
        }
        (&Method::DELETE, ["subscriptions", one]) => {
            operator::delete(management, &id(one)?).await?;
            empty(StatusCode::NO_CONTENT)
        }
        (&Method::POST, ["subscriptions", one, "certificates"]) => {
            let pem = String::from_utf8_lossy(body);
            json(StatusCode::OK, &operator::add_certificate(management, &id(one)?, &pem).await?)
        }
        (&Method::DELETE, ["subscriptions", one, "certificates", thumbprint]) => {
            let thumbprint = thumbprint.parse();
            let thumbprint = thumbprint.map_err(|error| {
                let error: welkin_pki::ThumbprintError = error;
                ApiError::bad_request(error.to_string())
            })?;
            json(StatusCode::OK, &operator::remove_certificate(management, &id(one)?, thumbprint).await?)
        }
        _ => text(StatusCode::NOT_FOUND, "there is no such call"),
    })
}

fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| ApiError::bad_request(error.to_string()))
}
