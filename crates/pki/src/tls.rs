//! TLS settings whose notion of trust is the thumbprint.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use welkin_base::Thumbprint;

use crate::identity::{Identity, PkiError};
use crate::thumbprint::PeerCertificate;

/// Which clients a server lets in.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// Those with one of these certificates.
    Pinned(Vec<Thumbprint>),
    /// Every one, with any certificate whose key it has, or none: the service decides. So a client that is refused
    /// gets an answer that it can read, rather than a broken handshake (SMAPI §1).
    Requested,
}

/// Which server a client talks to.
#[derive(Debug, Clone)]
pub enum ServerAuth {
    /// The one with this certificate.
    Pinned(Thumbprint),
    /// Any with a certificate for its name under this authority (PEM).
    Authority(String),
}

/// TLS of a server.
///
/// # Errors
/// When the identity cannot be used.
pub fn server_config(identity: &Identity, clients: ClientAuth) -> Result<Arc<ServerConfig>, PkiError> {
    let provider = provider();
    let verifier =
        Arc::new(ClientVerifier { clients, algorithms: provider.signature_verification_algorithms });
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(PkiError::Tls)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain(), identity.key()?)
        .map_err(PkiError::Tls)?;
    Ok(Arc::new(config))
}

/// TLS of a server that anyone may connect to, without a certificate of their own. `chain_pem` is its certificate and
/// those of the authorities between.
///
/// # Errors
/// When the certificate or key cannot be used.
pub fn public_server_config(chain_pem: &str, key_pem: &str) -> Result<Arc<ServerConfig>, PkiError> {
    let bad = |what: &str| PkiError::Pem { what: what.to_owned() };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes()).map_err(|_| bad("the private key"))?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(PkiError::Tls)?
        .with_no_client_auth()
        .with_single_cert(chain.map_err(|_| bad("the certificate"))?, key)
        .map_err(PkiError::Tls)?;
    Ok(Arc::new(config))
}

/// TLS of a client, with a certificate of its own or without.
///
/// # Errors
/// When the identity or the authority cannot be used.
pub fn client_config(identity: Option<&Identity>, server: ServerAuth) -> Result<Arc<ClientConfig>, PkiError> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(PkiError::Tls)?;
    let builder = match server {
        ServerAuth::Pinned(thumbprint) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier { thumbprint, algorithms })),
        ServerAuth::Authority(pem) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                let bad = |_| PkiError::Pem { what: "the authority's certificate".to_owned() };
                roots.add(certificate.map_err(bad)?).map_err(PkiError::Tls)?;
            }
            builder.with_root_certificates(roots)
        }
    };
    let config = match identity {
        Some(own) => builder.with_client_auth_cert(own.chain(), own.key()?).map_err(PkiError::Tls)?,
        None => builder.with_no_client_auth(),
    };
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn thumbprint_of(certificate: &CertificateDer<'_>) -> Thumbprint {
    PeerCertificate::from_der(certificate.as_ref()).thumbprint()
}

/// Both verifiers leave the proof of the key to rustls and decide only whose key it must be.
macro_rules! signatures_by_rustls {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls12_signature(message, certificate, signed, &self.algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signed: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(message, certificate, signed, &self.algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.algorithms.supported_schemes()
        }
    };
}

#[derive(Debug)]
struct ClientVerifier {
    clients: ClientAuth,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for ClientVerifier {
    /// Empty: some clients withhold a self-signed certificate when authorities are named (SMAPI §1).
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        matches!(self.clients, ClientAuth::Pinned(_))
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.clients {
            ClientAuth::Pinned(known) if !known.contains(&thumbprint_of(certificate)) => {
                Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
            }
            ClientAuth::Pinned(_) | ClientAuth::Requested => Ok(ClientCertVerified::assertion()),
        }
    }

    signatures_by_rustls!();
}

#[derive(Debug)]
struct ServerVerifier {
    thumbprint: Thumbprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if thumbprint_of(certificate) == self.thumbprint {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    signatures_by_rustls!();
}
