//! Writing a package, one file after the other, in bounded memory.

use std::io::{self, Read, Write};

use age::Encryptor;
use age::stream::StreamWriter as Sealed;
use sha2::{Digest as _, Sha256};
use welkin_base::{Digest, RoleName};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::manifest::Manifest;
use super::{DEFINITION, FileEntry, MANIFEST, PackageError, ROLES, Recipient, UNPACKED_BYTES_MAX, path};
use crate::definition::ServiceDefinition;

/// The buffer between a file and the package.
const COPY_BYTES: usize = 64 << 10;

/// Writes a package to `W`. Nothing is a package before [`PackageWriter::finish`] returns.
pub struct PackageWriter<W: Write> {
    zip: ZipWriter<StreamWriter<W>>,
    manifest: Manifest,
    definition: ServiceDefinition,
}

impl<W: Write> PackageWriter<Sealed<W>> {
    /// Begins a package that only the holder of `recipient`'s key can open.
    ///
    /// # Errors
    /// When the definition is wrong, or writing fails.
    pub fn seal(destination: W, recipient: &Recipient, definition: &str) -> Result<Self, PackageError> {
        let recipients = std::iter::once::<&dyn age::Recipient>(recipient);
        let encryptor = Encryptor::with_recipients(recipients)
            .map_err(|error| PackageError::Io(io::Error::other(error.to_string())))?;
        Self::plain(encryptor.wrap_output(destination)?, definition)
    }

    /// Ends the package. The destination still has to be flushed.
    ///
    /// # Errors
    /// When a role has no files, or writing fails.
    pub fn finish(self) -> Result<W, PackageError> {
        Ok(self.finish_plain()?.finish()?)
    }
}

impl<W: Write> PackageWriter<W> {
    /// Begins the inside of a package, the same bytes for the same files in the same order.
    pub(super) fn plain(destination: W, definition: &str) -> Result<Self, PackageError> {
        let parsed = ServiceDefinition::parse(definition).map_err(PackageError::Definition)?;
        let zip = ZipWriter::new_stream(destination);
        let mut writer = Self { zip, manifest: Manifest::new(), definition: parsed };
        writer.file(DEFINITION.to_owned(), false, &mut definition.as_bytes())?;
        Ok(writer)
    }

    /// The definition that the package is for.
    #[must_use]
    pub fn definition(&self) -> &ServiceDefinition {
        &self.definition
    }

    /// Digest of all that was added: of the manifest, which has the digest of each file. The same for the same files,
    /// whatever key the package is encrypted to.
    ///
    /// # Errors
    /// When the files break a limit together.
    pub fn content_digest(&self) -> Result<Digest, PackageError> {
        Ok(Digest::from_bytes(Sha256::digest(self.manifest.to_json()?).into()))
    }

    /// Adds a file of a role: `name` is its path below the role's folder.
    ///
    /// # Errors
    /// When the name is not a plain path, was added before, a limit is exceeded, or reading or writing fails.
    pub fn add(
        &mut self,
        role: &RoleName,
        name: &str,
        executable: bool,
        content: &mut dyn Read,
    ) -> Result<FileEntry, PackageError> {
        let name = format!("{ROLES}/{role}/{name}");
        path::check(&name)?;
        if self.manifest.files.contains_key(&name) {
            return Err(path::wrong(&name, "it was added twice"));
        }
        self.file(name, executable, content)
    }

    fn file(
        &mut self,
        name: String,
        executable: bool,
        content: &mut dyn Read,
    ) -> Result<FileEntry, PackageError> {
        self.zip.start_file(&name, options(executable))?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0; COPY_BYTES]);
        loop {
            let read = match content.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let chunk = buffer.get(..read).unwrap_or_default();
            hash.update(chunk);
            bytes += chunk.len() as u64;
            super::manifest::limit("bytes unpacked", bytes, UNPACKED_BYTES_MAX)?;
            self.zip.write_all(chunk)?;
        }
        let entry = FileEntry { sha256: Digest::from_bytes(hash.finalize().into()), bytes, executable };
        self.manifest.add(name, entry)?;
        Ok(entry)
    }

    /// Writes the manifest and the end of the zip.
    pub(super) fn finish_plain(mut self) -> Result<W, PackageError> {
        for role in &self.definition.roles {
            let folder = format!("{ROLES}/{}/", role.name);
            if !self.manifest.files.keys().any(|name| name.starts_with(&folder)) {
                return Err(PackageError::EmptyRole(role.name.to_string()));
            }
        }
        let json = self.manifest.to_json()?;
        self.zip.start_file(MANIFEST, options(false))?;
        self.zip.write_all(&json)?;
        Ok(self.zip.finish()?.into_inner())
    }
}

/// Nothing of a file but its bytes and its executable bit: no times, no owner.
fn options(executable: bool) -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .last_modified_time(DateTime::DEFAULT)
        .unix_permissions(if executable { 0o755 } else { 0o644 })
}
