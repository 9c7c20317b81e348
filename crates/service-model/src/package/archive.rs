//! The zip of a package, as hostile input: bounded before it is read, and only plain files with plain names.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zip::ZipArchive;
use zip::result::ZipError;

use super::manifest::limit;
use super::{FILES_MAX, PackageError, damaged_or_io, path};

/// What may be read to learn what a zip holds, in bytes: [`FILES_MAX`] entries with long names. Without this bound the
/// table of a zip with millions of empty files would be in memory before anyone has counted them.
const DIRECTORY_BYTES_MAX: u64 = 16 << 20;
/// Entries beside the files of roles: the definition, manifests, relations, streams that have a name.
const ENTRIES_EXTRA: usize = 256;
/// Bits of a Unix mode that tell a file's type, and the types of a plain file and a folder.
const MODE_TYPE: u32 = 0o170_000;
const MODE_FILE: u32 = 0o100_000;
const MODE_FOLDER: u32 = 0o040_000;
/// Bits of a Unix mode that make a file a program.
const MODE_EXECUTABLE: u32 = 0o111;

/// A zip whose entries have been looked at.
pub(super) struct Archive<R> {
    zip: ZipArchive<Budget<R>>,
    /// Each file by its name, and whether the zip says that it is a program.
    pub entries: BTreeMap<String, bool>,
}

impl<R: Read + Seek> Archive<R> {
    /// Names of the entries of a zip, as they stand there.
    pub fn names(plain: R) -> Result<Vec<String>, PackageError> {
        let (zip, _) = Self::table(plain)?;
        Ok(zip.file_names().flatten().map(|name| name.to_string()).collect())
    }

    /// Reads the table of a zip, and says from when on more may be read.
    fn table(plain: R) -> Result<(ZipArchive<Budget<R>>, Arc<AtomicU64>), PackageError> {
        let left = Arc::new(AtomicU64::new(DIRECTORY_BYTES_MAX));
        let zip = ZipArchive::new(Budget { inner: plain, left: Arc::clone(&left) })?;
        limit("entries", zip.len() as u64, (FILES_MAX + ENTRIES_EXTRA) as u64)?;
        Ok((zip, left))
    }

    /// Opens a zip. The folders that other tools list are passed over.
    pub fn open(plain: R) -> Result<Self, PackageError> {
        let (mut zip, left) = Self::table(plain)?;
        if zip.has_duplicate_names() {
            return Err(PackageError::Damaged("a name appears twice".into()));
        }
        // From here on what is read is bounded by the size of each file.
        left.store(u64::MAX, Ordering::Relaxed);
        let mut entries = BTreeMap::new();
        for index in 0..zip.len() {
            let file = zip.by_index_raw(index)?;
            let name = std::str::from_utf8(file.name_raw())
                .map_err(|_| path::wrong(&String::from_utf8_lossy(file.name_raw()), "the name is not UTF-8"))?
                .to_owned();
            let mode = file.unix_mode().unwrap_or(MODE_FILE);
            if is_folder(&name, mode) && file.size() == 0 {
                path::check(name.trim_end_matches('/'))?;
                continue;
            }
            check(&name, mode, file.encrypted())?;
            if entries.insert(name, mode & MODE_EXECUTABLE != 0).is_some() {
                return Err(PackageError::Damaged("a name appears twice".into()));
            }
        }
        Ok(Self { zip, entries })
    }

    /// A whole small file of the zip.
    pub fn read_small(
        &mut self,
        name: &str,
        what: &'static str,
        bytes_max: u64,
    ) -> Result<Vec<u8>, PackageError> {
        let mut bytes = Vec::new();
        self.file(name)?.take(bytes_max + 1).read_to_end(&mut bytes).map_err(damaged_or_io)?;
        limit(what, bytes.len() as u64, bytes_max)?;
        Ok(bytes)
    }

    /// The bytes of a file, as many as it has, whatever the zip promises.
    pub fn file(&mut self, name: &str) -> Result<impl Read + '_, PackageError> {
        match self.zip.by_name(name) {
            Ok(file) => Ok(file),
            Err(ZipError::FileNotFound) => Err(PackageError::Missing { path: name.to_owned() }),
            Err(error) => Err(error.into()),
        }
    }
}

fn is_folder(name: &str, mode: u32) -> bool {
    name.ends_with('/') && matches!(mode & MODE_TYPE, 0 | MODE_FILE | MODE_FOLDER)
}

fn check(name: &str, mode: u32, encrypted: bool) -> Result<(), PackageError> {
    if encrypted {
        return Err(path::wrong(name, "it is encrypted by itself"));
    }
    if !matches!(mode & MODE_TYPE, 0 | MODE_FILE) {
        return Err(path::wrong(name, "it is a link or a device; a package has plain files only"));
    }
    path::check(name)
}

/// A reader that refuses to go on after so many bytes.
struct Budget<R> {
    inner: R,
    left: Arc<AtomicU64>,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.load(Ordering::Relaxed).checked_sub(read as u64).ok_or_else(|| {
            let message = format!("its table of files has more than {DIRECTORY_BYTES_MAX} bytes");
            io::Error::new(io::ErrorKind::InvalidData, message)
        })?;
        self.left.store(left, Ordering::Relaxed);
        Ok(read)
    }
}

impl<R: Seek> Seek for Budget<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}
