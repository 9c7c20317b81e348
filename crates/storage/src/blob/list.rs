//! Listing blobs: in the order of names, with prefix, delimiter and continuation. Of one name, snapshots come
//! first, then versions, the oldest first, and the blob last.

mod found;

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_store::{Row, ScanFrom};

use crate::blob::state::BlobRecord;
use crate::blob::{BlobError, Page, Revision};
use crate::space::BLOBS;
use crate::{Storage, Uid};

use found::{Found, Place, Then};

/// Rows of one scan: with the largest contents in rows, 4 MiB.
const SCAN_ROWS: usize = 256;
/// Greater than every byte of a UTF-8 name, so that it stands after all names with one beginning.
const AFTER_ALL: u8 = 0xFF;

/// What to list.
#[derive(Debug, Clone, Default)]
pub struct ListBlobs {
    /// Names begin with this.
    pub prefix: String,
    /// Names that have this after the prefix are rolled up to one line for each beginning.
    pub delimiter: Option<String>,
    /// Where to go on; from the last page.
    pub marker: Option<Vec<u8>>,
    /// At most this many lines.
    pub items_max: usize,
    /// The first name.
    pub start_from: Option<String>,
    /// Only names before this one.
    pub end_before: Option<String>,
    /// Blobs, too, that have uncommitted blocks only.
    pub uncommitted: bool,
    /// Snapshots, too.
    pub snapshots: bool,
    /// Versions, too.
    pub versions: bool,
    /// What is deleted and kept, too.
    pub deleted: bool,
    /// Of blobs that have only versions left, the last version, too.
    pub only_versions: bool,
    /// Lines of one kind only.
    pub show: Show,
}

/// Which lines are shown of those that were found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Show {
    /// All.
    #[default]
    All,
    /// What is deleted and kept.
    Deleted,
    /// No beginnings of names.
    Files,
    /// Only beginnings of names.
    Directories,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A blob, a snapshot or a version.
    Blob(Box<ListedBlob>),
    /// A name that has uncommitted blocks only.
    Uncommitted(String),
    /// What several names begin with, up to and with the delimiter.
    Prefix(String),
}

/// A blob of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBlob {
    /// Its name.
    pub name: String,
    /// Which state of it.
    pub revision: Revision,
    /// The state.
    pub record: BlobRecord,
    /// There are only versions left of the blob, and the client asked to know.
    pub only_versions: bool,
}

impl Listed {
    /// The name, or what names begin with.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Blob(blob) => &blob.name,
            Self::Uncommitted(name) | Self::Prefix(name) => name,
        }
    }
}

impl Storage {
    /// A page of a container's blobs.
    ///
    /// # Errors
    /// When there is no such container, or the marker is none.
    pub async fn list_blobs(
        &self,
        account: Uid,
        container: &str,
        ask: &ListBlobs,
        now: Timestamp,
    ) -> Result<Page<Listed>, BlobError> {
        let uid = self.container(account, container).await?.uid;
        let (place, marked) = match &ask.marker {
            Some(marker) => Place::parse(marker).ok_or(BlobError::InvalidMarker)?,
            None => (Place::Start, &b""[..]),
        };
        let start_from = ask.start_from.as_deref().unwrap_or("").as_bytes();
        let start = marked.max(ask.prefix.as_bytes()).max(start_from);
        let within = uid.key(ask.prefix.as_bytes());
        let mut from = ScanFrom::Partition(uid.key(start).into());
        let mut page = Page { items: Vec::new(), next: None };
        'scan: loop {
            let rows = self.store().scan(BLOBS, from, SCAN_ROWS).await?;
            let Some(last) = rows.last() else { return Ok(page) };
            let (full, last) = (rows.len() == SCAN_ROWS, last.partition.clone());
            for rows in rows.chunk_by(|a, b| a.partition == b.partition) {
                let partition = rows.first().map(|row| row.partition.clone()).unwrap_or_default();
                let Some((_, name)) = Uid::split(&partition).filter(|_| partition.starts_with(&within))
                else {
                    return Ok(page);
                };
                if ask.end_before.as_ref().is_some_and(|end| name >= end.as_bytes()) {
                    return Ok(page);
                }
                let after = if name == marked { place } else { Place::Start };
                let wanted = ask.items_max.saturating_sub(page.items.len()) + 1;
                let mut found = Found::new(ask, now, name, after);
                let whole = !full || partition != last;
                self.find_lines(&mut found, rows, whole, wanted).await?;
                match found.put_on(&mut page) {
                    Then::Next => {}
                    Then::End => return Ok(page),
                    Then::Leap(group) => {
                        from = ScanFrom::Partition(uid.key(&after_group(&group)).into());
                        continue 'scan;
                    }
                }
            }
            if !full {
                return Ok(page);
            }
            from = ScanFrom::AfterPartition(last);
        }
    }

    /// The lines of one blob. `rows` are its first rows; `whole` says that there are no more.
    async fn find_lines(
        &self,
        found: &mut Found<'_>,
        rows: &[Row],
        whole: bool,
        wanted: usize,
    ) -> Result<(), BlobError> {
        let Some(first) = rows.first() else { return Ok(()) };
        let head = if first.key.is_empty() { Some(first) } else { None };
        if let Some(row) = head {
            found.take(row)?;
        }
        if !found.needs_more() {
            return Ok(());
        }
        if whole {
            let rest = rows.get(usize::from(head.is_some())..).unwrap_or(&[]);
            return rest.iter().try_for_each(|row| found.take(row));
        }
        let partition = &first.partition;
        self.take_kind(found, partition, found.first_key(b's'), b's', wanted).await?;
        self.take_kind(found, partition, Bytes::from_static(b"u"), b'u', 0).await?;
        if found.lines.len() < wanted {
            self.take_kind(found, partition, found.first_key(b'v'), b'v', wanted).await?;
        }
        Ok(())
    }

    /// Rows of one kind of a blob, until enough lines are found; at least those of one scan.
    async fn take_kind(
        &self,
        found: &mut Found<'_>,
        partition: &Bytes,
        key: Bytes,
        kind: u8,
        wanted: usize,
    ) -> Result<(), BlobError> {
        let mut from = ScanFrom::Row(partition.clone(), key);
        loop {
            let rows_max = if wanted == 0 { 1 } else { SCAN_ROWS };
            let rows = self.store().scan(BLOBS, from, rows_max).await?;
            for row in &rows {
                if row.partition != partition || row.key.first() != Some(&kind) {
                    return Ok(());
                }
                found.take(row)?;
            }
            match rows.last() {
                Some(last) if rows.len() == rows_max && found.lines.len() < wanted => {
                    from = ScanFrom::AfterRow(partition.clone(), last.key.clone());
                }
                _ => return Ok(()),
            }
        }
    }
}

fn after_group(group: &str) -> Vec<u8> {
    [group.as_bytes(), &[AFTER_ALL]].concat()
}
