//! A management service that runs, and customers with certificates of their own.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use ureq::Agent;
use ureq::http::{Method, Request};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig};
use welkin_base::SubscriptionId;
use welkin_management::control::SOCKET_FILE;
use welkin_management::control::client::Client;
use welkin_management::{
    Config, FabricConfig, Limits, Quotas, RunError, StorageConfig, SubscriptionConfig, run,
};
use welkin_management_wire::answer::{self, Outcome};
use welkin_pki::{Authority, Identity};

use crate::fabric::TestFabric;
use crate::storage::TestStorage;

/// Nothing here takes longer, unless it never ends.
pub const LIMIT: Duration = Duration::from_secs(20);
/// The first subscription.
pub const ALICE: &str = "11111111-1111-1111-1111-111111111111";
/// The other one.
pub const BOB: &str = "22222222-2222-2222-2222-222222222222";

/// A management service with all around it.
pub struct Rig {
    runtime: Runtime,
    folder: TempDir,
    /// Its configuration.
    pub config: Config,
    authority_pem: String,
    running: Option<Running>,
    /// The fabric controller.
    pub fabric: TestFabric,
    /// The storage service.
    pub storage: TestStorage,
    /// Customer of [`ALICE`].
    pub alice: Identity,
    /// Customer of [`BOB`].
    pub bob: Identity,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), RunError>>,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub text: String,
    /// `x-ms-request-id`.
    pub request_id: String,
    /// `Content-Type`.
    pub content_type: String,
    /// `Location`.
    pub location: String,
    /// `Retry-After`.
    pub retry_after: String,
}

impl Answer {
    /// The error's code.
    pub fn code(&self) -> String {
        answer::error(&self.text).map(|error| error.0).unwrap_or_default()
    }
}

/// A port that is free now.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Rig {
    /// Everything runs.
    pub fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::generate("test cluster").unwrap();
        let own = authority.issue("management", &["127.0.0.1".into(), "localhost".into()]).unwrap();
        let identity = folder.path().join("identity");
        std::fs::create_dir(&identity).unwrap();
        own.save(&identity).unwrap();
        let fabric = TestFabric::start(runtime.handle(), own.thumbprint());
        let storage = TestStorage::start(runtime.handle(), own.thumbprint());
        let (alice, bob) = (Identity::self_signed("alice").unwrap(), Identity::self_signed("bob").unwrap());
        let subscription = |id: &str, name: &str, identity: &Identity| SubscriptionConfig {
            id: SubscriptionId::new(id).unwrap(),
            name: name.to_owned(),
            certificates: vec![identity.certificate_pem().to_owned()],
            quotas: Quotas { cores: 8, hosted_services: 3, storage_accounts: 2 },
        };
        let config = Config {
            data: folder.path().join("data"),
            identity,
            listen: free_address(),
            location: "Earth".to_owned(),
            fabric: vec![FabricConfig { address: fabric.address, thumbprint: fabric.thumbprint }],
            storage: StorageConfig {
                address: storage.address,
                thumbprint: storage.thumbprint,
                blob_endpoint: storage.blob_endpoint.clone(),
                queue_endpoint: "http://127.0.0.1:10001".to_owned(),
                table_endpoint: "http://127.0.0.1:10002".to_owned(),
                other_blob_endpoints: Vec::new(),
            },
            limits: Limits::default(),
            operating_systems: Vec::new(),
            subscriptions: vec![subscription(ALICE, "Alice", &alice), subscription(BOB, "Bob", &bob)],
        };
        let authority_pem = authority.identity().certificate_pem().to_owned();
        let mut rig =
            Self { runtime, folder, config, authority_pem, running: None, fabric, storage, alice, bob };
        rig.start_management();
        rig
    }

    /// Starts the management service on the same data.
    pub fn start_management(&mut self) {
        let (stop, stopped) = oneshot::channel();
        let service = run(self.config.clone(), async {
            let _ = stopped.await;
        });
        self.running = Some(Running { stop, task: self.runtime.spawn(service) });
        let end = Instant::now() + LIMIT;
        // The last thing before the first request is answered.
        while std::os::unix::net::UnixStream::connect(self.config.data.join(SOCKET_FILE)).is_err() {
            let running = self.running.take().unwrap();
            if running.task.is_finished() {
                let result = self.runtime.block_on(running.task).unwrap();
                panic!("management does not start: {result:?}");
            }
            self.running = Some(running);
            assert!(Instant::now() < end, "management does not start");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it.
    pub fn stop_management(&mut self) {
        let running = self.running.take().unwrap();
        running.stop.send(()).unwrap();
        self.runtime.block_on(running.task).unwrap().unwrap();
    }

    /// The certificate of the authority that signed the service's.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// The folder of everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the operator does, by the control socket.
    pub fn operate<T>(&self, call: impl AsyncFnOnce(Client) -> T) -> T {
        self.runtime.block_on(call(Client::new(&self.config.data)))
    }

    /// A client with this certificate.
    pub fn client(&self, identity: Option<&Identity>) -> Customer {
        let root = Certificate::from_pem(self.authority_pem.as_bytes()).unwrap();
        let own = identity.map(|identity| {
            let certificate = Certificate::from_pem(identity.certificate_pem().as_bytes()).unwrap();
            let key = PrivateKey::from_pem(identity.key_pem().as_bytes()).unwrap();
            ClientCert::new_with_certs(&[certificate], key)
        });
        let tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .root_certs(RootCerts::new_with_certs(&[root]))
            .client_cert(own)
            .build();
        let agent = Agent::config_builder()
            .tls_config(tls)
            .proxy(None)
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .timeout_global(Some(LIMIT))
            .build();
        Customer { agent: agent.into(), base: format!("https://{}", self.config.listen) }
    }

    /// Alice, below her subscription.
    pub fn alice(&self) -> Customer {
        let customer = self.client(Some(&self.alice));
        Customer { base: format!("{}/{ALICE}", customer.base), ..customer }
    }

    /// A client with this certificate, below a subscription.
    pub fn customer(&self, identity: Option<&Identity>, subscription: &str) -> Customer {
        let customer = self.client(identity);
        Customer { base: format!("{}/{subscription}", customer.base), ..customer }
    }

    /// Bob, below his subscription.
    pub fn bob(&self) -> Customer {
        let customer = self.client(Some(&self.bob));
        Customer { base: format!("{}/{BOB}", customer.base), ..customer }
    }
}

/// Somebody who calls the API.
pub struct Customer {
    agent: Agent,
    base: String,
}

impl Customer {
    /// Calls with headers and a body as they are given.
    pub fn raw(&self, method: &Method, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = self.agent.run(request.body(body).unwrap()).unwrap();
        let header = |name: &str| {
            let value = response.headers().get(name);
            value.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
        };
        let (request_id, content_type) = (header("x-ms-request-id"), header("content-type"));
        let (location, retry_after) = (header("location"), header("retry-after"));
        let status = response.status().as_u16();
        Answer {
            status,
            text: response.body_mut().read_to_string().unwrap(),
            request_id,
            content_type,
            location,
            retry_after,
        }
    }

    /// Calls as clients do.
    pub fn call(&self, method: &Method, path: &str, body: &str) -> Answer {
        self.raw(method, path, &[("x-ms-version", "2014-10-01")], body.as_bytes())
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Answer {
        self.call(&Method::GET, path, "")
    }

    /// Creates or changes.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        self.call(&Method::POST, path, body)
    }

    /// Deletes.
    pub fn delete(&self, path: &str) -> Answer {
        self.call(&Method::DELETE, path, "")
    }

    /// How the operation that an answer began ended.
    pub fn outcome(&self, accepted: &Answer) -> Outcome {
        let end = Instant::now() + LIMIT;
        loop {
            let status = self.get(&format!("/operations/{}", accepted.request_id));
            match answer::outcome(&status.text) {
                Some(Outcome::InProgress) if Instant::now() < end => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Some(outcome) => return outcome,
                None => panic!("no operation status: {status:?}"),
            }
        }
    }

    /// Makes a hosted service.
    pub fn make_service(&self, name: &str) -> Answer {
        self.post("/services/hostedservices", &service_body(name))
    }

    /// Makes a storage account and waits for it.
    pub fn make_account(&self, name: &str) {
        let accepted = self.post("/services/storageservices", &account_body(name));
        assert_eq!(accepted.status, 202, "{accepted:?}");
        assert_eq!(self.outcome(&accepted), Outcome::Succeeded);
    }
}

/// Text in base64.
pub fn base64(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

/// The body of "Create Hosted Service".
pub fn service_body(name: &str) -> String {
    format!(
        "<CreateHostedService xmlns=\"http://schemas.microsoft.com/windowsazure\"><ServiceName>{name}</ServiceName>\
         <Label>{}</Label><Location>Earth</Location></CreateHostedService>",
        base64("label")
    )
}

/// The body of "Create Storage Account".
pub fn account_body(name: &str) -> String {
    format!(
        "<CreateStorageServiceInput><ServiceName>{name}</ServiceName><Description/><Label>{}</Label>\
         <Location>Earth</Location><AccountType>Standard_GRS</AccountType></CreateStorageServiceInput>",
        base64("label")
    )
}

/// The body of "Create Deployment".
pub fn deployment_body(name: &str, url: &str, configuration: &str, start: bool) -> String {
    format!(
        "<CreateDeployment><Name>{name}</Name><PackageUrl>{}</PackageUrl><Label>{}</Label>\
         <Configuration>{}</Configuration><StartDeployment>{start}</StartDeployment></CreateDeployment>",
        url.replace('&', "&amp;"),
        base64("label"),
        base64(configuration)
    )
}
