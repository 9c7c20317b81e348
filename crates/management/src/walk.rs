//! Tests: the service crashes before and after each commit of each operation that has several. After the next start what
//! was asked is done or not done, what is counted is what there is, and the same request can be made again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tempfile::TempDir;
use welkin_base::SubscriptionId;
use welkin_management_wire::{Call, VERSION, check_version, route};
use welkin_pki::Identity;
use welkin_store::StoreError;

use crate::api::dispatch;
use crate::config::{Config, FabricConfig, Limits, Quotas, StorageConfig, SubscriptionConfig};
use crate::control::{Change, Create};
use crate::failure::Failure;
use crate::hosted_service::HostedServiceRecord;
use crate::management::{Management, now};
use crate::operation::RequestId;
use crate::request::Request;
use crate::run::{open, prepare};
use crate::state::{Kind, Read, SERVICES};
use crate::{deploy, hosted_service, management_certificate, operator, quota, subscription};

const ALICE: &str = "11111111-1111-1111-1111-111111111111";
const CAROL: &str = "33333333-3333-3333-3333-333333333333";
const SERVICES_PATH: &str = "/services/hostedservices";
const GROUPS_PATH: &str = "/affinitygroups";
/// More commits than any operation has.
const COMMITS_MAX: u32 = 40;

/// A crash that comes at a commit: nothing is written from then on.
#[derive(Debug, Clone)]
pub struct Crash(Arc<AtomicU32>);

impl Default for Crash {
    fn default() -> Self {
        Self(Arc::new(AtomicU32::new(u32::MAX)))
    }
}

impl Crash {
    fn after(&self, moments: u32) {
        self.0.store(moments, Ordering::SeqCst);
    }

    /// A moment passes: each commit has one before it and one after it.
    pub fn moment(&self) -> Result<(), Failure> {
        match self.0.load(Ordering::SeqCst) {
            0 => Err(Failure::Store(StoreError::Closed)),
            u32::MAX => Ok(()),
            left => {
                self.0.store(left - 1, Ordering::SeqCst);
                Ok(())
            }
        }
    }

    fn has_come(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

/// What is asked.
#[derive(Clone)]
enum Ask {
    Customer(Method, &'static str, String),
    Create,
    Delete(&'static str),
    Disable,
    AddCertificate,
    RemoveCertificate,
}

struct World {
    folder: TempDir,
    own: Identity,
    second: Identity,
    management: Option<Arc<Management>>,
}

impl World {
    async fn new() -> Self {
        let own = Identity::self_signed("alice").unwrap();
        let second = Identity::self_signed("second").unwrap();
        let mut world = Self { folder: tempfile::tempdir().unwrap(), own, second, management: None };
        world.start().await;
        world
    }

    async fn start(&mut self) {
        if let Some(old) = self.management.take() {
            old.jobs.stop().await;
            old.state.close().await.unwrap();
        }
        let nobody = "127.0.0.1:1".parse().unwrap();
        let config = Config {
            data: self.folder.path().to_owned(),
            identity: self.folder.path().to_owned(),
            listen: nobody,
            location: "Earth".to_owned(),
            fabric: vec![FabricConfig { address: nobody, thumbprint: self.own.thumbprint() }],
            storage: StorageConfig {
                address: nobody,
                thumbprint: self.own.thumbprint(),
                blob_endpoint: String::new(),
                queue_endpoint: String::new(),
                table_endpoint: String::new(),
                other_blob_endpoints: Vec::new(),
            },
            limits: Limits::default(),
            operating_systems: Vec::new(),
            subscriptions: vec![SubscriptionConfig {
                id: SubscriptionId::new(ALICE).unwrap(),
                name: "Alice".to_owned(),
                certificates: vec![self.own.certificate_pem().to_owned()],
                quotas: Quotas { cores: 1, hosted_services: 2, storage_accounts: 1 },
            }],
        };
        let management = open(config, &self.own).await.unwrap();
        prepare(&management).await.unwrap();
        let management = Arc::new(management);
        deploy::resume(&management).await.unwrap();
        self.management = Some(management);
        self.settle().await;
    }

    /// What goes on after its answer has ended, or the crash has.
    async fn settle(&self) {
        let state = &self.management().state;
        let held = async |name| {
            let read: Option<Read<HostedServiceRecord>> =
                state.get(SERVICES, name, hosted_service::KEY).await.unwrap();
            let entry = state.entry(&SubscriptionId::new(ALICE).unwrap(), Kind::Service, name).await.unwrap();
            // Deleted, and about to be given back.
            match read {
                Some(read) => read.record.held.is_some(),
                None => entry.is_some(),
            }
        };
        let end = std::time::Instant::now() + Duration::from_secs(20);
        while !state.crash.has_come() && (held("first").await || held("second").await) {
            assert!(std::time::Instant::now() < end, "an operation does not end, or its claim stays");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    fn management(&self) -> &Arc<Management> {
        self.management.as_ref().unwrap()
    }

    async fn ask(&self, ask: &Ask) -> Result<(), Failure> {
        let management = self.management();
        let (alice, carol) = (SubscriptionId::new(ALICE).unwrap(), SubscriptionId::new(CAROL).unwrap());
        let second = self.second.certificate_pem();
        match ask {
            Ask::Customer(method, path, body) => self.request(method, path, body).await,
            Ask::Create => {
                let certificates = vec![second.to_owned()];
                let asked = Create {
                    id: Some(carol),
                    name: "Carol".to_owned(),
                    quotas: Quotas::default(),
                    certificates,
                };
                operator::create(management, asked).await.map(drop)
            }
            Ask::Delete(id) => operator::delete(management, &SubscriptionId::new(id).unwrap()).await,
            Ask::Disable => {
                let change = Change { disabled: Some(true), ..Change::default() };
                operator::change(management, &alice, change).await.map(drop)
            }
            Ask::AddCertificate => operator::add_certificate(management, &alice, second).await.map(drop),
            Ask::RemoveCertificate => {
                let thumbprint = self.own.sha1_thumbprint();
                operator::remove_certificate(management, &alice, thumbprint).await.map(drop)
            }
        }
    }

    async fn request(&self, method: &Method, path: &str, body: &str) -> Result<(), Failure> {
        let management = self.management();
        let id = SubscriptionId::new(ALICE).unwrap();
        let path = path.replace("{second}", &self.second.sha1_thumbprint().to_string());
        let certificate = data(&self.second);
        let call = route(method, &format!("/{ALICE}{path}").parse().unwrap())?;
        let Call { operation, parameters } = call;
        let request = Request {
            id: RequestId::generate(),
            operation,
            parameters,
            subscription: Arc::new(subscription::read(&management.state, &id).await?.record),
            caller: self.own.sha1_thumbprint(),
            client: [127, 0, 0, 1].into(),
            began: now(),
            version: check_version(Some(VERSION)).unwrap(),
            continuation: None,
            origin: "https://h".to_owned(),
            body: Bytes::from(body.replace("{second}", &certificate)),
        };
        let answered = dispatch(management, &request).await.map(drop);
        self.settle().await;
        answered
    }

    /// All that there is, without its history.
    async fn snapshot(&self) -> Vec<String> {
        let state = &self.management().state;
        let mut lines = Vec::new();
        for id in [ALICE, CAROL].map(|id| SubscriptionId::new(id).unwrap()) {
            let read = subscription::read(state, &id)
                .await
                .ok()
                .map(|read| (read.record.name, read.record.disabled));
            lines.push(format!("{id} {read:?} {:?}", quota::usage(state, &id).await.unwrap()));
            for kind in [Kind::Service, Kind::Account, Kind::Group, Kind::Certificate] {
                for name in state.names(&id, kind).await.unwrap() {
                    let entry = state.entry(&id, kind, &name).await.unwrap().unwrap();
                    let group = matches!(kind, Kind::Service | Kind::Account).then_some(entry.value);
                    // Certificates are new in each world.
                    let name = if kind == Kind::Certificate { String::new() } else { name };
                    lines.push(format!("  {kind:?} {name} {group:?}"));
                }
            }
        }
        for name in ["first", "second"] {
            let read: Option<Read<HostedServiceRecord>> =
                state.get(SERVICES, name, hosted_service::KEY).await.unwrap();
            lines.push(format!(
                "{name} {:?}",
                read.map(|read| (read.record.label, read.record.held.is_some()))
            ));
        }
        for identity in [&self.own, &self.second] {
            let found = management_certificate::subscriptions_of(state, identity.sha1_thumbprint()).await;
            lines.push(format!("{:?}", found.unwrap()));
        }
        lines
    }
}

fn data(identity: &Identity) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(identity.certificate().der())
}

async fn check(before: &[Ask], ask: Ask) {
    let world = async || {
        let world = World::new().await;
        for one in before {
            world.ask(one).await.unwrap();
        }
        world
    };
    let whole = world().await;
    let undone = whole.snapshot().await;
    whole.ask(&ask).await.unwrap();
    let done = whole.snapshot().await;
    assert_ne!(undone, done);
    for moments in 0..COMMITS_MAX {
        let mut world = world().await;
        let crash = world.management().state.crash.clone();
        crash.after(moments);
        let result = world.ask(&ask).await;
        if !crash.has_come() {
            assert!(moments >= 2 && result.is_ok(), "the operation has no commit: {result:?}");
            return;
        }
        world.start().await;
        let now = world.snapshot().await;
        assert!(
            now == done || now == undone,
            "after {moments}: {now:#?}\nis neither {undone:#?}\nnor {done:#?}"
        );
        assert!(result.is_err() || now == done, "after {moments}: acknowledged and lost");
        match world.ask(&ask).await {
            Ok(()) | Err(Failure::Api(_)) => {}
            Err(other) => panic!("after {moments}: {other:?}"),
        }
        assert_eq!(world.snapshot().await, done, "after {moments}: once more");
    }
    panic!("the operation does not end");
}

fn service(name: &str, place: &str) -> Ask {
    let body = format!(
        "<CreateHostedService><ServiceName>{name}</ServiceName><Label>YQ==</Label>{place}</CreateHostedService>"
    );
    Ask::Customer(Method::POST, SERVICES_PATH, body)
}

fn group() -> Ask {
    let body = "<CreateAffinityGroup><Name>near</Name><Label>YQ==</Label><Location>Earth</Location></CreateAffinityGroup>";
    Ask::Customer(Method::POST, GROUPS_PATH, body.to_owned())
}

fn customer(method: Method, path: &'static str) -> Ask {
    Ask::Customer(method, path, String::new())
}

fn certificate() -> Ask {
    let body = "<SubscriptionCertificate><SubscriptionCertificateData>{second}</SubscriptionCertificateData>\
        </SubscriptionCertificate>";
    Ask::Customer(Method::POST, "/certificates", body.to_owned())
}

const HERE: &str = "<Location>Earth</Location>";
const NEAR: &str = "<AffinityGroup>near</AffinityGroup>";

#[tokio::test]
async fn hosted_services() {
    check(&[], service("first", HERE)).await;
    check(&[group(), service("second", HERE)], service("first", NEAR)).await;
    check(&[service("first", HERE)], customer(Method::DELETE, "/services/hostedservices/first")).await;
    check(&[service("first", HERE)], customer(Method::DELETE, "/services/hostedservices/first?comp=media"))
        .await;
}

#[tokio::test]
async fn affinity_groups() {
    check(&[], group()).await;
    check(&[group()], customer(Method::DELETE, "/affinitygroups/near")).await;
}

#[tokio::test]
async fn certificates() {
    check(&[], certificate()).await;
    check(&[certificate()], customer(Method::DELETE, "/certificates/{second}")).await;
    check(&[], Ask::AddCertificate).await;
    check(&[certificate()], Ask::RemoveCertificate).await;
}

#[tokio::test]
async fn subscriptions() {
    check(&[], Ask::Create).await;
    check(&[Ask::Create], Ask::Delete(CAROL)).await;
    check(&[], Ask::Disable).await;
}
