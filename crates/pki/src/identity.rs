//! A certificate with its private key.

use std::fmt;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

use welkin_base::{Sha1Thumbprint, Thumbprint};

use crate::thumbprint::PeerCertificate;

/// How long a certificate that we make is valid. A peer inside the cloud is known by its thumbprint,
/// so the date matters only to clients that check it themselves.
const VALIDITY: Duration = Duration::days(10 * 365);
/// Clocks of two machines differ: a new certificate is valid since a day.
const BACKDATED: Duration = Duration::days(1);

/// An error with certificates or keys.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file cannot be read or written.
    #[error("cannot {doing} {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A certificate or key cannot be read.
    #[error("{what} is not a certificate or private key in PEM")]
    Pem {
        /// Where it came from.
        what: String,
    },
    /// Bytes that somebody gave as a certificate.
    #[error("not an X.509 certificate: give one certificate in DER or PEM")]
    Certificate,
    /// A certificate cannot be made.
    #[error("cannot make the certificate of {name}")]
    Make {
        /// Whose.
        name: String,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// TLS cannot be set up with this certificate.
    #[error("cannot set TLS up")]
    Tls(#[source] rustls::Error),
}

/// A certificate with its private key. `Debug` does not show the key.
pub struct Identity {
    certificate_pem: String,
    key_pem: Zeroizing<String>,
    certificate: PeerCertificate,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("thumbprint", &self.thumbprint()).finish_non_exhaustive()
    }
}

impl Identity {
    /// Makes a new key pair (ECDSA P-256) and a self-signed certificate for `name`.
    ///
    /// # Errors
    /// When `name` cannot stand in a certificate.
    pub fn self_signed(name: &str) -> Result<Self, PkiError> {
        Self::self_signed_for(name, &[])
    }

    /// Makes a new key pair (ECDSA P-256) and a self-signed certificate for `name`, a server with these DNS names and
    /// addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn self_signed_for(name: &str, names: &[String]) -> Result<Self, PkiError> {
        let make = |source| PkiError::Make { name: name.to_owned(), source };
        let key = KeyPair::generate().map_err(make)?;
        let certificate = params(name, names).map_err(make)?.self_signed(&key).map_err(make)?;
        Self::from_pem(&certificate.pem(), &key.serialize_pem())
    }

    /// Reads an identity from its two PEM texts. The first certificate is taken.
    ///
    /// # Errors
    /// When either is not what it should be.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<Self, PkiError> {
        let pem = |what: &str| PkiError::Pem { what: what.to_owned() };
        let certificate =
            CertificateDer::from_pem_slice(certificate_pem.as_bytes()).map_err(|_| pem("the certificate"))?;
        PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| pem("the private key"))?;
        Ok(Self {
            certificate_pem: certificate_pem.to_owned(),
            key_pem: Zeroizing::new(key_pem.to_owned()),
            certificate: PeerCertificate::from_der(certificate.as_ref()),
        })
    }

    /// Reads `cert.pem` and `key.pem` of a folder.
    ///
    /// # Errors
    /// When a file cannot be read or is not PEM.
    pub fn load(folder: &Path) -> Result<Self, PkiError> {
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read_to_string(&path).map_err(|source| PkiError::File { doing: "read", path, source })
        };
        let key = Zeroizing::new(read("key.pem")?);
        Self::from_pem(&read("cert.pem")?, &key)
            .map_err(|_| PkiError::Pem { what: folder.join("{cert,key}.pem").display().to_string() })
    }

    /// Writes `cert.pem` and `key.pem` (mode 0600) into an existing folder.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), PkiError> {
        for (name, text) in [("cert.pem", self.certificate_pem.as_str()), ("key.pem", self.key_pem.as_str())]
        {
            let path = folder.join(name);
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options
                .open(&path)
                .and_then(|mut file| file.write_all(text.as_bytes()))
                .map_err(|source| PkiError::File { doing: "write", path, source })?;
        }
        Ok(())
    }

    /// The certificate in PEM.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The private key in PEM: a secret.
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The certificate, as a peer sees it.
    #[must_use]
    pub fn certificate(&self) -> &PeerCertificate {
        &self.certificate
    }

    /// The certificate's SHA-256 thumbprint.
    #[must_use]
    pub fn thumbprint(&self) -> Thumbprint {
        self.certificate.thumbprint()
    }

    /// The certificate's SHA-1 thumbprint.
    #[must_use]
    pub fn sha1_thumbprint(&self) -> Sha1Thumbprint {
        self.certificate.sha1_thumbprint()
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from(self.certificate.der().to_vec())]
    }

    pub(crate) fn key(&self) -> Result<PrivateKeyDer<'static>, PkiError> {
        PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())
            .map_err(|_| PkiError::Pem { what: "the private key".to_owned() })
    }
}

/// What our certificates have in common. `names` are the DNS names and addresses of a server.
pub(crate) fn params(name: &str, names: &[String]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let now = OffsetDateTime::now_utc();
    params.not_before = now - BACKDATED;
    params.not_after = now + VALIDITY;
    Ok(params)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let made = Identity::self_signed("node0").unwrap();
        made.save(folder.path()).unwrap();
        let read = Identity::load(folder.path()).unwrap();
        assert_eq!(read.thumbprint(), made.thumbprint());
        assert!(!format!("{made:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = Identity::load(folder.path()).unwrap_err().to_string();
        assert!(error.contains("cannot read") && error.contains("key.pem"), "{error}");
        assert!(Identity::from_pem("nonsense", "nonsense").is_err());
    }
}
