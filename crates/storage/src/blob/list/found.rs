//! The lines of one blob: which of its states a list shows, in order, from a place on.

use bytes::Bytes;
use welkin_base::Timestamp;
use welkin_store::Row;

use super::{ListBlobs, Listed, ListedBlob, Show};
use crate::blob::row::RowKey;
use crate::blob::state::BlobRecord;
use crate::blob::{BlobError, Page, Revision};
use crate::record;

/// A place among the lines of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
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

    pub(super) fn parse(marker: &[u8]) -> Option<(Self, &[u8])> {
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
pub(super) enum Then {
    /// With the next one.
    Next,
    /// After all names that begin so.
    Leap(String),
    /// The page is full.
    End,
}

/// What is found of one blob.
pub(super) struct Found<'a> {
    ask: &'a ListBlobs,
    now: Timestamp,
    name: String,
    after: Place,
    pub(super) lines: Vec<(Place, Listed)>,
    /// The client sees a blob of this name.
    is_there: bool,
    has_staged: bool,
    last_version: Option<(Timestamp, BlobRecord)>,
}

impl<'a> Found<'a> {
    pub(super) fn new(ask: &'a ListBlobs, now: Timestamp, name: &[u8], after: Place) -> Self {
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
    pub(super) fn needs_more(&self) -> bool {
        let ask = self.ask;
        ask.snapshots || ask.versions || (!self.is_there && (ask.uncommitted || ask.only_versions))
    }

    /// The key of the first row of a kind that may make a line.
    pub(super) fn first_key(&self, kind: u8) -> Bytes {
        let revision = match (self.after, kind) {
            (Place::Snapshot(at), b's') => Revision::Snapshot(at),
            // The last version may be wanted, whatever was listed.
            (Place::Version(at), b'v') if self.ask.versions => Revision::Version(at),
            _ => return Bytes::copy_from_slice(&[kind]),
        };
        RowKey::Head(revision).to_bytes().into()
    }

    pub(super) fn take(&mut self, row: &Row) -> Result<(), BlobError> {
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
    pub(super) fn put_on(mut self, page: &mut Page<Listed>) -> Then {
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
