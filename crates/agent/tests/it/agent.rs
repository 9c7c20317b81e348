//! An agent as a process of its own inside the node's namespace, and a fabric controller that speaks to it.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use welkin_agent::Config;
use welkin_agent_wire::NodeObserved;
use welkin_pki::{Identity, ServerAuth, client_config};
use welkin_transport::Client;

use crate::namespace::Namespaces;

pub const LISTEN: &str = "10.177.0.2:7444";
/// Users of the test's VMs: apart from those of a cloud that runs on the machine.
const UID_BASE: u32 = 660_000;

/// An agent that can be stopped and started again.
pub struct Agent {
    pub namespaces: Namespaces,
    pub folder: tempfile::TempDir,
    pub config: Config,
    controller: Identity,
    own: Identity,
    process: Option<Child>,
}

impl Agent {
    pub fn new(machine: &str) -> Self {
        program();
        let namespaces = Namespaces::host_and_node();
        let folder = tempfile::tempdir().unwrap();
        let (own, controller) =
            (Identity::self_signed("node0").unwrap(), Identity::self_signed("fc").unwrap());
        let identity = folder.path().join("identity");
        fs::create_dir(&identity).unwrap();
        own.save(&identity).unwrap();
        let text = format!(
            "node = \"node0\"\ndata = {:?}\nlisten = \"{LISTEN}\"\nidentity = {identity:?}\nclients = [\"{}\"]\n\
             bridge = \"10.177.16.1\"\nprefix_length = 24\nuid_base = {UID_BASE}\n\
             storage = [\"10.177.0.1:10000\"]\nmachine = \"{machine}\"\n",
            folder.path().join("data"),
            controller.thumbprint(),
        );
        fs::write(folder.path().join("config.toml"), &text).unwrap();
        Self { config: toml::from_str(&text).unwrap(), namespaces, folder, controller, own, process: None }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts the agent and waits until it serves.
    pub fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        self.process = Some(self.command(&[]).stderr(log).spawn().unwrap());
        let address: SocketAddr = LISTEN.parse().unwrap();
        wait("the agent serves", 30, || {
            self.namespaces.inside("host", || TcpStream::connect(address).is_ok())
        });
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.namespaces.net("node")).arg(program()).arg(self.folder.path().join("config.toml"));
        command.args(more);
        command
    }

    /// Runs the agent's program to its end; what it said when it failed.
    pub fn fails(&self) -> String {
        let output = self.command(&[]).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Ends the agent by a signal.
    pub fn signal(&mut self, signal: Signal) {
        let mut process = self.process.take().unwrap();
        let pid = Pid::from_raw(process.id().try_into().unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        process.wait().unwrap();
    }

    /// Ends everything that the agent has started.
    pub fn end_everything(&self) {
        assert!(self.command(&["end"]).status().unwrap().success());
    }

    /// Speaks to the agent as the fabric controller.
    pub fn call<T: Send>(&self, f: impl AsyncFnOnce(Client) -> T + Send) -> T {
        let tls = client_config(Some(&self.controller), ServerAuth::Pinned(self.own.thumbprint())).unwrap();
        self.namespaces.inside("host", || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async { f(Client::new(LISTEN.parse().unwrap(), tls)).await })
        })
    }

    pub fn observed(&self) -> NodeObserved {
        self.call(async |client| client.get_json("/v1/observed", 1 << 20).await.unwrap())
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the agent's log:\n{}", self.log());
            for file in ["console.log", "qemu.log"] {
                let text = fs::read(self.data().join("vm/0").join(file)).unwrap_or_default();
                eprintln!("{file}:\n{}", String::from_utf8_lossy(&text));
            }
        }
        if self.process.is_some() {
            self.signal(Signal::TERM);
        }
        let _ = self.command(&["end"]).status();
    }
}

/// The agent's program, which `cargo test` builds beside the tests.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.parent().and_then(Path::parent).unwrap().join("examples/agent");
    assert!(
        program.exists(),
        "{} is missing: run `cargo test` for the whole crate, which builds it",
        program.display()
    );
    program
}

/// Waits until `condition` holds.
pub fn wait(what: &str, limit_s: u64, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(limit_s);
    while !condition() {
        assert!(Instant::now() < end, "{what}: not within {limit_s} s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn what_is_missing_or_taken_is_said() {
    if !crate::namespace::can() {
        return;
    }
    let mut agent = Agent::new("q35");
    agent.start();
    let check = |agent: &Agent, part: &str| {
        let said = agent.fails();
        assert!(said.contains(part), "{said}");
    };
    check(&agent, "another fabric agent uses the data folder");
    let config = agent.folder.path().join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replace("/data\"", "/data2\"")).unwrap();
    check(&agent, "cannot listen at 10.177.0.2:7444");
    fs::write(&config, text.replace("/identity\"", "/nothing\"")).unwrap();
    check(&agent, "identity");
    let bare = Command::new("/usr/bin/nsenter")
        .arg(agent.namespaces.net("node"))
        .arg(program())
        .arg(&config)
        .env("PATH", "/nowhere")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&bare.stderr);
    assert!(!bare.status.success() && said.contains("install the Debian package qemu-system-x86"), "{said}");
    fs::write(&config, text).unwrap();
}
