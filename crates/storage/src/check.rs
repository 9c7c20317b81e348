//! Looks at all that lies in the store: whether every row can be read and means something, and whether every byte of
//! every blob is as it was written. What is damaged is told in the names that clients know.
//!
//! * [`names`]: what a row is called. [`rows`]: what it must hold. [`extents`]: the bytes that rows name.

mod extents;
mod names;
mod rows;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use welkin_store::{CheckFrom, CheckRange, CheckedRow, Snapshot, Space};

use crate::Storage;
use crate::error::EngineError;
use crate::queue::row::TextRecord;
use crate::record;
use crate::space::{ACCOUNTS, BLOBS, CONTAINERS, COPIES, DUE, ENTITIES, GARBAGE, MESSAGES, QUEUES, TABLES};
use extents::Extents;
use names::Names;

/// Rows looked at at a time.
const ROWS_AT_ONCE: usize = 500;
/// All spaces: first those that the names of the others are in.
const SPACES: [Space; 10] =
    [ACCOUNTS, CONTAINERS, TABLES, QUEUES, BLOBS, ENTITIES, MESSAGES, DUE, COPIES, GARBAGE];

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Something is lost; else it is only odd.
    pub is_damage: bool,
    /// What it is, in the names that clients know.
    pub what: String,
    /// What is wrong with it, and where it lies.
    pub why: String,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Storage accounts.
    pub accounts: u64,
    /// Containers, those that were deleted and can be restored among them.
    pub containers: u64,
    /// Blobs.
    pub blobs: u64,
    /// Snapshots and versions of blobs.
    pub revisions: u64,
    /// Tables.
    pub tables: u64,
    /// Entities.
    pub entities: u64,
    /// Queues.
    pub queues: u64,
    /// Messages.
    pub messages: u64,
    /// Rows, all that is above and what it consists of.
    pub rows: u64,
    /// Extents that rows name.
    pub extents: u64,
    /// Their bytes.
    pub extent_bytes: u64,
    /// Findings that are damage.
    pub damaged: u64,
    /// Other findings.
    pub odd: u64,
}

impl Storage {
    /// Looks at everything, as of now, and reports what it finds as it comes. It ends early when nobody takes the
    /// findings any more.
    ///
    /// # Errors
    /// When the store is closed.
    pub async fn check(&self, report: mpsc::Sender<Finding>) -> Result<Checked, EngineError> {
        let snapshot = self.store().snapshot().await?;
        let mut check = Check {
            storage: self,
            snapshot: &snapshot,
            report,
            names: Names::default(),
            extents: Extents::default(),
            checked: Checked::default(),
        };
        for damaged in self.store().damaged_files().await? {
            check.damaged("rows".to_owned(), damaged.to_string()).await;
        }
        check.list_extents().await?;
        for space in SPACES {
            check.space(space).await?;
        }
        check.unnamed_extents().await;
        Ok(check.checked)
    }
}

/// A check under way.
struct Check<'a> {
    storage: &'a Storage,
    snapshot: &'a Snapshot,
    report: mpsc::Sender<Finding>,
    names: Names,
    extents: Extents,
    checked: Checked,
}

impl Check<'_> {
    async fn damaged(&mut self, what: String, why: String) {
        self.checked.damaged += 1;
        // Who does not listen any more is not told any more.
        let _ = self.report.send(Finding { is_damage: true, what, why }).await;
    }

    async fn odd(&mut self, what: String, why: String) {
        self.checked.odd += 1;
        let _ = self.report.send(Finding { is_damage: false, what, why }).await;
    }

    /// Looks at all rows of a space. Where a part of a table cannot be read, it goes on from the other end.
    async fn space(&mut self, space: Space) -> Result<(), EngineError> {
        let mut range = CheckRange { space, from: CheckFrom::ALL, backwards_from: None };
        let (mut before, mut after) = (None, None);
        let mut stopped = None;
        loop {
            let checked = self.storage.store().check_rows(self.snapshot, range.clone(), ROWS_AT_ONCE).await?;
            for row in &checked.rows {
                self.row(space, row).await?;
            }
            let last = checked.rows.last().map(|last| self.names.describe(space, &last.row));
            let is_forward = range.backwards_from.is_none();
            let known = if is_forward { &mut before } else { &mut after };
            *known = last.or(known.take());
            match (checked.next, checked.stopped) {
                (next, None) if checked.rows.len() == ROWS_AT_ONCE => match (next, is_forward) {
                    (Some(next), true) => range.from = next,
                    (next, _) => range.backwards_from = next,
                },
                (next, Some(error)) if is_forward => {
                    stopped = Some(error.to_string());
                    range.from = next.unwrap_or(range.from);
                    range.backwards_from = Some(CheckFrom::ALL);
                }
                _ => break,
            }
        }
        if let Some(why) = stopped {
            let from = before.map_or("the first".to_owned(), |row| format!("that of the {row}"));
            let to = after.map_or("the last".to_owned(), |row| format!("that of the {row}"));
            self.damaged(format!("the rows of {} between {from} and {to}", space.name), why).await;
        }
        Ok(())
    }

    async fn row(&mut self, space: Space, row: &CheckedRow) -> Result<(), EngineError> {
        if self.report.is_closed() {
            return Err(welkin_store::StoreError::Closed.into());
        }
        self.checked.rows += 1;
        let CheckedRow { row, damage } = row;
        let read = match damage {
            Some(damage) => Err(damage.to_string()),
            None => rows::read(space, row).map_err(|error| error.to_string()),
        };
        match read {
            Ok(held) => {
                self.names.learn(&held, row);
                self.checked.count(&held);
                let what = self.names.describe(space, row);
                if let rows::Held::Message { text: Some(text) } = &held {
                    self.text_of_message(row, text, &what).await?;
                }
                for extent in held.extents() {
                    self.extent(extent, &what).await;
                }
            }
            Err(why) => {
                let what = self.names.describe(space, row);
                self.damaged(what, why).await;
            }
        }
        Ok(())
    }

    /// A message whose text lies in a row of its own.
    async fn text_of_message(
        &mut self,
        row: &welkin_store::Row,
        text: &[u8],
        what: &str,
    ) -> Result<(), EngineError> {
        let moment = self.snapshot.moment();
        let found = self.storage.store().get_at(moment, MESSAGES, &row.partition, text).await;
        let why = match found {
            Ok(Some(row)) => match record::decode::<TextRecord>(&row.value) {
                Ok(_) => return Ok(()),
                Err(error) => error.to_string(),
            },
            Ok(None) => "the row with its text is missing".to_owned(),
            // Told when that row is looked at.
            Err(_) => return Ok(()),
        };
        self.damaged(what.to_owned(), why).await;
        Ok(())
    }
}
