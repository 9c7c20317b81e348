//! The role's certificates. The private key stays with the guest agent, which signs with it: a role uses the key and
//! never has it. For TLS, [`Certificate::certified_key`] is what rustls takes, and [`tls_server`] a whole set-up.

use std::env;
use std::fmt;
use std::fs;
use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{ServerConfig, SignatureAlgorithm, SignatureScheme};
use welkin_agent_wire::RoleCertificate;
use welkin_agent_wire::role::ENV_SOCKET;

use crate::role_socket;

/// Why a certificate is of no use.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// No guest agent answers, as outside a VM.
    #[error("the guest agent does not answer: {0}")]
    Socket(#[from] io::Error),
    /// What it said cannot be read.
    #[error("the guest agent said something that cannot be read")]
    Malformed,
    /// The role has none of that name.
    #[error("the role has no certificate {0:?}; declare it in the service definition's <Certificates>")]
    Missing(String),
    /// It is there, and this process cannot sign with it.
    #[error(
        "the certificate {0:?} has no private key, or its permissionLevel is elevated and this process is not"
    )]
    NoKey(String),
    /// TLS cannot be set up with it.
    #[error("TLS cannot be set up: {0}")]
    Tls(rustls::Error),
}

/// A certificate of the role.
#[derive(Debug, Clone)]
pub struct Certificate {
    known: RoleCertificate,
}

/// Every certificate of the role.
///
/// # Errors
/// When the guest agent does not answer, or says what cannot be read.
pub fn certificates() -> Result<Vec<Certificate>, CertificateError> {
    let socket = env::var_os(ENV_SOCKET).ok_or(io::ErrorKind::NotFound).map_err(io::Error::from)?;
    let json = role_socket::call(&socket, "GET", "/v1/certificates", &[])?;
    let known: Vec<RoleCertificate> =
        serde_json::from_slice(&json).map_err(|_| CertificateError::Malformed)?;
    Ok(known.into_iter().map(|known| Certificate { known }).collect())
}

/// The certificate that the service definition calls `name`.
///
/// # Errors
/// When the guest agent does not answer, or the role has no such certificate.
pub fn certificate(name: &str) -> Result<Certificate, CertificateError> {
    let found = certificates()?.into_iter().find(|certificate| certificate.known.name == name);
    found.ok_or_else(|| CertificateError::Missing(name.to_owned()))
}

impl Certificate {
    /// Its name in the service definition.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.known.name
    }

    /// Its SHA-1 thumbprint.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.known.thumbprint.to_string()
    }

    /// The certificate and its chain in PEM.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn chain_pem(&self) -> io::Result<String> {
        fs::read_to_string(&self.known.path)
    }

    /// Whether this process may sign with its private key.
    #[must_use]
    pub fn can_sign(&self) -> bool {
        !self.known.schemes.is_empty()
    }

    /// How its private key can sign, the preferred way first.
    #[must_use]
    pub fn schemes(&self) -> Vec<SignatureScheme> {
        self.known.schemes.iter().copied().map(SignatureScheme::from).collect()
    }

    /// Signs a message (not its digest) of at most 64 KiB.
    ///
    /// # Errors
    /// When the key cannot sign so, or this process may not use it.
    pub fn sign(&self, scheme: SignatureScheme, message: &[u8]) -> io::Result<Vec<u8>> {
        let socket = env::var_os(ENV_SOCKET).ok_or(io::ErrorKind::NotFound)?;
        let path = format!("/v1/certificates/{}/sign?scheme={}", self.known.name, u16::from(scheme));
        role_socket::call(&socket, "POST", &path, message)
    }

    /// What rustls signs handshakes with.
    ///
    /// # Errors
    /// When this process cannot sign with the certificate, or its file cannot be read.
    pub fn certified_key(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        if !self.can_sign() {
            return Err(CertificateError::NoKey(self.known.name.clone()));
        }
        let pem = self.chain_pem()?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        let chain = chain.map_err(|_| CertificateError::Malformed)?;
        Ok(Arc::new(CertifiedKey::new(chain, Arc::new(RemoteKey(self.clone())))))
    }
}

/// TLS of a server with the role's certificate `name`.
///
/// # Errors
/// When the role has no such certificate, or cannot sign with it.
pub fn tls_server(name: &str) -> Result<Arc<ServerConfig>, CertificateError> {
    let resolver = Arc::new(One(certificate(name)?.certified_key()?));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(CertificateError::Tls)?;
    Ok(Arc::new(builder.with_no_client_auth().with_cert_resolver(resolver)))
}

/// A server with one certificate.
#[derive(Debug)]
struct One(Arc<CertifiedKey>);

impl ResolvesServerCert for One {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A private key that the guest agent holds.
#[derive(Debug)]
struct RemoteKey(Certificate);

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let scheme = self.0.schemes().into_iter().find(|scheme| offered.contains(scheme))?;
        Some(Box::new(RemoteSigner { certificate: self.0.clone(), scheme }))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        algorithm(&self.0.schemes())
    }
}

fn algorithm(schemes: &[SignatureScheme]) -> SignatureAlgorithm {
    match schemes.first() {
        Some(SignatureScheme::ED25519) => SignatureAlgorithm::ED25519,
        Some(SignatureScheme::ECDSA_NISTP256_SHA256 | SignatureScheme::ECDSA_NISTP384_SHA384) => {
            SignatureAlgorithm::ECDSA
        }
        _ => SignatureAlgorithm::RSA,
    }
}

struct RemoteSigner {
    certificate: Certificate,
    scheme: SignatureScheme,
}

impl fmt::Debug for RemoteSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RemoteSigner").field(&self.certificate.known.name).field(&self.scheme).finish()
    }
}

impl Signer for RemoteSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = self.certificate.sign(self.scheme, message);
        signed.map_err(|error| rustls::Error::General(format!("the guest agent does not sign: {error}")))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
