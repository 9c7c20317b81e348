//! The store's folder: its lock, its format, and how directories are made durable.

use std::fs::{DirBuilder, File};
use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::StoreError;

const LOCK_FILE: &str = "lock";
const FORMAT_FILE: &str = "format";
/// A folder that is in use is waited for this long: whoever just ended may still be finishing a write, and a command
/// that shows figures has it for a moment.
const LOCK_TIME: Duration = Duration::from_secs(2);
/// It is tried again after this long.
const LOCK_PAUSE: Duration = Duration::from_millis(20);
const FORMAT_LINE: &str = "welkin store 1";

/// A store's folder, locked for this process as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Random per store; see [`crate::local::group`].
    pub(crate) salt: u64,
    lock: File,
}

impl Folder {
    /// Makes the folder when missing, locks it, and reads or writes its format.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        create_folder(path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(StoreError::io("open", &lock_path))?;
        let began = Instant::now();
        while let Err(error) = rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive)
        {
            match error {
                rustix::io::Errno::WOULDBLOCK if began.elapsed() < LOCK_TIME => {
                    std::thread::sleep(LOCK_PAUSE);
                }
                rustix::io::Errno::WOULDBLOCK => return Err(StoreError::InUse { path: path.to_owned() }),
                error => return Err(StoreError::io("lock", &lock_path)(error.into())),
            }
        }
        let salt = read_or_write_format(path)?;
        Ok(Self { path: path.to_owned(), salt, lock })
    }

    /// A path inside the folder.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // A child process that is just being started has the lock file open too, so closing it here
        // would not be enough.
        let _ = rustix::fs::flock(&self.lock, rustix::fs::FlockOperation::Unlock);
    }
}

/// Whether the folder is one of a store.
pub(crate) fn is_store(path: &Path) -> Result<bool, StoreError> {
    let format = path.join(FORMAT_FILE);
    match std::fs::metadata(&format) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => Ok(false),
            _ => Err(StoreError::io("look for", &format)(error)),
        },
    }
}

/// Makes a folder and makes it durable. Only its owner may read it: what is stored is secret, account keys among it.
pub(crate) fn create_folder(path: &Path) -> Result<(), StoreError> {
    if !path.is_dir() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(StoreError::io("create", path))?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_folder(parent)?;
        }
    }
    Ok(())
}

/// Makes created, renamed and deleted names of a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(StoreError::io("flush", path))
}

fn read_or_write_format(folder: &Path) -> Result<u64, StoreError> {
    let path = folder.join(FORMAT_FILE);
    match std::fs::read(&path) {
        Ok(bytes) => std::str::from_utf8(&bytes).ok().and_then(parse_format).ok_or_else(|| StoreError::Damaged {
            what: path.display().to_string(),
            why: format!("it should have the lines \"{FORMAT_LINE}\", \"salt\" and \"checksum\", which matches them"),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let salt = rand::random::<u64>();
            let temporary = folder.join("format.new");
            File::create(&temporary)
                .and_then(|mut file| {
                    file.write_all(format_text(salt).as_bytes())?;
                    file.sync_all()
                })
                .map_err(StoreError::io("write", &temporary))?;
            std::fs::rename(&temporary, &path).map_err(StoreError::io("rename", &temporary))?;
            sync_folder(folder)?;
            Ok(salt)
        }
        Err(error) => Err(StoreError::io("read", &path)(error)),
    }
}

/// The salt, when each byte is as it was written: with another salt no group of the log is found. The first stores
/// have no checksum, and no flipped bit makes a text with one into such a text.
fn parse_format(text: &str) -> Option<u64> {
    let salt = text.lines().nth(1)?.strip_prefix("salt ")?;
    let salt = u64::from_str_radix(salt, 16).ok()?;
    (format_text(salt) == text || format_lines(salt) == text).then_some(salt)
}

fn format_text(salt: u64) -> String {
    let lines = format_lines(salt);
    let checksum = crc32c::crc32c(lines.as_bytes());
    format!("{lines}checksum {checksum:08x}\n")
}

fn format_lines(salt: u64) -> String {
    format!("{FORMAT_LINE}\nsalt {salt:016x}\n")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_format_with_a_checksum_and_the_first_one() {
        let whole = format_text(7);
        assert_eq!((parse_format(&whole), parse_format(&format_lines(7))), (Some(7), Some(7)));
        for bit in 0..whole.len() * 8 {
            let mut bad = whole.clone().into_bytes();
            bad[bit / 8] ^= 1 << (bit % 8);
            let found = String::from_utf8(bad).ok().and_then(|text| parse_format(&text));
            assert_eq!(found, None, "bit {bit}");
        }
    }

    #[test]
    fn only_the_owner_reads_a_new_folder() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let folder = Folder::open(&path).unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
    }
}
