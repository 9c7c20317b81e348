//! What the figures were measured on, without names.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine before the run.
#[derive(Debug)]
pub struct Machine {
    cores: usize,
    memory_gib: u64,
    kernel: String,
    load: String,
    date: String,
}

impl Machine {
    /// Looks at this machine. `load` is the load average before the run, when somebody looked earlier.
    pub fn look(load: Option<String>) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let first_three = |text: &str| text.split(' ').take(3).collect::<Vec<_>>().join(" ");
        let memory_kib = read("/proc/meminfo").split_ascii_whitespace().nth(1).and_then(|n| n.parse().ok());
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self {
            cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
            memory_gib: memory_kib.unwrap_or(0_u64).div_ceil(1024 * 1024),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: load.unwrap_or_else(|| first_three(&read("/proc/loadavg"))),
            date: date(seconds),
        }
    }
}

/// `24 Nov 2026`, from the date of HTTP.
fn date(seconds: u64) -> String {
    let http = httpdate::fmt_http_date(UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    http.split(' ').skip(1).take(3).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, memory_gib, kernel, load, date } = self;
        write!(
            f,
            "{cores} cores, {memory_gib} GiB of memory, Linux {kernel}; {date}; load average before the run: {load}"
        )
    }
}
