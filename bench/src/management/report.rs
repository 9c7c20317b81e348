//! The figures as a section of the page.

use std::collections::BTreeMap;
use std::fmt;

use super::growth::Step;
use super::work::Work;
use crate::report::median;
use crate::storage::{Figures, shown};

/// How long requests took to be accepted in one round.
#[derive(Debug, Clone, Copy)]
pub struct Accepting {
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// 99 of 100 took no longer.
    pub p99_ms: f64,
}

/// Memory beside connections that wait.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// How many.
    pub connections: usize,
    /// Resident memory without them.
    pub before_kib: u64,
    /// Resident memory with them.
    pub after_kib: u64,
}

/// All figures.
#[derive(Debug, Default)]
pub struct Report {
    rows: BTreeMap<(Work, usize), Vec<Figures>>,
    /// Of what goes on after its answer, by connections.
    pub accepting: BTreeMap<usize, Vec<Accepting>>,
    /// At each number of services.
    pub growth: Vec<Step>,
    /// With many connections.
    pub waiting: Option<Waiting>,
}

impl Report {
    /// Adds a round.
    pub fn add(&mut self, work: Work, connections: usize, figures: Figures) {
        self.rows.entry((work, connections)).or_default().push(figures);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| request | connections | per second | p50 ms | p99 ms | client % |")?;
        writeln!(f, "|---|---:|---:|---:|---:|---:|")?;
        for ((work, connections), rounds) in &self.rows {
            let middle = |of: fn(&Figures) -> f64| shown(median(rounds.iter().map(of)));
            let [rate, p50, p99] = [middle(|f| f.rate), middle(|f| f.p50_ms), middle(|f| f.p99_ms)];
            let client = median(rounds.iter().map(|f| f.client_percent));
            writeln!(f, "| {work} | {connections} | {rate} | {p50} | {p99} | {client:.0} |")?;
            if let Some(rounds) =
                self.accepting.get(connections).filter(|_| *work == Work::ChangeConfiguration)
            {
                let middle = |of: fn(&Accepting) -> f64| shown(median(rounds.iter().map(of)));
                let [p50, p99] = [middle(|a| a.p50_ms), middle(|a| a.p99_ms)];
                writeln!(f, "| … of that, until it was accepted | {connections} | – | {p50} | {p99} | – |")?;
            }
        }
        writeln!(
            f,
            "\n| services of the subscription | get one, per second | get the subscription, per second | \
             list all, per second | KiB of the list | create one more, p50 ms | memory, MiB | start after a crash, s |"
        )?;
        writeln!(f, "|---:|---:|---:|---:|---:|---:|---:|---:|")?;
        for step in &self.growth {
            let Step { services, gets, lists, list_bytes, usages, create_p50_ms, memory_kib, start_s } =
                *step;
            let [gets, usages, lists] = [gets, usages, lists].map(shown);
            let [create, start] = [create_p50_ms, start_s].map(shown);
            let (kib, mib) = (list_bytes / 1024, memory_kib / 1024);
            writeln!(f, "| {services} | {gets} | {usages} | {lists} | {kib} | {create} | {mib} | {start} |")?;
        }
        if let Some(Waiting { connections, before_kib, after_kib }) = self.waiting {
            let each_kib = after_kib.saturating_sub(before_kib) / connections.max(1) as u64;
            let (before, after) = (before_kib / 1024, after_kib / 1024);
            writeln!(
                f,
                "\n{connections} connections that wait take {each_kib} KiB each: {before} MiB before, {after} MiB with \
                 them; each of them is answered afterwards."
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report() {
        let mut report = Report::default();
        let figures = |rate| Figures { rate, p50_ms: 1.0, p99_ms: 20.0, client_percent: 9.6 };
        for rate in [500.0, 700.0, 600.0] {
            report.add(Work::ChangeConfiguration, 64, figures(rate));
        }
        report.accepting.insert(64, vec![Accepting { p50_ms: 0.5, p99_ms: 2.0 }]);
        report.waiting = Some(Waiting { connections: 100, before_kib: 10_240, after_kib: 14_240 });
        let text = report.to_string();
        for part in [
            "| Change Configuration, until it has succeeded | 64 | 600 | 1.00 | 20.0 | 10 |\n",
            "| … of that, until it was accepted | 64 | – | 0.50 | 2.00 | – |\n",
            "100 connections that wait take 40 KiB each: 10 MiB before, 13 MiB with them",
        ] {
            assert!(text.contains(part), "{text}");
        }
    }
}
