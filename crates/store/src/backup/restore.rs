//! Makes a store of a backup: under another name, which becomes its own when all of it is there and durable.

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::backend::Store;
use crate::backup::{BackupError, Decoder, Header, Item, Totals};
use crate::error::StoreError;
use crate::extent::ExtentWriter;
use crate::local::{Local, LocalOptions, RestoredRows, create_folder, sync_folder};

/// Bytes read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// Extents that are made durable at a time.
const EXTENTS_AT_ONCE: usize = 64;

impl Store {
    /// Makes a store in `folder`, which must not exist or be empty, of a backup. Says what was in it.
    ///
    /// # Errors
    /// When the backup is cut off or damaged, or the disk fails or is full. Then there is no store.
    pub async fn restore(
        folder: &Path,
        options: LocalOptions,
        backup: impl AsyncRead + Unpin,
    ) -> Result<Totals, BackupError> {
        let unfinished = prepare(folder)?;
        let restored = restore_in(&unfinished, options, backup).await;
        let named = restored.and_then(|totals| {
            std::fs::rename(&unfinished, folder).map_err(BackupError::io("rename", &unfinished))?;
            if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_folder(parent)?;
            }
            Ok(totals)
        });
        if named.is_err() {
            // The error that matters is the other.
            let _ = std::fs::remove_dir_all(&unfinished);
        }
        named
    }
}

/// The name that the store has until it is whole.
fn prepare(folder: &Path) -> Result<PathBuf, BackupError> {
    match std::fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Ok(false) => return Err(BackupError::NotEmpty { path: folder.to_owned() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => {
            return Err(BackupError::NotEmpty { path: folder.to_owned() });
        }
        Err(error) => return Err(BackupError::io("look into", folder)(error)),
    }
    let name = folder.file_name().ok_or_else(|| BackupError::NotEmpty { path: folder.to_owned() })?;
    let mut unfinished = name.to_owned();
    unfinished.push(".restoring");
    let unfinished = folder.with_file_name(unfinished);
    if unfinished.exists() {
        return Err(BackupError::Unfinished { path: unfinished });
    }
    create_folder(&unfinished)?;
    Ok(unfinished)
}

async fn restore_in(
    folder: &Path,
    options: LocalOptions,
    backup: impl AsyncRead + Unpin,
) -> Result<Totals, BackupError> {
    let mut source = Source { backup, decoder: Decoder::default(), read: BytesMut::new() };
    let Some(Item::Header(header)) = source.next().await? else {
        return Err(BackupError::Cut { offset: 0 });
    };
    let next = restore_rows(folder, &options, header, &mut source).await?;
    let local = Local::open(folder, options).await?;
    restore_extents(&local, next, &mut source).await?;
    let totals = source.decoder.finish()?;
    local.end().await?;
    Ok(totals)
}

/// Restores rows until something else comes, which is returned.
async fn restore_rows(
    folder: &Path,
    options: &LocalOptions,
    header: Header,
    source: &mut Source<impl AsyncRead + Unpin>,
) -> Result<Option<Item>, BackupError> {
    let mut restored = RestoredRows::begin(folder, options, header.last_commit)?;
    loop {
        match source.next().await? {
            Some(Item::Rows(rows)) => {
                restored = tokio::task::spawn_blocking(move || {
                    restored.add(&rows)?;
                    Ok::<_, StoreError>(restored)
                })
                .await
                .map_err(|_| StoreError::Closed)??;
            }
            other => {
                let end = tokio::task::spawn_blocking(move || restored.end()).await;
                end.map_err(|_| StoreError::Closed)??;
                return Ok(other);
            }
        }
    }
}

async fn restore_extents(
    local: &Local,
    first: Option<Item>,
    source: &mut Source<impl AsyncRead + Unpin>,
) -> Result<(), BackupError> {
    let mut finishing = FuturesUnordered::new();
    let mut writer: Option<ExtentWriter> = None;
    let mut next = first;
    while let Some(item) = next {
        match item {
            Item::Extent { id, length_bytes } => {
                finishing.extend(writer.take().map(ExtentWriter::finish));
                writer = Some(local.restored_extent(id, length_bytes)?);
            }
            Item::Bytes(bytes) => {
                if let Some(writer) = &mut writer {
                    writer.write(bytes).await?;
                }
            }
            // The decoder lets no rows and no header come here.
            Item::End(_) | Item::Rows(_) | Item::Header(_) => {
                finishing.extend(writer.take().map(ExtentWriter::finish));
            }
        }
        while finishing.len() >= EXTENTS_AT_ONCE
            && let Some(finished) = finishing.next().await
        {
            finished?;
        }
        next = source.next().await?;
    }
    while let Some(finished) = finishing.next().await {
        finished?;
    }
    Ok(())
}

/// The items of a backup that is read.
struct Source<R> {
    backup: R,
    decoder: Decoder,
    read: BytesMut,
}

impl<R: AsyncRead + Unpin> Source<R> {
    /// The next item; `None` at the end of the bytes.
    async fn next(&mut self) -> Result<Option<Item>, BackupError> {
        loop {
            if let Some(item) = self.decoder.next_item()? {
                return Ok(Some(item));
            }
            self.read.clear();
            self.read.reserve(READ_BYTES);
            let read = self.backup.read_buf(&mut self.read).await;
            let read =
                read.map_err(|source| BackupError::Io { doing: "read the backup".to_owned(), source })?;
            if read == 0 {
                self.decoder.finish()?;
                return Ok(None);
            }
            self.decoder.push(&self.read);
        }
    }
}
