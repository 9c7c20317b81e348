//! A storage service's data folder: by the service that has it open, or else opened here.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bytes::Bytes;
use tokio::sync::mpsc;
use welkin_storage::check::{Checked, Finding};
use welkin_storage::{EngineError, Storage};
use welkin_store::backup::BackupError;
use welkin_store::{Store, StoreError};

use super::Stats;
use super::client::{Client, ControlError};

/// Why the data cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There is no store in the folder.
    #[error("there is no storage data in {folder}: name the folder that `welkin storage` has with `--data`")]
    NoStore {
        /// The folder.
        folder: PathBuf,
    },
    /// The running service failed.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// No backup could be taken.
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// A way to the data of a folder.
#[derive(Debug)]
pub enum Access {
    /// By the service that runs there.
    Running(Client),
    /// Opened here, so that no service can start there meanwhile.
    Opened(Storage),
}

impl Access {
    /// Finds the way.
    ///
    /// # Errors
    /// When there is no store, it is damaged so that it cannot be opened, or may not be read.
    pub async fn to(folder: &Path) -> Result<Self, AccessError> {
        if let Some(client) = Client::connect(folder).await? {
            return Ok(Self::Running(client));
        }
        // Opening makes a store where there is none, which nobody wants here.
        match Store::is_in(folder)? {
            true => Ok(Self::Opened(Storage::over(Store::open_local(folder).await?))),
            false => Err(AccessError::NoStore { folder: folder.to_owned() }),
        }
    }

    /// Figures.
    ///
    /// # Errors
    /// When the service or the store fails.
    pub async fn stats(self) -> Result<Stats, AccessError> {
        match self {
            Self::Running(client) => Ok(client.stats().await?),
            Self::Opened(storage) => {
                let stats = super::stats(&storage, None).await?;
                storage.close().await?;
                Ok(stats)
            }
        }
    }

    /// Gives out a backup, piece by piece. Its end says whether it is whole.
    ///
    /// # Errors
    /// When the service or the store fails.
    pub async fn backup(self, out: mpsc::Sender<Bytes>) -> Result<(), AccessError> {
        match self {
            Self::Running(client) => Ok(client.backup(&out).await?),
            Self::Opened(storage) => {
                let snapshot = storage.store().snapshot().await?;
                storage.store().backup(&snapshot, SystemTime::now(), &out).await?;
                drop(snapshot);
                Ok(storage.close().await?)
            }
        }
    }

    /// Looks at everything, and reports what it finds.
    ///
    /// # Errors
    /// When the service or the store fails.
    pub async fn check(self, report: mpsc::Sender<Finding>) -> Result<Checked, AccessError> {
        match self {
            Self::Running(client) => Ok(client.check(report).await?),
            Self::Opened(storage) => {
                let checked = storage.check(report).await?;
                storage.close().await?;
                Ok(checked)
            }
        }
    }
}
