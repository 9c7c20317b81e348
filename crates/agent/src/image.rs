//! The image store: immutable files, each named by its SHA-256 digest.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use bytes::Bytes;
use http_body_util::BodyExt;
use sha2::{Digest as _, Sha256};
use welkin_agent_wire::limits::IMAGE_BYTES_MAX;
use welkin_base::Digest;
use welkin_transport::BoxError;

use crate::folder::Folder;

/// Why an image was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Its bytes have another digest.
    #[error("the bytes have the digest {actual}, not {wanted}")]
    Digest {
        /// As named.
        wanted: Digest,
        /// As received.
        actual: Digest,
    },
    /// It is too large.
    #[error("an image has at most {IMAGE_BYTES_MAX} bytes")]
    TooLarge,
    /// The connection broke.
    #[error("the image broke off: {0}")]
    Broken(BoxError),
    /// The disk.
    #[error("the image cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// The store.
#[derive(Debug, Clone)]
pub struct Images {
    folder: PathBuf,
}

impl Images {
    /// The store in a data folder. Uploads that a crash cut off are removed.
    pub fn open(folder: &Folder) -> io::Result<Self> {
        let images = Self { folder: folder.images() };
        for entry in std::fs::read_dir(&images.folder)? {
            let entry = entry?;
            if entry.file_name().to_str().and_then(|n| n.parse::<Digest>().ok()).is_none() {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(images)
    }

    /// Where an image is, if the store has it.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    /// Every image in the store.
    pub fn list(&self) -> io::Result<BTreeSet<Digest>> {
        let mut digests = BTreeSet::new();
        for entry in std::fs::read_dir(&self.folder)? {
            digests.extend(entry?.file_name().to_str().and_then(|n| n.parse::<Digest>().ok()));
        }
        Ok(digests)
    }

    /// Forgets an image. VMs that stand on it keep their hard link.
    pub fn remove(&self, digest: &Digest) -> io::Result<()> {
        std::fs::remove_file(self.path(digest))
    }

    /// Takes an image: whole and as named, or not at all.
    pub async fn receive<B>(&self, wanted: Digest, mut body: B) -> Result<(), ImageError>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
        B::Error: Into<BoxError>,
    {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        let (mut hasher, mut length) = (Sha256::new(), 0u64);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| ImageError::Broken(error.into()))?;
            let Ok(bytes) = frame.into_data() else { continue };
            length += bytes.len() as u64;
            if length > IMAGE_BYTES_MAX {
                return Err(ImageError::TooLarge);
            }
            hasher.update(&bytes);
            file.write_all(&bytes)?;
        }
        let actual = Digest::from_bytes(hasher.finalize().into());
        if actual != wanted {
            return Err(ImageError::Digest { wanted, actual });
        }
        tokio::task::spawn_blocking(move || file.as_file().sync_all().map(|()| file))
            .await
            .map_err(io::Error::other)?
            .and_then(|file| self.keep(file, &wanted))?;
        Ok(())
    }

    /// Readable for every VM that has a hard link to it, writable for nobody.
    fn keep(&self, file: tempfile::NamedTempFile, digest: &Digest) -> io::Result<()> {
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o444))?;
        file.persist(self.path(digest)).map_err(|error| error.error)?;
        std::fs::File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;

    #[tokio::test]
    async fn only_what_is_as_named_is_kept() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::open(temporary.path()).unwrap();
        let images = Images::open(&folder).unwrap();
        let digest = Digest::from_bytes(Sha256::digest(b"kernel").into());
        let wrong = images.receive(digest, Full::new(Bytes::from_static(b"kernal"))).await;
        assert!(matches!(wrong, Err(ImageError::Digest { .. })), "{wrong:?}");
        assert_eq!(std::fs::read_dir(folder.images()).unwrap().count(), 0);
        for _ in 0..2 {
            images.receive(digest, Full::new(Bytes::from_static(b"kernel"))).await.unwrap();
        }
        assert_eq!(images.list().unwrap(), BTreeSet::from([digest]));
        std::fs::write(folder.images().join(".tmpLeft"), b"half").unwrap();
        Images::open(&folder).unwrap().remove(&digest).unwrap();
        assert_eq!(std::fs::read_dir(folder.images()).unwrap().count(), 0);
    }
}
