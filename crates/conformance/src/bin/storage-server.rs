//! The storage service as a process of its own, for tests that kill it.
//!
//! Arguments: the data folder, then the addresses of blobs, queues and tables. It ends when its standard input
//! does, so that it never outlives the test that started it.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use welkin_storage_service::{Config, run};

fn config() -> Option<Config> {
    let mut arguments = std::env::args().skip(1);
    let data_folder = arguments.next()?.into();
    let mut address = || arguments.next()?.parse::<SocketAddr>().ok();
    let (blob, queue, table) = (address()?, address()?, address()?);
    Some(Config {
        data_folder,
        blob_listen: vec![blob],
        queue_listen: vec![queue],
        table_listen: vec![table],
        dev: true,
        ..Config::default()
    })
}

#[tokio::main]
async fn main() -> ExitCode {
    let Some(config) = config() else {
        eprintln!("usage: storage-server FOLDER BLOB QUEUE TABLE");
        return ExitCode::FAILURE;
    };
    let parent_ended = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    let shutdown = async {
        let _ = parent_ended.await;
    };
    match run(config, shutdown).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
