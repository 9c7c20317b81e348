//! The channel to a guest: lines of JSON over the VM's private virtio port.
//!
//! Everything that comes over it is hostile: lines are bounded in length and rate, unknown fields denied. QEMU owns
//! the socket; the agent connects, and connects again when it breaks.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use welkin_agent_wire::limits::{GUEST_LINE_BYTES_MAX, MESSAGE_BYTES_MAX};
use welkin_agent_wire::{FromGuest, GuestGoal, GuestObserved, ToGuest};
use welkin_base::Generation;
use welkin_node::Heard;
use welkin_node::vm::CHANNEL;

use crate::certificate::SecretLine;
use crate::shared::{Clock, Shared};

/// What is said is said again after this time until the guest has it: words before the port is open are lost.
const REPEAT_MS: u64 = 1_000;
/// Secrets that wait to be said, at most; a guest asks again for what finds no room.
const SECRETS_MAX: usize = 16;
/// The pause before the next try to connect.
const CONNECT_PAUSE_MS: u64 = 200;
/// The pause after each line. An honest guest says one a second and some more at changes; a flood waits in QEMU.
const LINE_PAUSE_MS: u64 = 20;

/// What the guest is to be told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Want {
    /// What it must run.
    pub goal: Option<GuestGoal>,
    /// It must power off.
    pub shutdown: bool,
}

/// An open channel. Dropping it closes it.
#[derive(Debug)]
pub struct Channel {
    want: watch::Sender<Want>,
    secrets: mpsc::Sender<SecretLine>,
    heard: Arc<Mutex<Option<Heard>>>,
    task: JoinHandle<()>,
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Channel {
    /// Opens the channel of the VM that works in `folder` as user `uid`.
    pub fn open(folder: &Path, uid: u32, clock: Clock, shared: Arc<Shared>) -> io::Result<Self> {
        let socket = Socket::new(folder, uid)?;
        let (want, wanted) = watch::channel(Want::default());
        let (secrets, mut lines) = mpsc::channel(SECRETS_MAX);
        let heard = Arc::new(Mutex::new(None));
        let ear = Ear { heard: Arc::clone(&heard), clock, shared };
        let task = tokio::spawn(async move {
            loop {
                if let Ok(stream) = socket.connect().await {
                    let error = converse(stream, wanted.clone(), &mut lines, &ear).await;
                    tracing::debug!(%error, "guest channel closed");
                }
                tokio::time::sleep(Duration::from_millis(CONNECT_PAUSE_MS)).await;
            }
        });
        Ok(Self { want, secrets, heard, task })
    }

    /// Changes what the guest is told.
    pub fn tell(&self, change: impl FnOnce(&mut Want)) {
        self.want.send_if_modified(|want| {
            let before = want.clone();
            change(want);
            *want != before
        });
    }

    /// Where lines go that hold secrets: each is said once and then wiped. A guest that missed one asks again.
    pub fn secrets(&self) -> mpsc::Sender<SecretLine> {
        self.secrets.clone()
    }

    /// The guest's last word.
    pub fn heard(&self) -> Option<Heard> {
        lock(&self.heard).clone()
    }
}

/// Where a VM's socket is. Its path is given from an open folder, since paths of sockets are at most 107 bytes long.
struct Socket {
    _folder: File,
    path: PathBuf,
    uid: u32,
}

impl Socket {
    fn new(folder: &Path, uid: u32) -> io::Result<Self> {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::DIRECTORY;
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        let folder = OpenOptions::new().read(true).custom_flags(flags).open(folder)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(CHANNEL);
        Ok(Self { _folder: folder, path, uid })
    }

    /// The folder is the VM's: what lies there may be a link to a socket of somebody else.
    async fn connect(&self) -> io::Result<UnixStream> {
        let metadata = fs::symlink_metadata(&self.path)?;
        if !metadata.file_type().is_socket() || metadata.uid() != self.uid {
            return Err(io::Error::other("not the VM's socket"));
        }
        UnixStream::connect(&self.path).await
    }
}

/// Where words of the guest go.
struct Ear {
    heard: Arc<Mutex<Option<Heard>>>,
    clock: Clock,
    shared: Arc<Shared>,
}

impl Ear {
    fn hear(&self, observed: GuestObserved) {
        let mut heard = lock(&self.heard);
        let changed = heard
            .as_ref()
            .is_none_or(|h| (h.observed.role, h.observed.generation) != (observed.role, observed.generation));
        *heard = Some(Heard { at_ms: self.clock.now_ms(), observed });
        drop(heard);
        if changed {
            self.shared.wake.notify_one();
        }
    }

    fn generation(&self) -> Option<Generation> {
        lock(&self.heard).as_ref().map(|h| h.observed.generation)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn converse(
    stream: UnixStream,
    wanted: watch::Receiver<Want>,
    secrets: &mut mpsc::Receiver<SecretLine>,
    ear: &Ear,
) -> io::Error {
    let (read, write) = stream.into_split();
    let result = tokio::select! {
        result = listen(read, ear) => result,
        result = speak(write, wanted, secrets, ear) => result,
    };
    result.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

async fn listen(read: OwnedReadHalf, ear: &Ear) -> io::Result<()> {
    let mut reader = BufReader::new(read);
    let mut line = vec![];
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(GUEST_LINE_BYTES_MAX as u64 + 1);
        if bounded.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        if line.pop() != Some(b'\n') {
            return Err(io::Error::other("a line of the guest is too long or has no end"));
        }
        match parse(&line) {
            Ok(observed) => ear.hear(observed),
            Err(why) => tracing::debug!(why, "a line of the guest makes no sense"),
        }
        tokio::time::sleep(Duration::from_millis(LINE_PAUSE_MS)).await;
    }
}

fn parse(line: &[u8]) -> Result<GuestObserved, String> {
    let FromGuest::Observed(observed) = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if observed.message.len() > MESSAGE_BYTES_MAX {
        return Err("the message is too long".to_owned());
    }
    Ok(observed)
}

async fn speak(
    mut write: OwnedWriteHalf,
    mut wanted: watch::Receiver<Want>,
    secrets: &mut mpsc::Receiver<SecretLine>,
    ear: &Ear,
) -> io::Result<()> {
    // Ends whatever an agent before this one may have left half said.
    write.write_all(b"\n").await?;
    loop {
        let word = word(&wanted.borrow_and_update(), ear.generation());
        if let Some(word) = word {
            let mut line = serde_json::to_vec(&word)?;
            line.push(b'\n');
            write.write_all(&line).await?;
        }
        tokio::select! {
            changed = wanted.changed() => changed.map_err(io::Error::other)?,
            Some(line) = secrets.recv() => write.write_all(&line).await?,
            () = tokio::time::sleep(Duration::from_millis(REPEAT_MS)) => {}
        }
    }
}

/// What to say to a guest that works on `generation`.
fn word(want: &Want, generation: Option<Generation>) -> Option<ToGuest> {
    match &want.goal {
        _ if want.shutdown => Some(ToGuest::Shutdown),
        Some(goal) if generation != Some(goal.generation) => Some(ToGuest::Goal(Box::new(goal.clone()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let check = |line: &str, valid: bool| assert_eq!(parse(line.as_bytes()).is_ok(), valid, "{line}");
        let good = r#"{"say":"observed","generation":1,"role":"ready","message":"","role_restarts":0,"uptime_ms":5}"#;
        check(good, true);
        check(&good.replace("ready", "root"), false);
        check(&good.replace("\"uptime_ms\"", "\"more\":1,\"uptime_ms\""), false);
        check(&good.replace("\"message\":\"\"", &format!("\"message\":\"{}\"", "m".repeat(1025))), false);
        check("", false);
        check("[]", false);
    }

    const GOOD: &str =
        r#"{"say":"observed","generation":1,"role":"ready","message":"","role_restarts":0,"uptime_ms":5}"#;

    fn ear() -> Ear {
        let node = welkin_agent_wire::NodeObserved {
            node: "node0".parse().unwrap(),
            generation: Generation(0),
            capacity: welkin_agent_wire::NodeCapacity { cores: 0, memory_mib: 0, disk_mib: 0 },
            accelerator: welkin_agent_wire::Accelerator::Tcg,
            instances: vec![],
            trouble: None,
            transport_recipient: String::new(),
            draining: Vec::new(),
        };
        let published = crate::shared::Published::new(node);
        let shared = Arc::new(Shared::new(None, published));
        Ear { heard: Arc::default(), clock: Clock::start(), shared }
    }

    /// A guest that says `said`; what the agent made of it.
    async fn hear(said: Vec<u8>) -> (io::Result<()>, Option<GuestObserved>) {
        let (guest, agent) = UnixStream::pair().unwrap();
        let (read, _write) = agent.into_split();
        let talk = async move {
            let (_read, mut write) = guest.into_split();
            // The agent may hang up on it.
            let _ = write.write_all(&said).await;
        };
        let ear = ear();
        let ((), result) = tokio::join!(talk, async {
            let result = listen(read, &ear).await;
            drop(_write);
            result
        });
        let heard = lock(&ear.heard).take();
        (result, heard.map(|h| h.observed))
    }

    #[tokio::test]
    async fn a_hostile_guest() {
        let (result, heard) = hear(format!("rubbish\n\n{GOOD}\n").into_bytes()).await;
        assert!(result.is_ok() && heard.is_some());
        let long = [vec![b'x'; GUEST_LINE_BYTES_MAX + 10], format!("\n{GOOD}\n").into_bytes()].concat();
        let (result, heard) = hear(long).await;
        assert!(result.is_err() && heard.is_none());
        let (result, heard) = hear(GOOD.as_bytes().to_vec()).await;
        assert!(result.is_err() && heard.is_none(), "a line without its end is not a line");
    }

    #[test]
    fn what_is_said() {
        let goal: GuestGoal = serde_json::from_value(serde_json::json!({
            "generation": 2, "network": {"address": "10.0.0.2", "prefix_length": 24, "gateway": "10.0.0.1"},
            "environment": {"deployment": "6ba7b8109dad11d180b400c04fd430c8", "service": "s", "role": "Web",
                "instance": "Web_IN_0", "update_domain": 0, "fault_domain": 0, "settings": {}, "endpoints": [],
                "local_resources": [], "peers": []},
            "startup_tasks": [], "program": null, "variables": {}
        }))
        .unwrap();
        let want = |goal: Option<&GuestGoal>, shutdown| Want { goal: goal.cloned(), shutdown };
        let said = ToGuest::Goal(Box::new(goal.clone()));
        let check = |want: &Want, generation: Option<u64>, expected: Option<&ToGuest>| {
            assert_eq!(word(want, generation.map(Generation)).as_ref(), expected);
        };
        check(&want(None, false), None, None);
        check(&want(Some(&goal), false), None, Some(&said));
        check(&want(Some(&goal), false), Some(1), Some(&said));
        check(&want(Some(&goal), false), Some(2), None);
        check(&want(Some(&goal), true), Some(2), Some(&ToGuest::Shutdown));
    }
}
