//! ETags and the conditions that a request sets on them (STORAGE, section 4).

use welkin_base::Timestamp;
use welkin_base::timestamp::TICKS_PER_SECOND;
use welkin_storage_wire::blob::tag_filter::TagFilter;

use crate::blob::BlobError;
use crate::blob::encryption::CustomerKey;
use crate::blob::lease::{self, LeaseId, LeaseOf};
use crate::blob::state::BlobRecord;
use crate::blob::tags;

/// 1970-01-01 in ticks since the year 1, where ETags count from.
const EPOCH_TICKS: i64 = 621_355_968_000_000_000;

/// An ETag's number. Each write of a thing has a higher one.
pub type ETag = u64;

/// The ETag of a write at `now` after the state that had `last`.
#[must_use]
pub fn next_etag(now: Timestamp, last: Option<ETag>) -> ETag {
    let ticks = u64::try_from(now.ticks().saturating_add(EPOCH_TICKS)).unwrap_or(0);
    last.map_or(ticks, |last| ticks.max(last + 1))
}

/// An ETag as clients see it, in quotes.
#[must_use]
pub fn etag_text(etag: ETag) -> String {
    format!("\"0x{etag:X}\"")
}

/// The ETags that a condition names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ETags {
    /// `*`: any.
    Any,
    /// One of these, as clients see them.
    OneOf(Vec<String>),
}

impl ETags {
    fn has(&self, etag: ETag) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(texts) => {
                let own = etag_text(etag);
                texts.iter().any(|text| text.trim_matches('"') == own.trim_matches('"'))
            }
        }
    }
}

/// What must hold for a request to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conditions {
    /// `If-Match`.
    pub if_match: Option<ETags>,
    /// `If-None-Match`.
    pub if_none_match: Option<ETags>,
    /// `If-Modified-Since`.
    pub if_modified_since: Option<Timestamp>,
    /// `If-Unmodified-Since`.
    pub if_unmodified_since: Option<Timestamp>,
    /// The lease that the client says it holds: `x-ms-lease-id`.
    pub lease: Option<LeaseId>,
    /// What its tags must meet: `x-ms-if-tags`.
    pub if_tags: Option<TagFilter>,
    /// The key that the request brings: see [`BlobRecord`]'s encryption.
    pub customer_key: Option<CustomerKey>,
}

/// Whether a request reads or writes: a failed condition is told differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It reads.
    Read,
    /// It writes.
    Write,
}

impl Conditions {
    /// Whether all conditions hold for a blob; `None` is one that does not exist. The one place where leases,
    /// tags and the rest are checked, in the order in which clients notice them (STORAGE, section 4). A blob with a
    /// pending copy takes no other write.
    ///
    /// # Errors
    /// Says which kind of condition does not hold.
    pub fn check_blob(
        &self,
        blob: Option<&BlobRecord>,
        access: Access,
        now: Timestamp,
    ) -> Result<(), BlobError> {
        lease::check(blob.and_then(|blob| blob.lease.as_ref()), self.lease, access, LeaseOf::Blob, now)?;
        self.check_headers(blob, access)?;
        match (blob, access) {
            (Some(blob), Access::Write) => blob.check_no_copy(),
            (None, _) | (_, Access::Read) => Ok(()),
        }
    }

    /// Whether all conditions but the lease hold for a blob: for what is done with the lease itself.
    ///
    /// # Errors
    /// Says which kind of condition does not hold.
    pub(crate) fn check_headers(&self, blob: Option<&BlobRecord>, access: Access) -> Result<(), BlobError> {
        tags::check(self.if_tags.as_ref(), blob)?;
        self.check(blob.map(|blob| (blob.etag, blob.modified)), access)
    }

    /// Whether all conditions hold for a thing in this state; `None` is a thing that does not exist.
    /// Where an ETag and a date say the same kind of condition, the ETag decides.
    ///
    /// # Errors
    /// Says which kind of condition does not hold.
    pub fn check(&self, state: Option<(ETag, Timestamp)>, access: Access) -> Result<(), BlobError> {
        let seconds = |moment: Timestamp| moment.ticks().div_euclid(TICKS_PER_SECOND);
        let matches = match (&self.if_match, self.if_unmodified_since, state) {
            (None, None, _) | (None, Some(_), None) => true,
            (Some(_), _, None) => false,
            (Some(tags), _, Some((etag, _))) => tags.has(etag),
            (None, Some(since), Some((_, modified))) => seconds(modified) <= seconds(since),
        };
        if !matches {
            return Err(BlobError::ConditionNotMet);
        }
        let differs = match (&self.if_none_match, self.if_modified_since, state) {
            (_, _, None) | (None, None, _) => true,
            (Some(tags), _, Some((etag, _))) => !tags.has(etag),
            (None, Some(since), Some((_, modified))) => seconds(modified) > seconds(since),
        };
        match (differs, access) {
            (true, _) => Ok(()),
            (false, Access::Read) => Err(BlobError::NotModified),
            (false, Access::Write) => Err(BlobError::ConditionNotMet),
        }
    }

    /// Whether the write asked that there be nothing yet: `If-None-Match: *`.
    #[must_use]
    pub fn must_create(&self) -> bool {
        self.if_none_match == Some(ETags::Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_ticks(seconds * TICKS_PER_SECOND + 5)
    }

    #[test]
    fn conditions() {
        let tags = |etag| Some(ETags::OneOf(vec![etag_text(etag)]));
        let none = Conditions::default;
        let rows = [
            (none(), Some(7), "ok", "ok"),
            (none(), None, "ok", "ok"),
            (Conditions { if_match: tags(7), ..none() }, Some(7), "ok", "ok"),
            (Conditions { if_match: tags(8), ..none() }, Some(7), "failed", "failed"),
            (Conditions { if_match: Some(ETags::Any), ..none() }, None, "failed", "failed"),
            (Conditions { if_none_match: tags(7), ..none() }, Some(7), "not modified", "failed"),
            (Conditions { if_none_match: tags(8), ..none() }, Some(7), "ok", "ok"),
            (Conditions { if_none_match: Some(ETags::Any), ..none() }, None, "ok", "ok"),
            (Conditions { if_modified_since: Some(at(100)), ..none() }, Some(7), "not modified", "failed"),
            (Conditions { if_modified_since: Some(at(99)), ..none() }, Some(7), "ok", "ok"),
            (Conditions { if_unmodified_since: Some(at(100)), ..none() }, Some(7), "ok", "ok"),
            (Conditions { if_unmodified_since: Some(at(99)), ..none() }, Some(7), "failed", "failed"),
            (
                Conditions { if_match: tags(7), if_unmodified_since: Some(at(99)), ..none() },
                Some(7),
                "ok",
                "ok",
            ),
        ];
        for (conditions, etag, read, write) in rows {
            let told = |access| match conditions.check(etag.map(|etag| (etag, at(100))), access) {
                Ok(()) => "ok",
                Err(BlobError::NotModified) => "not modified",
                Err(_) => "failed",
            };
            assert_eq!((told(Access::Read), told(Access::Write)), (read, write), "{conditions:?}");
        }
    }

    #[test]
    fn etags_grow() {
        assert_eq!(next_etag(at(0), Some(u64::MAX - 1)), u64::MAX);
        assert!(etag_text(next_etag(at(1_790_000_000), None)).starts_with("\"0x8DF"));
    }
}
