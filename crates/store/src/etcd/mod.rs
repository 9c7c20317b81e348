//! Rows in etcd, for state that several processes share, of which one leads.
//!
//! | etcd key | what |
//! |---|---|
//! | `<prefix>/rows/` and the stored key of the embedded backend | the row's value |
//! | `<prefix>/elections/<name>` | who leads, while its lease lives |
//!
//! A row's version is the key's `mod_revision`; a commit is one transaction that compares what it checks. etcd is
//! spoken to over its JSON gateway (<https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/>), so that neither a
//! second HTTP nor a compiler for its protocol is needed; keys and values travel in base64.
//!
//! * A read asks member after member until one answers. A commit is sent once: when its answer is lost nobody
//!   knows whether it happened, and the caller reads again.
//! * The commits of a leader compare the creation of its election's key as well (a fence), so that a leader that was
//!   paused or cut off writes nothing once another leads, whatever it believes.
//! * There are no extents.

mod calls;
mod client;
mod commit;
mod election;
mod rows;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use welkin_base::Thumbprint;
use welkin_pki::{Identity, PkiError};

pub use commit::{COMMIT_BYTES_MAX, OPERATIONS_MAX};
pub use election::{Election, LEASE_SECONDS, Standing, Term};

use client::Members;
use rows::Rows;

/// A member of the etcd cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EtcdMember {
    /// Where it serves clients.
    pub address: SocketAddr,
    /// Thumbprint (SHA-256) of its certificate.
    pub thumbprint: Thumbprint,
}

/// An etcd cluster and the part of its keys that is ours. Clones share connections.
#[derive(Debug, Clone)]
pub struct Etcd {
    members: Arc<Members>,
    prefix: String,
    /// The highest revision that was seen.
    seen: Arc<AtomicU64>,
}

impl Etcd {
    /// The cluster of these members, to which `identity` is shown. All keys begin with `prefix`. Nothing is connected
    /// yet.
    ///
    /// # Errors
    /// When the identity cannot be used.
    pub fn new(members: &[EtcdMember], identity: &Identity, prefix: &str) -> Result<Self, PkiError> {
        let members = Arc::new(Members::new(members, identity)?);
        Ok(Self { members, prefix: prefix.to_owned(), seen: Arc::default() })
    }

    pub(crate) fn backend(&self, term: Option<&Term>) -> Rows {
        Rows::new(self.clone(), term.map(Term::fence))
    }
}
