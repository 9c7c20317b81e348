//! The figures of all rounds as Markdown tables.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::report::median;
use crate::storage::against::{Against, TARGETS, Target};
use crate::storage::slice::Figures;
use crate::storage::work::{CONNECTIONS, Work};

/// What one round gave for one work at one number of connections.
#[derive(Debug, Clone, Default)]
pub struct Round {
    /// Welkin; `None` when it has no such operation.
    pub welkin: Option<Figures>,
    /// All that did the same.
    pub others: BTreeMap<Against, Figures>,
}

/// All figures so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: BTreeMap<(Work, usize), Vec<Round>>,
    /// What could not be measured, and why.
    pub missing: BTreeMap<Against, String>,
    /// Memory of servers at the end of the run, in MiB.
    pub memory: Vec<(&'static str, u64)>,
}

const TARGETS_HEAD: &str = "\
| work | against | at least | 1 connection | 16 | 64 | reached |
|---|---|---:|---:|---:|---:|---|
";

impl Report {
    /// Adds a round.
    pub fn add(&mut self, work: Work, connections: usize, round: Round) {
        self.rows.entry((work, connections)).or_default().push(round);
    }

    /// Each target beside what was measured.
    pub fn targets(&self) -> String {
        let rows = TARGETS.iter().map(|target| self.target_row(target));
        TARGETS_HEAD.to_owned() + &rows.collect::<String>()
    }

    fn target_row(&self, target: &Target) -> String {
        let Target { work, against, at_least, counts_at } = target;
        let ratios = CONNECTIONS.map(|connections| (connections, self.ratio(*work, connections, *against)));
        let missed = ratios.iter().filter(|(connections, ratio)| {
            // A ratio that is no number is not reached.
            counts_at.contains(connections) && !ratio.is_some_and(|ratio| ratio >= *at_least)
        });
        let missed: Vec<_> = missed.map(|(connections, _)| connections.to_string()).collect();
        let reached = match (ratios.iter().all(|(_, ratio)| ratio.is_none()), missed.is_empty()) {
            (true, _) => "not measured".to_owned(),
            (false, true) if counts_at.len() == 1 => format!("yes (counts at {})", counts_at[0]),
            (false, true) => "yes".to_owned(),
            (false, false) => format!("**no**, at {}", missed.join(", ")),
        };
        let [one, sixteen, sixty_four] = ratios.map(|(_, ratio)| shown(ratio.unwrap_or(f64::NAN)));
        format!("| {work} | {against} | {at_least} | {one} | {sixteen} | {sixty_four} | {reached} |\n")
    }

    /// The median of the ratios of each round: two figures of one round belong together, because the machine changes
    /// from minute to minute.
    fn ratio(&self, work: Work, connections: usize, against: Against) -> Option<f64> {
        let rounds = self.rows.get(&(work, connections))?;
        let ratios = rounds.iter().filter_map(|r| Some(r.welkin?.rate / r.others.get(&against)?.rate));
        Some(median(ratios)).filter(|ratio| !ratio.is_nan())
    }

    /// Each of those that Welkin is compared with: what it is, and the figures.
    pub fn details(&self) -> String {
        let mut text = String::new();
        for against in Against::ALL {
            let title = against.to_string();
            let title = title.strip_prefix("the ").unwrap_or(&title);
            let _ = write!(text, "### Against {title}\n\n{}\n\n", against.about());
            if let Some(why) = self.missing.get(&against) {
                let _ = write!(text, "**Not measured**, or not to the end: {}\n\n", why.replace('\n', " "));
            }
            let rows: String = self.rows.keys().filter_map(|key| self.detail_row(*key, against)).collect();
            if !rows.is_empty() {
                let columns = "p50 ms | p99 ms | client % |";
                let _ = writeln!(
                    text,
                    "| work | connections | Welkin /s | {columns} {title} /s | {columns} ratio |\n\
                     |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n{rows}"
                );
            }
        }
        for (server, mib) in &self.memory {
            let _ = writeln!(text, "Memory of {server} at the end of the run: {mib} MiB.");
        }
        text
    }

    /// `None` when this was never done against that.
    fn detail_row(&self, (work, connections): (Work, usize), against: Against) -> Option<String> {
        let rounds = self.rows.get(&(work, connections))?;
        let welkin: Vec<_> = rounds.iter().filter_map(|round| round.welkin).collect();
        let other: Vec<_> = rounds.iter().filter_map(|round| round.others.get(&against).copied()).collect();
        let ratio = shown(self.ratio(work, connections, against).unwrap_or(f64::NAN));
        let row =
            format!("| {work} | {connections} | {} | {} | {ratio} |\n", columns(&welkin), columns(&other));
        (!other.is_empty()).then_some(row)
    }
}

fn columns(figures: &[Figures]) -> String {
    let middle = |of: fn(&Figures) -> f64| median(figures.iter().map(of));
    let client = middle(|f| f.client_percent);
    let client = if client.is_nan() { "–".to_owned() } else { format!("{client:.0}") };
    let [rate, p50, p99] = [middle(|f| f.rate), middle(|f| f.p50_ms), middle(|f| f.p99_ms)].map(shown);
    format!("{rate} | {p50} | {p99} | {client}")
}

/// With as many digits as mean something.
pub fn shown(value: f64) -> String {
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

    fn figures(rate: f64) -> Figures {
        Figures { rate, p50_ms: 1.0, p99_ms: 20.0, client_percent: 99.6 }
    }

    fn report(rates: &[(usize, f64)]) -> Report {
        let mut report = Report::default();
        for &(connections, rate) in rates {
            let others = BTreeMap::from([(Against::Postgres, figures(100.0))]);
            report.add(Work::GetEntity, connections, Round { welkin: Some(figures(rate)), others });
        }
        report
    }

    #[test]
    fn targets_are_reached_where_they_count() {
        let rows: [(&[(usize, f64)], &str); 5] = [
            (&[(1, 20.0), (16, 150.0), (64, 10.0)], "0.20 | 1.50 | 0.10 | yes (counts at 16) |"),
            (&[(1, 200.0), (16, 149.0), (64, 200.0)], "2.00 | 1.49 | 2.00 | **no**, at 16 |"),
            (&[(1, 200.0)], "2.00 | – | – | **no**, at 16 |"),
            (&[], "– | – | – | not measured |"),
            (&[(16, 150.0), (16, 100.0), (16, 900.0)], "– | 1.50 | – | yes (counts at 16) |"),
        ];
        for (rates, expected) in rows {
            let text = report(rates).targets();
            let row = text.lines().find(|line| line.contains("by both keys | PostgreSQL")).unwrap();
            assert!(row.ends_with(&format!("| 1.5 | {expected}")), "{row}");
        }
    }

    #[test]
    fn details() {
        let text = report(&[(16, 500.0)]).details();
        let row =
            "| Query Entity by both keys | 16 | 500 | 1.00 | 20.0 | 100 | 100 | 1.00 | 20.0 | 100 | 5.00 |";
        assert!(text.contains(row), "{text}");
        let mut report = Report::default();
        report.missing.insert(Against::Garage, "no such\nfile".to_owned());
        assert!(report.details().contains("or not to the end: no such file"), "{}", report.details());
    }
}
