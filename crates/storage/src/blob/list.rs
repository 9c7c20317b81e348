//! Listing blobs: in the order of names, with prefix, delimiter and continuation. Of one name, snapshots come
//! first, then versions, the oldest first, and the blob last.

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_store::{Row, ScanFrom};

use crate::blob::row::RowKey;
use crate::blob::state::BlobRecord;
use crate::blob::{BlobError, Page, Revision};
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

/// A place among the lines of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Start,
    Snapshot(Timestamp),
    Version(Timestamp),
    Blob,
}

impl Place {
    fn of(revision: Revision) -> Self {
        match revision {
            Revision::Current => Self::Blob,
            Revision::Snapshot(at) => Self::Snapshot(at),
            Revision::Version(at) => Self::Version(at),
        }
    }

    /// A marker: the kind of place, its moment, and the name.
    fn marker(self, name: &[u8]) -> Vec<u8> {
        let (kind, at) = match self {
            Self::Start => (0, 0),
            Self::Snapshot(at) => (1, at.ticks()),
            Self::Version(at) => (2, at.ticks()),
            Self::Blob => (3, 0),
        };
        [&[kind], &at.to_be_bytes()[..], name].concat()
    }

    fn parse(marker: &[u8]) -> Option<(Self, &[u8])> {
        let (kind, rest) = marker.split_first()?;
        let (at, name) = rest.split_at_checked(8)?;
        let at = at.try_into().ok().map(i64::from_be_bytes).map(Timestamp::from_ticks)?;
        let place = match kind {
            0 => Self::Start,
            1 => Self::Snapshot(at),
            2 => Self::Version(at),
            3 => Self::Blob,
            _ => return None,
        };
        Some((place, name))
    }
}

/// How the list goes on after a blob.
enum Then {
    /// With the next one.
    Next,
    /// After all names that begin so.
    Leap(String),
    /// The page is full.
    End,
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

/// What is found of one blob.
struct Found<'a> {
    ask: &'a ListBlobs,
    now: Timestamp,
    name: String,
    after: Place,
    lines: Vec<(Place, Listed)>,
    /// The client sees a blob of this name.
    is_there: bool,
    has_staged: bool,
    last_version: Option<(Timestamp, BlobRecord)>,
}

impl<'a> Found<'a> {
    fn new(ask: &'a ListBlobs, now: Timestamp, name: &[u8], after: Place) -> Self {
        let name = String::from_utf8_lossy(name).into_owned();
        Self {
            ask,
            now,
            name,
            after,
            lines: Vec::new(),
            is_there: false,
            has_staged: false,
            last_version: None,
        }
    }

    /// Whether other rows than the blob itself may make lines.
    fn needs_more(&self) -> bool {
        let ask = self.ask;
        ask.snapshots || ask.versions || (!self.is_there && (ask.uncommitted || ask.only_versions))
    }

    /// The key of the first row of a kind that may make a line.
    fn first_key(&self, kind: u8) -> Bytes {
        let revision = match (self.after, kind) {
            (Place::Snapshot(at), b's') => Revision::Snapshot(at),
            // The last version may be wanted, whatever was listed.
            (Place::Version(at), b'v') if self.ask.versions => Revision::Version(at),
            _ => return Bytes::copy_from_slice(&[kind]),
        };
        RowKey::Head(revision).to_bytes().into()
    }

    fn take(&mut self, row: &Row) -> Result<(), BlobError> {
        match RowKey::parse(&row.key) {
            Some(RowKey::Head(revision)) => self.take_head(revision, record::decode(&row.value)?),
            Some(RowKey::Staged(_)) => self.has_staged = true,
            _ => {}
        }
        Ok(())
    }

    fn take_head(&mut self, revision: Revision, record: BlobRecord) {
        let ask = self.ask;
        let is_kept = record.deleted.is_some_and(|deleted| deleted.until > self.now);
        let is_live = record.is_visible(self.now);
        let asked = match revision {
            Revision::Current => {
                self.is_there = is_live;
                true
            }
            Revision::Snapshot(_) => ask.snapshots,
            Revision::Version(at) => {
                if is_live && ask.only_versions && !ask.versions {
                    self.last_version = Some((at, record.clone()));
                }
                ask.versions
            }
        };
        let deleted = ask.deleted || ask.show == Show::Deleted;
        let shown = (is_live && ask.show != Show::Deleted) || (is_kept && deleted);
        if asked && shown {
            self.add(revision, record);
        }
    }

    fn add(&mut self, revision: Revision, record: BlobRecord) {
        let place = Place::of(revision);
        if place >= self.after {
            let name = self.name.clone();
            let line = Listed::Blob(Box::new(ListedBlob { name, revision, record, only_versions: false }));
            self.lines.push((place, line));
        }
    }

    /// Puts the lines on the page.
    fn put_on(mut self, page: &mut Page<Listed>) -> Then {
        self.finish();
        if self.lines.is_empty() {
            return Then::Next;
        }
        if let Some(group) = group_of(&self.name, self.ask) {
            if self.ask.show == Show::Files {
                return Then::Leap(group);
            }
            if page.items.len() == self.ask.items_max {
                page.next = Some(Place::Start.marker(group.as_bytes()));
                return Then::End;
            }
            page.items.push(Listed::Prefix(group.clone()));
            return Then::Leap(group);
        }
        for (place, line) in self.lines {
            if page.items.len() == self.ask.items_max {
                page.next = Some(place.marker(self.name.as_bytes()));
                return Then::End;
            }
            page.items.push(line);
        }
        Then::Next
    }

    /// Adds what depends on all rows, and puts the lines in order.
    fn finish(&mut self) {
        if let Some((at, record)) = self.last_version.take().filter(|_| !self.is_there)
            && self.ask.show != Show::Deleted
        {
            self.add(Revision::Version(at), record);
        }
        if self.ask.uncommitted && self.has_staged && !self.is_there && self.after <= Place::Blob {
            self.lines.retain(|(place, _)| *place != Place::Blob);
            self.lines.push((Place::Blob, Listed::Uncommitted(self.name.clone())));
        }
        self.lines.sort_by_key(|(place, _)| *place);
        let only_versions = self.ask.only_versions && !self.is_there;
        for (place, line) in &mut self.lines {
            if let (Place::Version(_), Listed::Blob(blob)) = (place, line) {
                blob.only_versions = only_versions;
            }
        }
        if self.ask.show == Show::Directories && group_of(&self.name, self.ask).is_none() {
            self.lines.clear();
        }
    }
}

/// What the name is rolled up to.
fn group_of(name: &str, ask: &ListBlobs) -> Option<String> {
    let delimiter = ask.delimiter.as_deref()?;
    let rest = name.get(ask.prefix.len()..)?;
    let at = rest.find(delimiter)?;
    name.get(..ask.prefix.len() + at + delimiter.len()).map(str::to_owned)
}

fn after_group(group: &str) -> Vec<u8> {
    [group.as_bytes(), &[AFTER_ALL]].concat()
}
