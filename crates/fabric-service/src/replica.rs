//! What one process of the fabric controller has, whether it leads or not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use welkin_agent_wire::GuestOs;
use welkin_base::NodeName;
use welkin_fabric::{Cluster, NodeRecord};
use welkin_pki::{Identity, ServerAuth, UnsealingKey, client_config};
use welkin_store::Store;
use welkin_transport::Client;

use crate::agent::Agent;
use crate::certificate::Certificates;
use crate::clock::Clock;
use crate::config::{Config, NodeConfig, StoreConfig};
use crate::content::ContentFolder;
use crate::controller::{Controller, State};
use crate::error::{RunError, on};
use crate::key::{self, KEY_FILES, PackageKey};
use crate::peer::Peers;
use crate::row::Rows;
use crate::{agreed, guest_os};

/// What a controller begins from.
#[derive(Debug)]
pub(crate) struct Replica {
    pub name: String,
    pub packages: ContentFolder,
    pub images: ContentFolder,
    /// Folder for what is only needed while a deployment is made ready.
    pub work: PathBuf,
    pub key: Arc<PackageKey>,
    pub certificate_key: Arc<UnsealingKey>,
    pub clock: Clock,
    pub agents: BTreeMap<NodeName, Agent>,
    /// The other replicas.
    pub peers: Peers,
    os: GuestOs,
    config: Config,
}

impl Replica {
    /// Everything but the rows.
    pub async fn open(config: &Config, identity: &Identity) -> Result<Self, RunError> {
        let images = ContentFolder::open(&config.data.join("images")).await?;
        let os = guest_os::load(&config.guest_os, &images, &config.data).await?;
        let mut agents = BTreeMap::new();
        for NodeConfig { name, address, thumbprint, .. } in &config.nodes {
            let tls = client_config(Some(identity), ServerAuth::Pinned(*thumbprint))?;
            agents.insert(name.clone(), Agent::new(Client::new(*address, tls)));
        }
        let (package_key, certificate_key) = keys(config)?;
        Ok(Self {
            name: config.name.clone(),
            packages: ContentFolder::open(&config.data.join("packages")).await?,
            images,
            work: work_folder(&config.data.join("work")).await?,
            key: Arc::new(package_key),
            certificate_key: Arc::new(certificate_key),
            clock: Clock::start(),
            agents,
            peers: Peers::new(&config.peers, identity)?,
            os,
            config: config.clone(),
        })
    }

    /// The cluster with its nodes, before any row is read.
    pub fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::new(self.config.network, self.os.clone(), self.clock.now());
        if let Some(seconds) = self.config.drain_seconds_max {
            cluster.drain_max = Duration::from_secs(seconds.into());
        }
        if let Some(minutes) = self.config.ready_minutes_max {
            cluster.ready_max = Duration::from_secs(u64::from(minutes) * 60);
        }
        cluster.policy = self.config.healing.policy();
        for NodeConfig { name, kind, number, fault_domain, .. } in &self.config.nodes {
            let number = u32::from(*number);
            cluster.add_node(name.clone(), *kind, number, *fault_domain, NodeRecord::default());
        }
        cluster
    }

    /// A controller that begins from the rows of `store`, as they are now.
    pub async fn controller(&self, store: Store) -> Result<Controller, RunError> {
        let certificates = Certificates::new(store.clone(), Arc::clone(&self.certificate_key));
        agreed::check(&store, &self.key.recipient(), &certificates.recipient()).await?;
        let state = State::load(self.cluster(), Rows::new(store)).await?;
        Ok(Controller::new(self, state, certificates))
    }
}

/// Of several replicas none makes keys: they have the same, or what was sealed to one is lost to the others.
fn keys(config: &Config) -> Result<(PackageKey, UnsealingKey), RunError> {
    let [package, certificate] = KEY_FILES.map(|file| config.data.join(file));
    if matches!(config.store, StoreConfig::Etcd(_)) {
        for path in [&package, &certificate] {
            if !path.try_exists().map_err(on("read", path))? {
                return Err(RunError::NoKey(path.clone()));
            }
        }
    }
    Ok((PackageKey::open(&package)?, key::certificate_key(&certificate)?))
}

/// An empty folder: what a controller that ended left in it is removed.
async fn work_folder(path: &Path) -> Result<PathBuf, RunError> {
    if tokio::fs::try_exists(path).await.map_err(on("read", path))? {
        tokio::fs::remove_dir_all(path).await.map_err(on("remove", path))?;
    }
    tokio::fs::create_dir(path).await.map_err(on("make", path))?;
    Ok(path.to_owned())
}
