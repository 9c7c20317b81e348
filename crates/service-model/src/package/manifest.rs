//! `manifest.json`: what a package holds, file by file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use welkin_base::Digest;

use super::{FILES_MAX, PackageError, content};

/// The version of the format that this code writes and reads.
const VERSION: u32 = 1;

/// What a package holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    version: u32,
    /// By name in the zip; in order, so that it is the same text for the same files.
    pub files: BTreeMap<String, FileEntry>,
}

/// One file of a package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// Digest of its bytes.
    pub sha256: Digest,
    /// Its size.
    pub bytes: u64,
    /// Whether it is a program.
    pub executable: bool,
}

impl Manifest {
    pub fn new() -> Self {
        Self { version: VERSION, files: BTreeMap::new() }
    }

    /// Parses and checks a manifest: after this, every name in it is safe and no limit is exceeded.
    pub fn parse(json: &[u8]) -> Result<Self, PackageError> {
        let manifest: Self =
            serde_json::from_slice(json).map_err(|error| PackageError::Manifest(error.to_string()))?;
        if manifest.version != VERSION {
            let message = format!("version {} is not known; this is version {VERSION}", manifest.version);
            return Err(PackageError::Manifest(message));
        }
        manifest.check()?;
        Ok(manifest)
    }

    fn check(&self) -> Result<u64, PackageError> {
        content::check(self.files.iter().map(|(name, file)| (name.as_str(), file.bytes)))
    }

    /// Adds a file while a package is written.
    pub fn add(&mut self, name: String, entry: FileEntry) -> Result<(), PackageError> {
        self.files.insert(name, entry);
        limit("files", self.files.len() as u64, FILES_MAX as u64)
    }

    /// The manifest as it stands in the package.
    pub fn to_json(&self) -> Result<Vec<u8>, PackageError> {
        self.check()?;
        serde_json::to_vec_pretty(self).map_err(|error| PackageError::Manifest(error.to_string()))
    }
}

/// An error when `found` is above `limit`.
pub(super) fn limit(what: &'static str, found: u64, limit: u64) -> Result<(), PackageError> {
    if found > limit {
        return Err(PackageError::TooLarge { what, found, limit });
    }
    Ok(())
}
