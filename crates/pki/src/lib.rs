//! Certificates, thumbprints, PKCS#12, sealing to a public key, and mutual TLS set-up.
//!
//! Inside the cloud a peer is known by its certificate's thumbprint and by nothing else: no chain, no
//! name and no date is asked, and the thumbprint decides the access level. TLS itself is rustls with *ring*.

pub mod authority;
pub mod certificate;
pub mod certificate_file;
pub mod identity;
pub mod pkcs12;
pub mod private_key;
pub mod seal;
pub mod thumbprint;
pub mod tls;

pub use authority::Authority;
pub use certificate_file::{CertificateFileError, KeyedCertificate};
pub use identity::{Identity, PkiError};
pub use private_key::{PrivateKey, PrivateKeyError};
pub use seal::{Recipient, SealError, UnsealingKey};
pub use thumbprint::PeerCertificate;
pub use tls::{ClientAuth, ServerAuth, client_config, public_server_config, server_config};
pub use welkin_base::{Sha1Thumbprint, Thumbprint, ThumbprintError};
