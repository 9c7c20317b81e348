//! A controller in several replicas, each a process of its own, over an etcd cluster.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use welkin_base::Digest;
use welkin_fabric_service::{Config, EtcdConfig, EtcdMemberConfig, NodeConfig, PeerConfig, StoreConfig, run};
use welkin_fabric_wire::{ControllerStatus, DeploymentGoal, DeploymentObserved, FabricIdentity};
use welkin_pki::{Identity, ServerAuth, client_config};
use welkin_transport::{Client, full, read_body};

use crate::agent::FakeAgent;
use crate::cloud::{deployment_path, eventually, seal};
use crate::cluster::{Cluster, Signal};

/// Names the configuration of a process that is to be a controller.
const CONFIG: &str = "WELKIN_TEST_CONTROLLER";
/// A call that is not answered by then is taken to be lost.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Does nothing as a test: the processes of [`Replicas`] are this.
#[tokio::test(flavor = "multi_thread")]
async fn controller_process() {
    let Ok(path) = std::env::var(CONFIG) else { return };
    let config: Config = toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    run(config, std::future::pending()).await.unwrap();
}

pub struct Replicas {
    pub etcd: Cluster,
    pub agents: Vec<FakeAgent>,
    pub configs: Vec<Config>,
    pub clients: Vec<Client>,
    folder: TempDir,
    processes: Vec<Option<Child>>,
}

impl Replicas {
    /// So many controllers with as many nodes, one of which leads.
    pub async fn start(count: usize) -> Self {
        let etcd = Cluster::start(3).await;
        let folder = tempfile::tempdir().unwrap();
        let at = |name: String| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        let guest_os = at("images".to_owned());
        for name in ["kernel", "initramfs", "root"] {
            std::fs::write(guest_os.join(name), format!("{name} of the guest OS")).unwrap();
        }
        std::fs::write(guest_os.join("version.toml"), "version = \"TEST-OS-1\"").unwrap();
        etcd.identity().save(&at("etcd".to_owned())).unwrap();
        let management = Identity::self_signed("management").unwrap();
        let own: Vec<_> = (0..count)
            .map(|number| {
                let identity = Identity::self_signed(&format!("fabric{number}")).unwrap();
                identity.save(&at(format!("fabric{number}/identity"))).unwrap();
                identity.thumbprint()
            })
            .collect();
        let mut agents = Vec::new();
        for number in 0..count {
            agents.push(FakeAgent::start(&format!("node{number}"), own.clone()).await);
        }
        let listeners: Vec<_> = own.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses: Vec<SocketAddr> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
        let peers: Vec<_> = (0..count)
            .map(|number| PeerConfig {
                name: format!("fabric{number}"),
                address: addresses[number],
                thumbprint: own[number],
            })
            .collect();
        let members = etcd.members();
        let members =
            members.iter().map(|m| EtcdMemberConfig { address: m.address, thumbprint: m.thumbprint });
        let store = StoreConfig::Etcd(EtcdConfig {
            prefix: "welkin".to_owned(),
            identity: at("etcd".to_owned()),
            members: members.collect(),
        });
        let nodes: Vec<_> = (0..)
            .zip(&agents)
            .map(|(number, agent)| NodeConfig {
                name: agent.name.clone(),
                kind: welkin_fabric_wire::NodeKind::Compute,
                number,
                fault_domain: number.into(),
                address: agent.address,
                thumbprint: agent.thumbprint,
            })
            .collect();
        let configs: Vec<_> = peers
            .iter()
            .map(|own| Config {
                drain_seconds_max: None,
                ready_minutes_max: None,
                data: at(format!("{}/data", own.name)),
                listen: own.address,
                name: own.name.clone(),
                store: store.clone(),
                peers: peers.iter().filter(|peer| *peer != own).cloned().collect(),
                identity: at(format!("{}/identity", own.name)),
                clients: vec![management.thumbprint()],
                operators: Vec::new(),
                guest_os: guest_os.clone(),
                network: "10.177.0.0/16".parse().unwrap(),
                healing: welkin_fabric_service::HealingConfig::default(),
                nodes: nodes.clone(),
            })
            .collect();
        let client = |peer: &PeerConfig| {
            let tls = client_config(Some(&management), ServerAuth::Pinned(peer.thumbprint)).unwrap();
            Client::new(peer.address, tls)
        };
        let clients = peers.iter().map(client).collect();
        drop(listeners);
        let processes = (0..count).map(|_| None).collect();
        let mut replicas = Self { etcd, agents, configs, clients, folder, processes };
        replicas.give_keys();
        for number in 0..count {
            replicas.start_process(number);
        }
        replicas.leader().await;
        replicas
    }

    /// The same keys for all, as a set-up gives them.
    fn give_keys(&self) {
        let keys = age::x25519::Identity::generate();
        let package = age::secrecy::ExposeSecret::expose_secret(&keys.to_string()).to_owned();
        let certificate = welkin_pki::UnsealingKey::generate().to_text();
        for config in &self.configs {
            std::fs::write(config.data.join("package.key"), &package).unwrap();
            std::fs::write(config.data.join("certificate.key"), certificate.as_bytes()).unwrap();
        }
    }

    pub fn start_process(&mut self, number: usize) {
        let config = &self.configs[number];
        let path = self.folder.path().join(&config.name);
        let file = path.join("config.toml");
        std::fs::write(&file, toml::to_string(config).unwrap()).unwrap();
        let log = std::fs::File::options().create(true).append(true).open(path.join("log")).unwrap();
        // It ends with the thread that started it, which is the test's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "replicas::controller_process", "--nocapture"]).env(CONFIG, file);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        assert!(self.processes[number].is_none());
        self.processes[number] = Some(command.spawn().unwrap());
    }

    pub fn signal(&mut self, number: usize, signal: Signal) {
        let process = self.processes[number].as_mut().unwrap();
        let text = match signal {
            Signal::Kill => "-KILL",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let sent = Command::new("kill").args([text, &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        if matches!(signal, Signal::Kill) {
            process.wait().unwrap();
            self.processes[number] = None;
        }
    }

    pub fn pid(&self, number: usize) -> u32 {
        self.processes[number].as_ref().unwrap().id()
    }

    /// Takes note that a process was killed.
    pub fn reap(&mut self, number: usize) {
        self.processes[number].take().unwrap().wait().unwrap();
    }

    /// What a replica says of itself, if it answers.
    pub async fn status(&self, number: usize) -> Option<ControllerStatus> {
        let asked = self.clients[number].get_json("/v1/controller", 1 << 14);
        tokio::time::timeout(Duration::from_secs(1), asked).await.ok()?.ok()
    }

    /// Waits until one leads.
    pub async fn leader(&self) -> usize {
        eventually("a controller leads", async || {
            for number in 0..self.clients.len() {
                if self.status(number).await.is_some_and(|status| status.leads) {
                    return Some(number);
                }
            }
            None
        })
        .await
    }

    /// Asks a replica, whether or not it leads.
    pub async fn ask(
        &self,
        number: usize,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Option<(StatusCode, String)> {
        let asked = async {
            let response = self.clients[number].send(method, path, full(body)).await.ok()?;
            let status = response.status();
            let bytes = read_body(response.into_body(), 1 << 20).await.ok()?;
            Some((status, String::from_utf8(bytes.to_vec()).unwrap()))
        };
        tokio::time::timeout(CALL_TIMEOUT, asked).await.ok()?
    }

    /// Asks whoever leads until one answers for good.
    pub async fn call(&self, method: &Method, path: &str, body: &[u8]) -> (StatusCode, String) {
        let began = Instant::now();
        loop {
            let leader = self.leader().await;
            match self.ask(leader, method.clone(), path, body.to_vec()).await {
                Some((status, text)) if !is_elsewhere(status) => return (status, text),
                other => assert!(began.elapsed() < Duration::from_secs(60), "{method} {path}: {other:?}"),
            }
        }
    }

    pub async fn send_package(&self, page: &str) -> Digest {
        let (_, text) = self.call(&Method::GET, "/v1/identity", b"").await;
        let identity: FabricIdentity = serde_json::from_str(&text).unwrap();
        let bytes = seal(&identity.package_recipient, page);
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        let (status, text) = self.call(&Method::PUT, &format!("/v1/packages/{digest}"), &bytes).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        digest
    }

    pub async fn put(&self, number: u8, goal: &DeploymentGoal) -> (StatusCode, String) {
        self.call(&Method::PUT, &deployment_path(number), &serde_json::to_vec(goal).unwrap()).await
    }

    pub async fn get(&self, number: u8) -> Option<DeploymentObserved> {
        let (status, text) = self.call(&Method::GET, &deployment_path(number), b"").await;
        match status {
            StatusCode::NOT_FOUND => None,
            status => {
                assert_eq!(status, StatusCode::OK, "{text}");
                Some(serde_json::from_str(&text).unwrap())
            }
        }
    }

    /// What the controllers say of themselves, for a test that fails.
    pub fn log(&self) -> String {
        let read =
            |config: &Config| std::fs::read_to_string(self.folder.path().join(&config.name).join("log"));
        self.configs.iter().filter_map(|config| read(config).ok()).collect()
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().flatten() {
            let _ = process.kill();
            let _ = process.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}

/// Whether another replica is to be asked, or the same later.
pub fn is_elsewhere(status: StatusCode) -> bool {
    matches!(status, StatusCode::MISDIRECTED_REQUEST | StatusCode::SERVICE_UNAVAILABLE)
}
