//! Processes: known by id and start time, so that an id that the kernel gave away again is never mistaken.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

use crate::error::CliError;

/// How often a process is looked at while one waits for its end.
const POLL_MS: u64 = 50;

/// A process, as written into a pid file: `<pid> <start time in clock ticks since boot>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    started_ticks: u64,
}

impl Process {
    /// The running process with this id.
    pub fn of(pid: u32) -> Option<Self> {
        let pid = i32::try_from(pid).ok()?;
        Some(Self { pid, started_ticks: start_time_ticks(pid)? })
    }

    /// This process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Reads a pid file; `None` when there is none or its process has ended.
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let (pid, started_ticks) = text.trim().split_once(' ')?;
        let process = Self { pid: pid.parse().ok()?, started_ticks: started_ticks.parse().ok()? };
        process.runs().then_some(process)
    }

    /// Writes a pid file.
    pub fn write(self, path: &Path) -> Result<(), CliError> {
        fs::write(path, format!("{} {}\n", self.pid, self.started_ticks)).map_err(|source| CliError::File {
            doing: "write",
            path: path.to_owned(),
            source,
        })
    }

    /// Whether it still runs.
    pub fn runs(self) -> bool {
        start_time_ticks(self.pid) == Some(self.started_ticks)
            && Pid::from_raw(self.pid).is_some_and(|pid| test_kill_process(pid).is_ok())
    }

    /// Sends a signal, if it still runs.
    pub fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.runs()) {
            let _ = kill_process(pid, signal);
        }
    }

    /// Sends a signal to it and to what it has started, if it still runs. It must lead a process group.
    pub fn signal_group(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid).filter(|_| self.runs()) {
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Asks it to end. One that is stopped goes on for that.
    pub fn ask_to_end(self) {
        self.signal(Signal::TERM);
        self.signal(Signal::CONT);
    }

    /// Asks it to end, waits up to `grace`, then ends it.
    pub fn end(self, grace: Duration) {
        self.ask_to_end();
        if !self.ended_within(grace) {
            self.signal(Signal::KILL);
            self.ended_within(grace);
        }
    }

    /// Waits for its end; false when it still runs after `limit`.
    pub fn ended_within(self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        while self.runs() {
            if Instant::now() >= end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(POLL_MS));
        }
        true
    }
}

/// Field 22 of `/proc/<pid>/stat` (proc(5)); `None` when there is no such process or it is a zombie.
fn start_time_ticks(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold blanks and brackets itself.
    let after_name = stat.rsplit_once(')')?.1;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    if state == "Z" { None } else { fields.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_an_old_one_does_not() {
        let own = Process::own().unwrap();
        assert!(own.runs());
        assert!(!Process { started_ticks: own.started_ticks + 1, ..own }.runs());
    }

    #[test]
    fn a_child_is_ended_even_when_it_was_stopped() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process::of(child.id()).unwrap();
        process.signal(Signal::STOP);
        process.end(Duration::from_secs(5));
        child.wait().unwrap();
        assert!(!process.runs());
    }
}
