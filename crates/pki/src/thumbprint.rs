//! A peer's certificate and its thumbprints.

use sha1::Digest as _;
use welkin_base::{Sha1Thumbprint, Thumbprint};

/// A certificate that a peer has shown, whose key TLS has proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    der: Vec<u8>,
}

impl PeerCertificate {
    /// Wraps the DER bytes of a certificate.
    #[must_use]
    pub fn from_der(der: impl Into<Vec<u8>>) -> Self {
        Self { der: der.into() }
    }

    /// The certificate's DER bytes.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// Its SHA-256 thumbprint.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        Thumbprint::from_bytes(sha2::Sha256::digest(&self.der).into())
    }

    /// Its SHA-1 thumbprint.
    #[must_use]
    pub fn sha1_thumbprint(&self) -> Sha1Thumbprint {
        Sha1Thumbprint::from_bytes(sha1::Sha1::digest(&self.der).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_der() {
        let certificate = PeerCertificate::from_der(Vec::new());
        assert_eq!(certificate.sha1_thumbprint().to_string(), "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709");
        assert_eq!(
            certificate.thumbprint().to_string(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
