//! A FUSE file system of one file, which is its root: a disk whose every write and flush is seen.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, INodeNo,
    LockOwner, MountOption, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyOpen, ReplyWrite, Request,
    WriteFlags,
};

use crate::journal::Journal;

/// How long a flush takes, as on a quick disk: meanwhile commits gather to larger groups.
const FLUSH: Duration = Duration::from_micros(300);
/// The same for the disk of the tables, when the log has its own, which therefore runs ahead of them.
const FLUSH_OF_TABLES: Duration = Duration::from_millis(3);
/// The kernel asks again for each access.
const NO_CACHE: Duration = Duration::ZERO;

pub type SharedJournal = Arc<Mutex<Journal>>;

pub fn lock(journal: &Mutex<Journal>) -> MutexGuard<'_, Journal> {
    journal.lock().unwrap_or_else(PoisonError::into_inner)
}

struct RecordedFile {
    journal: SharedJournal,
    disk: usize,
}

/// Puts a disk of the journal in the place of `file`.
pub fn mount(journal: &SharedJournal, disk: usize, file: &Path) -> BackgroundSession {
    std::fs::write(file, "").unwrap();
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("welkin-power".to_owned())];
    fuser::spawn_mount(RecordedFile { journal: journal.clone(), disk }, file, &config).unwrap()
}

impl Filesystem for RecordedFile {
    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let size = lock(&self.journal).disk_bytes(self.disk);
        let time = SystemTime::UNIX_EPOCH;
        let attr = FileAttr {
            ino,
            size,
            blocks: size / 512,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: FileType::RegularFile,
            perm: 0o600,
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        reply.attr(&NO_CACHE, &attr);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        // Each write reaches the journal when it is made, and nothing is kept twice.
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let bytes = lock(&self.journal).read(self.disk, offset, size as usize);
        reply.data(&bytes);
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut journal = lock(&self.journal);
        if offset + data.len() as u64 > journal.disk_bytes(self.disk) {
            return reply.error(Errno::ENOSPC);
        }
        journal.write(self.disk, offset, data);
        reply.written(data.len() as u32);
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let mut journal = lock(&self.journal);
        journal.flush(self.disk);
        let is_of_tables = self.disk == 0 && journal.disks() > 1;
        drop(journal);
        std::thread::sleep(if is_of_tables { FLUSH_OF_TABLES } else { FLUSH });
        reply.ok();
    }
}
