//! The two servers as processes of this one, on ports of their own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::storage::account::Account;
use crate::storage::error::StorageError;

/// The first of the three ports that Azurite has when nothing is said.
const FIRST_PORT: u16 = 10_000;
const SERVICES: u16 = 3;
/// Azurite closes a connection after 5 s without a request, and a request that waits because its one thread is
/// busy does not count: long listings would end connections that are in use.
const KEEP_ALIVE_S: u64 = 600;
const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// How much of a server's log an error shows.
const SHOWN_CHARS: usize = 600;

/// What starts a server.
#[derive(Debug)]
pub struct Program {
    /// Its name in the report.
    pub name: &'static str,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments before those of this benchmark.
    pub arguments: Vec<String>,
}

/// A running server. It is killed when it is dropped before [`Server::stop`].
#[derive(Debug)]
pub struct Server {
    /// Its name in the report.
    pub name: &'static str,
    /// The account on it.
    pub account: Account,
    child: Child,
}

/// `welkin storage --dev`: durable, as always.
pub async fn start_welkin(path: &Path, folder: &Path, port_offset: u16) -> Result<Server, StorageError> {
    let arguments = ["storage", "--dev", "--data"].map(str::to_owned);
    let mut arguments: Vec<String> = arguments.into();
    arguments.extend([folder.join("welkin").display().to_string(), "--port-offset".to_owned()]);
    arguments.push(port_offset.to_string());
    let program = Program { name: "Welkin", path: path.to_owned(), arguments };
    start(program, folder, FIRST_PORT + port_offset).await
}

/// Azurite as it is when nothing is said: on disk, without a sync.
pub async fn start_azurite(
    node: &Path,
    script: &Path,
    folder: &Path,
    port_offset: u16,
) -> Result<Server, StorageError> {
    let first = FIRST_PORT + port_offset;
    let mut arguments = vec![script.display().to_string()];
    arguments.extend(["--silent", "--skipApiVersionCheck", "--disableTelemetry"].map(str::to_owned));
    arguments.extend(["--location".to_owned(), folder.join("azurite").display().to_string()]);
    for (number, service) in (0..).zip(["blob", "queue", "table"]) {
        arguments.extend([format!("--{service}Port"), (first + number).to_string()]);
        arguments.extend([format!("--{service}KeepAliveTimeout"), KEEP_ALIVE_S.to_string()]);
    }
    let program = Program { name: "Azurite", path: node.to_owned(), arguments };
    start(program, folder, first).await
}

async fn start(program: Program, folder: &Path, first_port: u16) -> Result<Server, StorageError> {
    for port in ports(first_port) {
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|_| StorageError::PortTaken(port))?;
    }
    let log = folder.join(format!("{}.log", program.name));
    let output = File::create(&log)?;
    let child = Command::new(&program.path)
        .args(&program.arguments)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        // A log of each request would be measured too, and Azurite writes none either.
        .env("RUST_LOG", "warn")
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| StorageError::Start { program: program.path.clone(), source })?;
    let mut server = Server { name: program.name, account: Account::new(first_port)?, child };
    for port in ports(first_port) {
        server.wait_for(port, &log).await?;
    }
    Ok(server)
}

fn ports(first: u16) -> impl Iterator<Item = u16> {
    first..first + SERVICES
}

impl Server {
    async fn wait_for(&mut self, port: u16, log: &Path) -> Result<(), StorageError> {
        let start = Instant::now();
        while TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.is_err() {
            let waited = start.elapsed();
            if waited > START_LIMIT || self.child.try_wait()?.is_some() {
                let log = std::fs::read_to_string(log).unwrap_or_default();
                let said = log.chars().rev().take(SHOWN_CHARS).collect::<Vec<_>>();
                let said = said.into_iter().rev().collect();
                return Err(StorageError::Silent { server: self.name, port, waited, said });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Its memory in MiB, as the kernel counts it (resident).
    pub fn memory_mib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        let kib: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(kib / 1024)
    }

    /// Ends it: politely at first.
    pub async fn stop(mut self) -> Result<(), StorageError> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, Signal::TERM).map_err(std::io::Error::from)?;
        }
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}
