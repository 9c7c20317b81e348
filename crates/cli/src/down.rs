//! `welkin down`: ends a cloud and leaves nothing behind but its state folder.

use std::path::Path;
use std::time::Duration;

use crate::cloud::Cloud;
use crate::error::CliError;
use crate::network;
use crate::node;
use crate::part::Part;
use crate::parts;
use crate::process::Process;
use crate::program;
use crate::state;
use crate::up;

/// The supervisor ends one part after the other, and each may take its grace; few ever do.
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
    node::forget_failures(cloud);
    // Also of nodes that the cloud no longer has.
    Part::possible().filter(|part| part.is_agent()).try_for_each(|part| end_vms(cloud, part))?;
    network::remove(cloud)
}

/// Ends all that an agent has started.
fn end_vms(cloud: &Cloud, part: Part) -> Result<(), CliError> {
    let config = cloud.folder(part).join("config.toml");
    let welkin = cloud.path("bin/welkin");
    let Some(namespace) = network::namespace_path(cloud, part) else { return Ok(()) };
    if config.exists() && welkin.exists() && namespace.exists() {
        let enter = format!("--net={}", namespace.display());
        let (welkin, config) = (welkin.display().to_string(), config.display().to_string());
        program::run("nsenter", &[&enter, "--", &welkin, "agent", "--config", &config, "--end-everything"])?;
    }
    Ok(())
}
