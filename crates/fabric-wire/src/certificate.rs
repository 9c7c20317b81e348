//! Service certificates as management hands them to the FC for keeping.

use std::fmt;

use serde::{Deserialize, Serialize};
use welkin_base::{ServiceName, Sha1Thumbprint, SubscriptionId};

/// A certificate with its chain and sealed private key in bytes of JSON, at most.
pub const CERTIFICATE_BYTES_MAX: usize = 256 << 10;

/// A service certificate. `Debug` does not show the sealed key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceCertificate {
    /// The certificate, its issuer and so on, DER in base64. The first is the one that the thumbprint is of.
    pub chain: Vec<String>,
    /// The private key (PKCS#8), sealed to [`FabricIdentity::certificate_recipient`](crate::FabricIdentity) and bound
    /// to [`storage_context`], in base64; `None` for a certificate without one.
    pub sealed_key: Option<String>,
}

impl fmt::Debug for ServiceCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceCertificate")
            .field("with_key", &self.sealed_key.is_some())
            .finish_non_exhaustive()
    }
}

/// A certificate that the FC keeps: an entry of `GET /v1/certificates`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptCertificate {
    /// Whose.
    pub subscription: SubscriptionId,
    /// Of which hosted service.
    pub service: ServiceName,
    /// Which one.
    pub thumbprint: Sha1Thumbprint,
    /// Seconds since it was put here.
    pub age_seconds: u64,
}

/// What a private key is bound to while it is kept: it is of use for this hosted service and certificate only.
#[must_use]
pub fn storage_context(
    subscription: &SubscriptionId,
    service: &ServiceName,
    thumbprint: &Sha1Thumbprint,
) -> String {
    let service = service.as_str().to_ascii_lowercase();
    format!("subscription {subscription} service {service} certificate {thumbprint}")
}
