//! The keys that a filter can match, as intervals: a query reads those rows and no others.

use std::cmp::Ordering;
use std::ops::Bound;

use crate::table::filter::{Comparison, Filter, Operand};
use crate::table::value::{Value, compare_ordinal};

/// Bounds of both keys. Every entity that the filter matches is within; not all within match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    /// Bounds of the partition key.
    pub partition: Interval,
    /// Bounds of the row key, whatever the partition.
    pub row: Interval,
}

/// An interval of texts in ordinal order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interval {
    /// Where it begins.
    pub low: Bound<String>,
    /// Where it ends.
    pub high: Bound<String>,
}

impl KeyRange {
    /// No bounds.
    pub const FULL: Self = Self { partition: Interval::FULL, row: Interval::FULL };

    /// What `filter` can match.
    #[must_use]
    pub fn of(filter: &Filter) -> Self {
        match filter {
            Filter::And(terms) => terms.iter().map(Self::of).fold(Self::FULL, |range, term| Self {
                partition: range.partition.intersect(term.partition),
                row: range.row.intersect(term.row),
            }),
            Filter::Or(terms) => {
                let hull = terms.iter().map(Self::of).reduce(|range, term| Self {
                    partition: range.partition.hull(term.partition),
                    row: range.row.hull(term.row),
                });
                hull.unwrap_or(Self::FULL)
            }
            Filter::Compare(Operand::Property(name), comparison, Operand::Constant(Value::String(text))) => {
                Self::compared(name, *comparison, text)
            }
            Filter::Compare(Operand::Constant(Value::String(text)), comparison, Operand::Property(name)) => {
                Self::compared(name, comparison.mirrored(), text)
            }
            Filter::Compare(..) | Filter::Not(_) | Filter::Is(_) => Self::FULL,
        }
    }

    fn compared(name: &str, comparison: Comparison, text: &str) -> Self {
        let interval = Interval::compared(comparison, text);
        match name {
            "PartitionKey" => Self { partition: interval, row: Interval::FULL },
            "RowKey" => Self { partition: Interval::FULL, row: interval },
            _ => Self::FULL,
        }
    }
}

impl Interval {
    /// No bounds.
    pub const FULL: Self = Self { low: Bound::Unbounded, high: Bound::Unbounded };

    fn compared(comparison: Comparison, text: &str) -> Self {
        let text = text.to_owned();
        match comparison {
            Comparison::Eq => Self { low: Bound::Included(text.clone()), high: Bound::Included(text) },
            Comparison::Ne => Self::FULL,
            Comparison::Gt => Self { low: Bound::Excluded(text), high: Bound::Unbounded },
            Comparison::Ge => Self { low: Bound::Included(text), high: Bound::Unbounded },
            Comparison::Lt => Self { low: Bound::Unbounded, high: Bound::Excluded(text) },
            Comparison::Le => Self { low: Bound::Unbounded, high: Bound::Included(text) },
        }
    }

    /// Whether the text is within.
    #[must_use]
    pub fn contains(&self, text: &str) -> bool {
        let above = match &self.low {
            Bound::Unbounded => true,
            Bound::Included(low) => compare_ordinal(text, low).is_ge(),
            Bound::Excluded(low) => compare_ordinal(text, low).is_gt(),
        };
        above && !self.is_below(text)
    }

    /// Whether the whole interval is below the text: nothing from there on is within.
    #[must_use]
    pub fn is_below(&self, text: &str) -> bool {
        match &self.high {
            Bound::Unbounded => false,
            Bound::Included(high) => compare_ordinal(text, high).is_gt(),
            Bound::Excluded(high) => compare_ordinal(text, high).is_ge(),
        }
    }

    fn intersect(self, other: Self) -> Self {
        let low = if low_order(&self.low, &other.low).is_ge() { self.low } else { other.low };
        let high = if high_order(&self.high, &other.high).is_le() { self.high } else { other.high };
        Self { low, high }
    }

    fn hull(self, other: Self) -> Self {
        let low = if low_order(&self.low, &other.low).is_le() { self.low } else { other.low };
        let high = if high_order(&self.high, &other.high).is_ge() { self.high } else { other.high };
        Self { low, high }
    }
}

/// Order of two lower bounds: one that admits more is less.
fn low_order(a: &Bound<String>, b: &Bound<String>) -> Ordering {
    match (a, b) {
        (Bound::Unbounded, Bound::Unbounded) => Ordering::Equal,
        (Bound::Unbounded, _) => Ordering::Less,
        (_, Bound::Unbounded) => Ordering::Greater,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            compare_ordinal(x, y).then(is_excluded(a).cmp(&is_excluded(b)))
        }
    }
}

/// Order of two upper bounds: one that admits more is greater.
fn high_order(a: &Bound<String>, b: &Bound<String>) -> Ordering {
    match (a, b) {
        (Bound::Unbounded, Bound::Unbounded) => Ordering::Equal,
        (Bound::Unbounded, _) => Ordering::Greater,
        (_, Bound::Unbounded) => Ordering::Less,
        (Bound::Included(x) | Bound::Excluded(x), Bound::Included(y) | Bound::Excluded(y)) => {
            compare_ordinal(x, y).then(is_excluded(b).cmp(&is_excluded(a)))
        }
    }
}

fn is_excluded(bound: &Bound<String>) -> bool {
    matches!(bound, Bound::Excluded(_))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::table::filter::tests::any_filter;
    use crate::table::value::ValueRef;

    proptest! {
        #[test]
        fn what_matches_is_within(filter in any_filter(), partition in "[a-c]{0,2}", row in "[a-c]{0,2}", a in any::<bool>()) {
            let property = |name: &str| match name {
                "PartitionKey" => Some(ValueRef::String(&partition)),
                "RowKey" => Some(ValueRef::String(&row)),
                "a" => Some(ValueRef::Boolean(a)),
                _ => None,
            };
            let range = KeyRange::of(&filter);
            if filter.matches(&property) {
                prop_assert!(range.partition.contains(&partition), "{} {:?}", filter, range);
                prop_assert!(range.row.contains(&row), "{} {:?}", filter, range);
            }
        }
    }

    #[test]
    fn bounds() {
        let included = |text: &str| Bound::Included(text.to_owned());
        let excluded = |text: &str| Bound::Excluded(text.to_owned());
        for (text, partition, row) in [
            ("PartitionKey eq 'p'", (included("p"), included("p")), (Bound::Unbounded, Bound::Unbounded)),
            (
                "PartitionKey eq 'p' and RowKey ge 'a' and RowKey lt 'b' and x eq 1",
                (included("p"), included("p")),
                (included("a"), excluded("b")),
            ),
            (
                "PartitionKey eq 'p' or PartitionKey eq 'q'",
                (included("p"), included("q")),
                (Bound::Unbounded, Bound::Unbounded),
            ),
            (
                "PartitionKey eq 'p' or x eq 1",
                (Bound::Unbounded, Bound::Unbounded),
                (Bound::Unbounded, Bound::Unbounded),
            ),
            (
                "not (PartitionKey eq 'p')",
                (Bound::Unbounded, Bound::Unbounded),
                (Bound::Unbounded, Bound::Unbounded),
            ),
            (
                "'b' gt RowKey and RowKey le 'b'",
                (Bound::Unbounded, Bound::Unbounded),
                (Bound::Unbounded, excluded("b")),
            ),
        ] {
            let expected = KeyRange {
                partition: Interval { low: partition.0, high: partition.1 },
                row: Interval { low: row.0, high: row.1 },
            };
            assert_eq!(KeyRange::of(&Filter::parse(text).unwrap()), expected, "{text}");
        }
    }
}
