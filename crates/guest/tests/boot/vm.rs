//! A QEMU process with the three drives, user-mode network and the virtio port.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use welkin_agent_wire::guest::{FromGuest, GuestObserved, PORT_NAME, RoleState, ToGuest};

/// What QEMU's user-mode network gives its first guest.
pub const GUEST_ADDRESS: &str = "10.0.2.15";
pub const GATEWAY: &str = "10.0.2.2";
/// An emulated machine on a busy host takes its time.
const PATIENCE: Duration = Duration::from_secs(120);
const SCRATCH_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    Q35,
    Microvm,
}

pub struct Vm {
    pub machine: Machine,
    qemu: Child,
    port: BufReader<UnixStream>,
    pub http: u16,
    folder: tempfile::TempDir,
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.path().join("console")).unwrap_or_default());
        }
    }
}

impl Vm {
    pub fn boot(images: &Path, machine: Machine, files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("app")).unwrap();
        for (name, bytes) in files {
            fs::write(path("app").join(name), bytes).unwrap();
            fs::set_permissions(path("app").join(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
        let squash = Command::new("mksquashfs")
            .args([path("app"), path("E")])
            .args(["-quiet", "-no-progress"])
            .status();
        assert!(squash.expect("mksquashfs is installed").success());
        File::create(path("C")).unwrap().set_len(SCRATCH_BYTES).unwrap();
        let http = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("qemu-system-x86_64");
        command.args(arguments(images, machine, folder.path(), http)).stdin(Stdio::null());
        let qemu = command.spawn().expect("QEMU is installed");
        let port = wait(|| UnixStream::connect(path("port")).ok());
        port.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { machine, qemu, port: BufReader::new(port), http, folder }
    }

    /// Says something once.
    pub fn say(&mut self, said: &ToGuest) {
        let line = serde_json::to_string(said).unwrap() + "\n";
        self.port.get_mut().write_all(line.as_bytes()).unwrap();
    }

    /// What the guest says next.
    pub fn next(&mut self) -> GuestObserved {
        let mut line = String::new();
        assert_ne!(self.port.read_line(&mut line).unwrap(), 0, "the guest is gone");
        let FromGuest::Observed(observed) = serde_json::from_str(&line).unwrap();
        observed
    }

    /// Listens until the guest says what is wanted.
    pub fn until(&mut self, wanted: impl Fn(&GuestObserved) -> bool) -> GuestObserved {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let observed = self.next();
            if wanted(&observed) {
                return observed;
            }
            assert!(Instant::now() < deadline, "still {observed:?}");
        }
    }

    /// Gives a goal, as a node does: again and again until it has arrived. Then waits for the role's state.
    pub fn lead(&mut self, goal: &ToGuest, state: RoleState) -> GuestObserved {
        let ToGuest::Goal(inner) = goal else { panic!("not a goal") };
        let mut observed = self.next();
        while observed.generation != inner.generation {
            self.say(goal);
            observed = self.next();
        }
        if observed.role == state { observed } else { self.until(|observed| observed.role == state) }
    }

    /// Reads a page of the role.
    pub fn get(&self, path: &str) -> String {
        wait(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).ok()?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).ok()?;
            let (head, body) = answer.split_once("\r\n\r\n")?;
            head.contains(" 200 ").then(|| body.to_owned())
        })
    }

    /// Waits until something is so.
    pub fn wait_for(&self, so: impl Fn(&Self) -> bool) {
        wait(|| so(self).then_some(()));
    }

    /// Waits until the machine is off.
    pub fn ends(&mut self) {
        let status = wait(|| self.qemu.try_wait().unwrap());
        assert!(status.success(), "{status}");
    }
}

fn wait<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn host_khz() -> u64 {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap();
    let line = processors.lines().find(|line| line.starts_with("cpu MHz")).unwrap();
    let mhz: f64 = line.split(':').nth(1).unwrap().trim().parse().unwrap();
    (mhz * 1000.0).round() as u64
}

fn arguments(images: &Path, machine: Machine, folder: &Path, http: u16) -> Vec<String> {
    let shown = |path: PathBuf| path.to_string_lossy().into_owned();
    let (kind, bus, rom) = match machine {
        Machine::Q35 => ("-M q35,usb=off,sata=off,smbus=off -bios qboot.rom", "pci", ",romfile="),
        Machine::Microvm => ("-M microvm,acpi=on,rtc=on,pit=on,pic=on", "device", ""),
    };
    let mut arguments = format!(
        "-nodefaults -no-user-config -display none -no-reboot {kind} -accel tcg -cpu qemu64,-svm -m 256 \
         -device virtio-serial-{bus} -device virtserialport,chardev=port,name={PORT_NAME} -device virtio-rng-{bus} \
         -netdev user,id=net,hostfwd=tcp:127.0.0.1:{http}-{GUEST_ADDRESS}:80 -device virtio-net-{bus},netdev=net{rom}"
    );
    let drives =
        [("D", images.join("root"), "on"), ("E", folder.join("E"), "on"), ("C", folder.join("C"), "off")];
    for (letter, _, _) in &drives {
        arguments.push_str(&format!(" -device virtio-blk-{bus},drive={letter},serial={letter}"));
    }
    let mut arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
    for (letter, path, readonly) in drives {
        let drive = format!("if=none,id={letter},format=raw,readonly={readonly},file={}", shown(path));
        arguments.extend(["-drive".to_owned(), drive]);
    }
    let mut kernel = "console=ttyS0 quiet panic=-1 cryptomgr.notests=1 mitigations=off".to_owned();
    if machine == Machine::Microvm {
        // It has no timer to calibrate the time stamp counter by, which on a busy host never ends.
        kernel.push_str(&format!(" tsc_early_khz={}", host_khz()));
    }
    let chardev = format!("socket,id=port,server=on,wait=off,path={}", shown(folder.join("port")));
    let serial = format!("file:{}", shown(folder.join("console")));
    let (image, initramfs) = (shown(images.join("kernel")), shown(images.join("initramfs")));
    let pairs = [
        ("-kernel", image),
        ("-initrd", initramfs),
        ("-append", kernel),
        ("-chardev", chardev),
        ("-serial", serial),
    ];
    arguments.extend(pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
    arguments
}
