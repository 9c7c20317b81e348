//! One enum names every operation of the protocol; a table says of each what it needs.
//!
//! A request head becomes one [`Operation`] or a protocol error. Authentication and authorization are
//! decided from its [`Spec`]; an operation that is not built is answered from one place.

pub mod blob;
pub mod queue;
pub mod table;

pub use blob::{BlobOperation, BlobResource};
pub use queue::{QueueOperation, QueueResource};
pub use table::{TableOperation, TableResource};

use crate::error::{ErrorCode, ProtocolError};
use crate::request::RequestHead;

/// One of the three services of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Containers and blobs.
    Blob,
    /// Queues and messages.
    Queue,
    /// Tables and entities.
    Table,
}

impl Service {
    /// As host names and canonical resources spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Queue => "queue",
            Self::Table => "table",
        }
    }

    /// Its letter in an account SAS's `ss`.
    #[must_use]
    pub const fn sas_letter(self) -> char {
        match self {
            Self::Blob => 'b',
            Self::Queue => 'q',
            Self::Table => 't',
        }
    }
}

/// The type of resource that an operation acts on, as the account SAS (`srt`) divides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResourceType {
    /// The service of an account: `s`.
    Service,
    /// A container, a queue, a table: `c`.
    Container,
    /// A blob, a message, an entity: `o`.
    Object,
}

impl ResourceType {
    /// Its letter in an account SAS's `srt`.
    #[must_use]
    pub const fn sas_letter(self) -> char {
        match self {
            Self::Service => 's',
            Self::Container => 'c',
            Self::Object => 'o',
        }
    }
}

/// Whether someone without credentials may do an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anonymous {
    /// Never.
    Never,
    /// When the container's public access is `container`.
    PublicContainer,
    /// When the container's public access is `container` or `blob`.
    PublicBlob,
    /// Always: CORS preflight.
    Always,
}

/// What the table says of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spec {
    /// Its name, as the Azure documentation has it.
    pub name: &'static str,
    /// Its service.
    pub service: Service,
    /// Whether this server does it.
    pub built: bool,
    /// What it acts on.
    pub resource: ResourceType,
    /// An account SAS needs one of these letters; an empty text means that none suffices.
    pub account_sas: &'static str,
    /// A service SAS needs one of these letters; an empty text means that none suffices.
    pub service_sas: &'static str,
    /// Whether it is done without credentials.
    pub anonymous: Anonymous,
    /// Whether it changes something; the secondary endpoint refuses it then.
    pub writes: bool,
}

/// Defines an enum of operations with its table.
macro_rules! operations {
    ($(#[$doc:meta])* $enum:ident, $service:ident;
     $($variant:ident, $name:literal, $built:ident, $resource:ident, $account:literal, $sas:literal,
       $anonymous:ident, $effect:ident;)*) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[allow(missing_docs, reason = "each variant's name in the documentation is in the table")]
        pub enum $enum { $($variant,)* }

        impl $enum {
            /// All of them, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// What the table says of it.
            #[must_use]
            pub const fn spec(self) -> $crate::operation::Spec {
                match self {
                    $(Self::$variant => $crate::operation::Spec {
                        name: $name,
                        service: $crate::operation::Service::$service,
                        built: operations!(@built $built),
                        resource: $crate::operation::ResourceType::$resource,
                        account_sas: $account,
                        service_sas: $sas,
                        anonymous: $crate::operation::Anonymous::$anonymous,
                        writes: operations!(@writes $effect),
                    },)*
                }
            }
        }
    };
    (@built Built) => { true };
    (@built NotBuilt) => { false };
    (@writes Writes) => { true };
    (@writes Reads) => { false };
}
pub(crate) use operations;

/// An operation of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Of the blob service.
    Blob(BlobOperation),
    /// Of the queue service.
    Queue(QueueOperation),
    /// Of the table service.
    Table(TableOperation),
}

impl Operation {
    /// The operation that a request asks for.
    ///
    /// # Errors
    /// When no operation has this method, path and query.
    pub fn route(head: &RequestHead) -> Result<Self, ProtocolError> {
        match head.service {
            Service::Blob => blob::route(head).map(Self::Blob),
            Service::Queue => queue::route(head).map(Self::Queue),
            Service::Table => table::route(head).map(Self::Table),
        }
    }

    /// What the table says of it.
    #[must_use]
    pub const fn spec(self) -> Spec {
        match self {
            Self::Blob(operation) => operation.spec(),
            Self::Queue(operation) => operation.spec(),
            Self::Table(operation) => operation.spec(),
        }
    }

    /// Every operation of the protocol.
    pub fn all() -> impl Iterator<Item = Self> {
        let blob = BlobOperation::ALL.iter().map(|o| Self::Blob(*o));
        let queue = QueueOperation::ALL.iter().map(|o| Self::Queue(*o));
        let table = TableOperation::ALL.iter().map(|o| Self::Table(*o));
        blob.chain(queue).chain(table)
    }
}

/// A known method on a resource that does not have it.
pub(crate) fn wrong_verb() -> ProtocolError {
    ErrorCode::UnsupportedHttpVerb.into()
}

/// A `comp` or `restype` that the resource does not have.
pub(crate) fn wrong_query(head: &RequestHead) -> ProtocolError {
    match (head.query.get("comp"), head.query.get("restype")) {
        (Some(comp), _) => ProtocolError::query("comp", comp),
        (None, Some(restype)) => ProtocolError::query("restype", restype),
        (None, None) => ErrorCode::InvalidUri.into(),
    }
}
