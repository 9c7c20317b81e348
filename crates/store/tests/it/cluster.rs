//! An etcd cluster of a test's own: real members on loopback, in a temporary folder, over mutual TLS.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use welkin_pki::{Authority, Identity};
use welkin_store::{Etcd, EtcdMember, Space, Store};

/// How long members get until they have a leader.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A signal for a member.
#[derive(Debug, Clone, Copy)]
pub enum Signal {
    /// It is gone at once.
    Kill,
    /// It stands still.
    Stop,
    /// It goes on.
    Continue,
}

/// Members that end with the test.
pub struct Cluster {
    folder: TempDir,
    members: Vec<Member>,
    identity: Identity,
}

struct Member {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    identity: Identity,
    process: Option<Child>,
}

impl Cluster {
    /// So many members, which have elected one of them.
    pub async fn start(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::generate("etcd").unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.identity().certificate_pem()).unwrap();
        let ports = free_ports(2 * count);
        let members = ports.chunks(2).enumerate().map(|(number, ports)| {
            let name = format!("m{number}");
            let identity = authority.issue(&name, &["127.0.0.1".to_owned()]).unwrap();
            std::fs::create_dir(folder.path().join(&name)).unwrap();
            identity.save(&folder.path().join(&name)).unwrap();
            Member { name, client: ports[0], peer: ports[1], identity, process: None }
        });
        let members: Vec<_> = members.collect();
        let identity = authority.issue("client", &[]).unwrap();
        let mut cluster = Self { folder, members, identity };
        for number in 0..count {
            cluster.start_member(number);
        }
        cluster.wait_for_majority().await;
        cluster
    }

    /// Starts a member that is not running, with what it had.
    pub fn start_member(&mut self, number: usize) {
        let all: Vec<_> = self.members.iter().map(|m| format!("{}=https://{}", m.name, m.peer)).collect();
        let folder = self.folder.path().to_owned();
        let member = &mut self.members[number];
        assert!(member.process.is_none(), "{} runs", member.name);
        member.process = Some(member.spawn(&folder, &all.join(",")));
    }

    /// Signals a member.
    pub fn signal(&mut self, number: usize, signal: Signal) {
        let member = &mut self.members[number];
        let process = member.process.as_mut().unwrap();
        let text = match signal {
            Signal::Kill => "-KILL",
            Signal::Stop => "-STOP",
            Signal::Continue => "-CONT",
        };
        let sent = Command::new("kill").args([text, &process.id().to_string()]).status().unwrap();
        assert!(sent.success());
        if matches!(signal, Signal::Kill) {
            process.wait().unwrap();
            member.process = None;
        }
    }

    /// Where they are, for a configuration.
    pub fn members(&self) -> Vec<EtcdMember> {
        let place = |m: &Member| EtcdMember { address: m.client, thumbprint: m.identity.thumbprint() };
        self.members.iter().map(place).collect()
    }

    /// What clients show.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The cluster, with keys of its own.
    pub fn etcd(&self, prefix: &str) -> Etcd {
        Etcd::new(&self.members(), &self.identity, prefix).unwrap()
    }

    /// A store in it.
    pub fn store(&self, prefix: &str) -> Store {
        Store::over_etcd(&self.etcd(prefix), None)
    }

    async fn wait_for_majority(&self) {
        let (store, began) = (self.store("wait"), Instant::now());
        while let Err(error) = store.get(Space::new(0, "wait"), b"", b"").await {
            assert!(began.elapsed() < START_TIMEOUT, "{error}; {}", self.log());
        }
    }

    fn log(&self) -> String {
        let read = |m: &Member| std::fs::read_to_string(self.folder.path().join(&m.name).join("log")).ok();
        self.members.iter().filter_map(read).collect()
    }
}

impl Member {
    fn spawn(&self, folder: &Path, all: &str) -> Child {
        let own = folder.join(&self.name);
        let file = |path: PathBuf| path.display().to_string();
        let (client, peer) = (format!("https://{}", self.client), format!("https://{}", self.peer));
        let mut arguments: Vec<(&str, String)> = vec![
            ("--name", self.name.clone()),
            ("--data-dir", file(own.join("data"))),
            ("--listen-client-urls", client.clone()),
            ("--advertise-client-urls", client),
            ("--listen-peer-urls", peer.clone()),
            ("--initial-advertise-peer-urls", peer),
            ("--initial-cluster", all.to_owned()),
            ("--log-level", "warn".to_owned()),
        ];
        for [certificate, key, authority] in [
            ["--cert-file", "--key-file", "--trusted-ca-file"],
            ["--peer-cert-file", "--peer-key-file", "--peer-trusted-ca-file"],
        ] {
            arguments.push((certificate, file(own.join("cert.pem"))));
            arguments.push((key, file(own.join("key.pem"))));
            arguments.push((authority, file(folder.join("ca.pem"))));
        }
        let log = std::fs::File::options().create(true).append(true).open(own.join("log")).unwrap();
        // It ends with the thread that started it, which is the test's.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "etcd", "--logger=zap"]);
        command.args(["--client-cert-auth", "--peer-client-cert-auth"]);
        command.args(arguments.iter().flat_map(|(name, value)| [*name, value.as_str()]));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        command.spawn().expect("setpriv runs; etcd is in the package etcd-server")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.members.iter_mut().filter_map(|member| member.process.as_mut()) {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// Held all at once, so that no two are the same.
fn free_ports(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap()).collect()
}
