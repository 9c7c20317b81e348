//! Reading certificates that others made.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;

use crate::identity::PkiError;
use crate::thumbprint::PeerCertificate;

impl PeerCertificate {
    /// Reads a certificate in DER, or the first one in PEM.
    ///
    /// # Errors
    /// When the bytes are no X.509 certificate, or more than one certificate in DER.
    pub fn parse(bytes: &[u8]) -> Result<Self, PkiError> {
        let is_pem = bytes.windows(10).any(|part| part == b"-----BEGIN");
        let der = match is_pem {
            true => CertificateDer::from_pem_slice(bytes).map_err(|_| not_one())?.to_vec(),
            false => bytes.to_vec(),
        };
        let certificate = Self::from_der(der);
        certificate.public_key()?;
        Ok(certificate)
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem::encode(&pem::Pem::new("CERTIFICATE", self.der()))
    }

    /// The contents of the certificate's public key: for RSA the PKCS#1 `RSAPublicKey` in DER, for elliptic curves the
    /// point. The `SubjectPublicKeyInfo` around it is left out.
    ///
    /// # Errors
    /// When the bytes are no X.509 certificate.
    pub fn public_key(&self) -> Result<Vec<u8>, PkiError> {
        let certificate = Certificate::from_der(self.der()).map_err(|_| not_one())?;
        Ok(certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes().to_vec())
    }
}

fn not_one() -> PkiError {
    PkiError::Certificate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    #[test]
    fn forms_of_a_certificate() {
        let identity = Identity::self_signed("somebody").unwrap();
        let der = identity.certificate().der().to_vec();
        let pem = identity.certificate_pem().to_owned();
        let with_key = format!("{}{pem}", identity.key_pem());
        let long = [der.as_slice(), b"x"].concat();
        for (bytes, good) in [
            (der.as_slice(), true),
            (pem.as_bytes(), true),
            (with_key.as_bytes(), true),
            (identity.key_pem().as_bytes(), false),
            (&der[..der.len() - 1], false),
            (&long, false),
            (b"", false),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", false),
        ] {
            match PeerCertificate::parse(bytes) {
                Ok(parsed) => assert!(good && parsed.sha1_thumbprint() == identity.sha1_thumbprint()),
                Err(_) => assert!(!good, "{bytes:?}"),
            }
        }
        let written = identity.certificate().to_pem();
        assert_eq!(PeerCertificate::parse(written.as_bytes()).unwrap().der(), der);
        // An uncompressed point of P-256.
        let key = identity.certificate().public_key().unwrap();
        assert_eq!((key.len(), key[0]), (65, 4));
    }
}
