//! Starting the agent.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::FlockOperation;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, watch};
use welkin_agent_wire::{Accelerator, NodeCapacity, NodeObserved};
use welkin_node::Duty;
use welkin_pki::{ClientAuth, Identity, PkiError, UnsealingKey, server_config};

use crate::bridge::{self, BridgeError};
use crate::capacity::capacity;
use crate::config::Config;
use crate::folder::Folder;
use crate::image::Images;
use crate::instance::Place;
use crate::reconcile::Reconciler;
use crate::server::Server;
use crate::shared::{Clock, Published, Shared};
use crate::{goal, program};

/// Why the agent cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It makes VMs under users of their own.
    #[error("the fabric agent must run as root: it makes taps, packet filters and a user for each VM")]
    NotRoot,
    /// Programs are not installed.
    #[error("{0}")]
    Programs(String),
    /// The data folder.
    #[error("the data folder {0} cannot be used: {1}")]
    Data(PathBuf, #[source] io::Error),
    /// Another agent uses the data folder.
    #[error("another fabric agent uses the data folder {0}: stop it first")]
    DataTaken(PathBuf),
    /// Its certificate.
    #[error("the identity of the fabric agent: {0}")]
    Identity(#[from] PkiError),
    /// Its address.
    #[error("cannot listen at {0}: {1}. Stop what uses this address, or set another `listen`")]
    Listen(SocketAddr, #[source] io::Error),
    /// The node's network.
    #[error("the node's network cannot be made: {0}")]
    Network(#[from] BridgeError),
}

/// Runs the agent until `shutdown` resolves. VMs go on, and the next run finds them.
///
/// # Errors
/// When something that the agent needs is missing or taken; nothing is left half made.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    require()?;
    let data = |error| RunError::Data(config.data.clone(), error);
    let identity = Identity::load(&config.identity)?;
    let tls = server_config(&identity, ClientAuth::Pinned(config.clients.clone()))?;
    let folder = Folder::open(&config.data).map_err(data)?;
    let _lock = lock(&folder, &config)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|e| RunError::Listen(config.listen, e))?;
    if config.duty != Duty::Edge {
        bridge::make(&config.network()).await?;
    }
    let images = Images::open(&folder).map_err(data)?;
    let held = goal::load(&folder).map_err(data)?;
    let capacity = capacity(&config);
    let transport = UnsealingKey::generate();
    let recipient = transport.recipient().to_string();
    let shared = Arc::new(Shared::new(held, Published::new(nothing(&config, capacity, &recipient))));
    let server = Arc::new(Server {
        node: config.node.clone(),
        network: config.network(),
        capacity,
        folder: folder.clone(),
        images: images.clone(),
        shared: Arc::clone(&shared),
        transport,
        goals: Mutex::new(()),
    });
    let place = Place { config: Arc::new(config.clone()), folder, images, shared, clock: Clock::start() };
    let reconciler = Reconciler::new(place, capacity, recipient).await.map_err(data)?;
    let (stop, stopped) = watch::channel(false);
    let reconciling = tokio::spawn(reconciler.run(stopped));
    tracing::info!(node = %config.node, listen = %config.listen, "the fabric agent serves");
    let answer = move |_peer, request| Arc::clone(&server).answer(request);
    welkin_transport::serve(listener, tls, answer, shutdown).await;
    let _ = stop.send(true);
    let _ = reconciling.await;
    Ok(())
}

fn require() -> Result<(), RunError> {
    if !rustix::process::geteuid().is_root() {
        return Err(RunError::NotRoot);
    }
    let missing: Vec<String> = program::missing().iter().map(ToString::to_string).collect();
    if missing.is_empty() { Ok(()) } else { Err(RunError::Programs(missing.join("; "))) }
}

/// Two agents on one data folder would fight over its VMs.
fn lock(folder: &Folder, config: &Config) -> Result<std::fs::File, RunError> {
    let data = |error| RunError::Data(config.data.clone(), error);
    let file = std::fs::File::create(folder.path().join("lock")).map_err(data)?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(|_| RunError::DataTaken(config.data.clone()))?;
    Ok(file)
}

fn nothing(config: &Config, capacity: NodeCapacity, recipient: &str) -> NodeObserved {
    NodeObserved {
        node: config.node.clone(),
        generation: welkin_base::Generation(0),
        capacity,
        accelerator: Accelerator::Tcg,
        instances: vec![],
        trouble: None,
        transport_recipient: recipient.to_owned(),
        draining: vec![],
    }
}
