//! A fabric agent that keeps the contract and runs nothing: what it is told to run is ready as soon as it has
//! the images.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use welkin_agent_wire::{
    Accelerator, DrainObserved, InstanceObserved, NodeCapacity, NodeGoal, NodeObserved, RoleState, VmState,
};
use welkin_base::{Digest, NodeName};
use welkin_pki::{ClientAuth, Identity, Thumbprint, server_config};
use welkin_transport::{Body, empty, json, read_body, read_json, serve, text};

/// What the agent holds, and how it misbehaves.
#[derive(Default)]
pub struct Held {
    pub goal: Option<NodeGoal>,
    /// How many goals it took.
    pub goals: u32,
    pub images: BTreeMap<Digest, Vec<u8>>,
    /// Instances end as soon as they are not wanted, unless this is set.
    pub clings: bool,
    pub instances: Vec<InstanceObserved>,
    /// Sent instead of what it observes.
    pub lie: Option<Vec<u8>>,
}

#[derive(Clone)]
pub struct FakeAgent {
    pub name: NodeName,
    pub address: SocketAddr,
    pub thumbprint: Thumbprint,
    pub held: Arc<Mutex<Held>>,
    task: Arc<JoinHandle<()>>,
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        if Arc::strong_count(&self.task) == 1 {
            self.task.abort();
        }
    }
}

impl FakeAgent {
    pub async fn start(name: &str, controllers: Vec<Thumbprint>) -> Self {
        let identity = Identity::self_signed(name).unwrap();
        let tls = server_config(&identity, ClientAuth::Pinned(controllers)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let name = NodeName::new(name).unwrap();
        let held: Arc<Mutex<Held>> = Arc::default();
        let handler = {
            let (name, held) = (name.clone(), Arc::clone(&held));
            move |_, request| answer(name.clone(), Arc::clone(&held), request)
        };
        let task = tokio::spawn(serve(listener, tls, handler, std::future::pending()));
        Self { name, address, thumbprint: identity.thumbprint(), held, task: Arc::new(task) }
    }

    pub fn goal(&self) -> Option<NodeGoal> {
        self.held.lock().unwrap().goal.clone()
    }
}

async fn answer(name: NodeName, held: Arc<Mutex<Held>>, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    match (request.method().clone(), segments.as_slice()) {
        (Method::GET, ["observed"]) => {
            let mut held = held.lock().unwrap();
            match held.lie.clone() {
                Some(lie) => text(StatusCode::OK, String::from_utf8(lie).unwrap()),
                None => json(StatusCode::OK, &observe(name, &mut held)),
            }
        }
        (Method::PUT, ["goal"]) => {
            let goal: NodeGoal = read_json(request.into_body(), 1 << 24).await.unwrap();
            let mut held = held.lock().unwrap();
            if goal.node != name || held.goal.as_ref().is_some_and(|old| old.generation > goal.generation) {
                return text(StatusCode::CONFLICT, "an older goal");
            }
            held.goals += 1;
            held.goal = Some(goal);
            empty(StatusCode::OK)
        }
        (Method::HEAD, ["images", digest]) => {
            let has = held.lock().unwrap().images.contains_key(&digest.parse().unwrap());
            empty(if has { StatusCode::OK } else { StatusCode::NOT_FOUND })
        }
        (Method::PUT, ["images", digest]) => {
            let digest: Digest = digest.parse().unwrap();
            let bytes = read_body(request.into_body(), 1 << 26).await.unwrap();
            if Digest::from_bytes(Sha256::digest(&bytes).into()) != digest {
                return text(StatusCode::BAD_REQUEST, "another digest");
            }
            held.lock().unwrap().images.insert(digest, bytes.to_vec());
            empty(StatusCode::CREATED)
        }
        (Method::GET, ["instances", _, name, "log"]) => text(StatusCode::OK, format!("console of {name}\n")),
        _ => text(StatusCode::NOT_FOUND, "no such call"),
    }
}

fn observe(name: NodeName, held: &mut Held) -> NodeObserved {
    let goal = held.goal.clone();
    let wanted: BTreeSet<_> =
        goal.iter().flat_map(|goal| &goal.instances).map(|instance| instance.id.clone()).collect();
    let clings = held.clings;
    held.instances.retain(|seen| clings || wanted.contains(&seen.id));
    for instance in goal.iter().flat_map(|goal| &goal.instances) {
        let os = &instance.guest_os;
        let complete = [os.kernel, os.initramfs, os.root, instance.application]
            .iter()
            .all(|image| held.images.contains_key(image));
        held.instances.retain(|seen| seen.id != instance.id);
        held.instances.push(InstanceObserved {
            id: instance.id.clone(),
            incarnation: instance.incarnation,
            vm: if complete { VmState::Running } else { VmState::Preparing },
            role: complete.then_some(RoleState::Ready),
            generation: instance.guest.generation,
            message: String::new(),
            vm_restarts: 0,
            role_restarts: 0,
            lacks: Vec::new(),
            passes: Vec::new(),
        });
    }
    let draining = goal.iter().flat_map(|goal| &goal.draining);
    let quiet = draining.map(|draining| DrainObserved {
        instance: draining.instance.clone(),
        since: draining.since,
        connections: Some(0),
    });
    NodeObserved {
        node: name,
        generation: goal.as_ref().map_or(welkin_base::Generation(0), |goal| goal.generation),
        capacity: NodeCapacity { cores: 8, memory_mib: 8_192, disk_mib: 1 << 20 },
        accelerator: Accelerator::Tcg,
        instances: held.instances.clone(),
        trouble: None,
        transport_recipient: String::new(),
        draining: quiet.collect(),
    }
}
