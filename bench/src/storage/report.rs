//! The figures of all rounds as a Markdown table.

use std::collections::BTreeMap;
use std::fmt;

use crate::report::median;
use crate::storage::slice::Figures;
use crate::storage::work::Work;

/// What one round gave for one work at one number of connections.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Welkin; `None` when it has no such operation.
    pub welkin: Option<Figures>,
    /// Azurite.
    pub azurite: Option<Figures>,
    /// The raw limit, in operations per second, of works that make something durable.
    pub limit: Option<f64>,
}

/// All figures so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: BTreeMap<(usize, usize), (String, Vec<Round>)>,
    memory: Vec<(&'static str, u64)>,
}

impl Report {
    /// Adds a round; `order` is the work's place in the table.
    pub fn add(&mut self, order: usize, work: Work, connections: usize, round: Round) {
        let row = self.rows.entry((order, connections));
        row.or_insert_with(|| (work.to_string(), Vec::new())).1.push(round);
    }

    /// Adds the memory of a server at the end of the run.
    pub fn add_memory(&mut self, server: &'static str, mib: u64) {
        self.memory.push((server, mib));
    }
}

const HEAD: &str = "\
| work | connections | Welkin /s | MB/s | p50 ms | p99 ms | Azurite /s | MB/s | p50 ms | p99 ms | ratio to Azurite | limit /s | ratio to the limit |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEAD}")?;
        for ((_, connections), (work, rounds)) in &self.rows {
            let welkin: Vec<_> = rounds.iter().filter_map(|round| round.welkin).collect();
            let azurite: Vec<_> = rounds.iter().filter_map(|round| round.azurite).collect();
            let limits = rounds.iter().filter_map(|round| round.limit);
            // Two figures of one round belong together: the machine changes from minute to minute.
            let to_azurite = rounds.iter().filter_map(|r| Some(r.welkin?.rate / r.azurite?.rate));
            let to_limit = rounds.iter().filter_map(|r| Some(r.welkin?.rate / r.limit?));
            writeln!(
                f,
                "| {work} | {connections} | {} | {} | {} | {} | {} |",
                columns(&welkin),
                columns(&azurite),
                shown(median(to_azurite)),
                shown(median(limits)),
                shown(median(to_limit)),
            )?;
        }
        for (server, mib) in &self.memory {
            write!(f, "\nMemory of {server} at the end: {mib} MiB.")?;
        }
        writeln!(f)
    }
}

fn columns(figures: &[Figures]) -> String {
    if figures.is_empty() {
        return "not built | – | – | –".to_owned();
    }
    let middle = |of: fn(&Figures) -> f64| shown(median(figures.iter().map(of)));
    let [rate, megabytes] = [middle(|f| f.rate), middle(|f| f.megabytes)];
    format!("{rate} | {megabytes} | {} | {}", middle(|f| f.p50_ms), middle(|f| f.p99_ms))
}

/// With as many digits as mean something.
fn shown(value: f64) -> String {
    match value {
        value if value.is_nan() => "–".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let figures = |rate| Some(Figures { rate, megabytes: 0.5, p50_ms: 1.0, p99_ms: 20.0 });
        let table = [
            (
                Round { welkin: figures(500.0), azurite: figures(100.0), limit: Some(1000.0) },
                "| 500 | 0.50 | 1.00 | 20.0 | 100 | 0.50 | 1.00 | 20.0 | 5.00 | 1000 | 0.50 |",
            ),
            (
                Round { welkin: None, azurite: figures(100.0), limit: None },
                "| not built | – | – | – | 100 | 0.50 | 1.00 | 20.0 | – | – | – |",
            ),
        ];
        for (round, expected) in table {
            let mut report = Report::default();
            report.add(0, Work::ListBlobs, 16, round);
            let text = report.to_string();
            assert!(text.contains(&format!("| List 5000 blobs | 16 {expected}")), "{text}");
        }
    }
}
