//! What people can read of the guest: the console, which the FA keeps, and a file on C.
//!
//! A role that writes without end must not slow the guest or fill C: the console takes so many
//! bytes a second, and the file is begun anew when it is full, the one before it kept.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The role's output, readable by the role.
const LOG_FOLDER: &str = "/local/log";
const LOG_BYTES_MAX: u64 = 4 << 20;
/// An emulated serial port moves a byte at a time.
const CONSOLE_BYTES_PER_SECOND_MAX: usize = 16 << 10;
/// A longer line is cut.
const LINE_BYTES_MAX: u64 = 4 << 10;

/// Says a line of the GA's own on the console.
pub fn say(line: &str) {
    print(&format!("welkin-guest: {line}"));
}

fn print(line: &str) {
    // The console may be gone; there is nobody to tell.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Takes the output of the role and its tasks.
#[derive(Clone)]
pub struct RoleOutput(Arc<Mutex<Sink>>);

struct Sink {
    file: Option<(File, u64)>,
    second: Instant,
    spent_bytes: usize,
    skipped_lines: u64,
}

impl RoleOutput {
    /// Output that goes to the console and, as far as C allows, to a file.
    pub fn new() -> Self {
        let sink = Sink { file: open_log(), second: Instant::now(), spent_bytes: 0, skipped_lines: 0 };
        Self(Arc::new(Mutex::new(sink)))
    }

    /// Copies `stream` line by line until it ends, on a thread of its own.
    pub fn follow(&self, name: &'static str, stream: impl Read + Send + 'static) {
        let sink = Arc::clone(&self.0);
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line), Ok(1..)) {
                let text = printable(&line);
                sink.lock().unwrap_or_else(PoisonError::into_inner).write(name, &text);
                line.clear();
            }
        });
    }
}

/// Control characters could make a terminal do things.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    text.trim_end().chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

impl Sink {
    fn write(&mut self, name: &str, text: &str) {
        self.write_file(text);
        if self.second.elapsed() >= Duration::from_secs(1) {
            if self.skipped_lines > 0 {
                say(&format!("{} more lines are in {LOG_FOLDER}/role.log", self.skipped_lines));
            }
            (self.second, self.spent_bytes, self.skipped_lines) = (Instant::now(), 0, 0);
        }
        if self.spent_bytes + text.len() > CONSOLE_BYTES_PER_SECOND_MAX {
            self.skipped_lines += 1;
            return;
        }
        self.spent_bytes += text.len() + 1;
        print(&format!("{name}: {text}"));
    }

    fn write_file(&mut self, text: &str) {
        if self.file.as_ref().is_some_and(|(_, bytes)| *bytes >= LOG_BYTES_MAX) {
            self.file = None;
            let _ = fs::rename(format!("{LOG_FOLDER}/role.log"), format!("{LOG_FOLDER}/role.log.1"));
            self.file = open_log();
        }
        if let Some((file, bytes)) = &mut self.file {
            // A full C is the role's own affair and shows on its own writes.
            if writeln!(file, "{text}").is_ok() {
                *bytes += text.len() as u64 + 1;
            }
        }
    }
}

fn open_log() -> Option<(File, u64)> {
    let opened = fs::create_dir_all(LOG_FOLDER).and_then(|()| {
        let file = OpenOptions::new().create(true).append(true).open(format!("{LOG_FOLDER}/role.log"))?;
        let bytes = file.metadata()?.len();
        Ok((file, bytes))
    });
    opened.inspect_err(|error| say(&format!("no log on C: {error}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn lines_are_made_printable() {
        let check = |input: &[u8], expected| assert_eq!(printable(input), expected);
        check(b"hello\r\n", "hello");
        check(b"a\tb\n", "a\tb");
        check(b"\x1b[2Jgone", "\u{fffd}[2Jgone");
        check(b"\xff\xfe", "\u{fffd}\u{fffd}");
    }
}
