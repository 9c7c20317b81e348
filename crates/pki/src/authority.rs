//! The cluster's certificate authority: it signs server certificates for clients that others wrote,
//! which check a chain and a name.

use rcgen::{BasicConstraints, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::identity::{Identity, PkiError, params};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    identity: Identity,
}

impl Authority {
    /// Makes a new authority.
    ///
    /// # Errors
    /// When `name` cannot stand in a certificate.
    pub fn generate(name: &str) -> Result<Self, PkiError> {
        let make = |source| PkiError::Make { name: name.to_owned(), source };
        let key = KeyPair::generate().map_err(make)?;
        let mut params = params(name, &[]).map_err(make)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.extended_key_usages.clear();
        let certificate = params.self_signed(&key).map_err(make)?;
        Ok(Self { identity: Identity::from_pem(&certificate.pem(), &key.serialize_pem())? })
    }

    /// The authority whose certificate and key are `identity`.
    #[must_use]
    pub fn from_identity(identity: Identity) -> Self {
        Self { identity }
    }

    /// Its own certificate and key.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Makes a key pair and a certificate for `name`, valid for the DNS names and addresses `names`.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue(&self, name: &str, names: &[String]) -> Result<Identity, PkiError> {
        let make = |source| PkiError::Make { name: name.to_owned(), source };
        let own_key = KeyPair::from_pem(self.identity.key_pem()).map_err(make)?;
        let issuer = Issuer::from_ca_cert_pem(self.identity.certificate_pem(), own_key).map_err(make)?;
        let key = KeyPair::generate().map_err(make)?;
        let mut params = params(name, names).map_err(make)?;
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer).map_err(make)?;
        Identity::from_pem(&certificate.pem(), &key.serialize_pem())
    }
}
