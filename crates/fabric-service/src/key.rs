//! The keys to which service packages (age, X25519) and private keys of certificates (HPKE) are encrypted. They never
//! leave this controller.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use age::secrecy::ExposeSecret as _;
use age::x25519;
use welkin_pki::UnsealingKey;
use zeroize::Zeroizing;

use crate::error::{RunError, on};

/// A key file in bytes, at most: an identity is 74 characters.
const FILE_BYTES_MAX: u64 = 256;

/// The package key. `Debug` shows its public half.
pub struct PackageKey {
    identity: Arc<x25519::Identity>,
}

impl PackageKey {
    /// Reads the key file, which is made with mode 0600 when missing.
    ///
    /// # Errors
    /// When it cannot be read or written, or is not a key.
    pub fn open(path: &Path) -> Result<Self, RunError> {
        let make = || Zeroizing::new(x25519::Identity::generate().to_string().expose_secret().to_owned());
        let text = read_or_make(path, make)?;
        let identity: x25519::Identity = text.trim().parse().map_err(|_| RunError::Key(path.to_owned()))?;
        Ok(Self { identity: Arc::new(identity) })
    }

    /// The public half, `age1…`.
    #[must_use]
    pub fn recipient(&self) -> String {
        self.identity.to_public().to_string()
    }

    /// The private half.
    #[must_use]
    pub fn identity(&self) -> Arc<x25519::Identity> {
        Arc::clone(&self.identity)
    }
}

/// The key to which private keys of service certificates are sealed. Its file is made with mode 0600 when missing.
///
/// # Errors
/// When it cannot be read or written, or is not a key.
pub fn certificate_key(path: &Path) -> Result<UnsealingKey, RunError> {
    let text = read_or_make(path, || UnsealingKey::generate().to_text())?;
    text.parse().map_err(|_| RunError::Key(path.to_owned()))
}

/// Files of the keys, below a controller's data folder.
pub const KEY_FILES: [&str; 2] = ["package.key", "certificate.key"];

/// Makes the keys of a controller that are missing in its data folder. Where there are several, all have the same.
///
/// # Errors
/// When they cannot be read or written.
pub fn make_keys(data: &Path) -> Result<(), RunError> {
    let [package, certificate] = KEY_FILES.map(|file| data.join(file));
    PackageKey::open(&package)?;
    certificate_key(&certificate).map(drop)
}

fn read_or_make(
    path: &Path,
    make: impl FnOnce() -> Zeroizing<String>,
) -> Result<Zeroizing<String>, RunError> {
    if !path.try_exists().map_err(on("read", path))? {
        write(path, &make())?;
    }
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(on("read", path))?;
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(on("read", path))?;
    Ok(text)
}

/// The whole key is durable before it has its name, and its name before anyone is told of it.
fn write(path: &Path, text: &str) -> Result<(), RunError> {
    let beside = path.with_extension("new");
    let write = || {
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
    };
    Ok(write().map_err(on("write", path))?)
}

impl fmt::Debug for PackageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PackageKey").field(&self.recipient()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("package.key");
        let made = PackageKey::open(&path).unwrap();
        let read = PackageKey::open(&path).unwrap();
        assert_eq!(made.recipient(), read.recipient());
        assert!(made.recipient().starts_with("age1"));
        assert!(!format!("{made:?}").to_uppercase().contains("SECRET"));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "nonsense").unwrap();
        assert!(matches!(PackageKey::open(&path), Err(RunError::Key(_))));
        assert!(matches!(certificate_key(&path), Err(RunError::Key(_))));
        let path = folder.path().join("certificate.key");
        let made = certificate_key(&path).unwrap();
        assert_eq!(certificate_key(&path).unwrap().recipient(), made.recipient());
    }
}
