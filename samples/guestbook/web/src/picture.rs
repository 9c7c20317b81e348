//! Pictures that a visitor may send.

/// Largest picture: a photograph of a present telephone fits.
pub const PICTURE_BYTES_MAX: usize = 8 << 20;

/// A kind of picture that every browser shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Jpeg,
    Png,
    Gif,
    Webp,
}

impl Kind {
    /// Tells the kind by the first bytes. What the browser says of the file is not asked: anyone can say anything.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            _ => None,
        }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Jpeg => "image/jpeg",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn kinds_are_told_by_content() {
        let check = |bytes: &[u8], expected| assert_eq!(Kind::of(bytes), expected);
        check(b"\xff\xd8\xff\xe0rest", Some(Kind::Jpeg));
        check(b"\x89PNG\r\n\x1a\nrest", Some(Kind::Png));
        check(b"GIF89a", Some(Kind::Gif));
        check(b"RIFF\0\0\0\0WEBPVP8 ", Some(Kind::Webp));
        check(b"RIFF\0\0\0\0WAVE", None);
        check(b"<svg onload=alert(1)>", None);
        check(b"", None);
    }
}
