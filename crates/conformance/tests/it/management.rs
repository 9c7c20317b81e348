//! The management API and azure-servicemanagement-legacy from PyPI, unmodified: `python/management.py`. The
//! management and storage services are the real ones; the fabric controller is one for tests, whose instances exist
//! in words only. `whole_run` has them all real.

#[path = "../../../management/tests/it/fabric.rs"]
#[allow(dead_code, reason = "the tests of management use more of it")]
mod fabric;

use std::future::Future;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use welkin_base::SubscriptionId;
use welkin_management::{FabricConfig, Limits, Quotas, StorageConfig, SubscriptionConfig};
use welkin_management_wire::location::OperatingSystem;
use welkin_pki::{Authority, Identity};

use crate::{javascript, python};
use fabric::TestFabric;

const SUBSCRIPTION: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
/// As far as the test's fabric controller looks into it.
const CONFIGURATION: &str = "<S><Role name=\"Web\"><Instances count=\"2\"/></Role></S>";
const LOCATION: &str = "Earth";
/// The services start within this time, unless they never do.
const START_LIMIT: Duration = Duration::from_secs(30);

/// A management service and a storage service, which end with it.
struct Services {
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    folder: TempDir,
    management: SocketAddr,
    customer: Identity,
    stranger: Identity,
    authority_pem: String,
}

impl Drop for Services {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(START_LIMIT);
        }
    }
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn stopped(stop: &watch::Sender<bool>) -> impl Future<Output = ()> + Send + 'static {
    let mut stop = stop.subscribe();
    async move {
        let _ = stop.wait_for(|stop| *stop).await;
    }
}

fn saved(folder: &Path, name: &str, identity: &Identity) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).unwrap();
    identity.save(&path).unwrap();
    path
}

fn wait_for(address: SocketAddr) {
    let end = Instant::now() + START_LIMIT;
    while TcpStream::connect(address).is_err() {
        assert!(Instant::now() < end, "nothing answers at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Services {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (stop, _) = watch::channel(false);
        let authority = Authority::generate("test cluster").unwrap();
        let own = authority.issue("management", &["127.0.0.1".to_owned()]).unwrap();
        let customer = Identity::self_signed("customer").unwrap();
        let storage_identity = Identity::self_signed("storage").unwrap();
        let fabric = TestFabric::start(runtime.handle(), own.thumbprint());

        let [blob, queue, table, admin, listen] = std::array::from_fn(|_| free_address());
        let storage = welkin_storage_service::Config {
            data_folder: folder.path().join("storage"),
            blob_listen: vec![blob],
            queue_listen: vec![queue],
            table_listen: vec![table],
            host_suffixes: Vec::new(),
            admin: Some(welkin_storage_service::AdminConfig {
                listen: admin,
                identity_folder: saved(folder.path(), "storage-identity", &storage_identity),
                clients: vec![own.thumbprint()],
            }),
            dev: false,
            ..welkin_storage_service::Config::default()
        };
        let endpoint = |address| format!("http://{address}");
        let management = welkin_management::Config {
            data: folder.path().join("management"),
            identity: saved(folder.path(), "management-identity", &own),
            listen,
            location: LOCATION.to_owned(),
            fabric: vec![FabricConfig { address: fabric.address, thumbprint: fabric.thumbprint }],
            storage: StorageConfig {
                address: admin,
                thumbprint: storage_identity.thumbprint(),
                blob_endpoint: endpoint(blob),
                queue_endpoint: endpoint(queue),
                table_endpoint: endpoint(table),
                other_blob_endpoints: Vec::new(),
            },
            limits: Limits::default(),
            operating_systems: vec![OperatingSystem {
                version: "WELKIN-1".to_owned(),
                label: "Welkin guest OS".to_owned(),
                family: 1,
                family_label: "Debian".to_owned(),
                default: true,
            }],
            subscriptions: vec![SubscriptionConfig {
                id: SubscriptionId::new(SUBSCRIPTION).unwrap(),
                name: "test".to_owned(),
                certificates: vec![customer.certificate_pem().to_owned()],
                quotas: Quotas::default(),
            }],
        };
        runtime.spawn(ended("storage", welkin_storage_service::run(storage, stopped(&stop))));
        runtime.spawn(ended("management", welkin_management::run(management, stopped(&stop))));
        for address in [blob, admin, listen] {
            wait_for(address);
        }
        let authority_pem = authority.identity().certificate_pem().to_owned();
        let stranger = Identity::self_signed("stranger").unwrap();
        Self { runtime: Some(runtime), stop, folder, management: listen, customer, stranger, authority_pem }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Certificate and key in one file, as the client wants them.
    fn pem(&self, name: &str, identity: &Identity) -> PathBuf {
        self.file(name, &format!("{}{}", identity.certificate_pem(), identity.key_pem()))
    }
}

async fn ended<E: std::error::Error>(name: &str, service: impl Future<Output = Result<(), E>>) {
    if let Err(error) = service.await {
        panic!("{name} ended: {error}");
    }
}

#[test]
fn the_python_client_manages() {
    let (services, second) = (Services::start(), Identity::self_signed("second").unwrap());
    let status = Command::new(python::python())
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/python/management.py"))
        .env("WELKIN_MANAGEMENT", services.management.to_string())
        .env("WELKIN_AUTHORITY", services.file("ca.pem", &services.authority_pem))
        .env("WELKIN_SUBSCRIPTION", SUBSCRIPTION)
        .env("WELKIN_CERTIFICATE", services.pem("customer.pem", &services.customer))
        .env("WELKIN_SECOND", services.pem("second.pem", &second))
        .env("WELKIN_SECOND_KEY", STANDARD.encode(second.certificate().public_key().unwrap()))
        .env("WELKIN_STRANGER", services.pem("stranger.pem", &services.stranger))
        .env("WELKIN_LOCATION", LOCATION)
        .env("WELKIN_PACKAGE", services.file("service.cspkg", "a package, as far as management can tell"))
        .env("WELKIN_CONFIGURATION", services.file("good.cscfg", CONFIGURATION))
        .env("WELKIN_WRONG_CONFIGURATION", services.file("wrong.cscfg", "<Unknown/>"))
        .env("WELKIN_INSTANCES", "run")
        .status()
        .unwrap();
    assert!(status.success(), "see what the client says above");
}

#[test]
fn the_javascript_clients_manage() {
    let (services, second) = (Services::start(), Identity::self_signed("second").unwrap());
    let status = javascript::node("management.mjs")
        .arg("--no-deprecation")
        .env("WELKIN_MANAGEMENT", services.management.to_string())
        .env("NODE_EXTRA_CA_CERTS", services.file("ca.pem", &services.authority_pem))
        .env("WELKIN_SUBSCRIPTION", SUBSCRIPTION)
        .env("WELKIN_CERTIFICATE", services.pem("customer.pem", &services.customer))
        .env("WELKIN_SECOND", services.pem("second.pem", &second))
        .env("WELKIN_LOCATION", LOCATION)
        .env("WELKIN_CONFIGURATION", services.file("good.cscfg", CONFIGURATION))
        .env_remove("HTTPS_PROXY")
        .env_remove("HTTP_PROXY")
        .env_remove("https_proxy")
        .env_remove("http_proxy")
        .status()
        .unwrap();
    assert!(status.success(), "see what the clients say above");
}
