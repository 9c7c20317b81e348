//! The storage service with its development account, on free ports, until it is dropped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use welkin_storage_service::{Config, CopyConfig, DEV_ACCOUNT, DEV_KEY, RunError};
use welkin_storage_wire::admin::AccountSettings;
use welkin_storage_wire::operation::Operation;

use crate::answered::Answered;
use crate::javascript::node;
use crate::python::python;
use crate::tested;

/// The service starts, and ends, within this time, unless it never does.
const LIMIT: Duration = Duration::from_secs(30);
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// A running storage service.
pub struct StorageService {
    runtime: Option<Runtime>,
    running: Option<JoinHandle<Result<(), RunError>>>,
    stop: watch::Sender<bool>,
    folder: TempDir,
    /// Its blob, queue and table addresses.
    addresses: [SocketAddr; 3],
    /// Its blob address over HTTPS.
    blob_https: SocketAddr,
    /// What it answered.
    answered: Answered,
}

impl StorageService {
    /// Starts it on free ports and waits until it answers.
    pub fn start() -> Self {
        // All three are taken before any is given back, so that they differ.
        let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        Self::start_at(taken.map(|listener| listener.local_addr().unwrap()))
    }

    /// Starts it with an account that has these settings.
    pub fn start_with(settings: AccountSettings) -> Self {
        let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        Self::start_as(
            taken.map(|listener| listener.local_addr().unwrap()),
            Some(settings),
            CopyConfig::default(),
        )
    }

    /// Starts it so that it copies from other servers of this machine.
    pub fn start_copying() -> Self {
        let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let private_sources = vec!["127.0.0.1/32".parse().unwrap()];
        let copy = CopyConfig { foreign_sources: true, private_sources, authority: None };
        Self::start_as(taken.map(|listener| listener.local_addr().unwrap()), None, copy)
    }

    /// Starts it at these blob, queue and table addresses and waits until it answers.
    pub fn start_at(addresses: [SocketAddr; 3]) -> Self {
        Self::start_as(addresses, None, CopyConfig::default())
    }

    fn start_as(addresses: [SocketAddr; 3], dev_settings: Option<AccountSettings>, copy: CopyConfig) -> Self {
        let folder = TempDir::new().unwrap();
        let blob_https = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = Config {
            data_folder: folder.path().join("data"),
            blob_listen: vec![addresses[0]],
            blob_https_listen: vec![blob_https],
            queue_listen: vec![addresses[1]],
            table_listen: vec![addresses[2]],
            host_suffixes: Vec::new(),
            admin: None,
            dev: true,
            dev_settings,
            copy,
            ..Config::default()
        };
        let answered = Answered::default();
        let log = answered.clone();
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .on_thread_start(move || log.listen_in_this_thread())
            .build()
            .unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let shutdown = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let running = runtime.spawn(welkin_storage_service::run(config, shutdown));
        let running = Some(running);
        let service = Self { runtime: Some(runtime), running, stop, folder, addresses, blob_https, answered };
        service.wait();
        service
    }

    /// Runs a script of `python/`, whose assertions decide.
    pub fn check(&self, script: &str) {
        self.check_with(script, &[]);
    }

    /// The same, with more in the script's environment.
    pub fn check_with(&self, script: &str, environment: &[(&str, String)]) {
        let mut command = Command::new(python());
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.arg(Path::new(SCRIPTS).join(script));
        self.run(command, script);
        self.saw(script, |agent| agent.contains("azsdk-python-"));
    }

    /// Runs a script of `javascript/`, whose assertions decide.
    pub fn check_javascript(&self, script: &str) {
        self.run(node(script), script);
        self.saw(script, |agent| agent.contains("azsdk-js-"));
    }

    /// Holds what clients with such names did to the test's list of it.
    pub fn saw(&self, test: &str, is_client: impl Fn(&str) -> bool) {
        tested::check(test, &self.answered.to(is_client));
    }

    /// The blob, queue and table endpoints of the account.
    pub fn endpoints(&self) -> [String; 3] {
        self.addresses.map(|address| format!("http://{address}/{DEV_ACCOUNT}"))
    }

    /// What a program needs to find the account.
    pub fn connection_string(&self) -> String {
        let [blob, queue, table] = self.endpoints();
        format!(
            "DefaultEndpointsProtocol=http;AccountName={DEV_ACCOUNT};AccountKey={DEV_KEY};\
             BlobEndpoint={blob};QueueEndpoint={queue};TableEndpoint={table};"
        )
    }

    fn run(&self, mut command: Command, script: &str) {
        let [blob, queue, table] = self.endpoints();
        let names = |built: bool| -> String {
            let specs = Operation::all().map(Operation::spec).filter(|spec| spec.built == built);
            specs.map(|spec| spec.name).collect::<Vec<_>>().join(",")
        };
        let status = command
            .env("STORAGE_ACCOUNT", DEV_ACCOUNT)
            .env("STORAGE_KEY", DEV_KEY)
            .env("STORAGE_OPERATIONS", names(true))
            .env("STORAGE_OPERATIONS_NOT_BUILT", names(false))
            .env("BLOB_ENDPOINT", blob)
            .env("BLOB_HTTPS_ENDPOINT", format!("https://{}/{DEV_ACCOUNT}", self.blob_https))
            .env("BLOB_HTTPS_CA", self.folder.path().join("data/tls/cert.pem"))
            .env("QUEUE_ENDPOINT", queue)
            .env("TABLE_ENDPOINT", table)
            .status()
            .unwrap();
        assert!(status.success(), "{script} failed; its output says where");
    }

    fn wait(&self) {
        let end = Instant::now() + LIMIT;
        while !self.addresses.iter().all(|address| TcpStream::connect(address).is_ok()) {
            assert!(!self.running.as_ref().unwrap().is_finished(), "the storage service ended");
            assert!(Instant::now() < end, "the storage service does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for StorageService {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
        let (runtime, running) = (self.runtime.take().unwrap(), self.running.take().unwrap());
        let ended = runtime.block_on(async { tokio::time::timeout(LIMIT, running).await });
        if !std::thread::panicking() {
            ended.unwrap().unwrap().unwrap();
        }
    }
}
