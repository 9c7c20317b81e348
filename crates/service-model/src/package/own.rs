//! The layout of `welkin package`: the definition, `roles/<Role>/…`, and a manifest in JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Seek};

use super::archive::Archive;
use super::content::{Content, Stored};
use super::manifest::Manifest;
use super::{DEFINITION, MANIFEST, MANIFEST_BYTES_MAX, PackageError};
use crate::xml::TEXT_BYTES_MAX;

/// Reads the manifest.
pub(super) fn read<R: Read + Seek>(archive: &mut Archive<R>) -> Result<Content, PackageError> {
    let manifest = archive.read_small(MANIFEST, "bytes of manifest", MANIFEST_BYTES_MAX)?;
    let manifest = Manifest::parse(&manifest)?;
    check_names(&archive.entries.keys().map(String::as_str).collect(), &manifest)?;
    let text = archive.read_small(DEFINITION, "bytes of definition", TEXT_BYTES_MAX as u64)?;
    let mut content = Content { text: String::new(), files: BTreeMap::new() };
    for (name, entry) in manifest.files {
        let stored = Stored { part: name.clone(), entry, is_promised: true, is_mode_known: true };
        if name == DEFINITION {
            stored.verify(&text)?;
        } else {
            content.add(name, stored)?;
        }
    }
    content.text =
        String::from_utf8(text).map_err(|_| PackageError::Damaged("the definition is not UTF-8".into()))?;
    Ok(content)
}

/// Zip and manifest name the same files.
fn check_names(names: &BTreeSet<&str>, manifest: &Manifest) -> Result<(), PackageError> {
    for name in names.iter().filter(|name| **name != MANIFEST) {
        if !manifest.files.contains_key(*name) {
            return Err(PackageError::Unexpected { path: (*name).to_owned() });
        }
    }
    for name in [DEFINITION].into_iter().chain(manifest.files.keys().map(String::as_str)) {
        if !names.contains(name) || name == MANIFEST {
            return Err(PackageError::Missing { path: name.to_owned() });
        }
    }
    Ok(())
}
