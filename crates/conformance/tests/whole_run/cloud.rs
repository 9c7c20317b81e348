//! A whole cloud, started and ended as a person would: by the `welkin` program.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Boots of several emulated VMs on two cores, with a generous margin.
pub const READY_LIMIT: Duration = Duration::from_secs(240);
const POLL: Duration = Duration::from_millis(200);

/// What the tests run: built by `./x`, or here when it did not.
pub struct Artifacts {
    /// The `welkin` program.
    pub welkin: PathBuf,
    /// Folder with the guest OS.
    pub images: PathBuf,
    /// Folder with the guestbook: definition, configuration and a folder for each role.
    pub guestbook: PathBuf,
}

/// A cloud with a state folder, a network and ports of its own.
pub struct Cloud {
    pub artifacts: Artifacts,
    state: tempfile::TempDir,
    pub network: String,
    pub port_offset: u16,
}

impl Artifacts {
    pub fn find() -> Self {
        let path = |name: &str| {
            let value = std::env::var_os(name);
            PathBuf::from(value.unwrap_or_else(|| panic!("{name} is not set: run the tests with `./x test`")))
        };
        Self {
            welkin: path("WELKIN_PROGRAM"),
            images: path("WELKIN_IMAGES"),
            guestbook: path("WELKIN_GUESTBOOK"),
        }
    }
}

impl Cloud {
    /// Nothing runs yet. `number` sets this cloud apart from others that run at the same time.
    pub fn new(number: u8) -> Self {
        let state = tempfile::Builder::new().prefix("welkin-test-").tempdir_in("/var/tmp").unwrap();
        // The folder that tempfile makes is private; the parts run as users of their own.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(state.path(), open).unwrap();
        Self {
            artifacts: Artifacts::find(),
            state,
            network: format!("10.{}.0.0/16", 180 + number),
            port_offset: 1_000 + 100 * u16::from(number),
        }
    }

    pub fn state(&self) -> &Path {
        self.state.path()
    }

    /// Runs `welkin` on this cloud.
    pub fn welkin(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.artifacts.welkin);
        command.arg("--state").arg(self.state()).args(arguments).output().unwrap()
    }

    /// Runs `welkin`, which must succeed; its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.welkin(arguments);
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "welkin {arguments:?}\n{out}\n{err}");
        out
    }

    /// Runs `welkin`, which must fail with a message that holds each of `parts`.
    pub fn fails(&self, arguments: &[&str], parts: &[&str]) {
        let output = self.welkin(arguments);
        let err = text(&output.stderr);
        assert!(!output.status.success(), "welkin {arguments:?} succeeded");
        for part in parts {
            assert!(err.contains(part), "welkin {arguments:?} should say {part:?}, but says\n{err}");
        }
    }

    pub fn up_arguments(&self) -> Vec<String> {
        [
            "up",
            "--detach",
            "--images",
            &self.artifacts.images.display().to_string(),
            "--network",
            &self.network,
            "--port-offset",
            &self.port_offset.to_string(),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    pub fn up(&self) {
        self.up_with(&[]);
    }

    /// Brings the cloud up with more arguments than it has anyway.
    pub fn up_with(&self, more: &[&str]) {
        let arguments = self.up_arguments();
        self.ok(&arguments.iter().map(String::as_str).chain(more.iter().copied()).collect::<Vec<_>>());
    }

    pub fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["status", "--json"])).unwrap()
    }

    /// The instances of all deployments.
    pub fn instances(&self) -> Vec<Value> {
        let status = self.status();
        let services = status["services"].as_array().cloned().unwrap_or_default();
        let deployments =
            services.iter().flat_map(|s| s["deployments"].as_array().cloned().unwrap_or_default());
        deployments.flat_map(|d| d["instances"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// The QEMU processes of this cloud's VMs: (process id, command line).
    pub fn vms(&self) -> Vec<(i32, String)> {
        processes_with(&self.state().display().to_string())
            .into_iter()
            .filter(|(_, line)| line.split(' ').next().is_some_and(|program| program.contains("qemu-system")))
            .collect()
    }

    /// Every trace that a cloud may leave on the host outside of its state folder.
    pub fn traces(&self) -> Vec<String> {
        let mut traces: Vec<String> = processes_with(&self.state().display().to_string())
            .into_iter()
            .map(|(pid, line)| format!("process {pid}: {line}"))
            .collect();
        let prefix = self.network.trim_end_matches("0.0/16");
        for arguments in [&["-o", "address"][..], &["route"][..]] {
            let output = Command::new("ip").args(arguments).output().unwrap();
            traces.extend(text(&output.stdout).lines().filter(|l| l.contains(prefix)).map(str::to_owned));
        }
        traces
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let logs = std::fs::read_dir(self.state().join("log")).into_iter().flatten().flatten();
            let mut logs: Vec<PathBuf> = logs.map(|entry| entry.path()).collect();
            logs.sort();
            for path in logs {
                let (part, log) =
                    (path.file_stem().unwrap_or_default().display(), std::fs::read_to_string(&path));
                let log = log.unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(30).collect();
                eprintln!("--- the end of {part}.log");
                tail.iter().rev().for_each(|line| eprintln!("{line}"));
            }
        }
        let _ = self.welkin(&["down"]);
    }
}

/// Waits until `condition` gives a value.
pub fn eventually<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < end, "{what} did not happen within {limit:?}");
        std::thread::sleep(POLL);
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn processes_with(part: &str) -> Vec<(i32, String)> {
    let own = i32::try_from(std::process::id()).unwrap();
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let lines = pids.filter_map(|pid: i32| {
        let line = text(&std::fs::read(format!("/proc/{pid}/cmdline")).ok()?).replace('\0', " ");
        // A VM names its files relative to its working folder.
        let folder = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
        Some((pid, format!("{line} in {}", folder.display())))
    });
    lines.filter(|(pid, line)| *pid != own && line.contains(part)).collect()
}
