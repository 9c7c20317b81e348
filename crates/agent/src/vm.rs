//! Starting a VM.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use welkin_node::Shape;
use welkin_node::vm::{INITRAMFS, KERNEL, QEMU_LOG, RUN};

use crate::image::Images;
use crate::process::Process;
use crate::{console, drive};

/// What runs before QEMU in a mount namespace of its own: puts each substitute in its device's place, then becomes
/// the command. Arguments: the number of substitutes, then node and device of each, then the command.
const SUBSTITUTE: &str = r#"set -e
n=$1; shift
while [ "$n" -gt 0 ]; do mount --bind "$1" "$2"; shift 2; n=$((n - 1)); done
exec "$@""#;
/// How long the way from the first program to QEMU may take, and how often it is looked at.
const EXEC_TRIES: u32 = 500;
const EXEC_PAUSE_MS: u64 = 10;

/// Readies an instance's folder for a start.
pub fn prepare(folder: &Path, images: &Images, shape: &Shape, uid: u32) -> io::Result<()> {
    drive::link(&images.path(&shape.kernel), &folder.join(KERNEL))?;
    drive::link(&images.path(&shape.initramfs), &folder.join(INITRAMFS))?;
    console::make(folder, uid)?;
    let run = folder.join(RUN);
    if run.exists() {
        fs::remove_dir_all(&run)?;
    }
    fs::DirBuilder::new().mode(0o700).create(&run)?;
    chown(&run, Some(uid), Some(uid))
}

/// Makes an instance's folder: root's, and the VM's group may pass.
pub fn make_folder(folder: &Path, uid: u32) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o710))?;
    chown(folder, Some(0), Some(uid))
}

/// Starts a VM in its folder, as its own user, in a session of its own: it outlives the agent.
pub async fn start(
    folder: &Path,
    command: Vec<String>,
    uid: u32,
    substitutes: &[(PathBuf, &'static str)],
) -> io::Result<Process> {
    let log = File::create(folder.join(QEMU_LOG))?;
    let words = [confined(uid), command].concat();
    let mut command = if substitutes.is_empty() {
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        command
    } else {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", SUBSTITUTE, "sh"]);
        command.arg(substitutes.len().to_string());
        for (node, device) in substitutes {
            command.arg(node).arg(device);
        }
        command.args(&words);
        command
    };
    command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut child = command.spawn()?;
    let process = Process::open(child.id().unwrap_or(0));
    // Somebody must wait for it, or it stays behind as a zombie.
    tokio::spawn(async move { child.wait().await });
    let process = process?;
    settle(&process, uid).await;
    Ok(process)
}

/// A session of its own, no privileges, and no way to get any.
fn confined(uid: u32) -> Vec<String> {
    let uid = uid.to_string();
    ["setsid", "setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups", "--no-new-privs"]
        .into_iter()
        .chain(["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--"])
        .map(str::to_owned)
        .collect()
}

/// Waits until the process runs as the VM's user, or has ended.
async fn settle(process: &Process, uid: u32) {
    for _ in 0..EXEC_TRIES {
        use std::os::unix::fs::MetadataExt;
        let owner = fs::metadata(format!("/proc/{}", process.pid())).map(|m| m.uid());
        if !process.alive() || owner.is_ok_and(|owner| owner == uid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(EXEC_PAUSE_MS)).await;
    }
}
