//! Starts the controller and ends it.

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use welkin_pki::{ClientAuth, Identity, server_config};
use welkin_store::{Etcd, EtcdMember, Store};
use welkin_transport::serve;

use crate::config::{Config, EtcdConfig, StoreConfig};
use crate::error::{RunError, on};
use crate::front::{self, Front};
use crate::leadership::{self, Leadership, Watched};
use crate::replica::Replica;
use crate::{image, mirror};

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
    let peers = config.peers.iter().map(|peer| peer.thumbprint);
    let callers = config.clients.iter().chain(&config.operators).copied().chain(peers).collect();
    let tls = server_config(&identity, ClientAuth::Pinned(callers))?;
    let address = config.listen;
    let listener = TcpListener::bind(address).await.map_err(|source| RunError::Listen { address, source })?;
    tokio::fs::create_dir_all(&config.data).await.map_err(on("make", &config.data))?;

    let (end, ended) = watch::channel(false);
    let unknown = Leadership::Unknown("this fabric controller has just started".to_owned());
    let (leads, leadership) = watch::channel(unknown);
    let mut tasks = JoinSet::new();
    let (replica, local) = match &config.store {
        StoreConfig::Local => {
            let store = Store::open_local(&config.data.join("store")).await?;
            let replica = Arc::new(Box::pin(Replica::open(&config, &identity)).await?);
            let controller = Arc::new(Box::pin(replica.controller(store.clone())).await?);
            let mut known = leadership.clone();
            tasks.spawn(leadership::alone(Arc::clone(&replica), controller, leads, ended));
            let _ = known.wait_for(|leads| matches!(leads, Leadership::Ours(..))).await;
            (replica, Some(store))
        }
        StoreConfig::Etcd(etcd) => {
            let etcd = open(etcd)?;
            let replica = Arc::new(Box::pin(Replica::open(&config, &identity)).await?);
            elect(&mut tasks, &replica, etcd, leads, &leadership, &ended);
            (replica, None)
        }
    };
    let front = Arc::new(Front {
        replica,
        leadership,
        clients: config.clients.clone(),
        operators: config.operators.clone(),
    });
    let handler = move |peer, request| front::answer(Arc::clone(&front), peer, request);
    tracing::info!(%address, nodes = config.nodes.len(), peers = config.peers.len(), "the fabric controller serves");
    serve(listener, tls, handler, shutdown).await;
    let _ = end.send(true);
    while tasks.join_next().await.is_some() {}
    match local {
        Some(store) => Ok(store.close().await?),
        None => Ok(()),
    }
}

fn open(config: &EtcdConfig) -> Result<Etcd, RunError> {
    let identity = Identity::load(&config.identity)?;
    let member = |member: &crate::config::EtcdMemberConfig| EtcdMember {
        address: member.address,
        thumbprint: member.thumbprint,
    };
    let members: Vec<_> = config.members.iter().map(member).collect();
    Ok(Etcd::new(&members, &identity, &config.prefix)?)
}

/// One of several replicas.
fn elect(
    tasks: &mut JoinSet<()>,
    replica: &Arc<Replica>,
    etcd: Etcd,
    leads: watch::Sender<Leadership>,
    leadership: &Watched,
    ended: &watch::Receiver<bool>,
) {
    let store = Store::over_etcd(&etcd, None);
    let mirror = mirror::of_follower(Arc::clone(replica), store, leadership.clone(), ended.clone());
    tasks.spawn(mirror);
    tasks.spawn(leadership::elected(Arc::clone(replica), etcd, leads, ended.clone()));
}
