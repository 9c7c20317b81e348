//! The store's contract, as any backend keeps it, and what the embedded backend adds: recovery.

mod extents;
mod rows;
mod store;
