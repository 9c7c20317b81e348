//! The parts as processes: started in order, watched, started again when they end, ended in order.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::{Child, Command};

use crate::cloud::Cloud;
use crate::error::CliError;
use crate::etcd;
use crate::network;
use crate::node::Failure;
use crate::part::Part;
use crate::process::Process;

/// How long a part may take from its start until it takes connections.
const START_LIMIT_S: u64 = 60;
/// How often a starting part is tried.
const START_POLL_MS: u64 = 25;
/// How long one try may take.
const TRY_MS: u64 = 500;
/// How often one looks whether a part has ended.
const WATCH_MS: u64 = 250;
/// How long a part may take to finish what it does when it is asked to end.
const END_GRACE_S: u64 = 15;
/// A part that ended is started again after this pause, doubled each time up to the limit.
const RESTART_PAUSE_MS: u64 = 500;
const RESTART_PAUSE_MAX_MS: u64 = 30_000;
/// A part that ran this long is taken for sound: the pause begins anew.
const SOUND_AFTER_S: u64 = 60;
/// What is shown of a log when a part does not start.
const TAIL_BYTES: usize = 2_000;

/// A part that is to run.
#[derive(Debug)]
struct Running {
    part: Part,
    /// Its process; `None` from its end until it is started again.
    child: Option<Child>,
    started: Instant,
    pause_ms: u64,
    /// When it may be started again.
    again: Instant,
}

/// All parts of a cloud.
#[derive(Debug)]
pub struct Parts {
    cloud: Cloud,
    program: PathBuf,
    running: Vec<Running>,
}

impl Parts {
    /// Nothing runs yet. `program` is the `welkin` that every user can run.
    pub fn new(cloud: &Cloud, program: &Path) -> Self {
        Self { cloud: cloud.clone(), program: program.to_owned(), running: Vec::new() }
    }

    /// Starts a part and waits until it takes connections at `address`, as `from` sees it.
    pub async fn start(&mut self, part: Part, address: SocketAddr, from: Part) -> Result<(), CliError> {
        let child = Some(self.spawn(part)?);
        let now = Instant::now();
        self.running.push(Running { part, child, started: now, pause_ms: RESTART_PAUSE_MS, again: now });
        let end = now + Duration::from_secs(START_LIMIT_S);
        while !self.answers(address, from).await {
            if self.running.last_mut().is_some_and(Running::has_ended) {
                return Err(self.failed(part));
            }
            if Instant::now() >= end {
                return Err(CliError::PartSilent { part, seconds: START_LIMIT_S, log: self.cloud.log(part) });
            }
            tokio::time::sleep(Duration::from_millis(START_POLL_MS)).await;
        }
        Ok(())
    }

    async fn answers(&self, address: SocketAddr, from: Part) -> bool {
        let cloud = self.cloud.clone();
        let limit = Duration::from_millis(TRY_MS);
        let tried = tokio::task::spawn_blocking(move || network::answers(&cloud, from, address, limit)).await;
        tried.unwrap_or(false)
    }

    /// Starts again each part that ends. Returns never; dropping it is safe.
    pub async fn watch(&mut self) {
        loop {
            tokio::time::sleep(Duration::from_millis(WATCH_MS)).await;
            for index in 0..self.running.len() {
                self.revive(index);
            }
        }
    }

    /// The agent of a node that an operator killed stays dead until the node is restored.
    fn revive(&mut self, index: usize) {
        let Some(running) = self.running.get_mut(index) else { return };
        let part = running.part;
        if running.has_ended() {
            running.child = None;
            if running.started.elapsed() > Duration::from_secs(SOUND_AFTER_S) {
                running.pause_ms = RESTART_PAUSE_MS;
            }
            running.again = Instant::now() + Duration::from_millis(running.pause_ms);
            tracing::warn!(%part, pause_ms = running.pause_ms, "a part ended and is started again");
            running.pause_ms = (running.pause_ms * 2).min(RESTART_PAUSE_MAX_MS);
        }
        let due = running.child.is_none() && Instant::now() >= running.again;
        let dead = matches!(part, Part::Node(node) if Failure::Killed.file(&self.cloud, node).exists());
        if !due || dead {
            return;
        }
        let child = self.spawn(part);
        if let Some(running) = self.running.get_mut(index) {
            match child {
                Ok(child) => (running.child, running.started) = (Some(child), Instant::now()),
                Err(error) => {
                    running.again = Instant::now() + Duration::from_millis(running.pause_ms);
                    tracing::error!(%part, %error, "a part cannot be started again");
                }
            }
        }
    }

    /// Ends all parts, last started first, each after what it does.
    pub async fn end(&mut self) {
        while let Some(running) = self.running.pop() {
            let Some(mut child) = running.child else { continue };
            if let Some(process) = child.id().and_then(Process::of) {
                process.ask_to_end();
            }
            let grace = Duration::from_secs(END_GRACE_S);
            if tokio::time::timeout(grace, child.wait()).await.is_err() {
                let _ = child.kill().await;
            }
            let _ = std::fs::remove_file(pid_file(&self.cloud, running.part));
        }
    }

    fn spawn(&self, part: Part) -> Result<Child, CliError> {
        let log = self.open_log(part)?;
        let errors = log.try_clone().map_err(|source| self.file("share", part, source))?;
        let program = part.subcommand().map_or(Path::new(etcd::PROGRAM), |_| &self.program);
        let mut command = self.command(part, program);
        match (part, part.subcommand()) {
            (_, Some(name)) => {
                command.arg(name).arg("--config").arg(self.cloud.folder(part).join("config.toml"));
            }
            (Part::Etcd(number), None) => {
                // What it may find in the environment would set it up otherwise.
                command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
                command.args(etcd::arguments(&self.cloud, number));
            }
            (_, None) => {}
        }
        // A process group of its own: Ctrl-C reaches `welkin up` alone, which ends the parts in order.
        command.process_group(0).stdin(Stdio::null()).stdout(log).stderr(errors).current_dir("/");
        let child = command
            .spawn()
            .map_err(|error| CliError::Command { command: format!("{part}"), why: error.to_string() })?;
        if let Some(process) = child.id().and_then(Process::of) {
            process.write(&pid_file(&self.cloud, part))?;
        }
        Ok(child)
    }

    /// The program as the part's user, in the part's namespace.
    fn command(&self, part: Part, program: &Path) -> Command {
        let uid = self.cloud.uid(part);
        let Some(namespace) = network::namespace_path(&self.cloud, part) else {
            let mut command = Command::new(program);
            command.uid(uid).gid(uid);
            return command;
        };
        // Entering a namespace takes root, so that `nsenter` is who changes the user, after it.
        let mut enter = Command::new("nsenter");
        enter.arg(format!("--net={}", namespace.display()));
        if uid != 0 {
            enter.args(["--setuid", &uid.to_string(), "--setgid", &uid.to_string()]);
        }
        enter.arg("--").arg(program);
        enter
    }

    fn open_log(&self, part: Part) -> Result<File, CliError> {
        let path = self.cloud.log(part);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(|source| self.file("open", part, source))
    }

    fn file(&self, doing: &'static str, part: Part, source: std::io::Error) -> CliError {
        CliError::File { doing, path: self.cloud.log(part), source }
    }

    fn failed(&self, part: Part) -> CliError {
        let log = self.cloud.log(part);
        CliError::Part { part, why: last_line(&log), log }
    }
}

impl Running {
    fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))))
    }
}

/// Where a part's process is written down.
pub fn pid_file(cloud: &Cloud, part: Part) -> PathBuf {
    cloud.path("run").join(format!("{part}.pid"))
}

/// Ends every part of a cloud that was left running, by its pid file.
pub fn end_left_over(cloud: &Cloud) {
    for part in Part::possible().rev() {
        let file = pid_file(cloud, part);
        if let Some(process) = Process::read(&file) {
            process.end(Duration::from_secs(END_GRACE_S));
        }
        let _ = std::fs::remove_file(file);
    }
}

/// The last line that a part wrote: why it ended.
fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let tail = String::from_utf8_lossy(&text[text.len().saturating_sub(TAIL_BYTES)..]).into_owned();
    let line = tail.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
