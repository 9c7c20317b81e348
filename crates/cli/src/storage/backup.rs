//! Backups, out to a file or a pipe and back.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal as _, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use indicatif::{BinaryBytes, HumanDuration};
use tokio::sync::mpsc;
use welkin_storage_service::control::access::{Access, AccessError};
use welkin_store::backup::{BackupError, Decoder, Totals};
use welkin_store::{LocalOptions, Store};

use super::{BackupArgs, RestoreArgs, failed};
use crate::error::CliError;

/// Pieces that wait to be written.
const WAITING_MAX: usize = 4;

/// `welkin storage backup`.
pub async fn backup(args: &BackupArgs) -> Result<(), CliError> {
    let started = Instant::now();
    let target = Target::open(&args.to)?;
    let access = Access::to(&args.of.data).await.map_err(|error| failed(&error));
    let access = match access {
        Ok(access) => access,
        Err(error) => {
            target.remove();
            return Err(error);
        }
    };
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    let writing = tokio::task::spawn_blocking(move || target.take(receiver));
    let taken = access.backup(sender).await;
    let written = writing.await.map_err(|error| CliError::Service(error.to_string()))?;
    match (taken, written) {
        // The file cannot be written: then nobody takes the backup, which is no reason.
        (Err(AccessError::Backup(BackupError::Abandoned)) | Ok(()), Err(error)) => Err(error),
        (Err(error), _) => Err(failed(&error)),
        (Ok(()), Ok(totals)) => {
            report(&format!("{} is a backup of", args.to.display()), totals, started);
            Ok(())
        }
    }
}

/// `welkin storage restore`.
pub async fn restore(args: &RestoreArgs) -> Result<(), CliError> {
    let started = Instant::now();
    let options = LocalOptions::default();
    let file = match args.from == Path::new("-") {
        true => io::stdin().as_fd().try_clone_to_owned().map(File::from),
        false => File::open(&args.from),
    };
    let file = tokio::fs::File::from_std(file.map_err(file_error("open", &args.from))?);
    let restored = Store::restore(&args.data, options, file).await;
    let totals = restored.map_err(|error| failed(&error))?;
    report(&format!("{} has", args.data.display()), totals, started);
    Ok(())
}

/// On standard error, since a backup may go to standard output.
fn report(what: &str, totals: Totals, started: Instant) {
    let Totals { rows, extents, extent_bytes } = totals;
    let bytes = BinaryBytes(extent_bytes);
    eprintln!(
        "{what} {rows} rows and {extents} extents of {bytes} (took {})",
        HumanDuration(started.elapsed())
    );
}

fn file_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CliError {
    let path = path.to_owned();
    move |source| CliError::File { doing, path, source }
}

/// Where a backup goes. A file has another name until it is whole.
enum Target {
    Stdout,
    File { file: File, unfinished: PathBuf, path: PathBuf },
}

impl Target {
    fn open(path: &Path) -> Result<Self, CliError> {
        if path == Path::new("-") {
            if io::stdout().is_terminal() {
                let why = "a backup is not for a terminal: name a file with `--to`, or pipe it somewhere";
                return Err(CliError::Service(why.to_owned()));
            }
            return Ok(Self::Stdout);
        }
        if path.exists() {
            let why = format!("{} exists: name another file with `--to`, or remove it", path.display());
            return Err(CliError::Service(why));
        }
        let mut unfinished = path.as_os_str().to_owned();
        unfinished.push(".unfinished");
        let unfinished = PathBuf::from(unfinished);
        // It has the keys of all accounts in it.
        let options =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished);
        let file = options.map_err(file_error("create", &unfinished))?;
        Ok(Self::File { file, unfinished, path: path.to_owned() })
    }

    /// Writes a backup and looks whether it is whole.
    fn take(self, receiver: mpsc::Receiver<Bytes>) -> Result<Totals, CliError> {
        let taken = match &self {
            Self::Stdout => copy(receiver, &mut io::stdout().lock(), Path::new("standard output")),
            Self::File { file, unfinished, .. } => copy(receiver, &mut &*file, unfinished),
        };
        match taken.and_then(|totals| self.finish().map(|()| totals)) {
            Ok(totals) => Ok(totals),
            Err(error) => {
                self.remove();
                Err(error)
            }
        }
    }

    /// Gives the file its name.
    fn finish(&self) -> Result<(), CliError> {
        let Self::File { file, unfinished, path } = self else { return Ok(()) };
        file.sync_all().map_err(file_error("write", unfinished))?;
        std::fs::rename(unfinished, path).map_err(file_error("rename", unfinished))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error("write", folder))
    }

    /// Removes what was written so far.
    fn remove(&self) {
        if let Self::File { unfinished, .. } = self {
            // The error that matters is the other.
            let _ = std::fs::remove_file(unfinished);
        }
    }
}

fn copy(mut receiver: mpsc::Receiver<Bytes>, out: &mut impl Write, path: &Path) -> Result<Totals, CliError> {
    let mut decoder = Decoder::default();
    while let Some(piece) = receiver.blocking_recv() {
        decoder.push(&piece);
        while decoder.next_item().map_err(|error| failed(&error))?.is_some() {}
        out.write_all(&piece).map_err(file_error("write", path))?;
    }
    out.flush().map_err(file_error("write", path))?;
    decoder.finish().map_err(|error| failed(&error))
}
