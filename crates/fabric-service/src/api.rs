//! What management and the operator may ask: each call of `fabric-wire`, in one place.

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use tokio::fs::File;
use tokio_util::io::ReaderStream;
use welkin_base::{
    DeploymentId, Digest, InstanceName, NodeName, ServiceName, Sha1Thumbprint, SubscriptionId,
};
use welkin_fabric::{Begin, cores_used, deployment_observed};
use welkin_fabric_wire::certificate::CERTIFICATE_BYTES_MAX;
use welkin_fabric_wire::{CoresUsed, DEPLOYMENT_GOAL_BYTES_MAX, FabricIdentity, PACKAGE_BYTES_MAX, Warnings};
use welkin_transport::{Body, BodyError, CallError, empty, json, read_json, stream, text};

use crate::certificate::CertificateError;
use crate::content::Kind;
use crate::controller::Controller;
use crate::deployment::{self, Answer, Terms};
use crate::error::ContentError;
use crate::front::Caller;
use crate::inventory::{self, Order};

/// What `Slots` takes at most: two ids.
const SLOTS_BYTES_MAX: usize = 1 << 10;
/// What is read of a package at once.
const PIECE_BYTES: usize = 64 << 10;

/// A call, parsed.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Identity,
    PutPackage(Digest),
    PutDeployment(DeploymentId),
    GetDeployment(DeploymentId),
    DeleteDeployment(DeploymentId),
    PutCertificate(CertificateKey),
    DeleteCertificate(CertificateKey),
    DeleteCertificates(SubscriptionId, ServiceName),
    Certificates,
    Cores(SubscriptionId),
    Nodes,
    Healing,
    Node(NodeName, Order),
    Log(DeploymentId, InstanceName),
    Restart(DeploymentId, InstanceName, Begin),
    Events(DeploymentId),
    PutSlots(ServiceName),
    GetPackage(Digest),
}

impl Call {
    /// Whether it is for who calls: what customers have is management's, what becomes of nodes the operator's.
    fn may(&self, caller: Caller) -> bool {
        match self {
            Self::Identity | Self::Nodes | Self::Healing => caller != Caller::Replica,
            Self::Node(..) => caller == Caller::Operator,
            _ => caller == Caller::Client,
        }
    }
}

/// Subscription, hosted service and thumbprint.
type CertificateKey = (SubscriptionId, ServiceName, Sha1Thumbprint);

/// Answers a call.
pub(crate) async fn answer(
    controller: Arc<Controller>,
    caller: Caller,
    request: Request<Incoming>,
) -> Response<Body> {
    let Some(call) = parse(request.method(), request.uri().path()) else {
        return text(StatusCode::NOT_FOUND, "there is no such call");
    };
    if !call.may(caller) {
        return text(StatusCode::FORBIDDEN, "the certificate does not permit this call");
    }
    match call {
        Call::Identity => identity(&controller),
        Call::PutPackage(digest) => put_package(&controller, &digest, request.into_body()).await,
        Call::PutDeployment(id) => {
            let Some(terms) = terms(request.uri().query().unwrap_or("")) else {
                return text(
                    StatusCode::BAD_REQUEST,
                    "the query must be cores_max=N or warnings=told|refused",
                );
            };
            put_deployment(&controller, &id, terms, request.into_body()).await
        }
        Call::GetDeployment(id) => get_deployment(&controller, &id).await,
        Call::DeleteDeployment(id) => reply(deployment::delete(&controller, &id).await),
        Call::PutCertificate(key) => put_certificate(&controller, key, request.into_body()).await,
        Call::DeleteCertificate((subscription, service, thumbprint)) => {
            let owner = (&subscription, &service);
            certificate_reply(
                controller.certificates.delete(owner, &thumbprint).await.map(|()| empty(StatusCode::OK)),
            )
        }
        Call::DeleteCertificates(subscription, service) => {
            let deleted = controller.certificates.delete_all((&subscription, &service)).await;
            certificate_reply(deleted.map(|()| empty(StatusCode::OK)))
        }
        Call::Certificates => {
            certificate_reply(controller.certificates.list(controller.now()).await.map(|kept| found(&kept)))
        }
        Call::Cores(subscription) => {
            let cores = cores_used(&controller.state().await.cluster, &subscription);
            found(&CoresUsed { cores })
        }
        Call::Nodes => inventory::list(&controller).await,
        Call::Healing => inventory::healing(&controller).await,
        Call::Node(name, order) => {
            let forced = request.uri().query() == Some("force=true");
            inventory::change(&controller, &name, order, forced).await
        }
        Call::Log(id, name) => log(&controller, &id, &name).await,
        Call::Restart(id, name, begin) => reply(deployment::restart(&controller, &id, &name, begin).await),
        Call::Events(id) => events(&controller, &id).await,
        Call::PutSlots(service) => put_slots(&controller, &service, request.into_body()).await,
        Call::GetPackage(digest) => get_package(&controller, &digest).await,
    }
}

fn parse(method: &Method, path: &str) -> Option<Call> {
    let segments: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    let instance = |id: &str, name: &str| Some((DeploymentId::new(id).ok()?, InstanceName::new(name).ok()?));
    Some(match (method.as_str(), segments.as_slice()) {
        ("GET", ["identity"]) => Call::Identity,
        ("GET", ["nodes"]) => Call::Nodes,
        ("GET", ["healing"]) => Call::Healing,
        ("POST", ["nodes", name, order]) => Call::Node(NodeName::new(name).ok()?, Order::of(order)?),
        ("GET", ["subscriptions", id, "cores"]) => Call::Cores(SubscriptionId::new(id).ok()?),
        ("GET", ["certificates"]) => Call::Certificates,
        (method, ["certificates", subscription, service, rest @ ..]) => {
            let (subscription, service) =
                (SubscriptionId::new(subscription).ok()?, ServiceName::new(service).ok()?);
            match (method, rest) {
                ("PUT", [sha1]) => Call::PutCertificate((subscription, service, sha1.parse().ok()?)),
                ("DELETE", [sha1]) => Call::DeleteCertificate((subscription, service, sha1.parse().ok()?)),
                ("DELETE", []) => Call::DeleteCertificates(subscription, service),
                _ => return None,
            }
        }
        ("PUT", ["packages", digest]) => Call::PutPackage(digest.parse().ok()?),
        ("GET", ["packages", digest]) => Call::GetPackage(digest.parse().ok()?),
        ("PUT", ["services", service, "slots"]) => Call::PutSlots(ServiceName::new(service).ok()?),
        ("GET", ["deployments", id, "events"]) => Call::Events(DeploymentId::new(id).ok()?),
        ("PUT", ["deployments", id]) => Call::PutDeployment(DeploymentId::new(id).ok()?),
        ("GET", ["deployments", id]) => Call::GetDeployment(DeploymentId::new(id).ok()?),
        ("DELETE", ["deployments", id]) => Call::DeleteDeployment(DeploymentId::new(id).ok()?),
        (method, ["deployments", id, "instances", name, what]) => {
            let (id, name) = instance(id, name)?;
            match (method, *what) {
                ("GET", "log") => Call::Log(id, name),
                ("POST", "reboot") => Call::Restart(id, name, Begin::Reboot),
                ("POST", "reimage") => Call::Restart(id, name, Begin::Reimage),
                ("POST", "rebuild") => Call::Restart(id, name, Begin::Rebuild),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn identity(controller: &Controller) -> Response<Body> {
    let identity = FabricIdentity {
        package_recipient: controller.key.recipient(),
        certificate_recipient: controller.certificates.recipient(),
    };
    json(StatusCode::OK, &identity)
}

async fn put_certificate(
    controller: &Controller,
    (subscription, service, thumbprint): CertificateKey,
    body: Incoming,
) -> Response<Body> {
    let certificate = match read_json(body, CERTIFICATE_BYTES_MAX).await {
        Ok(certificate) => certificate,
        Err(error @ BodyError::TooLarge { .. }) => {
            return text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string());
        }
        Err(error) => return text(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let owner = (&subscription, &service);
    let put = controller.certificates.put(owner, thumbprint, certificate, controller.now()).await;
    certificate_reply(put.map(|()| empty(StatusCode::OK)))
}

fn certificate_reply(done: Result<Response<Body>, CertificateError>) -> Response<Body> {
    match done {
        Ok(response) => response,
        Err(error @ (CertificateError::Wrong(_) | CertificateError::Sealed(_))) => {
            text(StatusCode::BAD_REQUEST, error.to_string())
        }
        Err(error @ CertificateError::Conflict) => text(StatusCode::CONFLICT, error.to_string()),
        Err(CertificateError::Store(error)) => reply(deployment::unable(&error)),
        Err(error @ CertificateError::Row(_)) => {
            tracing::error!(%error, "certificates cannot be read or kept");
            reply(Answer::Failed)
        }
    }
}

async fn put_package(controller: &Controller, digest: &Digest, body: Incoming) -> Response<Body> {
    if controller.packages.has(digest).await {
        return spread(controller, digest).await;
    }
    match controller.packages.receive(body, digest, PACKAGE_BYTES_MAX).await {
        Ok(()) => spread(controller, digest).await,
        Err(error @ (ContentError::OtherDigest { .. } | ContentError::Broken(_))) => {
            text(StatusCode::BAD_REQUEST, error.to_string())
        }
        Err(error @ ContentError::TooLarge { .. }) => text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        Err(error @ ContentError::File(_)) => {
            tracing::error!(%error, "a package cannot be kept");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the package cannot be kept; see the controller's log")
        }
    }
}

/// Taken is what outlives this controller.
async fn spread(controller: &Controller, digest: &Digest) -> Response<Body> {
    let file = controller.packages.file(digest);
    match controller.peers.spread(Kind::Packages, digest, &file).await {
        Ok(()) => empty(StatusCode::OK),
        Err(error) => reply(Answer::NotNow(format!("the package is not safe yet: {error}"))),
    }
}

/// What the query says beside the goal.
fn terms(query: &str) -> Option<Terms> {
    let mut terms = Terms::default();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=')? {
            ("cores_max", max) => terms.cores_max = Some(max.parse().ok()?),
            ("warnings", warnings) => terms.warnings = Warnings::parse(warnings)?,
            _ => return None,
        }
    }
    Some(terms)
}

async fn put_deployment(
    controller: &Controller,
    id: &DeploymentId,
    terms: Terms,
    body: Incoming,
) -> Response<Body> {
    match read_json(body, DEPLOYMENT_GOAL_BYTES_MAX).await {
        Ok(goal) => reply(deployment::put(controller, id, goal, terms).await),
        Err(error @ BodyError::TooLarge { .. }) => text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn put_slots(controller: &Controller, service: &ServiceName, body: Incoming) -> Response<Body> {
    match read_json(body, SLOTS_BYTES_MAX).await {
        Ok(slots) => reply(deployment::swap(controller, service, &slots).await),
        Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn events(controller: &Controller, id: &DeploymentId) -> Response<Body> {
    let state = controller.state().await;
    match state.cluster.deployments.get(id) {
        Some(deployment) => found(&deployment.events),
        None => not_found(),
    }
}

/// A package as it was sent: encrypted, so that it says nothing to whoever gets it.
async fn get_package(controller: &Controller, digest: &Digest) -> Response<Body> {
    match File::open(controller.packages.file(digest)).await {
        Ok(file) => {
            let mut response = Response::new(stream(ReaderStream::with_capacity(file, PIECE_BYTES)));
            let kind = HeaderValue::from_static("application/octet-stream");
            response.headers_mut().insert(CONTENT_TYPE, kind);
            response
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => not_found(),
        Err(error) => {
            tracing::error!(%error, "a package cannot be read");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the package cannot be read; see the controller's log")
        }
    }
}

async fn get_deployment(controller: &Controller, id: &DeploymentId) -> Response<Body> {
    let state = controller.state().await;
    match state.cluster.deployments.get(id) {
        Some(deployment) => found(&deployment_observed(&state.cluster, deployment, controller.now())),
        None => not_found(),
    }
}

/// The console is read from the node while nothing is held here.
async fn log(controller: &Controller, id: &DeploymentId, name: &InstanceName) -> Response<Body> {
    let place = {
        let state = controller.state().await;
        let deployment = state.cluster.deployments.get(id);
        deployment.and_then(|deployment| {
            Some((deployment.instance(name)?.node.clone(), deployment.instance_id(name.clone())))
        })
    };
    let Some((node, id)) = place else { return not_found() };
    let Some(agent) = controller.agents.get(&node) else {
        return text(StatusCode::BAD_GATEWAY, format!("the instance's node {node} is no longer configured"));
    };
    match agent.log(&id).await {
        Ok(log) => text(StatusCode::OK, log),
        Err(CallError::Refused { status: StatusCode::NOT_FOUND, .. }) => {
            text(StatusCode::NOT_FOUND, format!("node {node} has no log of {} yet", id.name()))
        }
        Err(error) => text(StatusCode::BAD_GATEWAY, format!("node {node} does not give the log: {error}")),
    }
}

/// An answer, as it is told.
pub(crate) fn reply(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Goal(taken) => found(&taken),
        Answer::Done => empty(StatusCode::OK),
        Answer::Accepted => empty(StatusCode::ACCEPTED),
        Answer::NotFound => not_found(),
        Answer::Conflict(why) => text(StatusCode::CONFLICT, why),
        Answer::Refused(refusal) => json(StatusCode::UNPROCESSABLE_ENTITY, &refusal),
        Answer::Deposed => {
            text(StatusCode::MISDIRECTED_REQUEST, "another fabric controller leads since; ask again")
        }
        Answer::NotNow(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        Answer::Failed => {
            text(StatusCode::INTERNAL_SERVER_ERROR, "the fabric controller failed; its log says why")
        }
    }
}

fn found<T: Serialize>(value: &T) -> Response<Body> {
    json(StatusCode::OK, value)
}

fn not_found() -> Response<Body> {
    text(StatusCode::NOT_FOUND, "there is no such deployment or instance")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, path: &str, expected: impl Into<Option<Call>>) {
        assert_eq!(parse(&method.parse().unwrap(), path), expected.into(), "{method} {path}");
    }

    #[test]
    fn queries() {
        let both = Terms { cores_max: Some(8), warnings: Warnings::Refused };
        for (query, expected) in [
            ("", Some(Terms::default())),
            ("cores_max=8", Some(Terms { cores_max: Some(8), ..Terms::default() })),
            ("cores_max=8&warnings=refused", Some(both)),
            ("warnings=told", Some(Terms::default())),
            ("warnings=maybe", None),
            ("cores_max=-1", None),
            ("cores=1", None),
        ] {
            assert_eq!(terms(query), expected, "{query}");
        }
    }

    #[test]
    fn calls() {
        let id = || DeploymentId::new("00000000000000000000000000000001").unwrap();
        let name = || InstanceName::new("Web_IN_0").unwrap();
        let deployment = format!("/v1/deployments/{}", id());
        check("GET", "/v1/identity", Call::Identity);
        check("GET", "/v1/nodes", Call::Nodes);
        check("GET", "/v1/healing", Call::Healing);
        check("PUT", &deployment, Call::PutDeployment(id()));
        check("GET", &deployment, Call::GetDeployment(id()));
        check("DELETE", &deployment, Call::DeleteDeployment(id()));
        check("GET", &format!("{deployment}/instances/Web_IN_0/log"), Call::Log(id(), name()));
        for (what, begin) in
            [("reboot", Begin::Reboot), ("reimage", Begin::Reimage), ("rebuild", Begin::Rebuild)]
        {
            let path = format!("{deployment}/instances/Web_IN_0/{what}");
            check("POST", &path, Call::Restart(id(), name(), begin));
        }
        check("GET", &format!("{deployment}/events"), Call::Events(id()));
        let service = ServiceName::new("shop").unwrap();
        check("PUT", "/v1/services/shop/slots", Call::PutSlots(service));
        let subscription = "11111111-1111-1111-1111-111111111111";
        let sha1 = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709";
        let key = || {
            let service = ServiceName::new("guestbook").unwrap();
            (SubscriptionId::new(subscription).unwrap(), service, sha1.parse().unwrap())
        };
        let certificates = format!("/v1/certificates/{subscription}/guestbook");
        check("PUT", &format!("{certificates}/{sha1}"), Call::PutCertificate(key()));
        check("DELETE", &format!("{certificates}/{sha1}"), Call::DeleteCertificate(key()));
        check("DELETE", &certificates, Call::DeleteCertificates(key().0, key().1));
        check("GET", "/v1/certificates", Call::Certificates);
        check("GET", &format!("/v1/subscriptions/{subscription}/cores"), Call::Cores(key().0));
        check("GET", &format!("{certificates}/{sha1}"), None);
        check("PUT", &certificates, None);
        check("PUT", &format!("{certificates}/../{sha1}"), None);
        check("PUT", "/v1/packages/../../etc/passwd", None);
        check("PUT", "/v1/packages/xyz", None);
        check("POST", "/v1/nodes", None);
        let node = || NodeName::new("node3").unwrap();
        for (what, order) in [("drain", Order::Drain), ("undrain", Order::Undrain), ("retire", Order::Retire)]
        {
            check("POST", &format!("/v1/nodes/node3/{what}"), Call::Node(node(), order));
            check("GET", &format!("/v1/nodes/node3/{what}"), None);
        }
        check("POST", "/v1/nodes/node3/explode", None);
        check("GET", "/v2/nodes", None);
        check("GET", "/v1/deployments/1", None);
    }
}
