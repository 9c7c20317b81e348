//! `welkin down`: ends a cloud and leaves nothing behind but its state folder.

use std::path::Path;
use std::time::Duration;

use crate::cloud::{Cloud, Part};
use crate::error::CliError;
use crate::network;
use crate::parts;
use crate::process::Process;
use crate::program;
use crate::state;
use crate::up;

/// The supervisor ends four parts, each of which may take its grace.
pub const SUPERVISOR_GRACE: Duration = Duration::from_secs(90);

/// Ends the cloud. Ending one that does not run is no error.
pub fn run(state: &Path) -> Result<(), CliError> {
    if !rustix::process::geteuid().is_root() {
        return Err(CliError::NotRoot { command: "down" });
    }
    let cloud = state::open(state)?;
    if let Some(supervisor) = Process::read(&up::supervisor_file(&cloud)) {
        supervisor.end(SUPERVISOR_GRACE);
    }
    clean(&cloud)?;
    println!("nothing of {} runs; its state stays in {}", cloud.name(), cloud.state.display());
    Ok(())
}

/// Ends what is left of a cloud whose supervisor does not run: parts, VMs, interfaces and rules.
pub fn clean(cloud: &Cloud) -> Result<(), CliError> {
    parts::end_left_over(cloud);
    let config = cloud.folder(Part::Node).join("config.toml");
    let welkin = cloud.path("bin/welkin");
    let namespace = network::namespace_path(cloud);
    if config.exists() && welkin.exists() && namespace.exists() {
        let enter = format!("--net={}", namespace.display());
        let (welkin, config) = (welkin.display().to_string(), config.display().to_string());
        program::run("nsenter", &[&enter, "--", &welkin, "agent", "--config", &config, "--end-everything"])?;
    }
    network::remove(cloud)
}
