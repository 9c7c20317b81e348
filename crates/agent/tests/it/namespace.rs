//! A node's network in namespaces of its own: nothing of the machine's network is touched.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// Whether namespaces can be made.
pub fn can() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not root: nothing is checked");
    }
    root
}

/// Network namespaces with a common prefix, removed at the end.
#[derive(Debug)]
pub struct Namespaces {
    prefix: String,
    names: Vec<String>,
}

impl Namespaces {
    /// A `host` and a `node`, linked as `welkin up` links them.
    pub fn host_and_node() -> Self {
        let prefix = format!("wkt{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut made = Self { prefix, names: vec![] };
        made.add("host");
        made.add("node");
        let (host, node) = (made.name("host"), made.name("node"));
        ip(&format!("-n {host} link add uplink type veth peer name uplink netns {node}"));
        ip(&format!("-n {host} address add 10.177.0.1/24 dev uplink"));
        ip(&format!("-n {node} address add 10.177.0.2/24 dev uplink"));
        ip(&format!("-n {host} link set uplink up"));
        ip(&format!("-n {node} link set uplink up"));
        ip(&format!("-n {host} route add 10.177.0.0/16 via 10.177.0.2"));
        ip(&format!("-n {node} route add default via 10.177.0.1"));
        made
    }

    pub fn add(&mut self, short: &str) {
        let name = self.name(short);
        ip(&format!("netns add {name}"));
        self.names.push(name.clone());
        ip(&format!("-n {name} link set lo up"));
    }

    pub fn name(&self, short: &str) -> String {
        format!("{}{short}", self.prefix)
    }

    /// How `nsenter` is told of a namespace. Unlike `ip netns exec` it leaves `/sys` as it is.
    pub fn net(&self, short: &str) -> String {
        format!("--net=/run/netns/{}", self.name(short))
    }

    /// Runs `f` inside a namespace.
    pub fn inside<T: Send>(&self, short: &str, f: impl FnOnce() -> T + Send) -> T {
        let name = self.name(short);
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let namespace = File::open(format!("/run/netns/{name}")).unwrap();
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                f()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs a program inside a namespace; its output.
    pub fn run(&self, short: &str, words: &str, input: &str) -> String {
        use std::io::Write;
        let mut child = Command::new("nsenter")
            .arg(self.net(short))
            .args(words.split(' '))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{words} failed");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Namespaces {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = Command::new("ip").args(["netns", "delete", name]).status();
        }
    }
}

pub fn ip(words: &str) {
    assert!(Command::new("ip").args(words.split(' ')).status().unwrap().success(), "ip {words} failed");
}
