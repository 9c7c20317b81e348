//! Management certificates: who may manage a subscription.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use welkin_base::Timestamp;

use crate::error::ApiError;
use crate::xml::{Element, read};

/// Management certificates of a subscription, at most (SMAPI §6, "Management certificates").
pub const CERTIFICATES_MAX: usize = 25;

/// What "Add Management Certificate" says. What it claims of the certificate must be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCertificate {
    /// The certificate, in DER.
    pub data: Vec<u8>,
    /// What it claims to be the SHA-1 thumbprint.
    pub thumbprint: Option<String>,
    /// What it claims to be the public key.
    pub public_key: Option<Vec<u8>>,
}

impl AddCertificate {
    /// Reads the request's body. Thumbprint and public key follow from the certificate, so they may be absent.
    ///
    /// # Errors
    /// When it is not such a body.
    pub fn parse(body: &[u8]) -> Result<Self, ApiError> {
        read(body, "SubscriptionCertificate", |fields| {
            let data =
                decode("SubscriptionCertificateData", &fields.required("SubscriptionCertificateData")?)?;
            let public_key = fields.text("SubscriptionCertificatePublicKey")?;
            let public_key =
                public_key.map(|text| decode("SubscriptionCertificatePublicKey", &text)).transpose()?;
            Ok(Self { data, thumbprint: fields.text("SubscriptionCertificateThumbprint")?, public_key })
        })
    }
}

fn decode(name: &str, text: &str) -> Result<Vec<u8>, ApiError> {
    let packed: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(packed).map_err(|_| ApiError::bad_request(format!("{name} is not base64")))
}

/// A management certificate as it is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagementCertificate {
    /// The contents of its public key: for RSA the PKCS#1 `RSAPublicKey`, not the `SubjectPublicKeyInfo` around it.
    pub public_key: Vec<u8>,
    /// Its SHA-1 thumbprint.
    pub thumbprint: String,
    /// The certificate, in DER.
    pub data: Vec<u8>,
    /// When it was registered.
    pub created: Timestamp,
}

impl ManagementCertificate {
    /// The element `SubscriptionCertificate`.
    #[must_use]
    pub fn element(&self) -> Element {
        Element::new("SubscriptionCertificate")
            .with("SubscriptionCertificatePublicKey", STANDARD.encode(&self.public_key))
            .with("SubscriptionCertificateThumbprint", &self.thumbprint)
            .with("SubscriptionCertificateData", STANDARD.encode(&self.data))
            .with("Created", self.created.to_iso7())
    }
}

/// The element `SubscriptionCertificates`.
#[must_use]
pub fn list(certificates: &[ManagementCertificate]) -> Element {
    let elements = certificates.iter().map(ManagementCertificate::element);
    Element::new("SubscriptionCertificates").children(elements)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let body = |parts: &str| format!("<SubscriptionCertificate>{parts}</SubscriptionCertificate>");
        let data = "<SubscriptionCertificateData>YW\nJj</SubscriptionCertificateData>";
        let thumbprint = "<SubscriptionCertificateThumbprint>AB</SubscriptionCertificateThumbprint>";
        for (parts, expected) in [
            (format!("{data}{thumbprint}"), Ok(Some("AB"))),
            (data.to_owned(), Ok(None)),
            (thumbprint.to_owned(), Err("SubscriptionCertificateData is missing")),
            (data.replace("YW", "!!"), Err("SubscriptionCertificateData is not base64")),
            (
                format!("{data}<SubscriptionCertificatePublicKey>!</SubscriptionCertificatePublicKey>"),
                Err("SubscriptionCertificatePublicKey is not base64"),
            ),
        ] {
            match (AddCertificate::parse(body(&parts).as_bytes()), expected) {
                (Ok(got), Ok(thumbprint)) => {
                    assert_eq!((got.data.as_slice(), got.thumbprint.as_deref()), (&b"abc"[..], thumbprint));
                }
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{parts}: {error}"),
                (got, _) => panic!("{parts}: {got:?}"),
            }
        }
    }
}
