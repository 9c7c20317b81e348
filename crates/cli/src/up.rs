//! `welkin up`: a whole cloud on this machine.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::cloud::{Cloud, Network};
use crate::config;
use crate::down;
use crate::error::CliError;
use crate::etcd;
use crate::network;
use crate::part::{CONTROLLERS_MAX, NODES_MAX, Part};
use crate::parts::Parts;
use crate::process::Process;
use crate::program;
use crate::service::told_to_end;
use crate::state;
use crate::status;

/// How long `--detach` waits for the cloud to answer.
const DETACH_LIMIT_S: u64 = 180;
/// How long the node may take, after its agent answers, until the fabric controller counts on it. A probe of
/// hardware virtualization is part of it.
const NODE_LIMIT_S: u64 = 120;
/// How often one looks.
const POLL_MS: u64 = 100;

/// Arguments of `welkin up`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    after_help = "Examples:\n  welkin up\n  welkin up --detach --state /srv/welkin --images ./guest-os\n  \
                        welkin up --port-offset 100 --network 10.178.0.0/16\n  welkin up --nodes 4 --controllers 3"
)]
pub struct UpArgs {
    /// Return when everything answers; `welkin down` ends it.
    #[arg(long)]
    pub detach: bool,
    /// Folder of the guest OS (kernel, initramfs, root, version.toml); kept for later starts.
    #[arg(long, value_name = "FOLDER")]
    pub images: Option<PathBuf>,
    /// The cloud's network, a private /16 that the machine does not use [default: 10.177.0.0/16].
    #[arg(long)]
    pub network: Option<Network>,
    /// Added to every port, so that several clouds can live on one machine [default: 0].
    #[arg(long, value_parser = clap::value_parser!(u16).range(..=20_000))]
    pub port_offset: Option<u16>,
    /// How many nodes; more than one have an edge, which holds the virtual IPs [default: 1].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(NODES_MAX)))]
    pub nodes: Option<u8>,
    /// How many fabric controllers, an odd number; more than one keep what they know in etcd, and any one of three may die [default: 1].
    #[arg(long, value_parser = odd)]
    pub controllers: Option<u8>,
    /// Fault domains, over which the nodes are dealt in turn [default: 2].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=i64::from(NODES_MAX)))]
    pub fault_domains: Option<u8>,
    /// Run as the detached supervisor.
    #[arg(long, hide = true)]
    pub supervise: bool,
}

/// Brings the cloud up and, unless detached, stays until it is told to end.
pub async fn run(state: &Path, arguments: &UpArgs) -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() {
        return Err(CliError::NotRoot { command: "up" });
    }
    program::check_installed()?;
    if arguments.supervise {
        // A session of its own, so that the terminal's hang-up does not reach it.
        let _ = rustix::process::setsid();
    }
    // Before anything is touched: what is asked for here must not change the choices of a cloud that runs.
    let held = state::open(state);
    if let Ok(cloud) = &held
        && Process::read(&supervisor_file(cloud)).is_some()
    {
        return Err(CliError::AlreadyUp { state: cloud.state.clone() });
    }
    let controllers = arguments.controllers.or(held.as_ref().ok().map(|cloud| cloud.choices.controllers));
    etcd::check_installed(controllers.unwrap_or(1))?;
    if let (Ok(cloud), Some(controllers)) = (&held, controllers) {
        etcd::check_unchanged(cloud, controllers)?;
    }
    let cloud = state::make(state, |choices| {
        choices.network = arguments.network.unwrap_or(choices.network);
        choices.port_offset = arguments.port_offset.unwrap_or(choices.port_offset);
        choices.nodes = arguments.nodes.unwrap_or(choices.nodes);
        choices.controllers = arguments.controllers.unwrap_or(choices.controllers);
        choices.fault_domains = arguments.fault_domains.or(choices.fault_domains);
    })?;
    let lock = lock(&cloud)?;
    // A supervisor that was killed leaves it.
    let _ = fs::remove_file(ready_file(&cloud));
    state::install_image(&cloud, arguments.images.as_deref())?;
    down::clean(&cloud)?;
    check_ports(&cloud)?;
    network::check_free(&cloud)?;
    if arguments.detach {
        // The supervisor takes it.
        drop(lock);
        detach(&cloud).await
    } else {
        supervise(&cloud, arguments.supervise).await
    }
}

/// An even number of controllers loses its majority with no more of them dead than the odd one below.
fn odd(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(number) if number % 2 == 1 && number <= CONTROLLERS_MAX => Ok(number),
        _ => Err(format!("expected 1, 3 or {CONTROLLERS_MAX}")),
    }
}

/// Held by the one process that may start and end parts. The kernel gives it back when that process ends.
fn lock(cloud: &Cloud) -> Result<File, CliError> {
    let path = cloud.path("run/up.lock");
    let file = |source| CliError::File { doing: "lock", path: path.clone(), source };
    let lock = File::create(&path).map_err(file)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(CliError::AlreadyUp { state: cloud.state.clone() }),
        Err(TryLockError::Error(source)) => Err(file(source)),
    }
}

/// Where the process that watches the parts is written down.
pub fn supervisor_file(cloud: &Cloud) -> PathBuf {
    cloud.path("run/up.pid")
}

/// Exists while everything answers.
fn ready_file(cloud: &Cloud) -> PathBuf {
    cloud.path("run/ready")
}

async fn supervise(cloud: &Cloud, detached: bool) -> Result<(), CliError> {
    // Signals are kept from here on, so that one that comes while a step runs ends the cloud in order.
    let mut end = std::pin::pin!(told_to_end());
    if let Some(own) = Process::own() {
        own.write(&supervisor_file(cloud))?;
    }
    let program = state::install_binary(cloud)?;
    let mut parts = Parts::new(cloud, &program);
    let result = tokio::select! {
        started = start(cloud, &mut parts) => started,
        () = &mut end => Err(CliError::Interrupted),
    };
    let result = match result {
        Ok(()) => {
            let _ = fs::write(ready_file(cloud), "");
            if !detached {
                say("\nThe cloud runs. Ctrl-C ends it.");
            }
            tokio::select! {
                () = parts.watch() => {}
                () = &mut end => {}
            }
            Ok(())
        }
        Err(error) => Err(error),
    };
    let _ = fs::remove_file(ready_file(cloud));
    if !detached {
        say("ending …");
    }
    parts.end().await;
    down::clean(cloud)?;
    let _ = fs::remove_file(supervisor_file(cloud));
    result
}

async fn start(cloud: &Cloud, parts: &mut Parts) -> Result<(), CliError> {
    let mut steps = Steps::begin();
    let identities = state::identities(cloud)?;
    config::write(cloud, &identities)?;
    steps.done("keys and configuration");
    network::make(cloud)?;
    steps.done("network");
    for part in cloud.parts() {
        // Agents and etcd take calls from where the controllers are.
        let of_controllers = part.is_agent() || matches!(part, Part::Etcd(_));
        let from = if of_controllers { Part::Fabric(0) } else { Part::Management };
        parts.start(part, address(cloud, part), from).await?;
        steps.done(&part.to_string());
    }
    let end = Instant::now() + Duration::from_secs(NODE_LIMIT_S);
    while !status::nodes_are_healthy(cloud).await {
        if Instant::now() >= end {
            let part = Part::Fabric(0);
            return Err(CliError::PartSilent { part, seconds: NODE_LIMIT_S, log: cloud.log(part) });
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    steps.done(if cloud.is_cluster() { "nodes ready" } else { "node ready" });
    Ok(())
}

/// Where a part takes connections once it is up.
fn address(cloud: &Cloud, part: Part) -> SocketAddr {
    match part {
        Part::Storage => cloud.storage_admin(),
        Part::Edge => cloud.edge(),
        Part::Node(number) => cloud.agent(number),
        Part::Etcd(number) => cloud.etcd(number),
        Part::Fabric(number) => cloud.fabric(number),
        Part::Management => cloud.management(),
    }
}

fn check_ports(cloud: &Cloud) -> Result<(), CliError> {
    for (address, purpose) in cloud.host_ports() {
        TcpListener::bind(address).map_err(|_| CliError::PortTaken { address, purpose })?;
    }
    Ok(())
}

/// Starts the supervisor in the background and waits until it says that everything answers. When it does not, or when
/// the wait is interrupted, the supervisor is told to end.
async fn detach(cloud: &Cloud) -> Result<(), CliError> {
    let end = told_to_end();
    let log = cloud.path("log/up.log");
    let mut child = start_supervisor(cloud, &log)?;
    let result = tokio::select! {
        result = answers(cloud, &mut child, &log) => result,
        () = end => Err(CliError::Interrupted),
    };
    match &result {
        Ok(()) => say(fs::read_to_string(&log).unwrap_or_default().trim_end()),
        Err(_) => {
            if let Some(supervisor) = Process::of(child.id()) {
                supervisor.end(down::SUPERVISOR_GRACE);
            }
        }
    }
    result
}

fn start_supervisor(cloud: &Cloud, log: &Path) -> Result<Child, CliError> {
    let file = |doing, source| CliError::File { doing, path: log.to_owned(), source };
    let output = File::create(log).map_err(|source| file("write", source))?;
    let errors = output.try_clone().map_err(|source| file("share", source))?;
    let own = std::env::current_exe().map_err(|source| file("find welkin for", source))?;
    let mut command = Command::new(own);
    command.arg("--state").arg(&cloud.state).args(["up", "--supervise"]);
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    command.spawn().map_err(|source| file("start welkin for", source))
}

/// Resolves when the supervisor says that everything answers, or has ended.
async fn answers(cloud: &Cloud, child: &mut Child, log: &Path) -> Result<(), CliError> {
    let end = Instant::now() + Duration::from_secs(DETACH_LIMIT_S);
    while !ready_file(cloud).exists() {
        if matches!(child.try_wait(), Ok(Some(_))) {
            let text = fs::read_to_string(log).unwrap_or_default();
            let line = text.lines().rev().find_map(|line| line.strip_prefix("error: ")).unwrap_or("it ended");
            return Err(CliError::Detached(line.to_owned()));
        }
        if Instant::now() >= end {
            let why = format!("the cloud did not answer within {DETACH_LIMIT_S} s; see {}", log.display());
            return Err(CliError::Detached(why));
        }
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
    Ok(())
}

/// Prints a line. A terminal that has gone must not end the supervisor before it has ended the parts.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Tells how long each step took.
struct Steps {
    last: Instant,
}

impl Steps {
    fn begin() -> Self {
        Self { last: Instant::now() }
    }

    fn done(&mut self, step: &str) {
        let now = Instant::now();
        say(&format!("  {step:<24} {:>6.2} s", now.duration_since(self.last).as_secs_f64()));
        self.last = now;
    }
}
