//! Disk space kept back for the time when the disk is full.
//!
//! A flush needs room before it makes room. While the reserve is used up the store takes deletes
//! only; when it can be made again, the disk has room again.

use std::fs::File;
use std::path::PathBuf;

use crate::error::StoreError;

/// A preallocated file with nothing in it.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    bytes: u64,
}

impl Reserve {
    /// A reserve of `bytes` bytes at `path`; [`Reserve::fill`] makes it.
    pub(crate) fn new(path: PathBuf, bytes: u64) -> Self {
        Self { path, bytes }
    }

    /// Makes the reserve when it is missing. Answers whether it is there: when it is not, the disk
    /// is full.
    pub(crate) fn fill(&self) -> Result<bool, StoreError> {
        if self.path.metadata().is_ok_and(|metadata| metadata.len() == self.bytes) {
            return Ok(true);
        }
        let make = || {
            let file = File::create(&self.path)?;
            let flags = rustix::fs::FallocateFlags::empty();
            rustix::fs::fallocate(&file, flags, 0, self.bytes).map_err(std::io::Error::from)
        };
        match make().map_err(StoreError::io("create", &self.path)) {
            Ok(()) => Ok(true),
            Err(StoreError::Full) => {
                self.spend();
                Ok(false)
            }
            // A file system that cannot preallocate has no reserve.
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::Unsupported => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the reserve back to the disk. Answers whether there was one.
    pub(crate) fn spend(&self) -> bool {
        std::fs::remove_file(&self.path).is_ok()
    }
}
