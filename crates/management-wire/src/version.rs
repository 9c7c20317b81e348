//! The header `x-ms-version` (SMAPI §2).

use crate::error::{ApiError, ErrorCode};

/// The header's name.
pub const VERSION_HEADER: &str = "x-ms-version";
/// The version that our own client sends.
pub const VERSION: &str = "2014-10-01";
/// The first version of the API.
const VERSION_MIN: &str = "2009-10-01";
/// The last version of the API. Versions between the two are taken as they come: no list of them is complete.
const VERSION_MAX: &str = "2017-01-01";

/// Checks the header's value.
///
/// # Errors
/// `MissingOrIncorrectVersionHeader` when it is missing or not a version of the API.
pub fn check_version(header: Option<&str>) -> Result<(), ApiError> {
    let wrong = |message| Err(ApiError::new(ErrorCode::MissingOrIncorrectVersionHeader, message));
    let Some(version) = header else {
        return wrong(format!("the header {VERSION_HEADER} is missing; send {VERSION_HEADER}: {VERSION}"));
    };
    // Dates of this form are in order as texts.
    if is_date(version) && (VERSION_MIN..=VERSION_MAX).contains(&version) {
        return Ok(());
    }
    let shown: String = version.chars().take(20).collect();
    wrong(format!(
        "{VERSION_HEADER}: {shown:?} is not a version of this API; \
         expected a date from {VERSION_MIN} to {VERSION_MAX}, such as {VERSION}"
    ))
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
