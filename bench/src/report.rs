//! Figures of several rounds, printed as a Markdown table.

use std::collections::BTreeMap;
use std::fmt;

/// One work, compared with a limit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Order in the table.
    pub order: usize,
    /// What was done.
    pub work: &'static str,
    /// What it is compared with.
    pub against: &'static str,
    /// How many did it at the same time.
    pub submitters: usize,
}

/// All figures so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: BTreeMap<Row, Vec<(f64, f64)>>,
}

impl Report {
    /// Adds one round: operations per second of the work and of what it is compared with.
    pub fn add(&mut self, row: Row, work: f64, against: f64) {
        self.rows.entry(row).or_default().push((work, against));
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| work | against | submitters | per second | limit per second | ratio |")?;
        writeln!(f, "|---|---|---:|---:|---:|---:|")?;
        for (row, rounds) in &self.rows {
            let work = median(rounds.iter().map(|(work, _)| *work));
            let against = median(rounds.iter().map(|(_, against)| *against));
            // The disk changes from minute to minute: the two figures of one round belong together.
            let ratio = median(rounds.iter().map(|(work, against)| work / against));
            writeln!(
                f,
                "| {} | {} | {} | {work:.0} | {against:.0} | {ratio:.2} |",
                row.work, row.against, row.submitters
            )?;
        }
        Ok(())
    }
}

/// The middle value; of an even number of values, the upper of the two in the middle.
pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_the_median_of_ratios() {
        let mut report = Report::default();
        let row = Row { order: 0, work: "w", against: "a", submitters: 4 };
        for (work, against) in [(10.0, 10.0), (50.0, 100.0), (90.0, 300.0)] {
            report.add(row.clone(), work, against);
        }
        assert!(report.to_string().ends_with("| w | a | 4 | 50 | 100 | 0.50 |\n"), "{report}");
    }
}
