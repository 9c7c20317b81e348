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
use welkin_base::{DeploymentId, Digest, Generation, InstanceName, NodeName, RoleName, Timestamp};
use welkin_fabric_wire::certificate::{KeptCertificate, ServiceCertificate};
use welkin_fabric_wire::{
    CoresUsed, DeploymentGoal, DeploymentObserved, FabricIdentity, GoalStatus, InputEndpoint, InstanceState,
    InstanceStatus, NodeHealth, NodeKind, NodeState, NodeStatus, RebootEvent, RebootReason, Refusal,
    RefusalReason, RoleObserved, Slot, Slots, Taken, UpdateMode, UpdateObserved,
};
use welkin_pki::{ClientAuth, Identity, Thumbprint, UnsealingKey, server_config};
use welkin_transport::{Body, empty, full, json, read_body, serve, text};

/// Looks at a deployment before it is as wanted, or gone.
const LOOKS: u32 = 2;

/// The fabric controller.
pub struct TestFabric {
    /// Where it is.
    pub address: SocketAddr,
    /// Its certificate.
    pub thumbprint: Thumbprint,
    /// What private keys are sealed to.
    pub key: Arc<UnsealingKey>,
    state: Arc<Mutex<State>>,
}

/// What becomes of one call of an operation: its steps are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// It is answered 503, and nothing is done.
    Fails,
    /// It is done, and answered 503.
    Lost,
    /// It is refused.
    Refused,
    /// Nothing is done, and it is never answered: the caller ends meanwhile.
    EndsBefore,
    /// It is done and never answered: the caller ends meanwhile.
    EndsAfter,
}

#[derive(Default)]
struct State {
    packages: BTreeMap<Digest, Bytes>,
    deployments: BTreeMap<DeploymentId, Deployment>,
    /// Answers 503 to everything.
    silent: bool,
    /// Updates do not go on.
    stuck: bool,
    /// Deployments are gone as soon as they are to be.
    quick: bool,
    reboots: Vec<String>,
    /// The quota that came with the last goal.
    cores_max: Option<String>,
    trap: Option<(u32, Trap)>,
    caught: bool,
    /// By subscription, hosted service and thumbprint, as paths have them.
    certificates: BTreeMap<String, ServiceCertificate>,
}

struct Deployment {
    goal: DeploymentGoal,
    deleting: bool,
    looks: u32,
    vip: u8,
    update: Option<UpdateObserved>,
}

impl State {
    /// What becomes of a call that may be a step of an operation.
    fn sprung(&mut self, method: &Method, parts: &[&str]) -> Option<Trap> {
        let deleting = |name: &str| {
            let held = DeploymentId::new(name).ok().and_then(|id| self.deployments.get(&id));
            held.is_some_and(|held| held.deleting)
        };
        let is_step = match (method, parts) {
            (&Method::GET, ["deployments", name]) => deleting(name),
            (&Method::GET, parts) => parts.first() == Some(&"packages"),
            _ => true,
        };
        let (left, trap) = self.trap.as_mut().filter(|_| is_step)?;
        if *left > 0 {
            *left -= 1;
            return None;
        }
        let trap = *trap;
        self.trap = None;
        self.caught = true;
        Some(trap)
    }
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
        let key = Arc::new(UnsealingKey::generate());
        let recipient = key.recipient().to_string();
        let handler = move |_, request| handle(Arc::clone(&shared), recipient.clone(), request);
        runtime.spawn(async move { serve(listener, tls, handler, std::future::pending()).await });
        Self { address, thumbprint: identity.thumbprint(), key, state }
    }

    /// From now on it answers that it cannot, or answers again.
    pub fn set_silent(&self, silent: bool) {
        self.state.lock().unwrap().silent = silent;
    }

    /// From now on updates stay where they are, or go on.
    pub fn set_stuck(&self, stuck: bool) {
        self.state.lock().unwrap().stuck = stuck;
    }

    /// From now on deployments are gone as soon as they are to be.
    pub fn set_quick(&self) {
        self.state.lock().unwrap().quick = true;
    }

    /// Something will happen to the step of that number.
    pub fn set_trap(&self, step: u32, trap: Trap) {
        let mut state = self.state.lock().unwrap();
        state.trap = Some((step, trap));
        state.caught = false;
    }

    /// Whether it happened.
    pub fn is_caught(&self) -> bool {
        self.state.lock().unwrap().caught
    }

    /// It will not happen any more.
    pub fn remove_trap(&self) {
        self.state.lock().unwrap().trap = None;
    }

    /// Bytes of the packages that it has.
    pub fn packages(&self) -> Vec<Bytes> {
        self.state.lock().unwrap().packages.values().cloned().collect()
    }

    /// Goals that it has.
    pub fn goals(&self) -> Vec<DeploymentGoal> {
        self.state.lock().unwrap().deployments.values().map(|deployment| deployment.goal.clone()).collect()
    }

    /// The quota of cores that came with the last goal.
    pub fn cores_max(&self) -> Option<String> {
        self.state.lock().unwrap().cores_max.clone()
    }

    /// The certificates that it keeps.
    pub fn certificates(&self) -> BTreeMap<String, ServiceCertificate> {
        self.state.lock().unwrap().certificates.clone()
    }

    /// What was rebooted and reimaged.
    pub fn reboots(&self) -> Vec<String> {
        self.state.lock().unwrap().reboots.clone()
    }
}

impl State {
    /// Each as if it had been there for a day.
    fn kept(&self) -> Vec<KeptCertificate> {
        let paths = self.certificates.keys().map(|path| path.split('/').collect::<Vec<_>>());
        paths
            .map(|parts| KeptCertificate {
                subscription: parts[0].parse().unwrap(),
                service: parts[1].parse().unwrap(),
                thumbprint: parts[2].parse().unwrap(),
                age_seconds: 24 * 3600,
            })
            .collect()
    }
}

async fn handle(state: Arc<Mutex<State>>, recipient: String, request: Request<Incoming>) -> Response<Body> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let query = request.uri().query().unwrap_or("").to_owned();
    let of = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if let Some(max) = of("cores_max") {
        state.lock().unwrap().cores_max = Some(max.to_owned());
    }
    let refuses_warnings = of("warnings") == Some("refused");
    let body = read_body(request.into_body(), 64 << 20).await.unwrap();
    let parts: Vec<&str> = path.trim_matches('/').split('/').skip(1).collect();
    // An FC that has the package says so to an empty body: no step of its own.
    let asks = method == Method::PUT && parts.first() == Some(&"packages") && body.is_empty();
    let trap = if asks { None } else { state.lock().unwrap().sprung(&method, &parts) };
    match trap {
        Some(Trap::Fails) => return text(StatusCode::SERVICE_UNAVAILABLE, "trapped"),
        Some(Trap::Refused) => {
            let refusal = Refusal { reason: RefusalReason::Capacity, messages: vec!["no room".to_owned()] };
            return json(StatusCode::UNPROCESSABLE_ENTITY, &refusal);
        }
        Some(Trap::EndsBefore) => return std::future::pending().await,
        _ => {}
    }
    if let (&Method::GET, ["identity"]) = (&method, parts.as_slice()) {
        let package_recipient = "age1test".to_owned();
        return json(StatusCode::OK, &FabricIdentity { package_recipient, certificate_recipient: recipient });
    }
    let answer = answer(&mut state.lock().unwrap(), &method, &parts, body, refuses_warnings);
    match trap {
        Some(Trap::Lost) => text(StatusCode::SERVICE_UNAVAILABLE, "trapped"),
        Some(Trap::EndsAfter) => std::future::pending().await,
        _ => answer,
    }
}

fn answer(
    state: &mut State,
    method: &Method,
    parts: &[&str],
    body: Bytes,
    refuses_warnings: bool,
) -> Response<Body> {
    if state.silent {
        return text(StatusCode::SERVICE_UNAVAILABLE, "silent");
    }
    let id = |text: &str| DeploymentId::new(text).unwrap();
    match (method, parts) {
        (&Method::GET, ["certificates"]) => json(StatusCode::OK, &state.kept()),
        (&Method::PUT, ["certificates", rest @ ..]) => {
            state.certificates.insert(rest.join("/"), serde_json::from_slice(&body).unwrap());
            empty(StatusCode::OK)
        }
        (&Method::DELETE, ["certificates", rest @ ..]) => {
            let prefix = rest.join("/");
            state.certificates.retain(|path, _| !path.starts_with(&prefix));
            empty(StatusCode::OK)
        }
        (&Method::GET, ["subscriptions", subscription, "cores"]) => {
            let goals = state.deployments.values().map(|deployment| &deployment.goal);
            let own = goals.filter(|goal| goal.subscription.as_str() == *subscription);
            let cores = own.map(|goal| 2 - u32::try_from(goal.removed.len()).unwrap()).sum();
            json(StatusCode::OK, &CoresUsed { cores })
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
        (&Method::GET, ["packages", digest]) => match state.packages.get(&digest.parse().unwrap()) {
            Some(bytes) => Response::new(full(bytes.clone())),
            None => empty(StatusCode::NOT_FOUND),
        },
        (&Method::PUT, ["services", _, "slots"]) => put_slots(state, &body),
        (&Method::PUT, ["deployments", name]) => put(state, id(name), &body, refuses_warnings),
        (&Method::GET, ["deployments", name]) => look(state, &id(name)),
        (&Method::GET, ["deployments", _, "events"]) => json(StatusCode::OK, &events()),
        (&Method::DELETE, ["deployments", name]) if state.quick => {
            match state.deployments.remove(&id(name)) {
                Some(_) => empty(StatusCode::ACCEPTED),
                None => empty(StatusCode::NOT_FOUND),
            }
        }
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

fn put_slots(state: &mut State, body: &[u8]) -> Response<Body> {
    let slots: Slots = serde_json::from_slice(body).unwrap();
    let Some(production) = state.deployments.get(&slots.production) else {
        return text(StatusCode::CONFLICT, "no such deployment");
    };
    if production.goal.slot == Slot::Production {
        return empty(StatusCode::OK);
    }
    let coming = production.vip;
    if let Some(staging) = &slots.staging {
        let Some(other) = state.deployments.get_mut(staging) else {
            return text(StatusCode::CONFLICT, "no such deployment");
        };
        other.goal.slot = Slot::Staging;
        let going = std::mem::replace(&mut other.vip, coming);
        state.deployments.get_mut(&slots.production).unwrap().vip = going;
    }
    state.deployments.get_mut(&slots.production).unwrap().goal.slot = Slot::Production;
    empty(StatusCode::OK)
}

fn events() -> Vec<RebootEvent> {
    let event = |index, time: &str| {
        let role = RoleName::new("Web").unwrap();
        RebootEvent {
            instance: InstanceName::of(&role, index),
            role,
            reason: RebootReason::Failed,
            at: Timestamp::parse_rfc3339(time).unwrap(),
        }
    };
    vec![event(0, "2026-11-24T10:00:00Z"), event(1, "2026-11-25T10:00:00Z")]
}

fn put(state: &mut State, id: DeploymentId, body: &[u8], refuses_warnings: bool) -> Response<Body> {
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
    let held = state.deployments.get(&id);
    let warnings = match goal.configuration.contains("Useless") {
        true => vec!["line 1: <Useless> has no effect".to_owned()],
        false => Vec::new(),
    };
    if held.is_some_and(|held| held.goal == goal) {
        return json(StatusCode::OK, &Taken { warnings });
    }
    if refuses_warnings && !warnings.is_empty() {
        let refusal = Refusal { reason: RefusalReason::Configuration, messages: warnings };
        return json(StatusCode::UNPROCESSABLE_ENTITY, &refusal);
    }
    let content = |goal: &DeploymentGoal| (goal.package, goal.configuration.clone(), goal.kept.clone());
    let update = match held.filter(|held| held.goal.status == GoalStatus::Running) {
        Some(held) if content(&held.goal) != content(&goal) || held.update.is_some() => begun(&goal),
        _ => None,
    };
    let vips: Vec<u8> = state.deployments.values().map(|held| held.vip).collect();
    let free = (1..).find(|vip| !vips.contains(vip)).unwrap();
    let vip = held.map_or(free, |held| held.vip);
    state.deployments.insert(id, Deployment { goal, deleting: false, looks: 0, vip, update });
    json(StatusCode::OK, &Taken { warnings })
}

/// How far an update of two domains is that has just begun.
fn begun(goal: &DeploymentGoal) -> Option<UpdateObserved> {
    let mode = goal.update.mode;
    let domain = match mode {
        UpdateMode::Manual { domain: Some(walked) } => walked + 1,
        _ => 0,
    };
    let during = !matches!(mode, UpdateMode::Manual { .. });
    (domain < 2).then_some(UpdateObserved { mode, domain, during, all_changed: false })
}

fn look(state: &mut State, id: &DeploymentId) -> Response<Body> {
    let Some(deployment) = state.deployments.get_mut(id) else { return empty(StatusCode::NOT_FOUND) };
    deployment.looks += 1;
    if deployment.deleting && deployment.looks > LOOKS {
        state.deployments.remove(id);
        return empty(StatusCode::NOT_FOUND);
    }
    let manual = matches!(deployment.goal.update.mode, UpdateMode::Manual { .. });
    if deployment.looks > LOOKS && !state.stuck && !manual {
        deployment.update = None;
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
        instance_endpoints: Vec::new(),
    };
    DeploymentObserved {
        id: id.clone(),
        generation: Generation(deployment.goal.generation.0),
        deleting: deployment.deleting,
        update_domains: 2,
        roles: vec![RoleObserved { name: role.clone(), size: "Small".into(), guest_os: "WELKIN-1".into() }],
        instances: (0..2)
            .map(instance)
            .filter(|instance| !deployment.goal.removed.contains(&instance.name))
            .collect(),
        vip: Some([10, 177, 240, deployment.vip].into()),
        input_endpoints: vec![InputEndpoint {
            role: role.clone(),
            name: "Http".to_owned(),
            protocol: "http".to_owned(),
            port: 80,
            local_port: 8080,
        }],
        update: deployment.update,
        rolled_back: None,
    }
}

fn node() -> NodeStatus {
    NodeStatus {
        name: NodeName::new("node0").unwrap(),
        kind: NodeKind::Compute,
        number: 0,
        fault_domain: 0,
        state: NodeState::Active,
        state_since: None,
        healthy: true,
        health: NodeHealth::Healthy,
        history: Vec::new(),
        accelerator: Some("tcg".to_owned()),
        cores: 8,
        cores_used: 2,
        memory_mib: 8192,
        memory_used_mib: 3584,
        disk_mib: 65_536,
        disk_used_mib: 4096,
        instances: 2,
        leaving: 0,
        trouble: None,
    }
}
