//! What role code links: its environment, and its storage account.
//!
//! * [`RoleEnvironment`]: who this instance is, its settings, endpoints and folders.
//! * [`on_change`]: what the role does when its environment changes as it runs.
//! * [`role_socket`]: the way to the guest agent: [`ready`] and [`busy`].
//! * [`certificate()`]: a certificate of the role, to sign and to serve TLS with; the private key stays with the agent.
//! * [`StorageAccount`]: from a connection string; then
//!   [`Container`] of blobs, [`Queue`] of messages, [`Table`] of entities.
//!
//! ```no_run
//! use welkin_sdk::{RoleEnvironment, StorageAccount};
//! let environment = RoleEnvironment::current()?;
//! let account = StorageAccount::from_connection_string(&environment.setting("StorageConnectionString")?)?;
//! let pictures = account.container("pictures");
//! pictures.create_if_missing()?;
//! pictures.put("hello.txt", "text/plain", b"hello")?;
//! welkin_sdk::ready()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod account;
pub mod blob;
pub mod certificate;
pub mod change;
pub mod entity;
pub mod error;
pub mod message;
pub mod role_environment;
pub mod role_socket;

pub use account::StorageAccount;
pub use blob::{Blob, Container};
pub use certificate::{Certificate, CertificateError, certificate};
pub use change::{Answer, on_change};
pub use entity::{Page, Table};
pub use error::StorageError;
pub use message::{Message, Queue};
pub use role_environment::{EnvironmentError, RoleEnvironment};
pub use role_socket::{busy, ready};
pub use welkin_agent_wire::EnvironmentChange;
