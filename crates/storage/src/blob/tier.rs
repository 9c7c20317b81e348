//! Access tiers (STORAGE, section 3: Set Tier).
//!
//! All tiers lie on the same disks. A tier is what the client says, with the rules that go with it: an archived
//! blob cannot be read, and leaves the archive as soon as it is asked to.

use std::fmt;
use std::str::FromStr;

use welkin_base::Timestamp;

use crate::Storage;
use crate::blob::condition::Conditions;
use crate::blob::state::{AccessTier, BlobRecord, BlobType, Tier};
use crate::blob::{BlobError, BlobPath, Revision};

/// Numbers of the premium tiers.
const PREMIUM: [u8; 11] = [4, 6, 10, 15, 20, 30, 40, 50, 60, 70, 80];

/// The text names no access tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an access tier is Hot, Cool, Cold, Archive, or P4 to P80")]
pub struct TierError;

impl FromStr for AccessTier {
    type Err = TierError;

    fn from_str(text: &str) -> Result<Self, TierError> {
        match text.to_ascii_lowercase().as_str() {
            "hot" => Ok(Self::Hot),
            "cool" => Ok(Self::Cool),
            "cold" => Ok(Self::Cold),
            "archive" => Ok(Self::Archive),
            other => {
                let number = other.strip_prefix('p').and_then(|number| number.parse().ok());
                number.filter(|number| PREMIUM.contains(number)).map(Self::Premium).ok_or(TierError)
            }
        }
    }
}

impl fmt::Display for AccessTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hot => f.write_str("Hot"),
            Self::Cool => f.write_str("Cool"),
            Self::Cold => f.write_str("Cold"),
            Self::Archive => f.write_str("Archive"),
            Self::Premium(number) => write!(f, "P{number}"),
        }
    }
}

impl AccessTier {
    /// Whether a blob of this type can have the tier.
    ///
    /// # Errors
    /// Says what is wrong: append blobs have no tiers, and page blobs only premium ones.
    pub fn check(self, blob_type: BlobType) -> Result<(), BlobError> {
        match (blob_type, self) {
            (BlobType::Block, Self::Hot | Self::Cool | Self::Cold | Self::Archive)
            | (BlobType::Page, Self::Premium(_)) => Ok(()),
            (BlobType::Append, _) => Err(BlobError::InvalidBlobType),
            _ => Err(BlobError::InvalidBlobTier),
        }
    }
}

impl BlobRecord {
    /// Whether its bytes may be read.
    ///
    /// # Errors
    /// When it is archived.
    pub(crate) fn check_readable(&self) -> Result<(), BlobError> {
        match self.tier.access {
            Some(AccessTier::Archive) => Err(BlobError::Archived),
            _ => Ok(()),
        }
    }
}

impl Storage {
    /// Set Blob Tier. The ETag stays.
    ///
    /// # Errors
    /// When there is no such blob, a condition does not hold, or the blob cannot have the tier.
    pub async fn set_blob_tier(
        &self,
        path: BlobPath<'_>,
        revision: Revision,
        access: AccessTier,
        conditions: &Conditions,
        now: Timestamp,
    ) -> Result<BlobRecord, BlobError> {
        let change = |record: &mut BlobRecord| {
            access.check(record.blob_type())?;
            if let (Some(AccessTier::Premium(last)), AccessTier::Premium(next)) = (record.tier.access, access)
                && next < last
            {
                return Err(BlobError::LowerTier);
            }
            record.tier = Tier { access: Some(access), changed: Some(now) };
            Ok(())
        };
        self.change_blob(path, revision, conditions, now, change).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, expected) in [
            ("Hot", Some("Hot")),
            ("cool", Some("Cool")),
            ("ARCHIVE", Some("Archive")),
            ("Cold", Some("Cold")),
            ("P4", Some("P4")),
            ("p80", Some("P80")),
            ("P5", None),
            ("P", None),
            ("Warm", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<AccessTier>().ok().map(|tier| tier.to_string()).as_deref(), expected);
        }
    }
}
