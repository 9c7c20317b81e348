//! The storage service and Azurite, the same requests in turn, beside what the disk can do.

mod account;
mod connection;
mod error;
mod limit;
mod machine;
mod report;
mod run;
mod server;
mod slice;
mod work;
mod worker;

pub use machine::Machine;
pub use report::Report;
pub use run::{Arguments, run};
