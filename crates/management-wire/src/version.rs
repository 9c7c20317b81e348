//! The header `x-ms-version` (SMAPI §2).

use std::fmt;

use crate::error::{ApiError, ErrorCode};

/// The header's name.
pub const VERSION_HEADER: &str = "x-ms-version";
/// The version that our own client sends.
pub const VERSION: &str = "2014-10-01";
/// The first version of the API.
const VERSION_MIN: Version = Version::new("2009-10-01");
/// The last version of the API. Versions between the two are taken as they come: no list of them is complete.
const VERSION_MAX: Version = Version::new("2017-01-01");

/// A version of the API: a date. Dates of this form are in order as texts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version([u8; 10]);

impl Version {
    /// A version that is known to be a date.
    #[must_use]
    pub const fn new(date: &'static str) -> Self {
        match date.as_bytes().first_chunk() {
            Some(bytes) => Self(*bytes),
            None => Self(*b"0000-00-00"),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the header's value.
///
/// # Errors
/// `MissingOrIncorrectVersionHeader` when it is missing or not a version of the API.
pub fn check_version(header: Option<&str>) -> Result<Version, ApiError> {
    let wrong = |message| Err(ApiError::new(ErrorCode::MissingOrIncorrectVersionHeader, message));
    let Some(text) = header else {
        return wrong(format!("the header {VERSION_HEADER} is missing; send {VERSION_HEADER}: {VERSION}"));
    };
    let version = text.as_bytes().try_into().map(Version).ok().filter(|_| is_date(text));
    if let Some(version) = version.filter(|version| (VERSION_MIN..=VERSION_MAX).contains(version)) {
        return Ok(version);
    }
    let shown: String = text.chars().take(20).collect();
    wrong(format!(
        "{VERSION_HEADER}: {shown:?} is not a version of this API; \
         expected a date from {VERSION_MIN} to {VERSION_MAX}, such as {VERSION}"
    ))
}

/// Refuses an operation that came into the API later than the version that the caller speaks.
///
/// # Errors
/// `MissingOrIncorrectVersionHeader` when it did.
pub fn check_since(version: Version, since: Option<Version>) -> Result<(), ApiError> {
    match since {
        Some(since) if version < since => {
            let message = format!("the operation needs {VERSION_HEADER}: {since} or later, not {version}");
            Err(ApiError::new(ErrorCode::MissingOrIncorrectVersionHeader, message))
        }
        _ => Ok(()),
    }
}

fn is_date(text: &str) -> bool {
    let part = |from: usize, to: usize| {
        let digits = text.get(from..to).filter(|part| part.bytes().all(|b| b.is_ascii_digit()));
        digits.and_then(|part| part.parse::<u16>().ok())
    };
    text.len() == 10
        && text.get(4..5) == Some("-")
        && text.get(7..8) == Some("-")
        && part(0, 4).is_some()
        && part(5, 7).is_some_and(|month| (1..=12).contains(&month))
        && part(8, 10).is_some_and(|day| (1..=31).contains(&day))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (header, valid) in [
            (Some("2009-10-01"), true),
            (Some("2012-03-01"), true),
            (Some("2014-10-01"), true),
            (Some("2017-01-01"), true),
            (None, false),
            (Some(""), false),
            (Some("2014-1-1"), false),
            (Some("2014-13-01"), false),
            (Some("2008-01-01"), false),
            (Some("2099-01-01"), false),
            (Some("20é4-10-0"), false),
        ] {
            assert_eq!(check_version(header).is_ok(), valid, "{header:?}");
        }
    }
}
