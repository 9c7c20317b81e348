//! Rows of a backup, put into the tables of a store that is not open yet.

use std::path::Path;

use bytes::Bytes;

use crate::error::StoreError;
use crate::local::folder::Folder;
use crate::local::options::LocalOptions;
use crate::local::tables::Tables;
use crate::row::Version;

/// A store that takes the rows of a backup.
pub(crate) struct RestoredRows {
    tables: Tables,
    folder: Folder,
    memtable_bytes: u64,
    last_commit: u64,
}

impl RestoredRows {
    /// A new store in the folder. Its commits go on after `last_commit`.
    pub(crate) fn begin(path: &Path, options: &LocalOptions, last_commit: u64) -> Result<Self, StoreError> {
        let folder = Folder::open(path)?;
        let tables = Tables::open(&folder.join("tables"), options)?;
        Ok(Self { tables, folder, memtable_bytes: options.memtable_bytes, last_commit })
    }

    /// Adds rows, with their versions.
    pub(crate) fn add(&mut self, rows: &[(Bytes, Version, Bytes)]) -> Result<(), StoreError> {
        for (key, version, value) in rows {
            self.tables.apply(version.0, std::iter::once((&key[..], Some(&value[..]))));
        }
        if self.tables.memtable_bytes() >= self.memtable_bytes {
            self.flush()?;
        }
        Ok(())
    }

    /// Makes all of them durable.
    pub(crate) fn end(self) -> Result<(), StoreError> {
        self.flush()?;
        self.tables.compact(&|| false)?;
        drop(self.tables);
        drop(self.folder);
        Ok(())
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.tables.seal_flushed(self.last_commit);
        self.tables.flush()
    }
}
