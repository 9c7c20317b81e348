//! Listing containers.

use welkin_base::Timestamp;
use welkin_store::ScanFrom;

use super::{ARRIVAL, ContainerRecord, Deletion};
use crate::blob::{BlobError, Page};
use crate::error::{COMMIT_TRIES_MAX, EngineError};
use crate::record;
use crate::space::CONTAINERS;
use crate::{Storage, Uid};

/// Rows of one scan.
const SCAN_ROWS: usize = 500;
/// Between a name and the key of a row in a marker; no container's name has it.
const MARKER_SEPARATOR: u8 = 0;
/// Containers that the service itself writes to.
const SYSTEM: [&str; 2] = ["$logs", "$blobchangefeed"];

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListContainers {
    /// Names begin with this.
    pub prefix: String,
    /// Where to go on; from the last page.
    pub marker: Option<Vec<u8>>,
    /// At most this many.
    pub items_max: usize,
    /// Deleted ones, too, that can be restored.
    pub deleted: bool,
    /// Those that the service itself writes to, too.
    pub system: bool,
}

/// A container of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedContainer {
    /// Its name.
    pub name: String,
    /// Which deletion it can be restored from, if it is deleted.
    pub deletion: Option<Deletion>,
    /// The container.
    pub record: ContainerRecord,
}

impl Storage {
    /// A page of the account's containers, in the order of names; of one name, the deleted ones come last. A page is
    /// of one moment: only between pages can a container that is renamed be missed or found twice.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn list_containers(
        &self,
        account: Uid,
        ask: &ListContainers,
        now: Timestamp,
    ) -> Result<Page<ListedContainer>, BlobError> {
        for _ in 0..COMMIT_TRIES_MAX {
            if let Some(page) = self.page_of_containers(account, ask, now).await? {
                return Ok(page);
            }
        }
        Err(EngineError::Busy.into())
    }

    /// `None` when a rename to one of the names had happened or just did, and the page is to be made anew.
    async fn page_of_containers(
        &self,
        account: Uid,
        ask: &ListContainers,
        now: Timestamp,
    ) -> Result<Option<Page<ListedContainer>>, BlobError> {
        let marker = ask.marker.as_deref().unwrap_or(b"");
        let (name, key) = match marker.iter().position(|byte| *byte == MARKER_SEPARATOR) {
            Some(at) => (&marker[..at], &marker[at + 1..]),
            None => (marker, &b""[..]),
        };
        let start = account.key(name.max(ask.prefix.as_bytes()));
        let within = account.key(ask.prefix.as_bytes());
        let mut from = ScanFrom::Row(start.into(), key.to_vec().into());
        let moment = self.store().moment();
        let mut page = Page { items: Vec::new(), next: None };
        loop {
            let rows = self.store().scan_at(&moment, CONTAINERS, from, SCAN_ROWS).await?;
            for row in &rows {
                let Some((_, name)) =
                    Uid::split(&row.partition).filter(|_| row.partition.starts_with(&within))
                else {
                    return Ok(Some(page));
                };
                if row.key == ARRIVAL && self.finish_rename(row).await? {
                    return Ok(None);
                }
                if !row.key.is_empty() && Deletion::of_key(&row.key).is_none() {
                    continue;
                }
                let record: ContainerRecord = record::decode(&row.value)?;
                let deletion = Deletion::of_key(&row.key);
                let text = String::from_utf8_lossy(name);
                let is_gone = record.deleted.is_some_and(|deleted| !ask.deleted || deleted.until <= now);
                if is_gone || (!ask.system && SYSTEM.contains(&&*text)) {
                    continue;
                }
                if page.items.len() == ask.items_max {
                    page.next = Some([name, &[MARKER_SEPARATOR], &row.key].concat());
                    return Ok(Some(page));
                }
                page.items.push(ListedContainer { name: text.into_owned(), deletion, record });
            }
            match rows.last() {
                Some(last) if rows.len() == SCAN_ROWS => {
                    from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
                }
                _ => return Ok(Some(page)),
            }
        }
    }
}
