//! A folder of files that are named by the digest of their bytes. A file that has its name is whole and durable.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::fs;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use welkin_base::Digest;
use welkin_fabric_wire::PACKAGE_BYTES_MAX;
use welkin_transport::BoxError;

use crate::error::{ContentError, on};

/// What is read from a file at once.
const PIECE_BYTES: usize = 256 << 10;
/// An image in bytes, at most: more than a guest OS, or what the files of a package come to.
const IMAGE_BYTES_MAX: u64 = 8 << 30;
/// Files that are not whole yet begin so.
const INCOMING: &str = ".incoming-";

/// What content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Service packages, as they were sent.
    Packages,
    /// Images of roles and of guest OS versions.
    Images,
}

impl Kind {
    /// Its name in paths.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Packages => "packages",
            Self::Images => "images",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        [Self::Packages, Self::Images].into_iter().find(|kind| kind.as_str() == name)
    }

    /// One content in bytes, at most.
    #[must_use]
    pub fn bytes_max(self) -> u64 {
        match self {
            Self::Packages => PACKAGE_BYTES_MAX,
            Self::Images => IMAGE_BYTES_MAX,
        }
    }
}

/// A folder of files by digest.
#[derive(Debug, Clone)]
pub struct ContentFolder {
    path: PathBuf,
}

impl ContentFolder {
    /// Opens the folder, which is made when missing, and removes what was left half-written.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub async fn open(path: &Path) -> Result<Self, ContentError> {
        fs::create_dir_all(path).await.map_err(on("make", path))?;
        let mut entries = fs::read_dir(path).await.map_err(on("list", path))?;
        while let Some(entry) = entries.next_entry().await.map_err(on("list", path))? {
            if entry.file_name().to_string_lossy().starts_with(INCOMING) {
                fs::remove_file(entry.path()).await.map_err(on("remove", &entry.path()))?;
            }
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Where the content is, if it is here.
    #[must_use]
    pub fn file(&self, digest: &Digest) -> PathBuf {
        self.path.join(digest.to_string())
    }

    /// Whether the content is here. If so, it counts as new for [`Self::sweep`].
    pub async fn has(&self, digest: &Digest) -> bool {
        let path = self.file(digest);
        let touched = tokio::task::spawn_blocking(move || {
            std::fs::File::options().append(true).open(path)?.set_modified(SystemTime::now())
        });
        touched.await.is_ok_and(|touched| touched.is_ok())
    }

    /// Takes the bytes of a body, which must have the digest `expected`.
    ///
    /// # Errors
    /// When they have another, or are more than `bytes_max`; then nothing is kept.
    pub async fn receive<B>(&self, mut body: B, expected: &Digest, bytes_max: u64) -> Result<(), ContentError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let mut intake = self.intake()?;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ContentError::Broken(error.into().to_string()))?;
            if let Ok(bytes) = frame.into_data() {
                intake.write(&bytes).await?;
            }
            if intake.length_bytes > bytes_max {
                return Err(ContentError::TooLarge { bytes_max });
            }
        }
        self.keep(intake, Some(expected)).await.map(drop)
    }

    /// Copies a file into the folder, under the digest that it has.
    ///
    /// # Errors
    /// When it cannot be read or copied.
    pub async fn import(&self, source: &Path) -> Result<Digest, ContentError> {
        let mut file = fs::File::open(source).await.map_err(on("read", source))?;
        let mut intake = self.intake()?;
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let length = file.read(&mut piece).await.map_err(on("read", source))?;
            match piece.get(..length) {
                None | Some([]) => return self.keep(intake, None).await,
                Some(bytes) => intake.write(bytes).await?,
            }
        }
    }

    /// Removes what is not in `keep` and was not written or asked for within `grace`.
    ///
    /// # Errors
    /// When the folder cannot be listed or a file not be removed.
    pub async fn sweep(&self, keep: &BTreeSet<Digest>, grace: Duration) -> Result<(), ContentError> {
        let mut entries = fs::read_dir(&self.path).await.map_err(on("list", &self.path))?;
        while let Some(entry) = entries.next_entry().await.map_err(on("list", &self.path))? {
            let Ok(digest) = entry.file_name().to_string_lossy().parse::<Digest>() else { continue };
            let modified = entry.metadata().await.and_then(|metadata| metadata.modified());
            let age = modified.ok().and_then(|modified| modified.elapsed().ok()).unwrap_or_default();
            if !keep.contains(&digest) && age >= grace {
                fs::remove_file(entry.path()).await.map_err(on("remove", &entry.path()))?;
                tracing::info!(%digest, folder = %self.path.display(), "removed what nothing refers to");
            }
        }
        Ok(())
    }

    fn intake(&self) -> Result<Intake, ContentError> {
        let make = || {
            let named = tempfile::Builder::new().prefix(INCOMING).tempfile_in(&self.path)?;
            let file = fs::File::from_std(named.reopen()?);
            Ok(Intake { named, file, hasher: Sha256::new(), length_bytes: 0 })
        };
        Ok(make().map_err(on("write into", &self.path))?)
    }

    /// Makes what was taken in durable, then gives it its name.
    async fn keep(&self, intake: Intake, expected: Option<&Digest>) -> Result<Digest, ContentError> {
        let Intake { named, mut file, hasher, .. } = intake;
        let found = Digest::from_bytes(hasher.finalize().into());
        if let Some(expected) = expected.filter(|expected| **expected != found) {
            return Err(ContentError::OtherDigest { expected: *expected, found });
        }
        let path = self.file(&found);
        file.flush().await.map_err(on("write", &path))?;
        file.sync_all().await.map_err(on("write", &path))?;
        named.persist(&path).map_err(|error| on("write", &path)(error.error))?;
        let folder = fs::File::open(&self.path).await.map_err(on("open", &self.path))?;
        folder.sync_all().await.map_err(on("write", &self.path))?;
        Ok(found)
    }
}

/// A file that is not whole yet; dropped, it is gone.
struct Intake {
    named: NamedTempFile,
    file: fs::File,
    hasher: Sha256,
    length_bytes: u64,
}

impl Intake {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), ContentError> {
        self.hasher.update(bytes);
        self.length_bytes = self.length_bytes.saturating_add(bytes.len().try_into().unwrap_or(u64::MAX));
        Ok(self.file.write_all(bytes).await.map_err(on("write", self.named.path()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> Digest {
        Digest::from_bytes(Sha256::digest(bytes).into())
    }

    async fn receive(
        folder: &ContentFolder,
        bytes: &'static [u8],
        expected: &Digest,
    ) -> Result<(), ContentError> {
        folder.receive(http_body_util::Full::new(Bytes::from_static(bytes)), expected, 5).await
    }

    #[tokio::test]
    async fn content_is_kept_under_its_digest_or_not_at_all() {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join(".incoming-old"), "half").unwrap();
        let folder = ContentFolder::open(at.path()).await.unwrap();
        let hello = digest(b"hello");
        let error = receive(&folder, b"hallo", &hello).await.unwrap_err();
        assert!(matches!(error, ContentError::OtherDigest { .. }), "{error}");
        let error = receive(&folder, b"hello!", &digest(b"hello!")).await.unwrap_err();
        assert!(matches!(error, ContentError::TooLarge { bytes_max: 5 }), "{error}");
        assert!(!folder.has(&hello).await);
        assert_eq!(std::fs::read_dir(at.path()).unwrap().count(), 0, "nothing half-written is left");
        receive(&folder, b"hello", &hello).await.unwrap();
        assert!(folder.has(&hello).await);
        assert_eq!(std::fs::read(folder.file(&hello)).unwrap(), b"hello");
    }

    #[tokio::test]
    async fn sweeping_removes_what_nothing_refers_to() {
        let at = tempfile::tempdir().unwrap();
        let folder = ContentFolder::open(at.path()).await.unwrap();
        let (kept, dropped) = (digest(b"kept"), digest(b"drop"));
        receive(&folder, b"kept", &kept).await.unwrap();
        receive(&folder, b"drop", &dropped).await.unwrap();
        let keep = BTreeSet::from([kept]);
        folder.sweep(&keep, Duration::from_secs(60)).await.unwrap();
        assert!(folder.has(&dropped).await, "it is new");
        folder.sweep(&keep, Duration::ZERO).await.unwrap();
        assert!(folder.has(&kept).await && !folder.has(&dropped).await);
    }
}
