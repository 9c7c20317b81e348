//! Opening a package. Whoever made it may be hostile: each name, size and digest is checked before use.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use sha2::{Digest as _, Sha256};
use welkin_base::{Digest, RoleName};

use super::archive::Archive;
use super::content::Content;
use super::manifest::limit;
use super::recognize::{Recognized, recognize};
use super::{
    FileEntry, Identity, MANIFEST, PackageError, RATIO_FREE_BYTES, RATIO_MAX, ROLES, damaged_or_io, opc, own,
    path,
};
use crate::definition::ServiceDefinition;

const COPY_BYTES: usize = 64 << 10;
/// What programs of Linux begin with.
const PROGRAM_STARTS: [&[u8]; 2] = [b"\x7fELF", b"#!"];

/// An open package, each file of which has been checked.
pub struct Package<R> {
    archive: Archive<R>,
    content: Content,
    definition: ServiceDefinition,
}

/// The zip of a package: decrypted as it is read, or as it is.
pub enum Inside<R> {
    /// Encrypted to the reader's key.
    Sealed(Box<StreamReader<R>>),
    /// A package of another tool, in the documented layout.
    Plain(R),
}

impl<R: Read + Seek> Read for Inside<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Sealed(inner) => inner.read(buffer),
            Self::Plain(inner) => inner.read(buffer),
        }
    }
}

impl<R: Read + Seek> Seek for Inside<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Self::Sealed(inner) => inner.seek(to),
            Self::Plain(inner) => inner.seek(to),
        }
    }
}

impl<R: Read + Seek> Package<Inside<R>> {
    /// Opens a package with the key that it is encrypted to, and checks every file in it. One in the documented OPC
    /// layout, which other tools make, may also be plain.
    ///
    /// # Errors
    /// When it is something else, is for another key, or breaks a promise of the format.
    pub fn open(mut file: R, key: &Identity) -> Result<Self, PackageError> {
        let packed_bytes = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        let inside = match recognize(&mut file)? {
            Recognized::Opc => Inside::Plain(file),
            Recognized::Age => {
                let decryptor = Decryptor::new(file).map_err(refused)?;
                let keys = std::iter::once::<&dyn age::Identity>(key);
                Inside::Sealed(Box::new(decryptor.decrypt(keys).map_err(refused)?))
            }
        };
        Self::inside(inside, packed_bytes)
    }
}

impl<R: Read + Seek> Package<R> {
    /// Opens the inside of a package that takes `packed_bytes` as a file.
    ///
    /// # Errors
    /// When it breaks a promise of its layout.
    pub fn inside(plain: R, packed_bytes: u64) -> Result<Self, PackageError> {
        let mut archive = Archive::open(plain)?;
        let is_opc =
            !archive.entries.contains_key(MANIFEST) && archive.entries.contains_key(opc::CONTENT_TYPES);
        let content = if is_opc { opc::read(&mut archive)? } else { own::read(&mut archive)? };
        let unpacked_bytes = content.check()?;
        if unpacked_bytes > RATIO_FREE_BYTES {
            limit("unpacked bytes for each packed byte", unpacked_bytes / packed_bytes.max(1), RATIO_MAX)?;
        }
        let definition = ServiceDefinition::parse(&content.text).map_err(PackageError::Definition)?;
        check_roles(&definition, &content)?;
        let mut package = Self { archive, content, definition };
        package.check_files()?;
        Ok(package)
    }

    /// Reads every file once. What a manifest leaves open, a digest or whether it is a program, is known afterwards.
    fn check_files(&mut self) -> Result<(), PackageError> {
        let names: Vec<String> = self.content.files.keys().cloned().collect();
        for name in names {
            let mut start = Start(Vec::new());
            let sha256 = self.copy(&name, &mut start)?;
            let Some(file) = self.content.files.get_mut(&name) else { continue };
            file.entry.sha256 = sha256;
            file.is_promised = true;
            if !file.is_mode_known {
                file.entry.executable |= PROGRAM_STARTS.iter().any(|program| start.0.starts_with(program));
            }
        }
        Ok(())
    }

    /// The service definition.
    #[must_use]
    pub fn definition(&self) -> &ServiceDefinition {
        &self.definition
    }

    /// The service definition as text.
    #[must_use]
    pub fn definition_text(&self) -> &str {
        &self.content.text
    }

    /// The files of a role, by their path below the role's folder, in order.
    pub fn files(&self, role: &RoleName) -> impl Iterator<Item = (&str, FileEntry)> {
        let folder = format!("{ROLES}/{role}/");
        let files = self.content.files.iter();
        files.filter_map(move |(name, file)| Some((name.strip_prefix(&folder)?, file.entry)))
    }

    /// Copies a file of a role to `destination`. An error means that what was written is not the file.
    ///
    /// # Errors
    /// When there is no such file, its bytes are not those of the manifest, or writing fails.
    pub fn read(
        &mut self,
        role: &RoleName,
        name: &str,
        destination: &mut dyn Write,
    ) -> Result<(), PackageError> {
        self.copy(&format!("{ROLES}/{role}/{name}"), destination).map(drop)
    }

    /// Copies no more bytes than the manifest says, whatever the zip promises, and gives their digest.
    fn copy(&mut self, name: &str, destination: &mut dyn Write) -> Result<Digest, PackageError> {
        let wrong = || PackageError::Digest { path: name.to_owned() };
        let missing = || PackageError::Missing { path: name.to_owned() };
        let stored = self.content.files.get(name).ok_or_else(missing)?;
        let mut file = self.archive.file(&stored.part)?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0; COPY_BYTES]);
        loop {
            let read = file.read(&mut buffer).map_err(damaged_or_io)?;
            let chunk = buffer.get(..read).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            bytes += chunk.len() as u64;
            if bytes > stored.entry.bytes {
                return Err(wrong());
            }
            hash.update(chunk);
            destination.write_all(chunk)?;
        }
        let sha256 = Digest::from_bytes(hash.finalize().into());
        let is_it = bytes == stored.entry.bytes && (!stored.is_promised || sha256 == stored.entry.sha256);
        if is_it { Ok(sha256) } else { Err(wrong()) }
    }
}

/// Keeps the first bytes of what is written to it.
struct Start(Vec<u8>);

impl Write for Start {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = 4_usize.saturating_sub(self.0.len()).min(bytes.len());
        self.0.extend_from_slice(bytes.get(..kept).unwrap_or_default());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refused(error: DecryptError) -> PackageError {
    match error {
        DecryptError::NoMatchingKeys => PackageError::OtherKey,
        DecryptError::Io(error) => damaged_or_io(error),
        other => PackageError::Damaged(other.to_string()),
    }
}

/// Each role has files, and each file a role.
fn check_roles(definition: &ServiceDefinition, content: &Content) -> Result<(), PackageError> {
    let mut with_files = BTreeSet::new();
    for name in content.files.keys() {
        let mut parts = name.splitn(3, '/');
        let (roles, role, file) = (parts.next(), parts.next(), parts.next());
        let role = role.filter(|role| definition.role(role).is_some());
        match (roles, role, file) {
            (Some(ROLES), Some(role), Some(_)) => with_files.insert(role),
            _ => return Err(path::wrong(name, "it belongs to no role of the service definition")),
        };
    }
    match definition.roles.iter().find(|role| !with_files.contains(role.name.as_str())) {
        Some(role) => Err(PackageError::EmptyRole(role.name.to_string())),
        None => Ok(()),
    }
}
