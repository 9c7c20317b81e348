//! Starting and ending programs.
//!
//! Everything of the role runs in one control group, so that ending it leaves no stray, and, unless
//! elevated, as the user `role` with no capability and no way to gain one.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

use crate::boot::ROLE_CGROUP;
use crate::console::RoleOutput;
use crate::error::{Doing, GuestError};

/// The role's user and group in the guest OS image.
pub const ROLE_UID: u32 = 1000;
/// The application's folder: drive E.
pub const APP: &str = "/app";
/// Moves itself into the role's control group, then becomes the program: nothing of the role ever
/// runs outside.
const ENTER_GROUP: &str = "echo $$ >\"$0/cgroup.procs\"; exec \"$@\"";
const DROP_PRIVILEGES: [&str; 8] = [
    "setpriv",
    "--reuid=role",
    "--regid=role",
    "--clear-groups",
    "--no-new-privs",
    "--bounding-set=-all",
    "--inh-caps=-all",
    "--ambient-caps=-all",
];
/// How often to look for a first child while there is none.
const CHILD_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How much of a failed program's words an error repeats.
const STDERR_CHARS_MAX: usize = 400;

/// A program of the role to start.
pub struct Launch<'a> {
    /// For the log.
    pub name: &'static str,
    /// Program and arguments.
    pub words: Vec<String>,
    /// Stay root.
    pub elevated: bool,
    /// The whole environment.
    pub variables: &'a BTreeMap<String, String>,
}

/// Starts a program and returns its process group's leader; its exit comes through [`reap`].
///
/// # Errors
/// When it cannot be started.
pub fn start(launch: &Launch<'_>, output: &RoleOutput) -> Result<Pid, GuestError> {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", ENTER_GROUP, ROLE_CGROUP]);
    if !launch.elevated {
        command.args(DROP_PRIVILEGES).arg("--");
    }
    command.args(&launch.words).env_clear().envs(launch.variables).current_dir(APP).process_group(0);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().doing(|| format!("start {:?}", launch.words))?;
    if let Some(stream) = child.stdout.take() {
        output.follow(launch.name, stream);
    }
    if let Some(stream) = child.stderr.take() {
        output.follow(launch.name, stream);
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| GuestError::Goal("the kernel gave no process id".to_owned()))
}

/// Splits a command line at blanks and finds its program, which is relative to [`APP`].
///
/// # Errors
/// When the line is blank or names a file that is not in the application.
pub fn words_of(command_line: &str) -> Result<Vec<String>, GuestError> {
    let mut words: Vec<String> = command_line.split_ascii_whitespace().map(str::to_owned).collect();
    let Some(first) = words.first_mut() else {
        return Err(GuestError::Goal("the role's command line is empty".to_owned()));
    };
    let inside = Path::new(APP).join(&*first);
    if inside.is_file() {
        make_executable(&inside)?;
        *first = inside.to_string_lossy().into_owned();
    } else if first.contains('/') && !Path::new(&*first).is_file() {
        return Err(GuestError::Goal(format!("the application has no file {first:?}")));
    }
    Ok(words)
}

/// A package made on a system without file modes carries none.
fn make_executable(path: &Path) -> Result<(), GuestError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).doing(|| format!("look at {}", path.display()))?.permissions().mode();
    if mode & 0o111 == 0o111 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .doing(|| format!("make {} executable", path.display()))
}

/// Asks a process group to end.
pub fn terminate(group: Pid) {
    let _ = rustix::process::kill_process_group(group, Signal::TERM); // it may be gone already
}

/// Ends everything that the role started, whatever it became.
pub fn kill_all(groups: impl IntoIterator<Item = Pid>) {
    let _ = fs::write(format!("{ROLE_CGROUP}/cgroup.kill"), "1");
    for group in groups {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
}

/// Waits on a thread of its own for children to end and calls `wake`, then waits until it is told that
/// they have been collected with [`reap`]. It collects none itself: the pid of a program that another
/// thread waits for stays that thread's.
pub fn watch_children(wake: impl Fn() + Send + 'static) -> Sender<()> {
    let (collected, wait): (Sender<()>, Receiver<()>) = channel();
    std::thread::spawn(move || {
        loop {
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
            if matches!(rustix::process::waitid(WaitId::All, options), Ok(Some(_))) {
                wake();
                if wait.recv().is_err() {
                    return;
                }
            } else {
                std::thread::sleep(CHILD_POLL_INTERVAL);
            }
        }
    });
    collected
}

/// Collects every child that has ended, orphans that the kernel gave to the first process included.
pub fn reap() -> Vec<(Pid, WaitStatus)> {
    std::iter::from_fn(|| rustix::process::wait(WaitOptions::NOHANG).ok().flatten()).collect()
}

/// How a process ended, for people.
pub fn describe(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("ended with exit code {code}"),
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        _ => "ended".to_owned(),
    }
}

/// Runs a program of the guest OS as root and waits for it.
///
/// # Errors
/// When it cannot be started or ends badly; the error repeats what it said.
pub fn run_to_end<S: AsRef<OsStr>>(words: &[S]) -> Result<(), GuestError> {
    let words: Vec<&OsStr> = words.iter().map(AsRef::as_ref).collect();
    let shown = || words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ");
    let Some((program, arguments)) = words.split_first() else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput)).doing(|| "run nothing".to_owned());
    };
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", PATH).stdin(Stdio::null()).stdout(Stdio::null());
    let output = command.stderr(Stdio::piped()).output().doing(|| format!("run {}", shown()))?;
    if output.status.success() {
        return Ok(());
    }
    let said: String =
        String::from_utf8_lossy(&output.stderr).trim().chars().take(STDERR_CHARS_MAX).collect();
    Err(GuestError::Program { program: shown(), status: output.status.to_string(), output: said })
}

/// Where programs of the guest OS are.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
