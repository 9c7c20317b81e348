//! The write-ahead log: groups appended to segments, one `fdatasync` per group.
//!
//! Invariants:
//! * A group is written when the one before it is durable.
//! * Segments have consecutive numbers, groups consecutive sequence numbers.
//! * A segment is used again when all its commits are in durable tables and a later segment
//!   holds a group, so the highest sequence number is never lost.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::local::folder::create_folder;
use crate::local::group::{Group, GroupBuilder};
use crate::local::options::{LOG_PAGE_BYTES, LocalOptions};
use crate::local::segment::{Segment, Spare, damaged, list_segments, read_groups};

/// How a file is made durable; tests put a failing one here.
pub(crate) type Flush = fn(&File) -> std::io::Result<()>;

/// The log, open for appending.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    salt: u64,
    segment_bytes: u64,
    disk_bytes_max: Option<u64>,
    flush: Flush,
    /// Older segments, oldest first.
    full: VecDeque<Segment>,
    current: Segment,
    /// Zeroed when the current one is half full and no older one is free.
    spare: Option<Spare>,
    /// Where the next group goes.
    offset: u64,
    /// Sequence number of the next commit.
    next: u64,
}

impl Log {
    /// Opens the log and gives every group after commit `flushed` to `replay`, in order.
    pub(crate) fn open(
        folder: &Path,
        salt: u64,
        options: &LocalOptions,
        flushed: u64,
        mut replay: impl FnMut(&Group<'_>) -> Option<()>,
    ) -> Result<Self, StoreError> {
        create_folder(folder)?;
        let mut segments = list_segments(folder)?;
        let mut recovery = Recovery { expected: None, flushed, ended: None };
        for segment in &mut segments {
            recovery.read(segment, salt, &mut replay)?;
        }
        let next = recovery.expected.unwrap_or(flushed + 1).max(flushed + 1);
        let (end_number, mut offset) = recovery.ended.unwrap_or((0, 0));
        // The tables hold more than the log: its end was damaged after a close. Nothing in it is needed, and what is
        // appended to it would not follow.
        let is_behind = recovery.expected.is_some_and(|expected| expected <= flushed);
        if is_behind {
            tracing::warn!(path = %folder.display(), flushed, "the log ends before the tables do: it begins anew");
            offset = 0;
        }
        // Segments after the one where the log ended are empty; they are taken as new ones.
        segments.retain(|segment| (segment.number <= end_number && !is_behind) || remove(segment));
        let current = match segments.pop() {
            Some(segment) => segment,
            None => Segment::create(folder, end_number + 1, options.segment_bytes)?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            salt,
            segment_bytes: options.segment_bytes,
            disk_bytes_max: options.disk_bytes_max,
            flush: File::sync_data,
            full: segments.into(),
            current,
            spare: None,
            offset: offset as u64,
            next,
        })
    }

    /// Sequence number of the next commit.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Segments in use.
    pub(crate) fn segments(&self) -> usize {
        self.full.len() + 1
    }

    /// Whether a group of `bytes` bytes fits into the segment in use, whose first half is not full yet or which has one
    /// to follow it.
    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        let needed = bytes.next_multiple_of(LOG_PAGE_BYTES) as u64;
        self.offset + needed <= self.segment_bytes
    }

    /// Makes room for a group of `bytes` bytes. Commits up to `flushed` are in tables;
    /// `other_bytes` is what the rest of the store takes of the disk.
    ///
    /// # Errors
    /// [`StoreError::Full`] when a new segment is needed and the disk has no room; nothing changed.
    pub(crate) fn make_room(
        &mut self,
        bytes: usize,
        flushed: u64,
        other_bytes: u64,
    ) -> Result<(), StoreError> {
        let needed = bytes.next_multiple_of(LOG_PAGE_BYTES) as u64;
        if self.offset + needed <= self.segment_bytes.min(self.current.bytes()?) {
            self.prepare_spare(flushed);
            return Ok(());
        }
        let number = self.current.number + 1;
        let next = match self.full.pop_front() {
            Some(oldest) if oldest.last <= flushed => oldest.reuse(&self.folder, number)?,
            oldest => {
                if let Some(oldest) = oldest {
                    self.full.push_front(oldest);
                }
                match self.new_segment(number, other_bytes) {
                    // A log of one segment, all of which is in tables, needs no second one.
                    Err(StoreError::Full) if self.current.last <= flushed => {
                        self.current.renumber(&self.folder, number)?;
                        self.offset = 0;
                        return Ok(());
                    }
                    segment => segment?,
                }
            }
        };
        self.full.push_back(std::mem::replace(&mut self.current, next));
        self.offset = 0;
        Ok(())
    }

    fn new_segment(&mut self, number: u64, other_bytes: u64) -> Result<Segment, StoreError> {
        let taken = (self.full.len() as u64 + 2) * self.segment_bytes + other_bytes;
        if self.disk_bytes_max.is_some_and(|max| taken > max) {
            return Err(StoreError::Full);
        }
        match self.spare.take_if(|spare| spare.is_finished()).and_then(Spare::take) {
            Some(spare) => spare.reuse(&self.folder, number),
            None => Segment::create(&self.folder, number, self.segment_bytes),
        }
    }

    /// Has a segment zeroed when one will be needed soon. Without one, a new segment is slower at
    /// first, so a failure here is none.
    fn prepare_spare(&mut self, flushed: u64) {
        let is_half_full = self.offset > self.segment_bytes / 2;
        let is_next_free = self.full.front().is_some_and(|oldest| oldest.last <= flushed);
        if is_half_full && !is_next_free && self.spare.is_none() && self.disk_bytes_max.is_none() {
            self.spare = Spare::start(&self.folder, self.segment_bytes).ok();
        }
    }

    /// Appends a group for which there is room, and makes it durable. After an error nothing
    /// more may be appended: what is on the disk is unknown. Says how many bytes were written.
    pub(crate) fn append(&mut self, group: &mut GroupBuilder) -> Result<u64, StoreError> {
        let commits = u64::from(group.commits());
        let bytes = group.finish(self.salt, self.current.number, self.next, LOG_PAGE_BYTES);
        self.current
            .file
            .write_all_at(bytes, self.offset)
            .map_err(StoreError::io("write", &self.current.path))?;
        (self.flush)(&self.current.file).map_err(StoreError::io("flush", &self.current.path))?;
        let written = bytes.len() as u64;
        self.offset += written;
        self.next += commits;
        self.current.last = self.next - 1;
        Ok(written)
    }

    /// Disk space of the segments.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segments() as u64 * self.segment_bytes
    }

    /// Replaces how files are made durable.
    #[cfg(test)]
    pub(crate) fn set_flush(&mut self, flush: Flush) {
        self.flush = flush;
    }
}

/// Walks the segments in order.
struct Recovery {
    /// Sequence number that the next group must have.
    expected: Option<u64>,
    /// Commits up to this are in tables.
    flushed: u64,
    /// Number of the last segment with a group, and where the groups in it end.
    ended: Option<(u64, usize)>,
}

impl Recovery {
    fn read(
        &mut self,
        segment: &mut Segment,
        salt: u64,
        replay: &mut impl FnMut(&Group<'_>) -> Option<()>,
    ) -> Result<(), StoreError> {
        let bytes = std::fs::read(&segment.path).map_err(StoreError::io("read", &segment.path))?;
        let content = read_groups(&bytes, segment, salt)?;
        if let Some(first) = content.groups.first() {
            self.check_follows(segment, first.first)?;
            self.ended = Some((segment.number, content.end));
        }
        for group in &content.groups {
            if group.next() > self.flushed + 1 {
                replay(group).ok_or_else(|| damaged(&segment.path, 0, "a group's content is malformed"))?;
            }
            self.expected = Some(group.next());
            segment.last = group.next() - 1;
        }
        if content.is_torn && content.end < bytes.len() {
            segment.zero_from(content.end as u64)?;
        } else {
            // After `kill -9` a group may be in the page cache and not yet on the disk.
            segment.file.sync_data().map_err(StoreError::io("flush", &segment.path))?;
        }
        Ok(())
    }

    /// The first group of a segment must follow the last group of the one before it.
    fn check_follows(&self, segment: &Segment, first: u64) -> Result<(), StoreError> {
        match (self.expected, self.ended) {
            (Some(expected), Some((number, _))) if expected == first && number + 1 == segment.number => {
                Ok(())
            }
            (Some(expected), Some((number, offset))) => {
                let why = format!(
                    "commit {expected} should follow here, but the next group, in {}, begins with commit {first}",
                    segment.path.display()
                );
                let before = segment.path.with_file_name(format!("{number:016x}.log"));
                Err(damaged(&before, offset, &why))
            }
            _ if first > self.flushed + 1 => {
                let why = format!(
                    "it begins with commit {first}, but the tables end at commit {}: an older segment is missing",
                    self.flushed
                );
                Err(damaged(&segment.path, 0, &why))
            }
            _ => Ok(()),
        }
    }
}

/// Removes a segment that is not needed; used as a filter, so it answers false. A failure leaves a
/// file that the next start removes.
fn remove(segment: &Segment) -> bool {
    if let Err(error) = std::fs::remove_file(&segment.path) {
        tracing::warn!(path = %segment.path.display(), %error, "cannot remove a log segment");
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    const SALT: u64 = 7;
    const PAGE: usize = LOG_PAGE_BYTES;

    fn options() -> LocalOptions {
        LocalOptions { segment_bytes: 8 * PAGE as u64, ..LocalOptions::default() }
    }

    /// The values that a log gives back, in order.
    fn replay(folder: &Path, flushed: u64) -> Result<(Log, Vec<u8>), StoreError> {
        let mut values = Vec::new();
        let log = Log::open(folder, SALT, &options(), flushed, |group| {
            values.extend(group.writes()?.iter().filter_map(|(_, _, value)| value.map(|value| value[0])));
            Some(())
        })?;
        Ok((log, values))
    }

    fn append(log: &mut Log, value: u8, bytes: usize, flushed: u64) {
        let mut group = GroupBuilder::default();
        group.clear();
        group.push(&[(b"key".to_vec(), Some(Bytes::from(vec![value; bytes])))]);
        log.make_room(bytes + 100, flushed, 0).unwrap();
        log.append(&mut group).unwrap();
    }

    /// Groups 1 to `groups`, of two pages each: four per segment.
    fn sample(groups: u8) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = replay(folder.path(), 0).unwrap();
        for value in 1..=groups {
            append(&mut log, value, PAGE + 1000, 0);
        }
        folder
    }

    fn change(folder: &Path, segment: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let path = crate::local::segment::segment_path(folder, segment);
        let mut bytes = std::fs::read(&path).unwrap();
        change(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
    }

    #[test]
    fn a_log_goes_on_where_it_ended() {
        let folder = sample(10);
        let (mut log, values) = replay(folder.path(), 0).unwrap();
        assert_eq!((values, log.next()), ((1..=10).collect(), 11));
        append(&mut log, 11, 10, 0);
        let (log, values) = replay(folder.path(), 6).unwrap();
        assert_eq!((values, log.next(), log.segments()), ((7..=11).collect(), 12, 3));
    }

    #[test]
    fn segments_are_used_again_and_old_content_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, _) = replay(folder.path(), 0).unwrap();
        for value in 1..=100 {
            append(&mut log, value, PAGE + 1000, u64::from(value) - 1);
        }
        assert_eq!(log.segments(), 2);
        let (log, values) = replay(folder.path(), 98).unwrap();
        assert_eq!((values, log.next()), (vec![99, 100], 101));
        // Tables that end before the oldest segment begins: a segment is missing.
        assert!(matches!(replay(folder.path(), 1), Err(StoreError::Damaged { .. })));
    }

    /// Whatever is cut off or flipped in the last group, the ones before stay and the log goes on.
    #[test]
    fn a_torn_tail_is_the_normal_end() {
        let page = PAGE as u64;
        type Tear = (&'static str, fn(&mut Vec<u8>));
        let tears: [Tear; 6] = [
            ("first page missing", |bytes| bytes[4 * PAGE..5 * PAGE].fill(0)),
            ("second page missing", |bytes| bytes[5 * PAGE..6 * PAGE].fill(0)),
            ("cut at its start", |bytes| bytes.truncate(4 * PAGE)),
            ("cut inside", |bytes| bytes.truncate(5 * PAGE + 1)),
            ("bit in the head", |bytes| bytes[4 * PAGE + 9] ^= 1),
            ("bit in the body", |bytes| bytes[5 * PAGE + 77] ^= 0x80),
        ];
        for (what, tear) in tears {
            // Groups 5, 6 and 7 are in the second segment.
            let folder = sample(7);
            change(folder.path(), 2, tear);
            let (mut log, values) = replay(folder.path(), 0).unwrap();
            assert_eq!((values, log.next()), ((1..=6).collect(), 7), "{what}");
            assert_eq!(log.offset, 4 * page, "{what}");
            append(&mut log, 77, PAGE + 1, 0);
            append(&mut log, 88, 1, 0);
            let (_, values) = replay(folder.path(), 0).unwrap();
            assert_eq!(values, [1, 2, 3, 4, 5, 6, 77, 88], "{what}");
        }
    }

    /// What a flipped bit takes from the end of a closed log is in tables, and the log goes on after it.
    #[test]
    fn a_log_that_ends_before_the_tables_begins_anew() {
        let folder = sample(7);
        change(folder.path(), 2, |bytes| bytes[4 * PAGE + 9] ^= 1);
        let (mut log, values) = replay(folder.path(), 7).unwrap();
        assert_eq!((values, log.next(), log.segments()), (vec![], 8, 1));
        append(&mut log, 8, 10, 7);
        drop(log);
        let (log, values) = replay(folder.path(), 7).unwrap();
        assert_eq!((values, log.next(), log.segments()), (vec![8], 9, 1));
    }

    /// Whatever happens to a group that others follow is an error that names the place.
    #[test]
    fn damage_in_the_middle_names_file_and_offset() {
        type Harm = (&'static str, u64, fn(&mut Vec<u8>), &'static str);
        let harms: [Harm; 6] = [
            ("bit in a head", 2, |bytes| bytes[2 * PAGE + 3] ^= 1, "2.log at offset 8192"),
            ("bit in a body", 2, |bytes| bytes[3 * PAGE + 3] ^= 1, "2.log at offset 8192"),
            ("a page missing", 2, |bytes| bytes[..PAGE].fill(0), "2.log at offset 0"),
            ("a group missing", 2, |bytes| bytes[..2 * PAGE].fill(0), "2.log at offset 0"),
            ("last of a segment", 1, |bytes| bytes[6 * PAGE + 8] ^= 4, "1.log at offset 24576"),
            ("a segment emptied", 2, |bytes| bytes.fill(0), "1.log at offset 32768"),
        ];
        for (what, segment, harm, place) in harms {
            let folder = sample(11);
            change(folder.path(), segment, harm);
            let error = replay(folder.path(), 0).unwrap_err().to_string();
            assert!(error.contains(place), "{what}: {error}");
        }
        let folder = sample(11);
        std::fs::remove_file(crate::local::segment::segment_path(folder.path(), 2)).unwrap();
        let error = replay(folder.path(), 0).unwrap_err().to_string();
        assert!(error.contains("1.log at offset 32768"), "a segment removed: {error}");
    }

    #[test]
    fn a_single_segment_is_used_again_when_the_disk_is_full() {
        let folder = tempfile::tempdir().unwrap();
        let options = LocalOptions { disk_bytes_max: Some(9 * PAGE as u64), ..options() };
        let mut log = Log::open(folder.path(), SALT, &options, 0, |_| Some(())).unwrap();
        for value in 1..=4 {
            append(&mut log, value, PAGE + 1000, 0);
        }
        assert!(
            matches!(log.make_room(2 * PAGE, 3, 0), Err(StoreError::Full)),
            "one commit is not in tables"
        );
        append(&mut log, 5, PAGE + 1000, 4);
        append(&mut log, 6, PAGE + 1000, 4);
        drop(log);
        let (log, values) = replay(folder.path(), 4).unwrap();
        assert_eq!((values, log.segments(), log.next()), (vec![5, 6], 1, 7));
    }

    #[test]
    fn a_full_disk_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let options = LocalOptions { disk_bytes_max: Some(17 * PAGE as u64), ..options() };
        let mut log = Log::open(folder.path(), SALT, &options, 0, |_| Some(())).unwrap();
        let mut appended = 0;
        while log.make_room(2 * PAGE, 0, 0).is_ok() {
            append(&mut log, 1, PAGE + 1000, 0);
            appended += 1;
        }
        assert_eq!(appended, 8);
        assert!(matches!(log.make_room(2 * PAGE, 0, 0), Err(StoreError::Full)));
        log.make_room(2 * PAGE, 4, 0).unwrap();
    }
}
