//! What a file is that somebody calls a package, said by name when it is none.

use std::io::{Read, Seek};

use super::archive::Archive;
use super::{MANIFEST, PackageError, opc};

/// What an age file begins with.
const AGE: &[u8] = b"age-encryption.org/v1\n";
const AGE_ARMOR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
const ZIP: &[u8] = b"PK";

/// A file that can be opened as a package.
pub(super) enum Recognized {
    /// Encrypted with age.
    Age,
    /// A plain zip in the documented OPC layout.
    Opc,
}

/// Looks at the start of a file, and at the names in a zip. The file is at its beginning afterwards.
pub(super) fn recognize<R: Read + Seek>(file: &mut R) -> Result<Recognized, PackageError> {
    let mut start = Vec::new();
    file.by_ref().take(AGE_ARMOR.len() as u64).read_to_end(&mut start)?;
    file.rewind()?;
    if start.starts_with(AGE) {
        return Ok(Recognized::Age);
    }
    if start.starts_with(AGE_ARMOR) {
        return Err(PackageError::Foreign("an age file in text form"));
    }
    if !start.starts_with(ZIP) {
        return Err(PackageError::Foreign("a file of an unknown format"));
    }
    let names = Archive::names(&mut *file)?;
    file.rewind()?;
    let has = |matches: fn(&str) -> bool| names.iter().any(|name| matches(name));
    if has(|name| [".cssx", ".csman", ".rd"].iter().any(|end| name.to_ascii_lowercase().ends_with(end))) {
        return Err(PackageError::Classic);
    }
    if has(|name| name == opc::CONTENT_TYPES) {
        return Ok(Recognized::Opc);
    }
    let kind = if has(|name| name == MANIFEST) { "a package that is not encrypted" } else { "a zip file" };
    Err(PackageError::Foreign(kind))
}
