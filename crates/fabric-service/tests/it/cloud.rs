//! A controller with its agents and a client that stands for management.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use welkin_base::{DeploymentId, Digest, Generation, RoleName, ServiceName, SubscriptionId};
use welkin_fabric_service::{Config, NodeConfig, RunError, StoreConfig, run};
use welkin_fabric_wire::{
    DeploymentGoal, DeploymentObserved, FabricIdentity, GoalStatus, InstanceState, Refusal, Slot, UpdateGoal,
};
use welkin_pki::{Identity, ServerAuth, client_config};
use welkin_service_model::{PackageWriter, package};
use welkin_transport::{Client, full, read_body};

use crate::agent::FakeAgent;

pub const DEFINITION: &str = r#"<ServiceDefinition name="Shop"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition">
  <WebRole name="Web" vmsize="ExtraSmall">
    <ConfigurationSettings><Setting name="Color"/></ConfigurationSettings>
    <Runtime><EntryPoint><ProgramEntryPoint commandLine="web" setReadyOnProcessStart="true"/></EntryPoint></Runtime>
    <Endpoints><InputEndpoint name="Http" protocol="http" port="80" localPort="8080"/></Endpoints>
  </WebRole>
</ServiceDefinition>"#;

pub fn configuration(instances: u32) -> String {
    format!(
        r#"<ServiceConfiguration serviceName="Shop"
             xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration">
           <Role name="Web"><Instances count="{instances}"/>
             <ConfigurationSettings><Setting name="Color" value="blue"/></ConfigurationSettings></Role>
           </ServiceConfiguration>"#
    )
}

pub fn id(number: u8) -> DeploymentId {
    DeploymentId::new(&format!("{number:032x}")).unwrap()
}

pub fn deployment_path(number: u8) -> String {
    format!("/v1/deployments/{}", id(number))
}

type Running = (oneshot::Sender<()>, JoinHandle<Result<(), RunError>>);

pub struct Cloud {
    pub folder: TempDir,
    pub agents: Vec<FakeAgent>,
    pub config: Config,
    /// Management's.
    pub client: Client,
    pub operator: Client,
    running: Option<Running>,
}

impl Cloud {
    /// A cloud of so many nodes, each a fault domain of its own, whose controller runs.
    pub async fn start(nodes: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| -> PathBuf {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let (identity_folder, guest_os) = (at("identity"), at("images"));
        let own = Identity::self_signed("fabric").unwrap();
        own.save(&identity_folder).unwrap();
        for name in ["kernel", "initramfs", "root"] {
            std::fs::write(guest_os.join(name), format!("{name} of the guest OS")).unwrap();
        }
        std::fs::write(guest_os.join("version.toml"), "version = \"TEST-OS-1\"").unwrap();
        let mut agents = Vec::new();
        for number in 0..nodes {
            agents.push(FakeAgent::start(&format!("node{number}"), vec![own.thumbprint()]).await);
        }
        let management = Identity::self_signed("management").unwrap();
        let operator = Identity::self_signed("operator").unwrap();
        let listen = free_address().await;
        let config = Config {
            drain_seconds_max: None,
            ready_minutes_max: None,
            data: folder.path().join("data"),
            listen,
            name: "fabric".to_owned(),
            store: StoreConfig::Local,
            peers: Vec::new(),
            identity: identity_folder,
            clients: vec![management.thumbprint()],
            operators: vec![operator.thumbprint()],
            guest_os,
            network: "10.177.0.0/16".parse().unwrap(),
            healing: welkin_fabric_service::HealingConfig::default(),
            nodes: (0..)
                .zip(&agents)
                .map(|(number, agent)| NodeConfig {
                    name: agent.name.clone(),
                    kind: welkin_fabric_wire::NodeKind::Compute,
                    number,
                    fault_domain: number.into(),
                    address: agent.address,
                    thumbprint: agent.thumbprint,
                })
                .collect(),
        };
        let [client, operator] = [management, operator].map(|caller| {
            let tls = client_config(Some(&caller), ServerAuth::Pinned(own.thumbprint())).unwrap();
            Client::new(listen, tls)
        });
        let mut cloud = Self { folder, agents, config, client, operator, running: None };
        cloud.resume().await;
        cloud
    }

    /// Starts the controller and waits until it answers.
    pub async fn resume(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let running = run(self.config.clone(), async {
            let _ = stopped.await;
        });
        self.running = Some((stop, tokio::spawn(running)));
        eventually("the controller answers", async || {
            self.client.get_json::<FabricIdentity>("/v1/identity", 1 << 10).await.ok()
        })
        .await;
    }

    pub async fn stop(&mut self) {
        let (stop, running) = self.running.take().unwrap();
        stop.send(()).unwrap();
        running.await.unwrap().unwrap();
    }

    /// Seals a package with one file per role and sends it.
    pub async fn send_package(&self) -> Digest {
        let identity: FabricIdentity = self.client.get_json("/v1/identity", 1 << 10).await.unwrap();
        self.send_bytes(seal(&identity.package_recipient, "hello")).await
    }

    /// The same service with another file.
    pub async fn send_version(&self, page: &str) -> Digest {
        let identity: FabricIdentity = self.client.get_json("/v1/identity", 1 << 10).await.unwrap();
        self.send_bytes(seal(&identity.package_recipient, page)).await
    }

    pub async fn send_bytes(&self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::from_bytes(Sha256::digest(&bytes).into());
        let (status, text) = self.call(Method::PUT, &format!("/v1/packages/{digest}"), bytes).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        digest
    }

    pub async fn call(&self, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, String) {
        Self::call_by(&self.client, method, path, body).await
    }

    pub async fn call_by(caller: &Client, method: Method, path: &str, body: Vec<u8>) -> (StatusCode, String) {
        let response = caller.send(method, path, full(body)).await.unwrap();
        let status = response.status();
        let bytes = read_body(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(bytes.to_vec()).unwrap())
    }

    pub async fn put(&self, number: u8, goal: &DeploymentGoal) -> (StatusCode, String) {
        self.call(Method::PUT, &deployment_path(number), serde_json::to_vec(goal).unwrap()).await
    }

    pub async fn refused(&self, number: u8, goal: &DeploymentGoal) -> Refusal {
        let (status, text) = self.put(number, goal).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn get(&self, number: u8) -> Option<DeploymentObserved> {
        match self.client.get_json(&deployment_path(number), 1 << 20).await {
            Ok(observed) => Some(observed),
            Err(error) if error.is_not_found() => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Deploys and waits until all is ready.
    pub async fn deploy(&self, number: u8, instances: u32) -> DeploymentObserved {
        let goal = goal(self.send_package().await, 1, instances);
        let (status, text) = self.put(number, &goal).await;
        assert_eq!(status, StatusCode::OK, "{text}");
        self.until_ready(number).await
    }

    pub async fn until_ready(&self, number: u8) -> DeploymentObserved {
        eventually("every instance is ready", async || {
            let observed = self.get(number).await?;
            observed
                .instances
                .iter()
                .all(|instance| instance.state == InstanceState::Ready)
                .then_some(observed)
        })
        .await
    }

    pub async fn until_gone(&self, number: u8) {
        eventually("the deployment is gone", async || self.get(number).await.is_none().then_some(())).await;
    }
}

pub fn seal(recipient: &str, page: &str) -> Vec<u8> {
    let recipient = package::recipient(recipient).unwrap();
    let mut writer = PackageWriter::seal(Vec::new(), &recipient, DEFINITION).unwrap();
    let web = RoleName::new("Web").unwrap();
    writer.add(&web, "web", true, &mut &b"#!/bin/sh\n"[..]).unwrap();
    writer.add(&web, "static/page.html", false, &mut page.as_bytes()).unwrap();
    writer.finish().unwrap()
}

pub fn goal(package: Digest, generation: u64, instances: u32) -> DeploymentGoal {
    DeploymentGoal {
        generation: Generation(generation),
        subscription: SubscriptionId::new("6ba7b810-9dad-11d1-80b4-00c04fd430c8").unwrap(),
        service: ServiceName::new("shop").unwrap(),
        slot: Slot::Production,
        package,
        configuration: configuration(instances),
        status: GoalStatus::Running,
        kept: BTreeMap::new(),
        removed: BTreeSet::new(),
        update: UpdateGoal::default(),
    }
}

/// Waits for a condition; a slow machine has a minute.
pub async fn eventually<T>(what: &str, condition: impl AsyncFn() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    match tokio::time::timeout(Duration::from_secs(60), waiting).await {
        Ok(value) => value,
        Err(_) => panic!("waited for a minute until {what}"),
    }
}

async fn free_address() -> SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}
