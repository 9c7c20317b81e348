//! One segment of the log: a file of fixed size, used again and again.
//!
//! The file's name is the segment's number. Using it again is renaming it to the next number:
//! its size and its blocks stay, so a flush writes data only and no metadata. A new one is
//! preallocated, which is quick, or zeroed ahead of time on a thread of its own ([`Spare`]), which
//! makes the flushes of its first use as quick as those of every later one.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use crate::error::StoreError;
use crate::local::background::spawn;
use crate::local::folder::sync_folder;
use crate::local::group::Group;
use crate::local::options::LOG_PAGE_BYTES;

const SUFFIX: &str = ".log";
const ZERO_BYTES: usize = 1024 * 1024;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Sequence number of the last commit in it; 0 while it is empty.
    pub(crate) last: u64,
}

/// The file of a segment.
pub(crate) fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}{SUFFIX}"))
}

impl Segment {
    /// Makes a segment of `bytes` bytes, durable under its name.
    pub(crate) fn create(folder: &Path, number: u64, bytes: u64) -> Result<Self, StoreError> {
        let path = folder.join("segment.new");
        let file = preallocated_file(&path, bytes)?;
        Self { number: 0, path, file, last: 0 }.reuse(folder, number)
    }

    /// Uses a segment whose content is no longer needed under a new number.
    pub(crate) fn reuse(mut self, folder: &Path, number: u64) -> Result<Self, StoreError> {
        self.renumber(folder, number)?;
        Ok(self)
    }

    /// As [`Self::reuse`], in its place.
    pub(crate) fn renumber(&mut self, folder: &Path, number: u64) -> Result<(), StoreError> {
        let path = segment_path(folder, number);
        std::fs::rename(&self.path, &path).map_err(StoreError::io("rename", &self.path))?;
        (self.number, self.path, self.last) = (number, path, 0);
        sync_folder(folder)
    }

    /// Opens an existing segment.
    pub(crate) fn open(path: PathBuf, number: u64) -> Result<Self, StoreError> {
        let file =
            File::options().read(true).write(true).open(&path).map_err(StoreError::io("open", &path))?;
        Ok(Self { number, path, file, last: 0 })
    }

    /// Size of the file.
    pub(crate) fn bytes(&self) -> Result<u64, StoreError> {
        Ok(self.file.metadata().map_err(StoreError::io("inspect", &self.path))?.len())
    }

    /// Overwrites the segment from `offset` on with zeros, durably.
    pub(crate) fn zero_from(&self, offset: u64) -> Result<(), StoreError> {
        write_zeros(&self.file, offset, self.bytes()?)
            .and_then(|()| self.file.sync_data())
            .map_err(StoreError::io("clear", &self.path))
    }
}

/// A segment that is zeroed on a thread of its own.
#[derive(Debug)]
pub(crate) struct Spare {
    thread: Option<JoinHandle<Result<Segment, StoreError>>>,
}

impl Spare {
    /// Starts to make one.
    pub(crate) fn start(folder: &Path, bytes: u64) -> Result<Self, StoreError> {
        let path = folder.join("spare.new");
        let thread = spawn("store-segment", move || {
            let file = preallocated_file(&path, bytes)?;
            write_zeros(&file, 0, bytes)
                .and_then(|()| file.sync_data())
                .map_err(StoreError::io("write", &path))?;
            Ok(Segment { number: 0, path, file, last: 0 })
        })?;
        Ok(Self { thread: Some(thread) })
    }

    /// Whether it is made, or failed.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// The segment, if it could be made; waits for it.
    pub(crate) fn take(mut self) -> Option<Segment> {
        self.thread.take()?.join().ok()?.ok()
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        // The folder is not given up while something is written in it.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The segments of a folder in order of their numbers. Leftovers of unfinished work are removed.
pub(crate) fn list_segments(folder: &Path) -> Result<Vec<Segment>, StoreError> {
    let io = StoreError::io("list", folder);
    let entries: Vec<_> = std::fs::read_dir(folder).and_then(Iterator::collect).map_err(io)?;
    let mut segments = Vec::new();
    for entry in entries {
        let path: PathBuf = std::fs::DirEntry::path(&entry);
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(SUFFIX))
            .and_then(|number| u64::from_str_radix(number, 16).ok());
        match number {
            Some(number) => segments.push(Segment::open(path, number)?),
            None => std::fs::remove_file(&path).map_err(StoreError::io("remove", &path))?,
        }
    }
    segments.sort_by_key(|segment| segment.number);
    Ok(segments)
}

/// What a segment holds.
pub(crate) struct Content<'a> {
    /// Its groups, in order, without gap.
    pub(crate) groups: Vec<Group<'a>>,
    /// Where the next group goes.
    pub(crate) end: usize,
    /// Whether the bytes at the end look like a group that was not finished.
    pub(crate) is_torn: bool,
}

/// Reads the groups of a segment.
///
/// A group is written only when the one before it is durable, so whatever follows the first
/// place without a valid group must hold no valid group: else the log was damaged in its middle.
pub(crate) fn read_groups<'a>(
    bytes: &'a [u8],
    segment: &Segment,
    salt: u64,
) -> Result<Content<'a>, StoreError> {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut end = 0;
    while let Some(group) = bytes.get(end..).and_then(|rest| Group::parse(rest, salt, segment.number)) {
        if groups.last().is_some_and(|last| last.next() != group.first) {
            return Err(damaged(&segment.path, end, "the sequence numbers do not follow each other"));
        }
        end += group.padded_bytes(LOG_PAGE_BYTES);
        groups.push(group);
    }
    let lost = (end..bytes.len())
        .step_by(LOG_PAGE_BYTES)
        .skip(1)
        .find(|&at| Group::parse(&bytes[at..], salt, segment.number).is_some());
    if let Some(at) = lost {
        let why = format!("no valid group is here, but one follows at offset {at}");
        return Err(damaged(&segment.path, end, &why));
    }
    let is_torn =
        bytes.get(end..).is_some_and(|rest| rest.iter().take(LOG_PAGE_BYTES).any(|&byte| byte != 0));
    Ok(Content { groups, end: end.min(bytes.len()), is_torn })
}

/// An error that names the place in the log.
pub(crate) fn damaged(path: &Path, offset: usize, why: &str) -> StoreError {
    StoreError::Damaged {
        what: format!("the log {} at offset {offset}", path.display()),
        why: why.to_owned(),
    }
}

/// A new file whose blocks are allocated. A leftover of that name is overwritten.
fn preallocated_file(path: &Path, bytes: u64) -> Result<File, StoreError> {
    let create = || {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
            Err(rustix::io::Errno::OPNOTSUPP) => write_zeros(&file, 0, bytes)?,
            result => result?,
        }
        file.sync_all()?;
        Ok(file)
    };
    create().map_err(StoreError::io("create", path)).inspect_err(|_| {
        // The error that matters is that of the write.
        let _ = std::fs::remove_file(path);
    })
}

fn write_zeros(file: &File, mut offset: u64, end: u64) -> std::io::Result<()> {
    let zeros = vec![0; ZERO_BYTES];
    while offset < end {
        let length = ZERO_BYTES.min((end - offset) as usize);
        file.write_all_at(&zeros[..length], offset)?;
        offset += length as u64;
    }
    Ok(())
}
