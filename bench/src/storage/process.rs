//! Servers as processes of this one, on ports of their own.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};

use crate::storage::error::StorageError;

const START_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// Between two looks at a port. Short, because the time of a start is measured with it.
const POLL: Duration = Duration::from_millis(5);
/// How much of a server's log an error shows.
const SHOWN_CHARS: usize = 600;

/// What starts a server.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Its name in the report.
    pub name: &'static str,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What is added to its environment.
    pub environment: Vec<(&'static str, String)>,
    /// Who runs it, when not the one who runs this.
    pub user: Option<User>,
}

/// Somebody without rights: some servers refuse to be run by root.
#[derive(Debug, Clone, Copy)]
pub struct User {
    uid: u32,
    gid: u32,
}

/// A running server. It is killed when it is dropped before [`Process::stop`].
#[derive(Debug)]
pub struct Process {
    /// Its name in the report.
    pub name: &'static str,
    child: Child,
}

impl User {
    /// The user of this name; `None` when this process is not root, and so can run nothing as another.
    pub async fn named(name: &str) -> Result<Option<Self>, StorageError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        Ok(Some(Self { uid: id_of(name, "-u").await?, gid: id_of(name, "-g").await? }))
    }

    /// Makes a file or folder belong to it.
    pub fn own(self, path: &Path) -> Result<(), StorageError> {
        Ok(std::os::unix::fs::chown(path, Some(self.uid), Some(self.gid))?)
    }
}

async fn id_of(name: &str, option: &str) -> Result<u32, StorageError> {
    let output = Command::new("id").arg(option).arg(name).output().await?;
    let id = String::from_utf8_lossy(&output.stdout).trim().parse();
    id.map_err(|_| StorageError::Peer(format!("there is no user {name:?}")))
}

/// A new folder that belongs to `user`.
pub fn folder_of(user: Option<User>, path: PathBuf) -> Result<PathBuf, StorageError> {
    std::fs::create_dir(&path)?;
    if let Some(user) = user {
        user.own(&path)?;
    }
    Ok(path)
}

impl Program {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.arguments).stdin(Stdio::null()).kill_on_drop(true);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        if let Some(user) = self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    fn unstartable(&self, source: std::io::Error) -> StorageError {
        StorageError::Start { program: self.path.clone(), source }
    }

    /// Runs it to its end, which must be a success.
    pub async fn run(&self) -> Result<(), StorageError> {
        let output = self.command().output().await.map_err(|source| self.unstartable(source))?;
        if output.status.success() {
            return Ok(());
        }
        let said = end_of(&String::from_utf8_lossy(&output.stderr));
        Err(StorageError::Peer(format!("{}: {}: {said}", self.path.display(), output.status)))
    }

    /// Starts it; what it says goes into a file in `folder`. Returns when it listens on all `ports`.
    pub async fn start(self, folder: &Path, ports: &[u16]) -> Result<Process, StorageError> {
        for &port in ports {
            let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
            bound.map_err(|_| StorageError::PortTaken(port))?;
        }
        let log = folder.join(format!("{}.log", self.name));
        let output = File::create(&log)?;
        let mut command = self.command();
        command.stdout(output.try_clone()?).stderr(output);
        let child = command.spawn().map_err(|source| self.unstartable(source))?;
        let mut process = Process { name: self.name, child };
        for &port in ports {
            process.wait_for(port, &log).await?;
        }
        Ok(process)
    }
}

impl Process {
    async fn wait_for(&mut self, port: u16, log: &Path) -> Result<(), StorageError> {
        let start = Instant::now();
        while !answers(port).await {
            let waited = start.elapsed();
            if waited > START_LIMIT || self.child.try_wait()?.is_some() {
                let said = end_of(&std::fs::read_to_string(log).unwrap_or_default());
                return Err(StorageError::Silent { server: self.name, port, waited, said });
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    /// Its memory in KiB, as the kernel counts it (resident).
    pub fn memory_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_ascii_whitespace().nth(1)?.parse().ok()
    }

    /// Ends it: politely at first.
    pub async fn stop(mut self) -> Result<(), StorageError> {
        self.signal(Signal::TERM)?;
        if tokio::time::timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }

    /// Ends it as a crash does.
    pub async fn kill(mut self) -> Result<(), StorageError> {
        Ok(self.child.kill().await?)
    }

    /// Ends it by a signal that means "soon, without waiting for clients".
    pub async fn stop_by(mut self, signal: Signal) -> Result<(), StorageError> {
        self.signal(signal)?;
        self.child.wait().await?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), StorageError> {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            kill_process(pid, signal).map_err(std::io::Error::from)?;
        }
        Ok(())
    }
}

/// Whether a server listens. A connection may reach itself, when the system gives it the port that it looks for.
async fn answers(port: u16) -> bool {
    let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await;
    stream.and_then(|stream| Ok(stream.local_addr()? != stream.peer_addr()?)).unwrap_or(false)
}

fn end_of(text: &str) -> String {
    let said: Vec<_> = text.trim_end().chars().rev().take(SHOWN_CHARS).collect();
    said.into_iter().rev().collect()
}
