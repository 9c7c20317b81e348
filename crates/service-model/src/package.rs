//! The service package (`.cspkg`): a service definition and the files of its roles.
//!
//! Inside is a zip with `ServiceDefinition.csdef`, the files `roles/<Role>/…`, and `manifest.json` with the
//! SHA-256 digest, the size and the executable bit of each. Outside is age (<https://c2sp.org/age>), encrypted to
//! the X25519 key of the fabric controller (FC), so that nothing between a developer and the FC reads it. The inside
//! is the same bytes for the same files; the outside is not, since each file has a key of its own.
//!
//! Packages of other tools in the layout that the classic SDK documents (`opc.rs`) are read too, encrypted or plain.
//! A package in the SDK's own layout, whose roles are Windows programs, is recognized and refused.

mod archive;
mod content;
mod manifest;
mod opc;
mod open;
mod own;
mod path;
mod recognize;
mod write;

use std::io;

pub use age::x25519::{Identity, Recipient};

use crate::problem::Problems;

pub use manifest::FileEntry;
pub use open::{Inside, Package};
pub use write::PackageWriter;

/// The definition's name in the package.
pub const DEFINITION: &str = "ServiceDefinition.csdef";
/// The manifest's name in the package.
pub const MANIFEST: &str = "manifest.json";
/// Above the roles' folders.
pub const ROLES: &str = "roles";

/// Files of a package, at most: far above a program with its data, and a manifest stays small.
pub const FILES_MAX: usize = 20_000;
/// All files of a package unpacked, in bytes, at most: what an application image may become.
pub const UNPACKED_BYTES_MAX: u64 = 4 << 30;
/// Unpacked bytes for each packed byte, at most: DEFLATE reaches 1000 only with one repeated byte, programs reach 10.
pub const RATIO_MAX: u64 = 200;
/// Below this many unpacked bytes [`RATIO_MAX`] is not asked for.
const RATIO_FREE_BYTES: u64 = 16 << 20;
/// The manifest in bytes, at most: [`FILES_MAX`] entries with long names.
const MANIFEST_BYTES_MAX: u64 = 16 << 20;

/// Why a package cannot be written or opened.
#[derive(Debug, thiserror::Error)]
pub enum PackageError {
    /// A file in another format.
    #[error("this is {0}, not a service package; make one with `welkin package`")]
    Foreign(&'static str),
    /// A package of the classic SDK.
    #[error(
        "this is a classic Azure package (.cssx, .csman) of Windows programs, which no Linux guest runs; \
         make one of the role's Linux programs with `welkin package`"
    )]
    Classic,
    /// A manifest of the OPC layout breaks a rule.
    #[error("the package is not in the documented OPC layout: {0}")]
    Opc(String),
    /// Encrypted to another key.
    #[error("the package is encrypted to another cloud's key; make it again with this cloud's recipient")]
    OtherKey,
    /// Cut off or changed on the way.
    #[error("the package is damaged ({0}); upload it again")]
    Damaged(String),
    /// The text is not an age recipient.
    #[error("{0:?} is not a recipient: expected the cloud's public key, age1… (62 characters)")]
    Recipient(String),
    /// The manifest cannot be read.
    #[error("manifest.json of the package is not one: {0}")]
    Manifest(String),
    /// The definition is wrong.
    #[error("the package's service definition is wrong:\n{0}")]
    Definition(Problems),
    /// A name that could lead out of its folder, or that no file may have.
    #[error("the package holds {path:?}: {reason}")]
    Path {
        /// The name.
        path: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A file's bytes are not those that the manifest names.
    #[error(
        "{path} of the package has another SHA-256 digest than its manifest says; make the package again"
    )]
    Digest {
        /// The file.
        path: String,
    },
    /// The manifest names a file that is not there.
    #[error("the package lacks {path}, which its manifest names; make the package again")]
    Missing {
        /// The file.
        path: String,
    },
    /// A file is there that the manifest does not name.
    #[error("the package holds {path}, which its manifest does not name; make the package again")]
    Unexpected {
        /// The file.
        path: String,
    },
    /// A role of the definition has no files.
    #[error("the package has no files for role {0}; put its program into the role's folder")]
    EmptyRole(String),
    /// More than a limit allows.
    #[error("the package has {found} {what}; at most {limit} are allowed")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// How much there is.
        found: u64,
        /// How much may be.
        limit: u64,
    },
    /// Reading or writing failed.
    #[error("reading or writing the package failed: {0}")]
    Io(#[from] io::Error),
}

/// Parses a recipient, `age1…`.
///
/// # Errors
/// When the text is not one.
pub fn recipient(text: &str) -> Result<Recipient, PackageError> {
    let text = text.trim();
    text.parse().map_err(|_| PackageError::Recipient(text.chars().take(80).collect()))
}

impl From<zip::result::ZipError> for PackageError {
    fn from(error: zip::result::ZipError) -> Self {
        match error {
            zip::result::ZipError::Io(error) => damaged_or_io(error),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Bytes that do not decrypt or inflate, or are packed by an unknown method, arrive as I/O errors too. Those of the
/// system have its number.
fn damaged_or_io(error: io::Error) -> PackageError {
    match error.raw_os_error() {
        None => PackageError::Damaged(error.to_string()),
        Some(_) => PackageError::Io(error),
    }
}

#[cfg(test)]
mod tests;
