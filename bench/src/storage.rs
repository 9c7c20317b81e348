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

pub use account::{Account, Call, NAME as ACCOUNT_NAME};
pub use connection::Keep;
pub use error::StorageError;
pub use growth::run as measure_growth;
pub use machine::Machine;
pub use process::{Process, Program};
pub use report::{Report, shown};
pub use run::{Arguments, run};
pub use slice::{Figures, Worker, figures_of, measure};
pub use worker::StorageWorker;
