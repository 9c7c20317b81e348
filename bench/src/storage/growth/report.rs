//! What was found, as Markdown.

use std::fmt;

use crate::storage::growth::{CONNECTIONS, IDLE, Step};
use crate::storage::report::shown;

/// The least number of blobs of the targets below.
const MANY: usize = 1_000_000;
const START_S_MAX: f64 = 1.0;
const IDLE_MIB_MAX: f64 = 64.0;
const KIB_OF_MIB: f64 = 1024.0;

/// How cost grows.
#[derive(Debug)]
pub struct Growth {
    pub(super) machine: String,
    pub(super) rounds: usize,
    pub(super) blobs: Vec<Step>,
    pub(super) entities: Vec<Step>,
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, rounds, blobs, entities } = self;
        let idle_s = IDLE.as_secs();
        writeln!(
            f,
            "Measured by `./x bench --scale`. Machine: {machine}.

Blobs of 4 KiB are put into one container over the protocol; entities of about 200 bytes are inserted through the
engine, 100 in a commit, 10,000 in a partition. Rates are per second at {CONNECTIONS} connections, medians of {rounds}; what is
read is chosen by chance from all that is there. A start is the time from the start of the process to the first answer
with a blob or entity; its files may be in the system's cache. Memory is resident memory, idle {idle_s} s after a start,
and after the works. Disk is what the data folder takes after a stop, with the log's segments and reserves that do
not grow.
"
        )?;
        if let Some(step) = blobs.iter().find(|step| step.items >= MANY) {
            write!(f, "{}", targets(step))?;
        }
        writeln!(f, "{}", table("blobs", blobs))?;
        write!(f, "{}", table("entities", entities))
    }
}

fn targets(step: &Step) -> String {
    let idle_mib = step.idle_kib as f64 / KIB_OF_MIB;
    let rows = [
        ("first answer after a stop, s", START_S_MAX, step.start_s),
        ("first answer after `kill -9`, s", START_S_MAX, step.start_after_kill_s),
        ("idle memory, MiB", IDLE_MIB_MAX, idle_mib),
    ];
    let rows = rows.map(|(what, below, measured)| {
        let reached = if measured < below { "yes" } else { "**no**" };
        format!("| {what} | {below} | {} | {reached} |\n", shown(measured))
    });
    format!("| with a million blobs | below | measured | reached |\n|---|---:|---:|---|\n{}\n", rows.concat())
}

fn table(items: &str, steps: &[Step]) -> String {
    let Some(first) = steps.first() else { return String::new() };
    let works: String = first.rates.iter().map(|(work, _)| format!(" {work} /s |")).collect();
    let mut text = format!(
        "| {items} | loaded /s |{works} start s | after a kill s | idle MiB | after work MiB | \
         idle bytes for each more | disk bytes for each |\n|---:|---:|{} ---:|---:|---:|---:|---:|---:|\n",
        "---:|".repeat(first.rates.len())
    );
    for step in steps {
        let rates: String = step.rates.iter().map(|(_, rate)| format!(" {} |", shown(*rate))).collect();
        let more = (step.items > first.items).then(|| {
            let bytes = (step.idle_kib as f64 - first.idle_kib as f64) * KIB_OF_MIB;
            format!("{:.1}", bytes / (step.items - first.items) as f64)
        });
        text += &format!(
            "| {} | {} |{rates} {} | {} | {} | {} | {} | {} |\n",
            step.items,
            shown(step.load_rate),
            shown(step.start_s),
            shown(step.start_after_kill_s),
            shown(step.idle_kib as f64 / KIB_OF_MIB),
            shown(step.worked_kib as f64 / KIB_OF_MIB),
            more.unwrap_or_else(|| "–".to_owned()),
            shown(step.disk_bytes as f64 / step.items as f64),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::work::Work;

    #[test]
    fn rows() {
        let step = |items, start_s, idle_kib| Step {
            items,
            load_rate: 5000.0,
            rates: vec![(Work::ListBlobs, 30.0)],
            start_s,
            start_after_kill_s: 1.25,
            idle_kib,
            worked_kib: 102_400,
            disk_bytes: 8_000_000_000,
        };
        let (few, many) = (step(10_000, 0.05, 20_480), step(1_000_000, 0.5, 71_680));
        let growth =
            Growth { machine: "M".to_owned(), rounds: 3, blobs: vec![few, many], entities: Vec::new() };
        let text = growth.to_string();
        let rows = [
            "| first answer after a stop, s | 1 | 0.50 | yes |",
            "| first answer after `kill -9`, s | 1 | 1.25 | **no** |",
            "| idle memory, MiB | 64 | 70.0 | **no** |",
            "| 10000 | 5000 | 30.0 | 0.05 | 1.25 | 20.0 | 100 | – | 800000 |",
            "| 1000000 | 5000 | 30.0 | 0.50 | 1.25 | 70.0 | 100 | 53.0 | 8000 |",
        ];
        for row in rows {
            assert!(text.contains(row), "{row} is not in\n{text}");
        }
    }
}
