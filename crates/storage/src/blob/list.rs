//! Listing blobs: in the order of names, with prefix, delimiter and continuation.

use bytes::Bytes;
use welkin_store::{Row, ScanFrom};

use crate::blob::state::BlobRecord;
use crate::blob::{BlobError, Page};
use crate::record;
use crate::space::BLOBS;
use crate::{Storage, Uid};

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
    /// Blobs, too, that have uncommitted blocks only.
    pub uncommitted: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A blob.
    Blob(String, Box<BlobRecord>),
    /// A name that has uncommitted blocks only.
    Uncommitted(String),
    /// What several names begin with, up to and with the delimiter.
    Prefix(String),
}

/// What a row of the scan means for the list.
enum Step {
    /// A line, whose position is this name.
    Line(Listed, Vec<u8>),
    /// A line for all names that begin so; the scan goes on after them.
    Group(String),
    /// Nothing.
    Skip,
}

impl Storage {
    /// A page of a container's blobs.
    ///
    /// # Errors
    /// When there is no such container.
    pub async fn list_blobs(
        &self,
        account: Uid,
        container: &str,
        ask: &ListBlobs,
    ) -> Result<Page<Listed>, BlobError> {
        let uid = self.container(account, container).await?.uid;
        let start = ask.marker.as_deref().unwrap_or(b"").max(ask.prefix.as_bytes());
        let within = uid.key(ask.prefix.as_bytes());
        let mut from = ScanFrom::Partition(uid.key(start).into());
        let mut page = Page { items: Vec::new(), next: None };
        loop {
            let rows = self.store().scan(BLOBS, from, SCAN_ROWS).await?;
            let Some(last) = rows.last() else {
                return Ok(page);
            };
            let (at_end, last) = (rows.len() < SCAN_ROWS, last.partition.clone());
            match take_rows(&rows, ask, &within, &mut page)? {
                Taken::Finished => return Ok(page),
                Taken::All if at_end => return Ok(page),
                Taken::All => from = ScanFrom::AfterPartition(last),
                Taken::Until(group) => {
                    from = ScanFrom::Partition(uid.key(&after_group(&group)).into());
                }
            }
        }
    }
}

/// How far the rows of one scan went.
enum Taken {
    /// All were looked at.
    All,
    /// The page is full, or the prefix is left.
    Finished,
    /// Up to a group, which the next scan leaps over.
    Until(String),
}

fn take_rows(
    rows: &[Row],
    ask: &ListBlobs,
    within: &[u8],
    page: &mut Page<Listed>,
) -> Result<Taken, BlobError> {
    let mut last: Option<&Bytes> = None;
    for row in rows {
        if !row.partition.starts_with(within) {
            return Ok(Taken::Finished);
        }
        let first_of_blob = last.replace(&row.partition) != Some(&row.partition);
        let (line, position) = match step(row, first_of_blob, ask)? {
            Step::Skip => continue,
            Step::Line(line, position) => (line, position),
            Step::Group(group) => {
                if page.items.len() < ask.items_max {
                    page.items.push(Listed::Prefix(group.clone()));
                    return Ok(Taken::Until(group));
                }
                (Listed::Prefix(group.clone()), group.into_bytes())
            }
        };
        if page.items.len() == ask.items_max {
            page.next = Some(position);
            return Ok(Taken::Finished);
        }
        page.items.push(line);
    }
    Ok(Taken::All)
}

fn step(row: &Row, first_of_blob: bool, ask: &ListBlobs) -> Result<Step, BlobError> {
    let Some((_, name)) = Uid::split(&row.partition) else {
        return Ok(Step::Skip);
    };
    let committed = row.key.is_empty();
    if !first_of_blob || !(committed || ask.uncommitted) {
        return Ok(Step::Skip);
    }
    let text = String::from_utf8_lossy(name).into_owned();
    let rest = text.get(ask.prefix.len()..).unwrap_or("");
    if let Some((at, delimiter)) = ask.delimiter.as_ref().and_then(|d| Some((rest.find(d.as_str())?, d))) {
        return Ok(Step::Group(text[..ask.prefix.len() + at + delimiter.len()].to_owned()));
    }
    let line = match committed {
        true => {
            let record: BlobRecord = record::decode(&row.value)?;
            if record.deleted.is_some() {
                return Ok(Step::Skip);
            }
            Listed::Blob(text, Box::new(record))
        }
        false => Listed::Uncommitted(text),
    };
    Ok(Step::Line(line, name.to_vec()))
}

fn after_group(group: &str) -> Vec<u8> {
    [group.as_bytes(), &[AFTER_ALL]].concat()
}
