//! The private virtio port to the FA: lines of JSON, both ways.
//!
//! A read returns nothing while no host listens, and a write then blocks. So each way has a thread,
//! and the writer sends only the newest state: an old one that could not be sent is of no use.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use welkin_agent_wire::guest::{FromGuest, PORT_NAME, ToGuest};
use welkin_agent_wire::limits::GUEST_LINE_BYTES_MAX;

use zeroize::Zeroize as _;

use crate::console;
use crate::error::{Doing, GuestError};

/// The port appears as its driver finds it.
const WAIT_MAX: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How often to look whether the host listens again.
const SILENCE_INTERVAL: Duration = Duration::from_millis(200);

/// The way to the FA.
pub struct Reports {
    newest: Arc<(Mutex<Option<String>>, Condvar)>,
}

/// Opens the port; each line that comes is handed to `hear` on a thread of its own.
///
/// # Errors
/// When the machine has no such port.
pub fn open(hear: impl Fn(ToGuest) + Send + 'static) -> Result<Reports, GuestError> {
    let path = find()?;
    let port = OpenOptions::new().read(true).write(true).open(&path).doing(|| format!("open {path}"))?;
    let writer = port.try_clone().doing(|| format!("share {path}"))?;
    std::thread::spawn(move || listen(port, hear));
    let newest = Arc::new((Mutex::new(None), Condvar::new()));
    let shared = Arc::clone(&newest);
    std::thread::spawn(move || send_newest(writer, &shared));
    Ok(Reports { newest })
}

impl Reports {
    /// Sends this state instead of any that waits.
    pub fn send(&self, state: &FromGuest) {
        if let Ok(mut line) = serde_json::to_string(state) {
            line.push('\n');
            let (slot, changed) = &*self.newest;
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
            changed.notify_one();
        }
    }
}

fn send_newest(mut port: File, newest: &(Mutex<Option<String>>, Condvar)) {
    let (slot, changed) = newest;
    loop {
        let guard = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_while(guard, |line| line.is_none());
        let line = waited.unwrap_or_else(PoisonError::into_inner).take();
        if let Some(line) = line
            && let Err(error) = port.write_all(line.as_bytes())
        {
            console::say(&format!("cannot report: {error}"));
            std::thread::sleep(SILENCE_INTERVAL);
        }
    }
}

fn listen(port: File, hear: impl Fn(ToGuest)) {
    let mut reader = BufReader::new(port);
    let mut line = Vec::new();
    loop {
        let room = (GUEST_LINE_BYTES_MAX + 1).saturating_sub(line.len()) as u64;
        match reader.by_ref().take(room).read_until(b'\n', &mut line) {
            Ok(0) if room > 0 => {
                line.clear(); // the host went away in the middle of a line
                std::thread::sleep(SILENCE_INTERVAL);
                continue;
            }
            Ok(_) => {}
            Err(error) => {
                console::say(&format!("cannot hear the node: {error}"));
                std::thread::sleep(SILENCE_INTERVAL);
                continue;
            }
        }
        if line.last() == Some(&b'\n') || line.len() > GUEST_LINE_BYTES_MAX {
            match serde_json::from_slice(&line) {
                // The node ends what it may have said by half with an empty line.
                _ if line.trim_ascii().is_empty() => {}
                Ok(said) => hear(said),
                // Only the place: what was said may hold secrets.
                Err(error) => {
                    console::say(&format!("the node said something unknown, at byte {}", error.column()));
                }
            }
            // It may have held a private key.
            line.zeroize();
        }
    }
}

fn find() -> Result<String, GuestError> {
    let deadline = Instant::now() + WAIT_MAX;
    loop {
        for entry in fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
            let name = fs::read_to_string(entry.path().join("name")).unwrap_or_default();
            if name.trim() == PORT_NAME {
                return Ok(format!("/dev/{}", entry.file_name().to_string_lossy()));
            }
        }
        if Instant::now() >= deadline {
            return Err(GuestError::Missing(format!("the port {PORT_NAME}")));
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}
