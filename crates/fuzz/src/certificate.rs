//! Certificates: as customers upload them, and as clients show them.

use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use welkin_pki::certificate_file::{CERTIFICATE_BYTES_MAX, CHAIN_MAX};
use welkin_pki::private_key::PRIVATE_KEY_BYTES_MAX;
use welkin_pki::{KeyedCertificate, PeerCertificate};

/// The password of the committed inputs.
const PASSWORD: &str = "p\u{e4}ssword";

/// A PKCS#12 file.
pub(crate) fn pkcs12(data: &[u8]) {
    match KeyedCertificate::from_pfx(data, PASSWORD) {
        Ok(read) => {
            check(&read);
            let key = read.key.as_ref().expect("such a file has a key");
            assert!(key.pkcs8().len() <= PRIVATE_KEY_BYTES_MAX);
            // Whose it is was decided by the same function, or by the word of the file.
            assert_ne!(key.belongs_to(&read.certificate), Some(false));
        }
        Err(error) => assert!(!error.to_string().contains(PASSWORD)),
    }
}

/// A certificate alone, as it is uploaded and as TLS takes it from a client.
pub(crate) fn certificate(data: &[u8]) {
    if let Ok(read) = KeyedCertificate::from_cer(data) {
        check(&read);
        assert!(read.key.is_none());
    }
    let shown = PeerCertificate::from_der(data);
    assert_eq!(shown.sha1_thumbprint().to_string().len(), 40);
    let _ = ParsedCertificate::try_from(&CertificateDer::from(data));
}

fn check(read: &KeyedCertificate) {
    assert!(read.chain.len() <= CHAIN_MAX);
    for certificate in std::iter::once(&read.certificate).chain(&read.chain) {
        assert!(certificate.der().len() <= CERTIFICATE_BYTES_MAX);
    }
}
