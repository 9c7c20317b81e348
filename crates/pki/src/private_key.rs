//! A private key on its way from a customer to a role. It is never used here, only carried: what a library makes of
//! a key to sign with is not wiped when it is done, so nothing but the guest makes that.

use std::fmt;

use der::Decode as _;
use der::asn1::AnyRef;
use pkcs1::{RsaPrivateKey, RsaPublicKey};
use pkcs8::{ObjectIdentifier, PrivateKeyInfo};
use sec1::EcPrivateKey;
use x509_cert::Certificate;
use zeroize::Zeroizing;

use crate::thumbprint::PeerCertificate;

/// A PKCS#8 private key in bytes, at most. RSA with 4096 bits takes 2,400.
pub const PRIVATE_KEY_BYTES_MAX: usize = 8 << 10;
/// What *ring* signs with, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");

/// Why a private key is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// Not PKCS#8.
    #[error("the private key is not in PKCS#8")]
    Malformed,
    /// An RSA key that is too short or too long.
    #[error("the RSA key has {0} bits; make one with 2048 to 4096")]
    RsaBits(usize),
    /// A kind that no role can sign with.
    #[error("the private key is neither RSA, nor ECDSA on P-256 or P-384, nor Ed25519; make such a key")]
    Kind,
}

/// A private key as PKCS#8 DER. Its memory is wiped when it is dropped; `Debug` shows nothing of it.
pub struct PrivateKey {
    der: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").finish_non_exhaustive()
    }
}

impl PrivateKey {
    /// Takes a key of a kind that a role can sign with.
    ///
    /// # Errors
    /// When it is not PKCS#8, or of another kind.
    pub fn from_pkcs8(der: Zeroizing<Vec<u8>>) -> Result<Self, PrivateKeyError> {
        if der.len() > PRIVATE_KEY_BYTES_MAX {
            return Err(PrivateKeyError::Malformed);
        }
        check(&der)?;
        Ok(Self { der })
    }

    /// The key: a secret.
    #[must_use]
    pub fn pkcs8(&self) -> &[u8] {
        &self.der
    }

    /// Whether the certificate is this key's; `None` when the key does not say what its public half is, which an
    /// ECDSA key may and an Ed25519 key always does.
    #[must_use]
    pub fn belongs_to(&self, certificate: &PeerCertificate) -> Option<bool> {
        let certificate = Certificate::from_der(certificate.der()).ok()?;
        let public = certificate.tbs_certificate.subject_public_key_info;
        let info = PrivateKeyInfo::from_der(&self.der).ok()?;
        if info.algorithm.oid != public.algorithm.oid {
            return Some(false);
        }
        let shown = public.subject_public_key.as_bytes()?;
        match info.algorithm.oid {
            RSA => {
                let (own, shown) =
                    (RsaPrivateKey::from_der(info.private_key).ok()?, RsaPublicKey::from_der(shown));
                let own = own.public_key();
                Some(shown.is_ok_and(|shown| shown == own))
            }
            EC => Some(EcPrivateKey::from_der(info.private_key).ok()?.public_key? == shown),
            _ => Some(info.public_key? == shown),
        }
    }
}

fn check(der: &[u8]) -> Result<(), PrivateKeyError> {
    let malformed = |_| PrivateKeyError::Malformed;
    let info = PrivateKeyInfo::from_der(der).map_err(malformed)?;
    match info.algorithm.oid {
        RSA => {
            let key = RsaPrivateKey::from_der(info.private_key).map_err(malformed)?;
            let modulus = key.modulus.as_bytes();
            let unused = modulus.first().map_or(0, |first| first.leading_zeros() as usize);
            let bits = (modulus.len() * 8).saturating_sub(unused);
            if RSA_BITS.contains(&bits) { Ok(()) } else { Err(PrivateKeyError::RsaBits(bits)) }
        }
        EC => {
            EcPrivateKey::from_der(info.private_key).map_err(malformed)?;
            let curve = info.algorithm.parameters.and_then(|curve: AnyRef<'_>| curve.decode_as().ok());
            if curve.is_some_and(|curve: ObjectIdentifier| curve == P256 || curve == P384) {
                Ok(())
            } else {
                Err(PrivateKeyError::Kind)
            }
        }
        ED25519 => Ok(()),
        _ => Err(PrivateKeyError::Kind),
    }
}
