//! Looks at all that the tables hold, and goes on after what is damaged.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use lsm_tree::{AbstractTree as _, Guard as _, Slice};

use crate::error::StoreError;
use crate::local::key::{scan_end, scan_start, split};
use crate::local::table_files::check_table;
use crate::local::tables::{Tables, row_of, split_row, table_error};
use crate::moment::Moment;
use crate::row::{Row, ScanFrom, Space, Version};

/// Some rows of a space, looked at one by one.
#[derive(Debug, Default)]
pub struct CheckedRows {
    /// The rows.
    pub rows: Vec<CheckedRow>,
    /// Where the next ones begin; `None` at the end of the space.
    pub next: Option<CheckFrom>,
    /// Why it cannot go on in this direction.
    pub stopped: Option<StoreError>,
}

/// A row that was looked at.
#[derive(Debug)]
pub struct CheckedRow {
    /// Its partition and key, and as long as it is not damaged its value and version.
    pub row: Row,
    /// What is wrong with it.
    pub damage: Option<StoreError>,
}

/// Where a look at rows goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckFrom {
    /// Stored keys after this, or before it when looking backwards.
    beyond: Bound<Vec<u8>>,
}

impl CheckFrom {
    /// The first row, or the last one when looking backwards.
    pub const ALL: Self = Self { beyond: Bound::Unbounded };
}

/// Which rows are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckRange {
    /// Those of this space.
    pub space: Space,
    /// From here on upwards.
    pub from: CheckFrom,
    /// Down from here, when looking backwards: from the end of the space to `from`.
    pub backwards_from: Option<CheckFrom>,
}

impl Tables {
    /// Reads the files of all tables; says which differ from what was written.
    pub(crate) fn damaged_files(&self) -> Vec<StoreError> {
        let version = self.tree.current_version();
        let ids: BTreeSet<_> =
            version.iter_tables().map(|table| (table.id(), table.checksum().into_u128())).collect();
        ids.into_iter().filter_map(|(id, checksum)| check_table(&self.path, id, checksum).err()).collect()
    }

    /// Up to `rows_max` rows of the range.
    pub(crate) fn check_rows(&self, moment: &Moment, range: &CheckRange, rows_max: usize) -> CheckedRows {
        let first = Bound::Included(scan_start(range.space, &ScanFrom::Start));
        let last = scan_end(range.space).map_or(Bound::Unbounded, |end| Bound::Excluded(end.to_vec()));
        let is_backwards = range.backwards_from.is_some();
        let or = |bound: &CheckFrom, other| match &bound.beyond {
            Bound::Unbounded => other,
            bound => bound.clone(),
        };
        let from = or(&range.from, first);
        let to = or(range.backwards_from.as_ref().unwrap_or(&CheckFrom::ALL), last);
        let mut checked = CheckedRows::default();
        let mut entries = self.tree.range((from, to), moment.visible, None);
        while checked.rows.len() < rows_max {
            let Some(entry) = (if is_backwards { entries.next_back() } else { entries.next() }) else {
                checked.next = None;
                return checked;
            };
            match entry.into_inner() {
                Ok((key, stored)) => {
                    checked.next = Some(CheckFrom { beyond: Bound::Excluded(key.to_vec()) });
                    checked.rows.push(checked_row(key, stored));
                }
                Err(error) => {
                    checked.stopped = Some(table_error(&self.path, error));
                    return checked;
                }
            }
        }
        checked
    }
}

fn checked_row(stored_key: Slice, stored: Slice) -> CheckedRow {
    let (partition, at) = split(&stored_key).unwrap_or_default();
    let partition = Bytes::from(partition);
    let key = Bytes::from(stored_key.clone()).split_off(at);
    let checked = split_row(&stored_key).and_then(|_| row_of(partition.clone(), at, stored_key, stored));
    match checked {
        Ok(row) => CheckedRow { row, damage: None },
        Err(error) => {
            let row = Row { partition, key, value: Bytes::new(), version: Version(0) };
            CheckedRow { row, damage: Some(error) }
        }
    }
}
