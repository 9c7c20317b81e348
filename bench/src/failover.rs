//! How long a cloud is without a fabric controller after the one that leads was killed: a whole cloud of `welkin up
//! --controllers 3` on this machine, from SIGKILL until another answers from the rows that it has read.

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rand::Rng as _;
use serde::Deserialize;
use serde_json::Value;
use welkin_pki::{Identity, ServerAuth, client_config};
use welkin_transport::Client;

/// Fabric controllers, and members of etcd.
const CONTROLLERS: usize = 3;
/// The promise: another answers within this time.
const GOAL: Duration = Duration::from_secs(5);
/// One that takes longer is no failover but a failure.
const LIMIT: Duration = Duration::from_secs(60);
/// Once all run again, so long is waited at most, so that a kill meets any moment between two signs of life.
const CALM_MS_MAX: u64 = 3_000;
/// How often one looks.
const POLL: Duration = Duration::from_millis(10);
/// An answer that takes longer is none.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// An answer in bytes, at most.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// How to measure a failover.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The `welkin` program.
    #[arg(long, value_name = "FILE")]
    pub welkin: PathBuf,
    /// Folder of the guest OS.
    #[arg(long, value_name = "FOLDER")]
    pub images: PathBuf,
    /// Added to every port, so that it may run beside another cloud.
    #[arg(long, default_value_t = 4_000)]
    pub port_offset: u16,
    /// The network of the cloud.
    #[arg(long, default_value = "10.191.0.0/16")]
    pub network: String,
    /// Leaders that are killed.
    #[arg(long, default_value_t = 12)]
    pub kills: usize,
}

/// What was measured, shortest first.
#[derive(Debug)]
pub struct Report {
    took: Vec<Duration>,
}

impl Report {
    fn at(&self, percent: usize) -> Duration {
        let index = (self.took.len().saturating_sub(1) * percent).div_ceil(100);
        self.took.get(index).copied().unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reached = if self.at(90) <= GOAL { "yes" } else { "no" };
        writeln!(f, "| fabric controllers killed | p50 s | p90 s | longest s | goal s | reached |")?;
        writeln!(f, "|---:|---:|---:|---:|---:|---|")?;
        let [p50, p90, longest] = [50, 90, 100].map(|percent| self.at(percent).as_secs_f64());
        let goal = GOAL.as_secs();
        writeln!(f, "| {} | {p50:.2} | {p90:.2} | {longest:.2} | {goal} | {reached} |", self.took.len())
    }
}

/// Brings a cloud up below `folder`, kills whoever leads again and again, and takes it down.
///
/// # Errors
/// When the cloud does not come up, or nobody leads any more.
pub fn run(arguments: &Arguments, folder: &Path) -> Result<Report, Box<dyn Error>> {
    let folder = tempfile::tempdir_in(folder)?;
    // Parts run as other users.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    let state = folder.path().join("cloud");
    let welkin = |words: &[&str]| -> Result<(), Box<dyn Error>> {
        let output = Command::new(&arguments.welkin).arg("--state").arg(&state).args(words).output()?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said.into()) }
    };
    let (images, offset) = (arguments.images.display().to_string(), arguments.port_offset.to_string());
    welkin(&[
        "up",
        "--detach",
        "--controllers",
        &CONTROLLERS.to_string(),
        "--port-offset",
        &offset,
        "--network",
        &arguments.network,
        "--images",
        &images,
    ])?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let measured = runtime.block_on(kill_leaders(&state, arguments.kills));
    welkin(&["down"])?;
    measured
}

async fn kill_leaders(state: &Path, kills: usize) -> Result<Report, Box<dyn Error>> {
    let controllers = Controller::all(state)?;
    let mut leader = find(&controllers, Instant::now()).await?;
    let mut took = Vec::new();
    for _ in 0..kills {
        // One that ends again and again is started again later each time.
        while !all_answer(&controllers).await {
            tokio::time::sleep(POLL).await;
        }
        tokio::time::sleep(Duration::from_millis(rand::rng().random_range(0..CALM_MS_MAX))).await;
        let began = Instant::now();
        leader.kill(state)?;
        leader = find(&controllers, began).await?;
        took.push(began.elapsed());
    }
    took.sort();
    Ok(Report { took })
}

/// Whether every one of them says whether it leads.
async fn all_answer(controllers: &[Controller]) -> bool {
    for controller in controllers {
        let asked = controller.client.get_json::<Value>("/v1/controller", ANSWER_BYTES_MAX);
        if !matches!(tokio::time::timeout(ANSWER_TIMEOUT, Box::pin(asked)).await, Ok(Ok(_))) {
            return false;
        }
    }
    true
}

/// The controller that answers what only the leader does.
async fn find(controllers: &[Controller], began: Instant) -> Result<&Controller, Box<dyn Error>> {
    while began.elapsed() < LIMIT {
        for controller in controllers {
            let asked = controller.client.get_json::<Value>("/v1/nodes", ANSWER_BYTES_MAX);
            if matches!(tokio::time::timeout(ANSWER_TIMEOUT, Box::pin(asked)).await, Ok(Ok(_))) {
                return Ok(controller);
            }
        }
        tokio::time::sleep(POLL).await;
    }
    Err("no fabric controller leads any more".into())
}

/// One of the cloud's.
struct Controller {
    part: String,
    client: Client,
}

/// What of its configuration says where it is.
#[derive(Debug, Deserialize)]
struct Place {
    listen: std::net::SocketAddr,
}

impl Controller {
    fn all(state: &Path) -> Result<Vec<Self>, Box<dyn Error>> {
        let operator = Identity::load(&state.join("operator"))?;
        let controller = |number: usize| -> Result<Self, Box<dyn Error>> {
            let part = if number == 0 { "fabric".to_owned() } else { format!("fabric{number}") };
            let own = Identity::load(&state.join(&part).join("identity"))?;
            let place: Place =
                toml::from_str(&std::fs::read_to_string(state.join(&part).join("config.toml"))?)?;
            let tls = client_config(Some(&operator), ServerAuth::Pinned(own.thumbprint()))?;
            Ok(Self { part, client: Client::new(place.listen, tls) })
        };
        (0..CONTROLLERS).map(controller).collect()
    }

    fn kill(&self, state: &Path) -> Result<(), Box<dyn Error>> {
        let text = std::fs::read_to_string(state.join("run").join(format!("{}.pid", self.part)))?;
        let pid: i32 = text.split_whitespace().next().unwrap_or_default().parse()?;
        let pid = rustix::process::Pid::from_raw(pid).ok_or("the pid file names no process")?;
        Ok(rustix::process::kill_process(pid, rustix::process::Signal::KILL)?)
    }
}
