//! The guest OS that new instances get: a folder with `kernel`, `initramfs`, `root` and `version.toml`. Its files are
//! copied among the images, so that instances of an older version can still be moved when the folder has a newer.

use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use welkin_agent_wire::GuestOs;
use welkin_base::Digest;

use crate::content::ContentFolder;
use crate::error::{RunError, on};

/// The version file in bytes, at most.
const VERSION_BYTES_MAX: u64 = 4 << 10;

#[derive(Deserialize)]
struct VersionFile {
    version: String,
}

/// What a file was when its digest was computed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    length_bytes: u64,
    modified: SystemTime,
    digest: Digest,
}

/// Reads the guest OS from `folder` and copies its files among the images. The digests are remembered in
/// `cache`, by length and time of each file.
///
/// # Errors
/// When a file is missing or cannot be read.
pub async fn load(folder: &Path, images: &ContentFolder, cache: &Path) -> Result<GuestOs, RunError> {
    let mut digests = Vec::new();
    for name in ["kernel", "initramfs", "root"] {
        let path = folder.join(name);
        let cache = cache.join(format!("guest-os-{name}.json"));
        digests.push(image(folder, &path, images, &cache).await?);
    }
    let [kernel, initramfs, root] = digests.as_slice() else {
        return Err(incomplete(folder, "an image is missing".to_owned()));
    };
    let version = version(folder)?;
    Ok(GuestOs { version, kernel: *kernel, initramfs: *initramfs, root: *root })
}

fn version(folder: &Path) -> Result<String, RunError> {
    let path = folder.join("version.toml");
    let length =
        std::fs::metadata(&path).map_err(|error| incomplete(folder, format!("version.toml: {error}")))?;
    if length.len() > VERSION_BYTES_MAX {
        return Err(incomplete(folder, "version.toml is too long".to_owned()));
    }
    let text = std::fs::read_to_string(&path).map_err(on("read", &path))?;
    let file: VersionFile = toml::from_str(&text)
        .map_err(|error| incomplete(folder, format!("version.toml: {}", error.message())))?;
    Ok(file.version)
}

async fn image(folder: &Path, path: &Path, images: &ContentFolder, cache: &Path) -> Result<Digest, RunError> {
    let metadata = std::fs::metadata(path)
        .map_err(|error| incomplete(folder, format!("{}: {error}", path.display())))?;
    let modified = metadata.modified().map_err(on("read", path))?;
    let known = std::fs::read(cache).ok().and_then(|bytes| serde_json::from_slice::<Known>(&bytes).ok());
    if let Some(known) = known
        && known.length_bytes == metadata.len()
        && known.modified == modified
        && images.has(&known.digest).await
    {
        return Ok(known.digest);
    }
    let digest = images.import(path).await?;
    let known = Known { length_bytes: metadata.len(), modified, digest };
    // Only a cache: without it the file is read again at the next start.
    let written = serde_json::to_vec(&known).map(|bytes| std::fs::write(cache, bytes));
    if !matches!(written, Ok(Ok(()))) {
        tracing::warn!(path = %cache.display(), "cannot remember the digest of a guest OS image");
    }
    Ok(digest)
}

fn incomplete(folder: &Path, why: String) -> RunError {
    RunError::GuestOs { path: folder.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_guest_os_is_read_and_its_files_are_kept() {
        let at = tempfile::tempdir().unwrap();
        let images = ContentFolder::open(&at.path().join("images")).await.unwrap();
        let error = load(at.path(), &images, at.path()).await.unwrap_err();
        assert!(error.to_string().contains("kernel"), "{error}");
        for name in ["kernel", "initramfs", "root"] {
            std::fs::write(at.path().join(name), name).unwrap();
        }
        std::fs::write(at.path().join("version.toml"), "version = \"OS-1\"\nbuilt = \"x\"").unwrap();
        let os = load(at.path(), &images, at.path()).await.unwrap();
        assert_eq!(os.version, "OS-1");
        assert_eq!(std::fs::read(images.file(&os.root)).unwrap(), b"root");
        assert_eq!(load(at.path(), &images, at.path()).await.unwrap(), os, "again, from the cache");
        std::fs::write(at.path().join("root"), "newer root").unwrap();
        let newer = load(at.path(), &images, at.path()).await.unwrap();
        assert_ne!(newer.root, os.root);
        assert!(images.has(&os.root).await, "the older stays until nothing refers to it");
    }
}
