//! A fabric controller for tests: it speaks `fabric-wire` over mutual TLS, and its instances exist in words only.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use sha2::Digest as _;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use welkin_base::{DeploymentId, Digest, Generation, InstanceName, NodeName, RoleName};
use welkin_fabric_wire::{
    DeploymentGoal, DeploymentObserved, FabricIdentity, GoalStatus, InputEndpoint, InstanceState,
    InstanceStatus, NodeStatus, Refusal, RefusalReason, RoleObserved,
};
use welkin_pki::{ClientAuth, Identity, Thumbprint, server_config};
use welkin_transport::{Body, empty, json, read_body, serve, text};

/// Looks at a deployment before it is as wanted, or gone.
const LOOKS: u32 = 2;

/// The fabric controller.
pub struct TestFabric {
    /// Where it is.
    pub address: SocketAddr,
    /// Its certificate.
    pub thumbprint: Thumbprint,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    packages: BTreeMap<Digest, Bytes>,
    deployments: BTreeMap<DeploymentId, Deployment>,
    /// Answers 503 to everything.
    silent: bool,
    reboots: Vec<String>,
}

struct Deployment {
    goal: DeploymentGoal,
    deleting: bool,
    looks: u32,
}

impl TestFabric {
    /// Serves whoever has the certificate `client`.
    pub fn start(runtime: &Handle, client: Thumbprint) -> Self {
        let identity = Identity::self_signed("fabric").unwrap();
        let tls = server_config(&identity, ClientAuth::Pinned(vec![client])).unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let shared = Arc::clone(&state);
        let handler = move |_, request| handle(Arc::clone(&shared), request);
        runtime.spawn(async move { serve(listener, tls, handler, std::future::pending()).await });
        Self { address, thumbprint: identity.thumbprint(), state }
    }

    /// From now on it answers that it cannot, or answers again.
    pub fn set_silent(&self, silent: bool) {
        self.state.lock().unwrap().silent = silent;
    }

    /// Bytes of the packages that it has.
    pub fn packages(&self) -> Vec<Bytes> {
        self.state.lock().unwrap().packages.values().cloned().collect()
    }

    /// Goals that it has.
    pub fn goals(&self) -> Vec<DeploymentGoal> {
        self.state.lock().unwrap().deployments.values().map(|deployment| deployment.goal.clone()).collect()
    }

    /// What was rebooted and reimaged.
    pub fn reboots(&self) -> Vec<String> {
        self.state.lock().unwrap().reboots.clone()
    }
}

async fn handle(state: Arc<Mutex<State>>, request: Request<Incoming>) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = read_body(request.into_body(), 64 << 20).await.unwrap();
    let mut state = state.lock().unwrap();
    if state.silent {
        return text(StatusCode::SERVICE_UNAVAILABLE, "silent");
    }
    let parts: Vec<&str> = path.trim_matches('/').split('/').skip(1).collect();
    let id = |text: &str| DeploymentId::new(text).unwrap();
    match (&method, parts.as_slice()) {
        (&Method::GET, ["identity"]) => {
            json(StatusCode::OK, &FabricIdentity { package_recipient: "age1test".to_owned() })
        }
        (&Method::GET, ["nodes"]) => json(StatusCode::OK, &[node()]),
        (&Method::PUT, ["packages", digest]) => {
            let digest: Digest = digest.parse().unwrap();
            if state.packages.contains_key(&digest) {
                return empty(StatusCode::OK);
            }
            if digest != Digest::from_bytes(sha2::Sha256::digest(&body).into()) {
                return text(StatusCode::BAD_REQUEST, "wrong digest");
            }
            state.packages.insert(digest, body);
            empty(StatusCode::OK)
        }
        (&Method::PUT, ["deployments", name]) => put(&mut state, id(name), &body),
        (&Method::GET, ["deployments", name]) => look(&mut state, &id(name)),
        (&Method::DELETE, ["deployments", name]) => match state.deployments.get_mut(&id(name)) {
            Some(deployment) => {
                deployment.looks = if deployment.deleting { deployment.looks } else { 0 };
                deployment.deleting = true;
                empty(StatusCode::ACCEPTED)
            }
            None => empty(StatusCode::NOT_FOUND),
        },
        (&Method::GET, ["deployments", name, "instances", instance, "log"]) => {
            match state.deployments.contains_key(&id(name)) && *instance == "Web_IN_0" {
                true => text(StatusCode::OK, "hello from the console\n"),
                false => empty(StatusCode::NOT_FOUND),
            }
        }
        (&Method::POST, ["deployments", _, "instances", instance, action]) => {
            state.reboots.push(format!("{action} {instance}"));
            empty(StatusCode::ACCEPTED)
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

fn put(state: &mut State, id: DeploymentId, body: &[u8]) -> Response<Body> {
    let goal: DeploymentGoal = serde_json::from_slice(body).unwrap();
    let refuse = |reason, message: &str| {
        let refusal = Refusal { reason, messages: vec![message.to_owned(), "and more".to_owned()] };
        json(StatusCode::UNPROCESSABLE_ENTITY, &refusal)
    };
    if !state.packages.contains_key(&goal.package) {
        return refuse(RefusalReason::Package, "the package is not here");
    }
    if goal.configuration.contains("Unknown") {
        return refuse(RefusalReason::Configuration, "line 1: the role Unknown is not in the definition");
    }
    if state.deployments.get(&id).is_some_and(|held| held.goal.generation > goal.generation) {
        return empty(StatusCode::CONFLICT);
    }
    state.deployments.insert(id, Deployment { goal, deleting: false, looks: 0 });
    empty(StatusCode::OK)
}

fn look(state: &mut State, id: &DeploymentId) -> Response<Body> {
    let Some(deployment) = state.deployments.get_mut(id) else { return empty(StatusCode::NOT_FOUND) };
    deployment.looks += 1;
    if deployment.deleting && deployment.looks > LOOKS {
        state.deployments.remove(id);
        return empty(StatusCode::NOT_FOUND);
    }
    json(StatusCode::OK, &observed(id, deployment))
}

fn observed(id: &DeploymentId, deployment: &Deployment) -> DeploymentObserved {
    let role = RoleName::new("Web").unwrap();
    let state = match (deployment.looks > LOOKS, deployment.goal.status) {
        _ if deployment.deleting => InstanceState::DeletingVm,
        (false, _) => InstanceState::CreatingVm,
        (true, GoalStatus::Running) => InstanceState::Ready,
        (true, GoalStatus::Suspended) => InstanceState::StoppedVm,
    };
    let instance = |index: u8| InstanceStatus {
        name: InstanceName::of(&role, index.into()),
        role: role.clone(),
        node: NodeName::new("node0").unwrap(),
        update_domain: index.into(),
        fault_domain: 0,
        size: "Small".to_owned(),
        address: [10, 177, 16, 2 + index].into(),
        state,
        message: String::new(),
        vm_restarts: 0,
        role_restarts: 0,
    };
    DeploymentObserved {
        id: id.clone(),
        generation: Generation(deployment.goal.generation.0),
        deleting: deployment.deleting,
        update_domains: 2,
        roles: vec![RoleObserved { name: role.clone(), size: "Small".into(), guest_os: "WELKIN-1".into() }],
        instances: vec![instance(0), instance(1)],
        vip: Some([10, 177, 240, 1].into()),
        input_endpoints: vec![InputEndpoint {
            role: role.clone(),
            name: "Http".to_owned(),
            protocol: "http".to_owned(),
            port: 80,
            local_port: 8080,
        }],
        update: None,
    }
}

fn node() -> NodeStatus {
    NodeStatus {
        name: NodeName::new("node0").unwrap(),
        fault_domain: 0,
        healthy: true,
        accelerator: Some("tcg".to_owned()),
        cores: 8,
        cores_used: 2,
        memory_mib: 8192,
        memory_used_mib: 3584,
        instances: 2,
        trouble: None,
    }
}
