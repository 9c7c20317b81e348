//! A certificate as a customer uploads it: with its private key as PKCS#12 (`pfx`), or alone (`cer`).

use der::{Decode as _, Encode as _};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use x509_cert::Certificate;

use crate::pkcs12::{self, Pkcs12Error};
use crate::private_key::PrivateKey;
use crate::thumbprint::PeerCertificate;

/// Certificates of a chain, at most, the key's own not counted.
pub const CHAIN_MAX: usize = 8;
/// A certificate in bytes of DER, at most.
pub const CERTIFICATE_BYTES_MAX: usize = 16 << 10;

/// Why an uploaded certificate is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFileError {
    /// Not PKCS#12, or not with this password.
    #[error(transparent)]
    Pkcs12(#[from] Pkcs12Error),
    /// Not a certificate.
    #[error(
        "the file is not an X.509 certificate in DER or PEM; a file with a private key has the format pfx"
    )]
    NotCertificate,
    /// A certificate that is too long.
    #[error("a certificate has more than {CERTIFICATE_BYTES_MAX} bytes")]
    TooLarge,
}

/// A certificate, what it chains to, and its private key where it has one.
#[derive(Debug)]
pub struct KeyedCertificate {
    /// The certificate.
    pub certificate: PeerCertificate,
    /// Its issuer, that one's issuer and so on, without the root, which a TLS client has or does not trust.
    pub chain: Vec<PeerCertificate>,
    /// Its private key.
    pub key: Option<PrivateKey>,
}

impl KeyedCertificate {
    /// Reads a `pfx` file.
    ///
    /// # Errors
    /// When the password does not open it, or it is not such a file.
    pub fn from_pfx(file: &[u8], password: &str) -> Result<Self, CertificateFileError> {
        pkcs12::read(file, password)?.checked()
    }

    /// Reads a `cer` file: one certificate in DER or PEM.
    ///
    /// # Errors
    /// When it is no certificate.
    pub fn from_cer(file: &[u8]) -> Result<Self, CertificateFileError> {
        let der = match CertificateDer::from_pem_slice(file) {
            Ok(certificate) => certificate.as_ref().to_vec(),
            Err(_) => file.to_vec(),
        };
        Self { certificate: PeerCertificate::from_der(der), chain: Vec::new(), key: None }.checked()
    }

    /// Puts the chain of a certificate together from others that came along.
    pub(crate) fn with_chain(
        certificate: PeerCertificate,
        others: impl IntoIterator<Item = PeerCertificate>,
        key: Option<PrivateKey>,
    ) -> Self {
        let mut others: Vec<(Names, PeerCertificate)> =
            others.into_iter().filter_map(|other| Some((Names::of(&other)?, other))).collect();
        let mut chain = Vec::new();
        let mut names = Names::of(&certificate);
        while let Some(current) = names.take().filter(|names| !names.is_root())
            && chain.len() < CHAIN_MAX
            && let Some(at) =
                others.iter().position(|(other, _)| other.subject == current.issuer && !other.is_root())
        {
            let (next, issuer) = others.swap_remove(at);
            chain.push(issuer);
            names = Some(next);
        }
        Self { certificate, chain, key }
    }

    fn checked(self) -> Result<Self, CertificateFileError> {
        for certificate in std::iter::once(&self.certificate).chain(&self.chain) {
            if certificate.der().len() > CERTIFICATE_BYTES_MAX {
                return Err(CertificateFileError::TooLarge);
            }
            Certificate::from_der(certificate.der()).map_err(|_| CertificateFileError::NotCertificate)?;
        }
        Ok(self)
    }
}

/// Whose a certificate is, and who says so.
struct Names {
    subject: Vec<u8>,
    issuer: Vec<u8>,
}

impl Names {
    fn of(certificate: &PeerCertificate) -> Option<Self> {
        let certificate = Certificate::from_der(certificate.der()).ok()?.tbs_certificate;
        Some(Self { subject: certificate.subject.to_der().ok()?, issuer: certificate.issuer.to_der().ok()? })
    }

    fn is_root(&self) -> bool {
        self.subject == self.issuer
    }
}
