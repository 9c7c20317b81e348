//! The storage service and its peers, the same work in turn, beside what the disk can do.

mod account;
mod against;
mod connection;
mod error;
mod growth;
mod limit;
mod machine;
mod peers;
mod process;
mod report;
mod run;
mod seed;
mod server;
mod slice;
mod work;
mod worker;

pub use growth::run as measure_growth;
pub use machine::Machine;
pub use report::Report;
pub use run::{Arguments, run};
