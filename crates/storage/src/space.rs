//! The spaces of the store and what their keys are. Numbers are stored and never change.
//!
//! | space | partition | key | value |
//! |---|---|---|---|
//! | accounts | account name | empty | account |
//! | containers | account uid, container name | empty | container |
//! | | | `a` | a container that is being renamed to that name |
//! | | | `d`, moment (8 bytes, big-endian) | a container of that name that was deleted then |
//! | | | `f`, container uid | which name a container of that name was renamed to |
//! | blobs | container uid, blob name | empty | blob: properties, and content where it is small |
//! | | | as `blob/row.rs` says | its blocks, pages, snapshots and versions |
//! | tables | account uid, table name in lower case | empty | table |
//! | entities | table uid, partition key | row key | entity |
//! | queues | account uid, queue name | empty | queue |
//! | messages | uid of the queue's messages | `v`, visible time, id | message, with a short text |
//! | | | `i`, id | a long text, or nothing |
//! | due | moment (8 bytes, big-endian) | kind, partition of a blob or container | empty; something there ceases to exist then |
//! | copies | container uid, blob name | copy id | what a server that starts needs to know of a pending copy |
//! | garbage | uid | empty | what was deleted under the uid, for the cleaner |
//! | | container uid, blob name | empty | the blob may have rows that nothing needs any more, for the cleaner |
//!
//! Uids have 16 bytes. An account's uid and a container's uid are new with each creation, so that all that
//! was under a deleted one cannot be reached from the moment of the deletion.

use welkin_store::Space;

/// Storage accounts.
pub const ACCOUNTS: Space = Space::new(1, "accounts");
/// Containers of blobs.
pub const CONTAINERS: Space = Space::new(2, "containers");
/// Blobs and their blocks.
pub const BLOBS: Space = Space::new(3, "blobs");
/// Uids whose contents are to be removed.
pub const GARBAGE: Space = Space::new(4, "garbage");
/// Moments at which something ceases to exist.
pub const DUE: Space = Space::new(5, "due");
/// Copies that are pending.
pub const COPIES: Space = Space::new(6, "copies");
/// Tables.
pub const TABLES: Space = Space::new(10, "tables");
/// Entities.
pub const ENTITIES: Space = Space::new(11, "entities");
/// Queues.
pub const QUEUES: Space = Space::new(20, "queues");
/// Messages.
pub const MESSAGES: Space = Space::new(21, "messages");
