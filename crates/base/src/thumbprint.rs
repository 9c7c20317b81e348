//! Thumbprints: the digest of a certificate's DER bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a thumbprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {algorithm} thumbprint: expected {digits} hexadecimal digits")]
pub struct ThumbprintError {
    algorithm: &'static str,
    digits: usize,
}

/// SHA-256 thumbprint, 64 lower-case hexadecimal digits: how parts of the cloud know each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Thumbprint([u8; 32]);

/// SHA-1 thumbprint, 40 upper-case hexadecimal digits: how the classic management API
/// finds a customer's certificate (SMAPI §1). It finds the certificate; TLS proves the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha1Thumbprint([u8; 20]);

macro_rules! thumbprint {
    ($type:ident, $algorithm:literal, $digits:literal, $encode:path) => {
        impl $type {
            /// Wraps the bytes that the digest of a certificate returned.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $digits / 2]) -> Self {
                Self(bytes)
            }
        }
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&$encode(self.0))
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $type {
            type Err = ThumbprintError;
            /// Any case; blanks and the invisible characters that people copy along are passed over.
            fn from_str(text: &str) -> Result<Self, ThumbprintError> {
                let error = ThumbprintError { algorithm: $algorithm, digits: $digits };
                let digits: String =
                    text.chars().filter(|c| c.is_ascii() && !c.is_ascii_whitespace()).collect();
                let mut bytes = [0; $digits / 2];
                hex::decode_to_slice(digits, &mut bytes).map_err(|_| error)?;
                Ok(Self(bytes))
            }
        }
        impl TryFrom<String> for $type {
            type Error = ThumbprintError;
            fn try_from(text: String) -> Result<Self, ThumbprintError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(thumbprint: $type) -> String {
                thumbprint.to_string()
            }
        }
    };
}
thumbprint!(Thumbprint, "SHA-256", 64, hex::encode);
thumbprint!(Sha1Thumbprint, "SHA-1", 40, hex::encode_upper);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thumbprints_as_people_copy_them() {
        let plain = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709";
        for text in
            [plain, &plain.to_lowercase(), &format!("\u{200e}{plain} "), &plain.replacen("DA39", "DA 39", 1)]
        {
            assert_eq!(text.parse::<Sha1Thumbprint>().unwrap().to_string(), plain, "{text:?}");
        }
        assert!("DA39".parse::<Sha1Thumbprint>().is_err());
        assert!(plain.parse::<Thumbprint>().is_err());
    }
}
