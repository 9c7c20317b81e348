//! A stand-in for a node's agent: it takes images and goals, and says of each instance that it is ready. No VM is started.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use welkin_agent_wire::limits::{IMAGE_BYTES_MAX, NODE_GOAL_BYTES_MAX};
use welkin_agent_wire::{
    Accelerator, InstanceObserved, NodeCapacity, NodeGoal, NodeObserved, RoleState, VmState,
};
use welkin_base::{Digest, Generation, NodeName};
use welkin_pki::{ClientAuth, Identity, Thumbprint, server_config};
use welkin_transport::{Body, empty, json, read_body, read_json, serve, text};

use crate::storage::StorageError;

/// Room for every instance of the bench.
const CAPACITY: NodeCapacity = NodeCapacity { cores: 1_024, memory_mib: 1 << 21, disk_mib: 1 << 26 };

/// What the node has.
#[derive(Debug, Default)]
struct Held {
    goal: Option<NodeGoal>,
    images: BTreeSet<Digest>,
}

/// Serves the fabric controller with the certificate `controller`, until the runtime ends. Returns where, and with which
/// certificate.
pub async fn start(name: NodeName, controller: Thumbprint) -> Result<(SocketAddr, Thumbprint), StorageError> {
    let identity = Identity::self_signed(name.as_str()).map_err(super::cloud::unmade)?;
    let tls = server_config(&identity, ClientAuth::Pinned(vec![controller])).map_err(super::cloud::unmade)?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let held = Arc::<Mutex<Held>>::default();
    let handler = move |_, request| answer(name.clone(), Arc::clone(&held), request);
    tokio::spawn(serve(listener, tls, handler, std::future::pending()));
    Ok((address, identity.thumbprint()))
}

async fn answer(name: NodeName, held: Arc<Mutex<Held>>, request: Request<Incoming>) -> Response<Body> {
    let lock = || held.lock().unwrap_or_else(PoisonError::into_inner);
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, ["observed"]) => json(StatusCode::OK, &observe(name, &lock())),
        (&Method::PUT, ["goal"]) => match read_json(request.into_body(), NODE_GOAL_BYTES_MAX).await {
            Ok(goal) => {
                lock().goal = Some(goal);
                empty(StatusCode::OK)
            }
            Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
        },
        (method, ["images", digest]) => {
            let Ok(digest) = digest.parse::<Digest>() else { return empty(StatusCode::NOT_FOUND) };
            if *method == Method::PUT {
                // Only that it came matters: nothing boots from it.
                let bytes_max = usize::try_from(IMAGE_BYTES_MAX).unwrap_or(usize::MAX);
                if let Err(error) = read_body(request.into_body(), bytes_max).await {
                    return text(StatusCode::BAD_REQUEST, error.to_string());
                }
                lock().images.insert(digest);
            }
            empty(if lock().images.contains(&digest) { StatusCode::OK } else { StatusCode::NOT_FOUND })
        }
        _ => empty(StatusCode::NOT_FOUND),
    }
}

fn observe(name: NodeName, held: &Held) -> NodeObserved {
    let instances = held.goal.iter().flat_map(|goal| &goal.instances).map(|instance| InstanceObserved {
        id: instance.id.clone(),
        incarnation: instance.incarnation,
        vm: VmState::Running,
        role: Some(RoleState::Ready),
        generation: instance.guest.generation,
        message: String::new(),
        vm_restarts: 0,
        role_restarts: 0,
        lacks: Vec::new(),
        passes: Default::default(),
    });
    NodeObserved {
        node: name,
        generation: held.goal.as_ref().map_or(Generation(0), |goal| goal.generation),
        capacity: CAPACITY,
        accelerator: Accelerator::Tcg,
        instances: instances.collect(),
        trouble: None,
        transport_recipient: String::new(),
        draining: Vec::new(),
    }
}
