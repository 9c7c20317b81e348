//! Names of files in a package: below the package, always, on every system.

use super::PackageError;

/// A name in bytes, at most: `PATH_MAX` of Linux, with room for the folder that it is unpacked into.
const NAME_BYTES_MAX: usize = 2_048;
/// One part of a name in bytes, at most: `NAME_MAX` of Linux.
const PART_BYTES_MAX: usize = 255;

/// The error for a name.
pub(super) fn wrong(path: &str, reason: &'static str) -> PackageError {
    PackageError::Path { path: path.chars().take(200).collect(), reason }
}

/// Refuses every name that is not plain: relative, downward, and readable.
pub(super) fn check(name: &str) -> Result<(), PackageError> {
    let reason = if name.len() > NAME_BYTES_MAX {
        "the name is too long"
    } else if name.starts_with('/') {
        "the name is absolute"
    } else if name.contains('\\') {
        "the name contains a backslash"
    } else if name.chars().any(char::is_control) {
        "the name contains a control character"
    } else if name.split('/').any(|part| part == "..") {
        "the name leads out of its folder"
    } else if name.split('/').any(|part| part.is_empty() || part == ".") {
        "the name has an empty part"
    } else if name.split('/').any(|part| part.len() > PART_BYTES_MAX) {
        "a part of the name is too long"
    } else {
        return Ok(());
    };
    Err(wrong(name, reason))
}
