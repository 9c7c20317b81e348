//! Index tags: read, replaced, and searched.
//!
//! A search reads the heads of the account's blobs, so that it finds what was acknowledged before it began. It
//! looks at a bounded number of rows and then says where it goes on: a page may be empty and not the last.

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_storage_wire::blob::tag_filter::TagFilter;
use welkin_store::ScanFrom;

use crate::blob::condition::Conditions;
use crate::blob::container::{ARRIVAL, ContainerRecord};
use crate::blob::state::{BlobRecord, Tags};
use crate::blob::{BlobError, BlobPath, Page, Revision};
use crate::record;
use crate::space::{BLOBS, CONTAINERS};
use crate::{Storage, Uid};

/// Rows of one scan.
const SCAN_ROWS: usize = 256;
/// Scans for one page, at most.
const SCANS_MAX: usize = 100;
/// Between the container and the name in a marker; no container's name has it.
const MARKER_SEPARATOR: u8 = 0;

/// A blob that a search found: its container, its name, and its tags.
pub type Found = (String, String, Tags);

impl Storage {
    /// Get Blob Tags.
    ///
    /// # Errors
    /// When there is no such container or blob, or a condition does not hold.
    pub async fn blob_tags(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<Tags, BlobError> {
        self.blob(path, revision, conditions, now).await.map(|blob| blob.tags)
    }

    /// Set Blob Tags: replaces all. The ETag stays.
    ///
    /// # Errors
    /// When there is no such container or blob, or a condition does not hold.
    pub async fn set_blob_tags(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        tags: &Tags,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let change = |record: &mut BlobRecord| {
            record.tags.clone_from(tags);
            Ok(())
        };
        self.change_blob(path, revision, conditions, now, change).await
    }

    /// Blobs of the account, or of one container, whose tags meet the filter, in the order of containers and
    /// names.
    ///
    /// # Errors
    /// When there is no such container.
    pub async fn find_blobs(
        &self,
        account: Uid,
        container: Option<&str>,
        filter: &TagFilter,
        (marker, items_max): (Option<&[u8]>, usize),
        now: Timestamp,
    ) -> Result<Page<Found>, BlobError> {
        let mut search = Search::new(filter, items_max, now);
        let (from_container, from_name) = split(marker);
        if let Some(name) = container {
            let record = self.container(account, name).await?;
            self.search_container(&mut search, name, record.uid, from_name).await?;
            return Ok(search.page);
        }
        let mut from = ScanFrom::Partition(account.key(from_container).into());
        loop {
            let rows = self.store().scan(CONTAINERS, from, SCAN_ROWS).await?;
            let within = |partition: &Bytes| partition.starts_with(account.as_bytes());
            let mut renamed = None;
            for row in rows.iter().take_while(|row| within(&row.partition)) {
                if row.key == ARRIVAL && self.finish_rename(row).await? {
                    renamed = Some(row.partition.clone());
                    break;
                }
                // What is no container has a key.
                let named = Uid::split(&row.partition).filter(|_| row.key.is_empty());
                let Some((_, name)) = named else { continue };
                let record: ContainerRecord = record::decode(&row.value)?;
                let start = if name == from_container { from_name } else { b"" };
                let name = String::from_utf8_lossy(name);
                if !self.search_container(&mut search, &name, record.uid, start).await? {
                    return Ok(search.page);
                }
            }
            from = match (renamed, rows.last()) {
                (Some(name), _) => ScanFrom::Partition(name),
                (None, Some(last)) if rows.len() == SCAN_ROWS && within(&last.partition) => {
                    ScanFrom::AfterPartition(last.partition.clone())
                }
                _ => return Ok(search.page),
            };
        }
    }

    /// Searches a container from a name on; false when the page ends here.
    async fn search_container(
        &self,
        search: &mut Search<'_>,
        container: &str,
        uid: Uid,
        start: &[u8],
    ) -> Result<bool, BlobError> {
        let mut from = ScanFrom::Partition(uid.key(start).into());
        loop {
            let rows = self.store().scan(BLOBS, from, SCAN_ROWS).await?;
            search.scans += 1;
            for row in &rows {
                let Some((_, name)) = Uid::split(&row.partition).filter(|(of, _)| *of == uid) else {
                    return Ok(true);
                };
                if row.key.is_empty() && !search.take(container, name, record::decode(&row.value)?) {
                    return Ok(false);
                }
            }
            let Some(last) = rows.last().filter(|_| rows.len() == SCAN_ROWS) else {
                return Ok(true);
            };
            // A blob with many rows is leapt over: only its first is of interest.
            from = ScanFrom::AfterPartition(last.partition.clone());
            if search.scans >= SCANS_MAX {
                let name = Uid::split(&last.partition).map_or(&b""[..], |(_, name)| name);
                // The next name after this one.
                search.page.next = Some(marker_of(container, &[name, &[0]].concat()));
                return Ok(false);
            }
        }
    }
}

/// A search under way.
struct Search<'a> {
    filter: &'a TagFilter,
    items_max: usize,
    now: Timestamp,
    scans: usize,
    page: Page<Found>,
}

impl<'a> Search<'a> {
    fn new(filter: &'a TagFilter, items_max: usize, now: Timestamp) -> Self {
        Self { filter, items_max, now, scans: 0, page: Page { items: Vec::new(), next: None } }
    }

    /// Looks at a blob; false when the page is full and this blob is for the next one.
    fn take(&mut self, container: &str, name: &[u8], blob: BlobRecord) -> bool {
        if !blob.is_visible(self.now) || !self.filter.matches(container, &blob.tags) {
            return true;
        }
        if self.page.items.len() == self.items_max {
            self.page.next = Some(marker_of(container, name));
            return false;
        }
        let tags = blob.tags.into_iter().filter(|(key, _)| self.filter.names(key)).collect();
        self.page.items.push((container.to_owned(), String::from_utf8_lossy(name).into_owned(), tags));
        true
    }
}

fn marker_of(container: &str, name: &[u8]) -> Vec<u8> {
    [container.as_bytes(), &[MARKER_SEPARATOR], name].concat()
}

fn split(marker: Option<&[u8]>) -> (&[u8], &[u8]) {
    let marker = marker.unwrap_or(b"");
    match marker.iter().position(|byte| *byte == MARKER_SEPARATOR) {
        Some(at) => (&marker[..at], &marker[at + 1..]),
        None => (marker, b""),
    }
}

/// A condition on tags: `x-ms-if-tags`.
pub(crate) fn check(filter: Option<&TagFilter>, blob: Option<&BlobRecord>) -> Result<(), BlobError> {
    match (filter, blob) {
        (None, _) => Ok(()),
        (Some(filter), Some(blob)) if filter.matches("", &blob.tags) => Ok(()),
        (Some(_), _) => Err(BlobError::ConditionNotMet),
    }
}
