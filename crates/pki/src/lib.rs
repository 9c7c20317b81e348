//! Certificates, thumbprints, and mutual TLS set-up.
//!
//! Inside the cloud a peer is known by its certificate's thumbprint and by nothing else: no chain, no
//! name and no date is asked, and the thumbprint decides the access level. TLS itself is rustls with *ring*.

pub mod authority;
pub mod identity;
pub mod thumbprint;
pub mod tls;

pub use authority::Authority;
pub use identity::{Identity, PkiError};
pub use thumbprint::{PeerCertificate, Sha1Thumbprint, Thumbprint, ThumbprintError};
pub use tls::{ClientAuth, ServerAuth, client_config, public_server_config, server_config};
