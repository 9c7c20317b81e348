//! Metadata: `x-ms-meta-*` headers as names and values.

use http::HeaderMap;

use crate::error::{ErrorCode, ProtocolError};

/// Names and values together have at most this many bytes (STORAGE, section 3: Set Blob Metadata).
const METADATA_BYTES_MAX: usize = 8 * 1024;
/// What the headers' names begin with.
pub const PREFIX: &str = "x-ms-meta-";

/// The metadata of a request, in the order of its names. HTTP does not tell the case of a header's name, so that
/// names are lower-case.
///
/// # Errors
/// When a name is no identifier, or all of it is too large.
pub fn of(headers: &HeaderMap) -> Result<Vec<(String, String)>, ProtocolError> {
    let mut metadata = Vec::new();
    let mut length_bytes = 0;
    for name in headers.keys() {
        let Some(key) = name.as_str().strip_prefix(PREFIX) else {
            continue;
        };
        if key.is_empty() {
            return Err(ErrorCode::EmptyMetadataKey.into());
        }
        if !is_identifier(key) {
            return Err(
                ProtocolError::from(ErrorCode::InvalidMetadata).with_detail("HeaderName", name.as_str())
            );
        }
        let values: Vec<String> = headers.get_all(name).iter().map(|v| decode(v.as_bytes())).collect();
        let value = values.join(",");
        length_bytes += key.len() + value.len();
        metadata.push((key.to_owned(), value));
    }
    if length_bytes > METADATA_BYTES_MAX {
        return Err(ErrorCode::MetadataTooLarge.into());
    }
    metadata.sort();
    Ok(metadata)
}

/// The protocol wants the names of C# identifiers; of those, a header's name can hold the ASCII ones.
fn is_identifier(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A value is UTF-8, or else Latin-1, as the older clients of HTTP send it. Around it is what HTTP takes for
/// whitespace: no character outside ASCII is.
fn decode(bytes: &[u8]) -> String {
    let bytes = bytes.trim_ascii();
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|b| char::from(*b)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (sent, expected) in [
            (&b" a b\t"[..], "a b"),
            (b"\xC3\xA9", "\u{E9}"),
            (b" \xE9 ", "\u{E9}"),
            (b"\xC2\xA0a\xC2\x85", "\u{A0}a\u{85}"),
        ] {
            let value = http::HeaderValue::from_bytes(sent).unwrap();
            let map = HeaderMap::from_iter([("x-ms-meta-a".parse().unwrap(), value)]);
            assert_eq!(of(&map).unwrap(), [("a".to_owned(), expected.to_owned())], "{sent:?}");
        }
    }

    #[test]
    fn names_and_sizes() {
        let large = "x".repeat(METADATA_BYTES_MAX);
        for (name, value, expected) in [
            ("x-ms-meta-a", "1", ""),
            ("x-ms-meta-a_1", "", ""),
            ("x-ms-meta-", "1", "EmptyMetadataKey"),
            ("x-ms-meta-1a", "1", "InvalidMetadata"),
            ("x-ms-meta-a-b", "1", "InvalidMetadata"),
            ("x-ms-meta-a", &large[1..], ""),
            ("x-ms-meta-a", &large, "MetadataTooLarge"),
        ] {
            let map = HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
            let code = of(&map).err().map_or("", |error| error.code().as_str());
            assert_eq!(code, expected, "{name}");
        }
    }
}
