//! What management may ask: each call of `fabric-wire`, in one place.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde::Serialize;
use welkin_base::{DeploymentId, Digest, InstanceName};
use welkin_fabric::{deployment_observed, node_status};
use welkin_fabric_wire::{DEPLOYMENT_GOAL_BYTES_MAX, FabricIdentity, PACKAGE_BYTES_MAX};
use welkin_transport::{Body, BodyError, CallError, empty, json, read_json, text};

use crate::controller::Controller;
use crate::deployment::{self, Answer};
use crate::error::ContentError;

/// A call, parsed.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Identity,
    PutPackage(Digest),
    PutDeployment(DeploymentId),
    GetDeployment(DeploymentId),
    DeleteDeployment(DeploymentId),
    Nodes,
    Log(DeploymentId, InstanceName),
    Reboot(DeploymentId, InstanceName),
    Reimage(DeploymentId, InstanceName),
}

/// Answers a call.
pub(crate) async fn answer(controller: Arc<Controller>, request: Request<Incoming>) -> Response<Body> {
    let Some(call) = parse(request.method(), request.uri().path()) else {
        return text(StatusCode::NOT_FOUND, "there is no such call");
    };
    match call {
        Call::Identity => identity(&controller),
        Call::PutPackage(digest) => put_package(&controller, &digest, request.into_body()).await,
        Call::PutDeployment(id) => put_deployment(&controller, &id, request.into_body()).await,
        Call::GetDeployment(id) => get_deployment(&controller, &id).await,
        Call::DeleteDeployment(id) => reply(deployment::delete(&controller, &id).await),
        Call::Nodes => nodes(&controller).await,
        Call::Log(id, name) => log(&controller, &id, &name).await,
        Call::Reboot(..) => text(StatusCode::NOT_IMPLEMENTED, "reboot is not built yet; reimage is"),
        Call::Reimage(id, name) => reply(deployment::reimage(&controller, &id, &name).await),
    }
}

fn parse(method: &Method, path: &str) -> Option<Call> {
    let segments: Vec<&str> = path.strip_prefix("/v1/")?.split('/').collect();
    let instance = |id: &str, name: &str| Some((DeploymentId::new(id).ok()?, InstanceName::new(name).ok()?));
    Some(match (method.as_str(), segments.as_slice()) {
        ("GET", ["identity"]) => Call::Identity,
        ("GET", ["nodes"]) => Call::Nodes,
        ("PUT", ["packages", digest]) => Call::PutPackage(digest.parse().ok()?),
        ("PUT", ["deployments", id]) => Call::PutDeployment(DeploymentId::new(id).ok()?),
        ("GET", ["deployments", id]) => Call::GetDeployment(DeploymentId::new(id).ok()?),
        ("DELETE", ["deployments", id]) => Call::DeleteDeployment(DeploymentId::new(id).ok()?),
        (method, ["deployments", id, "instances", name, what]) => {
            let (id, name) = instance(id, name)?;
            match (method, *what) {
                ("GET", "log") => Call::Log(id, name),
                ("POST", "reboot") => Call::Reboot(id, name),
                ("POST", "reimage") => Call::Reimage(id, name),
                _ => return None,
            }
        }
        _ => return None,
    })
}

fn identity(controller: &Controller) -> Response<Body> {
    json(StatusCode::OK, &FabricIdentity { package_recipient: controller.key.recipient() })
}

async fn put_package(controller: &Controller, digest: &Digest, body: Incoming) -> Response<Body> {
    if controller.packages.has(digest).await {
        return empty(StatusCode::OK);
    }
    match controller.packages.receive(body, digest, PACKAGE_BYTES_MAX).await {
        Ok(()) => empty(StatusCode::OK),
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

async fn put_deployment(controller: &Controller, id: &DeploymentId, body: Incoming) -> Response<Body> {
    match read_json(body, DEPLOYMENT_GOAL_BYTES_MAX).await {
        Ok(goal) => reply(deployment::put(controller, id, goal).await),
        Err(error @ BodyError::TooLarge { .. }) => text(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
        Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

async fn get_deployment(controller: &Controller, id: &DeploymentId) -> Response<Body> {
    let state = controller.state().await;
    match state.cluster.deployments.get(id) {
        Some(deployment) => found(&deployment_observed(&state.cluster, deployment, controller.now())),
        None => not_found(),
    }
}

async fn nodes(controller: &Controller) -> Response<Body> {
    let state = controller.state().await;
    let nodes = state.cluster.nodes.values().map(|node| node_status(&state.cluster, node, controller.now()));
    found(&nodes.collect::<Vec<_>>())
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

fn reply(answer: Answer) -> Response<Body> {
    match answer {
        Answer::Taken => empty(StatusCode::OK),
        Answer::Accepted => empty(StatusCode::ACCEPTED),
        Answer::NotFound => not_found(),
        Answer::Conflict(why) => text(StatusCode::CONFLICT, why),
        Answer::Refused(refusal) => json(StatusCode::UNPROCESSABLE_ENTITY, &refusal),
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
    fn calls() {
        let id = || DeploymentId::new("00000000000000000000000000000001").unwrap();
        let name = || InstanceName::new("Web_IN_0").unwrap();
        let deployment = format!("/v1/deployments/{}", id());
        check("GET", "/v1/identity", Call::Identity);
        check("GET", "/v1/nodes", Call::Nodes);
        check("PUT", &deployment, Call::PutDeployment(id()));
        check("GET", &deployment, Call::GetDeployment(id()));
        check("DELETE", &deployment, Call::DeleteDeployment(id()));
        check("GET", &format!("{deployment}/instances/Web_IN_0/log"), Call::Log(id(), name()));
        check("POST", &format!("{deployment}/instances/Web_IN_0/reboot"), Call::Reboot(id(), name()));
        check("POST", &format!("{deployment}/instances/Web_IN_0/reimage"), Call::Reimage(id(), name()));
        check("PUT", "/v1/packages/../../etc/passwd", None);
        check("PUT", "/v1/packages/xyz", None);
        check("POST", "/v1/nodes", None);
        check("GET", "/v2/nodes", None);
        check("GET", "/v1/deployments/1", None);
    }
}
