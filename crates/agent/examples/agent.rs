//! A fabric agent alone, from a configuration file: `agent <config.toml>`. It runs until SIGTERM; with
//! `agent <config.toml> end` it ends everything that an agent has started with this configuration.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use welkin_agent::{Config, end_everything, run};

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    match start().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn start() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("usage: agent <config.toml> [end]")?;
    let config: Config = toml::from_str(&std::fs::read_to_string(path)?)?;
    if arguments.next().as_deref() == Some("end") {
        return Ok(end_everything(&config).await?);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let shutdown = async move {
        terminate.recv().await;
    };
    Ok(run(config, shutdown).await?)
}
