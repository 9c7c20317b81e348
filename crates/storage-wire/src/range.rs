//! `Range` and `x-ms-range` (STORAGE, section 3: Get Blob).

/// The bytes that a range names: the first, and the last where it is given, both included.
///
/// The forms are `bytes=a-b` and `bytes=a-`; Azure knows no suffix form. Anything else counts as no range.
#[must_use]
pub fn parse(text: &str) -> Option<(u64, Option<u64>)> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let first = number(first)?;
    match last {
        "" => Some((first, None)),
        last => number(last).filter(|last| *last >= first).map(|last| (first, Some(last))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, expected) in [
            ("bytes=0-0", Some((0, Some(0)))),
            ("bytes=5-", Some((5, None))),
            ("bytes=5-9", Some((5, Some(9)))),
            ("bytes=9-5", None),
            ("bytes=-5", None),
            ("bytes=a-b", None),
            ("bytes=+1-2", None),
            ("bytes=0-1,3-4", None),
            ("items=0-1", None),
            ("bytes=99999999999999999999-", None),
            ("", None),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
