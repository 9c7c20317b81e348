//! Real VMs.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use http::Method;
use rustix::process::{Pid, Signal, kill_process};
use sha2::{Digest as _, Sha256};
use welkin_agent_wire::Values;
use welkin_agent_wire::guest::GuestNetwork;
use welkin_agent_wire::node::Transport;
use welkin_agent_wire::{
    GuestGoal, GuestOs, InstanceGoal, InstanceObserved, NodeGoal, RoleEnvironment, RoleState, Vip,
    VipBackend, VmState,
};
use welkin_base::{DeploymentId, Digest, Generation, InstanceId, InstanceName, NodeName, RoleName};
use welkin_transport::{Client, full, read_body};

use crate::agent::{Agent, wait};

/// A goal with instances of one role, all behind one virtual IP.
pub fn goal(generation: u64, instances: u8) -> NodeGoal {
    let none = Digest::from_bytes([0; 32]);
    let guest_os = GuestOs { version: "test".into(), kernel: none, initramfs: none, root: none };
    let instances: Vec<_> = (0..instances).map(|i| instance(generation, i, &guest_os)).collect();
    let backend = |instance: &InstanceGoal| VipBackend {
        instance: instance.id.clone(),
        address: instance.guest.network.address,
        port: 8080,
        ready: false,
        ignore_status: false,
        out: false,
        probe: None,
    };
    let vip = Vip {
        address: Ipv4Addr::new(10, 177, 240, 1),
        port: 80,
        transport: Transport::Tcp,
        access: Vec::new(),
        backends: instances.iter().map(backend).collect(),
    };
    let node = NodeName::new("node0").unwrap();
    NodeGoal {
        node,
        generation: Generation(generation),
        instances,
        vips: vec![vip],
        internal: vec![],
        draining: vec![],
    }
}

fn instance(generation: u64, index: u8, guest_os: &GuestOs) -> InstanceGoal {
    let deployment = DeploymentId::new("6ba7b8109dad11d180b400c04fd430c8").unwrap();
    let role = RoleName::new("Web").unwrap();
    let name = InstanceName::of(&role, index.into());
    let environment = RoleEnvironment {
        deployment: deployment.clone(),
        service: "test".into(),
        role,
        instance: name.clone(),
        update_domain: 0,
        fault_domain: 0,
        settings: Values::default(),
        endpoints: vec![],
        local_resources: vec![],
        peers: vec![],
    };
    let network = GuestNetwork {
        address: Ipv4Addr::new(10, 177, 16, index + 2),
        prefix_length: 24,
        gateway: Ipv4Addr::new(10, 177, 16, 1),
    };
    InstanceGoal {
        id: InstanceId::new(deployment, name),
        incarnation: 1,
        boot: 0,
        reimage: 0,
        cores: 1,
        memory_mib: 256,
        scratch_mib: 64,
        guest_os: guest_os.clone(),
        application: Digest::from_bytes([0; 32]),
        mac: format!("02:00:00:00:00:{:02x}", index + 2),
        guest: GuestGoal {
            generation: Generation(generation),
            network,
            environment,
            startup_tasks: vec![],
            program: None,
            variables: Values::default(),
            certificates: vec![],
        },
        probes: vec![],
    }
}

/// The guest OS that a test boots: `$WELKIN_IMAGES`, a folder with `kernel`, `initramfs` and `root`.
struct Images {
    kernel: Vec<u8>,
    initramfs: Vec<u8>,
    root: Vec<u8>,
    application: Vec<u8>,
}

impl Images {
    fn load() -> Option<Self> {
        let Some(folder) = std::env::var_os("WELKIN_IMAGES").map(PathBuf::from) else {
            eprintln!("WELKIN_IMAGES is not set: no VM is started");
            return None;
        };
        let read = |name: &str| fs::read(folder.join(name)).unwrap();
        let (kernel, initramfs, root) = (read("kernel"), read("initramfs"), read("root"));
        Some(Self { kernel, initramfs, root, application: application("an application") })
    }

    fn all(&self) -> [&[u8]; 4] {
        [&self.kernel, &self.initramfs, &self.root, &self.application]
    }
}

/// An application drive with one file.
fn application(text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("app")).unwrap();
    fs::write(folder.path().join("app/readme"), text).unwrap();
    let image = folder.path().join("image");
    let made =
        Command::new("mksquashfs").arg(folder.path().join("app")).arg(&image).arg("-quiet").output().unwrap();
    assert!(made.status.success());
    fs::read(image).unwrap()
}

fn digest(bytes: &[u8]) -> Digest {
    Digest::from_bytes(Sha256::digest(bytes).into())
}

fn real_goal(images: &Images, generation: u64, instances: u8) -> NodeGoal {
    let mut goal = goal(generation, instances);
    for instance in &mut goal.instances {
        instance.guest_os.kernel = digest(&images.kernel);
        instance.guest_os.initramfs = digest(&images.initramfs);
        instance.guest_os.root = digest(&images.root);
        instance.application = digest(&images.application);
    }
    goal
}

fn push(agent: &Agent, goal: &NodeGoal) {
    agent.call(async |client| client.put_json("/v1/goal", goal).await.unwrap());
}

fn push_images(agent: &Agent, images: &Images) {
    agent.call(async |client| {
        for bytes in images.all() {
            let path = format!("/v1/images/{}", digest(bytes));
            let send = |method| client.send(method, &path, full(bytes.to_vec()));
            assert_eq!(client.send(Method::HEAD, &path, full("")).await.unwrap().status(), 404);
            assert_eq!(send(Method::PUT).await.unwrap().status(), 200);
            assert_eq!(client.send(Method::HEAD, &path, full("")).await.unwrap().status(), 200);
        }
    });
}

/// The VM processes of the test's agent, by slot.
fn processes(agent: &Agent) -> BTreeMap<u32, Pid> {
    let vms = agent.data().canonicalize().unwrap().join("vm");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let Ok(folder) = fs::read_link(path.join("cwd")) else { continue };
        if folder.parent() == Some(&vms) {
            let slot = folder.file_name().unwrap().to_str().unwrap().parse().unwrap();
            let pid = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            found.insert(slot, Pid::from_raw(pid).unwrap());
        }
    }
    found
}

fn states(agent: &Agent) -> Vec<(VmState, Option<RoleState>, u32)> {
    agent.observed().instances.into_iter().map(|i| (i.vm, i.role, i.vm_restarts)).collect()
}

fn balanced(agent: &Agent) -> bool {
    agent.namespaces.run("node", "nft list chain ip welkin balance", "").contains("dnat")
}

const READY: (VmState, Option<RoleState>) = (VmState::Running, Some(RoleState::Ready));
/// An emulated guest on a busy machine.
const BOOT_LIMIT_S: u64 = 120;

fn wait_ready(agent: &Agent, restarts: u32) {
    wait("the instance is ready", BOOT_LIMIT_S, || states(agent) == [(READY.0, READY.1, restarts)]);
    wait("the load balancer follows", 5, || balanced(agent));
}

/// An agent with one instance that is ready.
fn boots(machine: &str) -> Option<(Agent, Images)> {
    let (true, Some(images)) = (crate::namespace::can(), Images::load()) else { return None };
    let mut agent = Agent::new(machine);
    agent.start();
    push(&agent, &real_goal(&images, 1, 1));
    wait("the instance waits for its images", 10, || {
        let waits = |instance: &InstanceObserved| {
            instance.vm == VmState::Preparing && instance.message.contains("waits for image")
        };
        agent.observed().instances.first().is_some_and(waits)
    });
    push_images(&agent, &images);
    let begin = Instant::now();
    wait_ready(&agent, 0);
    eprintln!("{machine}: ready after {:.1} s, {}", begin.elapsed().as_secs_f32(), cost(&agent));
    wait("the guest is on the network", 10, || guest_answers(&agent));
    confined(&agent);
    Some((agent, images))
}

/// An older goal is refused, and so is another of the same generation.
fn refuses_goals(agent: &Agent, images: &Images) {
    let refused = agent.call(async |client| client.put_json("/v1/goal", &real_goal(images, 0, 1)).await);
    assert!(refused.unwrap_err().to_string().contains("generation 1"));
    let refused = agent.call(async |client| client.put_json("/v1/goal", &real_goal(images, 1, 0)).await);
    assert!(refused.unwrap_err().to_string().contains("another goal"));
}

/// The agent dies; its VM does not, the load balancer stays, and the next agent finds both.
fn outlives_its_agent(agent: &mut Agent) {
    let before = processes(agent);
    agent.signal(Signal::KILL);
    assert!(balanced(agent));
    agent.start();
    wait_ready(agent, 0);
    assert_eq!(processes(agent), before);
}

/// A guest that stands still leaves the load balancer, and comes back when it goes on.
fn stands_still(agent: &Agent) {
    let pid = processes(agent)[&0];
    kill_process(pid, Signal::STOP).unwrap();
    wait("the load balancer notices", 20, || !balanced(agent));
    assert_eq!(states(agent)[0].0, VmState::Unresponsive);
    kill_process(pid, Signal::CONT).unwrap();
    wait_ready(agent, 0);
    assert_eq!(processes(agent)[&0], pid);
}

/// The VM dies and is started again.
fn dies(agent: &Agent) {
    let before = processes(agent);
    kill_process(before[&0], Signal::KILL).unwrap();
    wait("the load balancer notices", 3, || !balanced(agent));
    wait_ready(agent, 1);
    assert_ne!(processes(agent), before);
    assert!(!agent.call(async |client| log(&client).await).is_empty());
}

/// The node goes down and comes up again: the instance is as it was.
fn goes_down_and_up(agent: &mut Agent) {
    agent.signal(Signal::TERM);
    assert_eq!(processes(agent).len(), 1, "an agent that ends leaves its VMs");
    agent.end_everything();
    nothing_runs(agent);
    agent.start();
    wait_ready(agent, 1);
}

/// Another application: E is new, C is kept.
fn gets_another_application(agent: &Agent, images: &mut Images) {
    let file = |name: &str| fs::metadata(agent.data().join("vm/0").join(name)).unwrap().ino();
    let (c, e) = (file("c.img"), file("e.base"));
    images.application = application("another application");
    let image = images.application.clone();
    let digest = digest(&image);
    agent.call(async |client| {
        client.send(Method::PUT, &format!("/v1/images/{digest}"), full(image)).await.unwrap()
    });
    push(agent, &real_goal(images, 2, 1));
    wait("E is another", 30, || file("e.base") != e);
    wait_ready(agent, 1);
    assert_eq!(file("c.img"), c);
    assert_eq!(
        file("e.base"),
        fs::metadata(agent.data().join("images").join(digest.to_string())).unwrap().ino()
    );
}

/// What the goal does not name goes without a trace.
fn goes(agent: &Agent, images: &Images) {
    let begin = Instant::now();
    push(agent, &real_goal(images, 3, 0));
    wait("the instance is gone", 30, || agent.observed().instances.is_empty());
    eprintln!("gone after {:.1} s", begin.elapsed().as_secs_f32());
    assert_eq!(fs::read_dir(agent.data().join("vm")).unwrap().count(), 0);
    nothing_runs(agent);
}

fn nothing_runs(agent: &Agent) {
    assert_eq!(processes(agent), BTreeMap::new());
    assert!(!agent.namespaces.run("node", "ip -o link", "").contains("tap"));
    assert_eq!(groups(agent), Vec::<PathBuf>::new());
}

/// The guest is on the node's network: it refuses a connection to a port where nobody listens.
fn guest_answers(agent: &Agent) -> bool {
    let address = "10.177.16.2:9".parse().unwrap();
    let limit = Duration::from_secs(1);
    let result = agent.namespaces.inside("node", || TcpStream::connect_timeout(&address, limit));
    result.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// What a VM has used so far.
fn cost(agent: &Agent) -> String {
    let process = format!("/proc/{}", processes(agent)[&0].as_raw_pid());
    let stat = fs::read_to_string(format!("{process}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
    let status = fs::read_to_string(format!("{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap().trim();
    format!("{ticks} ticks of processor time, {resident} resident")
}

/// The VM runs as its own user, without privileges, under seccomp, in its control groups.
fn confined(agent: &Agent) {
    let pid = processes(agent)[&0];
    let status = fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).collect::<Vec<_>>().join(" ")
    };
    let uid = agent.config.uid_base + 100;
    assert_eq!(field("Uid:"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(field("Gid:"), format!("{uid} {uid} {uid} {uid}"));
    assert_eq!(
        (field("Groups:"), field("NoNewPrivs:"), field("Seccomp:")),
        (String::new(), "1".into(), "2".into())
    );
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), "0000000000000000", "{set}");
    }
    assert!(!groups(agent).is_empty());
}

/// The control groups of the agent's VMs.
fn groups(agent: &Agent) -> Vec<PathBuf> {
    let name = agent.data().canonicalize().unwrap();
    let name = format!("welkin-{}", hex::encode(&Sha256::digest(name.as_os_str().as_encoded_bytes())[..6]));
    let root = Path::new("/sys/fs/cgroup");
    let places = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path().join(&name));
    places.chain([root.join(&name)]).filter(|path| path.exists()).collect()
}

async fn log(client: &Client) -> String {
    let path = format!("/v1/instances/{}/log", instance(1, 0, &goal(1, 1).instances[0].guest_os).id);
    let response = client.send(Method::GET, &path, full("")).await.unwrap();
    String::from_utf8(read_body(response.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

#[test]
fn the_life_of_an_instance() {
    let Some((mut agent, mut images)) = boots("q35") else { return };
    refuses_goals(&agent, &images);
    outlives_its_agent(&mut agent);
    stands_still(&agent);
    dies(&agent);
    goes_down_and_up(&mut agent);
    gets_another_application(&agent, &mut images);
    goes(&agent, &images);
}

#[test]
fn an_instance_on_the_smaller_machine() {
    let Some((agent, images)) = boots("microvm") else { return };
    goes(&agent, &images);
}
