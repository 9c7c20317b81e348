//! Starts the controller and ends it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use welkin_base::NodeName;
use welkin_fabric::{Cluster, NodeRecord};
use welkin_pki::{ClientAuth, Identity, ServerAuth, client_config, server_config};
use welkin_store::Store;
use welkin_transport::{Client, serve};

use crate::agent::Agent;
use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::config::{Config, NodeConfig};
use crate::content::ContentFolder;
use crate::controller::{Controller, State};
use crate::error::{RunError, on};
use crate::key::{self, PackageKey};
use crate::reconcile::{self, Mailbox};
use crate::row::{Rows, RowsError};
use crate::{api, guest_os, image, node};

/// Runs the fabric controller until `shutdown` resolves and running calls have ended. Instances run on.
///
/// # Errors
/// When it cannot start; the error says what to do.
pub async fn run(
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    if let Some(mistake) = config.mistake() {
        return Err(RunError::Config(mistake));
    }
    image::probe().await?;
    let identity = Identity::load(&config.identity)?;
    let tls = server_config(&identity, ClientAuth::Pinned(config.clients.clone()))?;
    let address = config.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    tokio::fs::create_dir_all(&config.data).await.map_err(on("make", &config.data))?;
    let store = Store::open_local(&config.data.join("store")).await?;
    let controller = Arc::new(open(&config, &identity, store.clone()).await?);

    let (end, ended) = watch::channel(false);
    let mut tasks = start(&controller, &ended);
    let handler = {
        let controller = Arc::clone(&controller);
        move |_peer, request| api::answer(Arc::clone(&controller), request)
    };
    tracing::info!(%address, nodes = config.nodes.len(), "the fabric controller serves");
    serve(listener, tls, handler, shutdown).await;
    let _ = end.send(true);
    while tasks.join_next().await.is_some() {}
    Ok(store.close().await?)
}

async fn open(config: &Config, identity: &Identity, store: Store) -> Result<Controller, RunError> {
    let images = ContentFolder::open(&config.data.join("images")).await?;
    let packages = ContentFolder::open(&config.data.join("packages")).await?;
    let work = work_folder(&config.data.join("work")).await?;
    let key = PackageKey::open(&config.data.join("package.key"))?;
    let certificate_key = key::certificate_key(&config.data.join("certificate.key"))?;
    let certificates = Certificates::new(store.clone(), certificate_key);
    let os = guest_os::load(&config.guest_os, &images, &config.data).await?;
    let clock = Clock::start();
    let mut cluster = Cluster::new(config.network, os, clock.now());
    let mut agents = BTreeMap::new();
    for NodeConfig { name, kind, number, fault_domain, address, thumbprint } in &config.nodes {
        let number = u32::from(*number);
        cluster.add_node(name.clone(), *kind, number, *fault_domain, NodeRecord::default());
        let tls = client_config(Some(identity), ServerAuth::Pinned(*thumbprint))?;
        agents.insert(name.clone(), Agent::new(Client::new(*address, tls)));
    }
    let state = State::load(cluster, Rows::new(store)).await.map_err(|error| match error {
        RowsError::Store(error) => RunError::Store(error),
        RowsError::Row(error) => RunError::Row(error),
        RowsError::Conflict => RunError::Config("two fabric controllers use one store".to_owned()),
    })?;
    Ok(Controller::new(state, (packages, images, work), (key, certificates), clock, agents))
}

/// An empty folder: what a controller that ended left in it is removed.
async fn work_folder(path: &Path) -> Result<PathBuf, RunError> {
    if tokio::fs::try_exists(path).await.map_err(on("read", path))? {
        tokio::fs::remove_dir_all(path).await.map_err(on("remove", path))?;
    }
    tokio::fs::create_dir(path).await.map_err(on("make", path))?;
    Ok(path.to_owned())
}

/// The loop, and two tasks for each node.
fn start(controller: &Arc<Controller>, ended: &watch::Receiver<bool>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let mut mailboxes: BTreeMap<NodeName, Mailbox> = BTreeMap::new();
    for (name, agent) in &controller.agents {
        let mailbox = Mailbox::default();
        let shared = || (Arc::clone(controller), name.clone(), agent.clone(), mailbox.clone(), ended.clone());
        let (controller, node, agent, box_of_node, end) = shared();
        tasks.spawn(node::follow(controller, node, agent, box_of_node, end));
        let (controller, node, agent, box_of_node, end) = shared();
        tasks.spawn(node::supply(controller, node, agent, box_of_node, end));
        mailboxes.insert(name.clone(), mailbox);
    }
    tasks.spawn(reconcile::run(Arc::clone(controller), mailboxes, ended.clone()));
    tasks
}
