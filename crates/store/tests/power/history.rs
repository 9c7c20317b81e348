//! What was asked of the store, when it was acknowledged, and so what must be there at a position.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use welkin_store::ExtentRef;

/// Rows of a partition by key.
pub type Rows = BTreeMap<Bytes, Bytes>;

/// One commit.
#[derive(Debug)]
pub struct Operation {
    /// Each key with its new value, or `None` for a delete.
    pub writes: Vec<(Bytes, Option<Bytes>)>,
    /// Position before it was sent.
    pub begun: usize,
    /// Position after its acknowledgement, and its version.
    pub acknowledged: Option<(usize, u64)>,
}

/// What one task did in one partition, one commit after the other.
#[derive(Debug, Default)]
pub struct Task {
    /// Number of commits in `base`.
    pub base_number: u64,
    /// What was there when the store was opened.
    pub base: Rows,
    pub operations: Vec<Operation>,
    /// Extents that were released, and the position after the acknowledgement.
    pub released: Vec<(ExtentRef, usize)>,
}

impl Task {
    /// Numbers of commits that may be the last one, when the power fails at `position`.
    pub fn numbers(&self, position: usize) -> RangeInclusive<u64> {
        let acknowledged =
            self.count(|operation| operation.acknowledged.is_some_and(|(at, _)| at <= position));
        acknowledged..=self.count(|operation| operation.begun <= position)
    }

    /// The last commit that has at most this version.
    pub fn number_at_version(&self, version: u64) -> u64 {
        self.count(|operation| operation.acknowledged.is_some_and(|(_, own)| own <= version))
    }

    fn count(&self, is_in: impl Fn(&Operation) -> bool) -> u64 {
        let last = self.operations.iter().rposition(is_in);
        self.base_number + last.map_or(0, |index| index as u64 + 1)
    }

    /// The rows after commit `number`.
    pub fn rows_after(&self, number: u64) -> Rows {
        let mut rows = self.base.clone();
        for operation in &self.operations[..(number - self.base_number) as usize] {
            for (key, value) in &operation.writes {
                match value {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
        rows
    }
}

/// What happened between power on and power off.
#[derive(Debug, Default)]
pub struct History {
    /// What had to be there before, until the store was open.
    pub before: Option<Expected>,
    /// Position at which the store had been opened and read.
    pub opened: usize,
    pub tasks: Vec<Task>,
}

/// What must be there: that of a history, when the power fails at a position.
#[derive(Debug, Clone)]
pub struct Expected {
    pub history: Arc<History>,
    pub position: usize,
}

impl Expected {
    /// Before the store was open in that life, only what the life before it promised must be there.
    pub fn new(history: &Arc<History>, position: usize) -> Self {
        match &history.before {
            Some(before) if position < history.opened => before.clone(),
            _ => Self { history: history.clone(), position },
        }
    }
}
