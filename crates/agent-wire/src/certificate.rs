//! Service certificates on their way to a role: what a role wants, what the FC gives to an FA, and what an FA passes
//! on to its guest. Private keys travel sealed up to the FA, which passes them on and keeps nothing.

use std::fmt;

use serde::{Deserialize, Serialize};
use welkin_base::{InstanceId, Sha1Thumbprint};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A certificate that a role is to have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateGoal {
    /// Its name in the service definition.
    pub name: String,
    /// Which one.
    pub thumbprint: Sha1Thumbprint,
    /// `permissionLevel="elevated"`: only processes that run elevated may use the private key.
    pub elevated_only: bool,
}

/// A certificate for one instance, its private key sealed to the FA's transport key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedCertificate {
    /// The certificate and its chain, DER in base64.
    pub chain: Vec<String>,
    /// The sealed private key in base64, bound to [`transport_context`]; `None` when the certificate has none.
    pub sealed_key: Option<String>,
}

/// What a private key on its way to a node is bound to: it is of use for this instance and certificate only.
#[must_use]
pub fn transport_context(instance: &InstanceId, thumbprint: &Sha1Thumbprint) -> String {
    format!("instance {instance} certificate {thumbprint}")
}

/// A certificate that an FA passes on to its guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuestCertificate {
    /// Which one.
    pub thumbprint: Sha1Thumbprint,
    /// The certificate and its chain, DER in base64.
    pub chain: Vec<String>,
    /// The private key, PKCS#8 in base64.
    pub key: Option<KeyText>,
}

/// A private key as text. Its memory is wiped when it is dropped; `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct KeyText(String);

impl KeyText {
    /// Takes the text.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text: a secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyText").finish_non_exhaustive()
    }
}

impl fmt::Debug for SealedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedCertificate")
            .field("with_key", &self.sealed_key.is_some())
            .finish_non_exhaustive()
    }
}

/// What the role is told of a certificate that it has: `GET /v1/certificates` on the role socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoleCertificate {
    /// Its name in the service definition.
    pub name: String,
    /// SHA-1 thumbprint.
    pub thumbprint: Sha1Thumbprint,
    /// The file with the certificate and its chain, in PEM.
    pub path: String,
    /// TLS signature schemes (RFC 8446, section 4.2.3) that its private key can sign with, the preferred ones first.
    /// Empty for a certificate without a private key, and for one that the asking process may not use.
    pub schemes: Vec<u16>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_and_not_shown() {
        let thumbprint = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709".parse().unwrap();
        let key = Some(KeyText::new("c2VjcmV0".to_owned()));
        let certificate = GuestCertificate { thumbprint, chain: vec!["AA==".to_owned()], key };
        let json = serde_json::to_string(&certificate).unwrap();
        assert!(json.contains(r#""key":"c2VjcmV0""#), "{json}");
        assert_eq!(serde_json::from_str::<GuestCertificate>(&json).unwrap(), certificate);
        assert!(!format!("{certificate:?}").contains("c2VjcmV0"));
    }
}
