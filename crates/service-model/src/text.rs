//! From the bytes of a file to text: editors on Windows write UTF-8 with a byte order mark, and UTF-16.

/// The text of a definition or configuration. `None` when the bytes are neither UTF-8 nor UTF-16 with a mark.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<String> {
    let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = bytes.as_chunks::<2>();
        let units: Vec<u16> = pairs.iter().map(|pair| unit(*pair)).collect();
        if rest.is_empty() { String::from_utf16(&units).ok() } else { None }
    };
    match bytes {
        [0xff, 0xfe, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xfe, 0xff, text @ ..] => utf16(text, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, text @ ..] | text => String::from_utf8(text.to_vec()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encodings_of_editors() {
        let rows: [(&[u8], Option<&str>); 8] = [
            (b"<a/>", Some("<a/>")),
            (b"\xef\xbb\xbf<a/>", Some("<a/>")),
            (b"\xff\xfe<\0a\0/\0>\0", Some("<a/>")),
            (b"\xfe\xff\0<\0a\0/\0>", Some("<a/>")),
            (b"\xff\xfe<\0a", None),
            (b"\xff\xfe\x00\xd8", None),
            (b"\xe4", None),
            (b"", Some("")),
        ];
        for (bytes, expected) in rows {
            assert_eq!(decode(bytes).as_deref(), expected, "{bytes:?}");
        }
    }
}
