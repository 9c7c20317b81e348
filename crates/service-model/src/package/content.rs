//! What a package holds, whichever layout it has.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use welkin_base::Digest;

use super::manifest::limit;
use super::{FILES_MAX, FileEntry, PackageError, UNPACKED_BYTES_MAX, path};

/// The definition, and where each file is.
pub(super) struct Content {
    /// The service definition as text.
    pub text: String,
    /// By name, `roles/<Role>/…`.
    pub files: BTreeMap<String, Stored>,
}

/// A file of a package.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    /// Its name in the zip.
    pub part: String,
    /// What it promises.
    pub entry: FileEntry,
    /// Whether a manifest named its digest. If not, the first reading sets it.
    pub is_promised: bool,
    /// Whether its manifest says what is a program. If not, the first reading looks.
    pub is_mode_known: bool,
}

impl Stored {
    /// A file whose manifest may lack a digest, and knows no programs.
    pub fn of(part: String, bytes: u64, sha256: Option<Digest>, executable: bool) -> Self {
        let entry = FileEntry { sha256: sha256.unwrap_or(Digest::from_bytes([0; 32])), bytes, executable };
        Self { part, entry, is_promised: sha256.is_some(), is_mode_known: false }
    }

    /// Whether `bytes` are the file's.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), PackageError> {
        let is_it = bytes.len() as u64 == self.entry.bytes
            && (!self.is_promised || Digest::from_bytes(Sha256::digest(bytes).into()) == self.entry.sha256);
        if is_it { Ok(()) } else { Err(PackageError::Digest { path: self.part.clone() }) }
    }
}

impl Content {
    /// Adds a file: one of its name only, and not more than there may be.
    pub fn add(&mut self, name: String, stored: Stored) -> Result<(), PackageError> {
        if self.files.contains_key(&name) {
            return Err(path::wrong(&name, "the name appears twice"));
        }
        self.files.insert(name, stored);
        limit("files", self.files.len() as u64, FILES_MAX as u64)
    }

    /// Bytes of all files, unpacked; an error when they are too many or one name is a file and a folder.
    pub fn check(&self) -> Result<u64, PackageError> {
        check(self.files.iter().map(|(name, file)| (name.as_str(), file.entry.bytes)))
    }
}

/// Bytes of all files; an error when files or bytes are too many, a name is not plain, or is a file and a folder.
pub(super) fn check<'a>(files: impl Iterator<Item = (&'a str, u64)>) -> Result<u64, PackageError> {
    let files: BTreeMap<&str, u64> = files.collect();
    limit("files", files.len() as u64, FILES_MAX as u64)?;
    let bytes = files.values().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
    limit("bytes unpacked", bytes, UNPACKED_BYTES_MAX)?;
    for name in files.keys() {
        path::check(name)?;
        let mut above = *name;
        while let Some((folder, _)) = above.rsplit_once('/') {
            if files.contains_key(folder) {
                return Err(path::wrong(folder, "it is both a file and a folder"));
            }
            above = folder;
        }
    }
    Ok(bytes)
}
