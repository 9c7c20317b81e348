//! The storage service with its development account, on free ports, until it is dropped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use welkin_storage_service::{Config, DEV_ACCOUNT, DEV_KEY, RunError};

use crate::python::python;

/// The service starts, and ends, within this time, unless it never does.
const LIMIT: Duration = Duration::from_secs(30);
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python");

/// A running storage service.
pub struct StorageService {
    runtime: Option<Runtime>,
    running: Option<JoinHandle<Result<(), RunError>>>,
    stop: watch::Sender<bool>,
    _folder: TempDir,
    /// Its blob, queue and table addresses.
    addresses: [SocketAddr; 3],
}

impl StorageService {
    /// Starts it and waits until it answers.
    pub fn start() -> Self {
        let folder = TempDir::new().unwrap();
        // All three are taken before any is given back, so that they differ.
        let taken = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let addresses = taken.map(|listener| listener.local_addr().unwrap());
        let config = Config {
            data_folder: folder.path().join("data"),
            blob_listen: vec![addresses[0]],
            queue_listen: vec![addresses[1]],
            table_listen: vec![addresses[2]],
            host_suffixes: Vec::new(),
            admin: None,
            dev: true,
            ..Config::default()
        };
        let runtime = Runtime::new().unwrap();
        let (stop, mut stopped) = watch::channel(false);
        let shutdown = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        let running = runtime.spawn(welkin_storage_service::run(config, shutdown));
        let service =
            Self { runtime: Some(runtime), running: Some(running), stop, _folder: folder, addresses };
        service.wait();
        service
    }

    /// Runs a script of `python/`, whose assertions decide.
    pub fn check(&self, script: &str) {
        let [blob, queue, table] = self.addresses.map(|address| format!("http://{address}/{DEV_ACCOUNT}"));
        let status = Command::new(python())
            .arg(Path::new(SCRIPTS).join(script))
            .env("STORAGE_ACCOUNT", DEV_ACCOUNT)
            .env("STORAGE_KEY", DEV_KEY)
            .env("BLOB_ENDPOINT", blob)
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
