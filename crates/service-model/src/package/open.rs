//! Opening a package. Whoever made it may be hostile: each name, size and digest is checked before use.

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, SeekFrom, Write};

use age::stream::StreamReader;
use age::{DecryptError, Decryptor};
use sha2::{Digest as _, Sha256};
use welkin_base::{Digest, RoleName};
use zip::ZipArchive;

use super::manifest::{Manifest, limit};
use super::{
    DEFINITION, FILES_MAX, FileEntry, Identity, MANIFEST, MANIFEST_BYTES_MAX, PackageError, RATIO_FREE_BYTES,
    RATIO_MAX, ROLES, damaged_or_io, path,
};
use crate::definition::ServiceDefinition;
use crate::xml::TEXT_BYTES_MAX;

const COPY_BYTES: usize = 64 << 10;
/// What an age file begins with.
const AGE: &[u8] = b"age-encryption.org/v1\n";
const AGE_ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const ZIP: &[u8] = b"PK";
/// Bits of a Unix mode that tell a file's type, and the type of a plain file.
const MODE_TYPE: u32 = 0o170_000;
const MODE_FILE: u32 = 0o100_000;

/// An open package, each file of which has been checked.
pub struct Package<R> {
    archive: ZipArchive<R>,
    manifest: Manifest,
    text: String,
    definition: ServiceDefinition,
}

impl<R: Read + Seek> Package<StreamReader<R>> {
    /// Opens a package with the key that it is encrypted to, and checks every file in it.
    ///
    /// # Errors
    /// When it is something else, is for another key, or breaks a promise of the format.
    pub fn open(mut sealed: R, key: &Identity) -> Result<Self, PackageError> {
        let packed_bytes = sealed.seek(SeekFrom::End(0))?;
        sealed.rewind()?;
        recognize(&mut sealed)?;
        let decryptor = Decryptor::new(sealed).map_err(refused)?;
        let keys = std::iter::once::<&dyn age::Identity>(key);
        Self::inside(decryptor.decrypt(keys).map_err(refused)?, packed_bytes)
    }
}

impl<R: Read + Seek> Package<R> {
    /// Opens the inside of a package that takes `packed_bytes` as a file.
    pub(super) fn inside(plain: R, packed_bytes: u64) -> Result<Self, PackageError> {
        let mut archive = ZipArchive::new(plain)?;
        limit("files", archive.len() as u64, FILES_MAX as u64 + 1)?;
        let names = check_entries(&mut archive)?;
        let manifest = Manifest::parse(&read_small(&mut archive, MANIFEST, MANIFEST_BYTES_MAX)?)?;
        check_names(&names, &manifest)?;
        let unpacked_bytes: u64 = manifest.files.values().map(|file| file.bytes).sum();
        if unpacked_bytes > RATIO_FREE_BYTES {
            limit("unpacked bytes for each packed byte", unpacked_bytes / packed_bytes.max(1), RATIO_MAX)?;
        }
        let text = read_small(&mut archive, DEFINITION, TEXT_BYTES_MAX as u64)?;
        let text = String::from_utf8(text)
            .map_err(|_| PackageError::Damaged("the definition is not UTF-8".into()))?;
        let definition = ServiceDefinition::parse(&text).map_err(PackageError::Definition)?;
        check_roles(&definition, &manifest)?;
        let mut package = Self { archive, manifest, text, definition };
        for name in names.iter().filter(|name| *name != MANIFEST) {
            package.copy(name, &mut io::sink())?;
        }
        Ok(package)
    }

    /// The service definition.
    #[must_use]
    pub fn definition(&self) -> &ServiceDefinition {
        &self.definition
    }

    /// The service definition as text.
    #[must_use]
    pub fn definition_text(&self) -> &str {
        &self.text
    }

    /// The files of a role, by their path below the role's folder, in order.
    pub fn files(&self, role: &RoleName) -> impl Iterator<Item = (&str, FileEntry)> {
        let folder = format!("{ROLES}/{role}/");
        let files = self.manifest.files.iter();
        files.filter_map(move |(name, entry)| Some((name.strip_prefix(&folder)?, *entry)))
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
        self.copy(&format!("{ROLES}/{role}/{name}"), destination)
    }

    /// Copies no more bytes than the manifest says, whatever the zip promises.
    fn copy(&mut self, name: &str, destination: &mut dyn Write) -> Result<(), PackageError> {
        let wrong = || PackageError::Digest { path: name.to_owned() };
        let missing = || PackageError::Missing { path: name.to_owned() };
        let entry = self.manifest.files.get(name).ok_or_else(missing)?;
        let mut file = self.archive.by_name(name)?;
        let (mut hash, mut bytes, mut buffer) = (Sha256::new(), 0_u64, vec![0; COPY_BYTES]);
        loop {
            let read = file.read(&mut buffer).map_err(damaged_or_io)?;
            let chunk = buffer.get(..read).unwrap_or_default();
            if chunk.is_empty() {
                break;
            }
            bytes += chunk.len() as u64;
            if bytes > entry.bytes {
                return Err(wrong());
            }
            hash.update(chunk);
            destination.write_all(chunk)?;
        }
        let is_it = bytes == entry.bytes && Digest::from_bytes(hash.finalize().into()) == entry.sha256;
        if is_it { Ok(()) } else { Err(wrong()) }
    }
}

/// Says by name what a file is that was never a package.
fn recognize<R: Read + Seek>(file: &mut R) -> Result<(), PackageError> {
    let mut start = Vec::new();
    file.by_ref().take(AGE_ARMOR.len() as u64).read_to_end(&mut start)?;
    file.rewind()?;
    if start.starts_with(AGE) {
        return Ok(());
    }
    if start.starts_with(AGE_ARMOR) {
        return Err(PackageError::Foreign("an age file in text form"));
    }
    if !start.starts_with(ZIP) {
        return Err(PackageError::Foreign("a file of an unknown format"));
    }
    let archive = ZipArchive::new(file)?;
    let has = |matches: fn(&str) -> bool| archive.file_names().flatten().any(|name| matches(&name));
    Err(PackageError::Foreign(if has(|name| name.ends_with(".cssx") || name.ends_with(".csman")) {
        "a classic Azure package of Windows programs"
    } else if has(|name| name == "[Content_Types].xml") {
        "a classic Azure package (CTP format) of Windows programs"
    } else if has(|name| name == MANIFEST) {
        "a package that is not encrypted"
    } else {
        "a zip file"
    }))
}

fn refused(error: DecryptError) -> PackageError {
    match error {
        DecryptError::NoMatchingKeys => PackageError::OtherKey,
        DecryptError::Io(error) => damaged_or_io(error),
        other => PackageError::Damaged(other.to_string()),
    }
}

/// The names in the zip, each a plain file with a plain name.
fn check_entries<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<BTreeSet<String>, PackageError> {
    if archive.has_duplicate_names() {
        return Err(PackageError::Damaged("a name appears twice".into()));
    }
    let mut names = BTreeSet::new();
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index)?;
        let name = std::str::from_utf8(file.name_raw())
            .map_err(|_| path::wrong(&String::from_utf8_lossy(file.name_raw()), "the name is not UTF-8"))?
            .to_owned();
        let kind = file.unix_mode().unwrap_or(MODE_FILE) & MODE_TYPE;
        if file.encrypted() {
            return Err(path::wrong(&name, "it is encrypted by itself"));
        }
        if kind != MODE_FILE && kind != 0 {
            return Err(path::wrong(
                &name,
                "it is a link, a folder or a device; a package has plain files only",
            ));
        }
        path::check(&name)?;
        if !names.insert(name) {
            return Err(PackageError::Damaged("a name appears twice".into()));
        }
    }
    Ok(names)
}

/// Zip and manifest name the same files.
fn check_names(names: &BTreeSet<String>, manifest: &Manifest) -> Result<(), PackageError> {
    for name in names.iter().filter(|name| *name != MANIFEST) {
        if !manifest.files.contains_key(name) {
            return Err(PackageError::Unexpected { path: name.clone() });
        }
    }
    for name in [DEFINITION].into_iter().chain(manifest.files.keys().map(String::as_str)) {
        if !names.contains(name) || name == MANIFEST {
            return Err(PackageError::Missing { path: name.to_owned() });
        }
    }
    Ok(())
}

/// Each role has files, and each file a role.
fn check_roles(definition: &ServiceDefinition, manifest: &Manifest) -> Result<(), PackageError> {
    let mut with_files = BTreeSet::new();
    for name in manifest.files.keys().filter(|name| *name != DEFINITION) {
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

/// A whole small file of the zip.
fn read_small<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    name: &'static str,
    bytes_max: u64,
) -> Result<Vec<u8>, PackageError> {
    let file = match archive.by_name(name) {
        Ok(file) => file,
        Err(zip::result::ZipError::FileNotFound) => {
            return Err(PackageError::Missing { path: name.to_owned() });
        }
        Err(error) => return Err(error.into()),
    };
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(damaged_or_io)?;
    limit(
        if name == MANIFEST { "bytes of manifest" } else { "bytes of definition" },
        bytes.len() as u64,
        bytes_max,
    )?;
    Ok(bytes)
}
