//! Sealing a private key to a public key: HPKE (RFC 9180) in base mode, with X25519, HKDF-SHA-256 and
//! ChaCha20-Poly1305. Who seals cannot open again.
//!
//! A sealed secret is bound to a context, such as whose certificate the key belongs to: opened under another
//! context it is no secret at all. Plaintext is changed in place, so that no copy of it is left.
//!
//! ```text
//! version (1 byte, 1) | encapsulated key (32) | tag (16) | ciphertext (as long as the secret)
//! ```

use std::fmt;
use std::str::FromStr;

use hpke::aead::{AeadTag, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable as _, Kem, OpModeR, OpModeS, Serializable as _};
use rand_core::OsRng;
use zeroize::{Zeroize as _, Zeroizing};

type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

const VERSION: u8 = 1;
const KEY_BYTES: usize = 32;
const TAG_BYTES: usize = 16;
const HEAD_BYTES: usize = 1 + KEY_BYTES + TAG_BYTES;
/// Keeps what is sealed here apart from whatever else is sealed to the same key.
const PURPOSE: &[u8] = b"welkin sealed secret 1";

/// Why something cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a public key.
    #[error("not a public key: expected 64 hexadecimal digits")]
    Recipient,
    /// Not a private key.
    #[error("not a key to unseal with: expected 64 hexadecimal digits")]
    Key,
    /// Sealing failed.
    #[error("the secret cannot be sealed")]
    Seal,
    /// Not sealed to this key, for this context, or changed since.
    #[error("the secret was sealed to another key or for another use, or is damaged")]
    Open,
}

/// The public half of an [`UnsealingKey`], as 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(Public);

/// A private key to which secrets are sealed. `Debug` shows its public half.
pub struct UnsealingKey {
    private: Private,
    recipient: Recipient,
}

impl Recipient {
    /// Seals a secret. `secret` is wiped.
    ///
    /// # Errors
    /// When the public key is one that nothing can be sealed to.
    pub fn seal(&self, mut secret: Zeroizing<Vec<u8>>, context: &[u8]) -> Result<Vec<u8>, SealError> {
        let mode = OpModeS::Base;
        let (key, tag) = hpke::single_shot_seal_in_place_detached::<
            ChaCha20Poly1305,
            HkdfSha256,
            X25519HkdfSha256,
            _,
        >(&mode, &self.0, PURPOSE, &mut secret, context, &mut OsRng)
        .map_err(|_| SealError::Seal)?;
        // By now `secret` is ciphertext.
        Ok([&[VERSION][..], &key.to_bytes(), &tag.to_bytes(), &secret].concat())
    }
}

impl UnsealingKey {
    /// A new key.
    #[must_use]
    pub fn generate() -> Self {
        let (private, public) = X25519HkdfSha256::gen_keypair(&mut OsRng);
        Self { private, recipient: Recipient(public) }
    }

    /// Its public half.
    #[must_use]
    pub fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    /// Opens what was sealed to this key for `context`.
    ///
    /// # Errors
    /// When it was not, or was changed.
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (head, ciphertext) = sealed.split_at_checked(HEAD_BYTES).ok_or(SealError::Open)?;
        if head.first() != Some(&VERSION) {
            return Err(SealError::Open);
        }
        let key = Encapsulated::from_bytes(&head[1..=KEY_BYTES]).map_err(|_| SealError::Open)?;
        let tag = AeadTag::from_bytes(&head[1 + KEY_BYTES..]).map_err(|_| SealError::Open)?;
        let mut secret = Zeroizing::new(ciphertext.to_vec());
        let mode = OpModeR::Base;
        hpke::single_shot_open_in_place_detached::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &mode,
            &self.private,
            &key,
            PURPOSE,
            &mut secret,
            context,
            &tag,
        )
        .map_err(|_| SealError::Open)?;
        Ok(secret)
    }

    /// The key as 64 hexadecimal digits, for the file that keeps it: a secret.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = self.private.to_bytes();
        let text = Zeroizing::new(hex::encode(bytes));
        bytes.as_mut_slice().zeroize();
        text
    }
}

impl FromStr for UnsealingKey {
    type Err = SealError;
    fn from_str(text: &str) -> Result<Self, SealError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(text.trim(), &mut *bytes).map_err(|_| SealError::Key)?;
        let private = Private::from_bytes(&*bytes).map_err(|_| SealError::Key)?;
        let recipient = Recipient(X25519HkdfSha256::sk_to_pk(&private));
        Ok(Self { private, recipient })
    }
}

impl fmt::Debug for UnsealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnsealingKey").field(&self.recipient).finish()
    }
}

impl FromStr for Recipient {
    type Err = SealError;
    fn from_str(text: &str) -> Result<Self, SealError> {
        let mut bytes = [0; KEY_BYTES];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| SealError::Recipient)?;
        Public::from_bytes(&bytes).map(Self).map_err(|_| SealError::Recipient)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.to_bytes()))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(b"a private key".to_vec())
    }

    #[test]
    fn only_its_key_opens_it_and_only_for_its_use() {
        let (key, other) = (UnsealingKey::generate(), UnsealingKey::generate());
        let recipient: Recipient = key.recipient().to_string().parse().unwrap();
        let sealed = recipient.seal(secret(), b"mine").unwrap();
        assert_ne!(sealed, recipient.seal(secret(), b"mine").unwrap(), "sealed anew each time");
        assert!(!sealed.windows(7).any(|part| part == b"private"));
        assert_eq!(key.open(&sealed, b"mine").unwrap(), secret());
        assert_eq!(key.open(&sealed, b"yours"), Err(SealError::Open));
        assert_eq!(other.open(&sealed, b"mine"), Err(SealError::Open));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(&changed, b"mine"), Err(SealError::Open), "byte {at}");
            assert_eq!(key.open(&sealed[..at], b"mine"), Err(SealError::Open), "{at} bytes");
        }
        assert_eq!(key.open(&[VERSION; HEAD_BYTES], b"mine"), Err(SealError::Open));
    }

    #[test]
    fn a_key_survives_its_text() {
        let key = UnsealingKey::generate();
        let read: UnsealingKey = key.to_text().parse().unwrap();
        assert_eq!(read.recipient(), key.recipient());
        assert!(!format!("{key:?}").contains(key.to_text().as_str()));
        for text in ["", "12", "zz"] {
            assert_eq!(text.parse::<UnsealingKey>().unwrap_err(), SealError::Key);
            assert_eq!(text.parse::<Recipient>(), Err(SealError::Recipient));
        }
    }
}
