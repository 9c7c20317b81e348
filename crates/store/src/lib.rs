//! One abstraction for everything that must last: ordered rows with conditional atomic
//! commits, and extents of bytes.
//!
//! * A *row* is `(space, partition, key) -> (value, version)`. A *space* is ordered by
//!   (partition, key) in byte order, across its partitions, so listing is a scan.
//! * A *partition* is the unit of atomicity: a commit checks and writes rows of one partition.
//! * An *extent* is an immutable run of bytes. Its bytes are durable before a row names it, so a
//!   crash leaves garbage and never a hole.
//!
//! Every change of state is read, compute, commit-if-unchanged. There are no locks and there is
//! no other way to write. The store does not know what is stored.
//!
//! ```text
//! let store = Store::open_local(path).await?;
//! let row = store.get(SPACE, b"partition", b"key").await?;
//! store.commit(Commit::new(SPACE, b"partition").check_absent(b"key").put(b"key", value)).await?;
//! ```
//!
//! There are two backends: `local`, embedded, in a folder that one process has; and [`etcd`], for rows that several
//! processes have, of which one leads.

pub mod backup;
pub mod commit;
pub mod error;
pub mod extent;
pub mod moment;
pub mod row;
pub mod stats;

pub mod etcd;

mod backend;
mod local;

pub use backend::Store;
pub use commit::{Check, Commit, CommitError, Write};
pub use error::StoreError;
pub use etcd::{Election, Etcd, EtcdMember, Standing, Term};
pub use extent::{ExtentRef, ExtentWriter};
pub use local::{
    COMMIT_BYTES_MAX, CheckFrom, CheckRange, CheckedRow, CheckedRows, EXTENT_BYTES_MAX, KEY_BYTES_MAX,
    LocalOptions, PARTITION_BYTES_MAX, READ_BYTES, VALUE_BYTES_MAX,
};
pub use moment::{Moment, Snapshot};
pub use row::{Row, ScanFrom, ScanRange, Space, Version};
pub use stats::StoreStats;
