//! The run: both servers side by side, measured in turn.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use welkin_storage_wire::Service;

use crate::storage::error::StorageError;
use crate::storage::limit::Limit;
use crate::storage::report::{Report, Round};
use crate::storage::server::{Server, start_azurite, start_welkin};
use crate::storage::slice::{Figures, measure};
use crate::storage::work::Work;
use crate::storage::worker::{StorageWorker, seed};

const SERVICES: [Service; 3] = [Service::Blob, Service::Queue, Service::Table];

/// How to measure the storage service.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The welkin program, built for release
    #[arg(long, value_name = "FILE")]
    pub welkin: PathBuf,
    /// The folder in which npm has installed Azurite
    #[arg(long, value_name = "FOLDER")]
    pub azurite: PathBuf,
    /// The node program that runs Azurite
    #[arg(long, value_name = "FILE", default_value = "node")]
    pub node: PathBuf,
    /// Duration of one measurement
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Added to the ports 10000 to 10002; Azurite has those after Welkin's
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u16).range(..=50_000))]
    pub port_offset: u16,
}

/// What one run has at hand.
struct Bench {
    welkin: Server,
    azurite: Server,
    limit: Limit,
    duration: Duration,
    /// What Welkin answers with 501.
    not_built: HashSet<Service>,
    report: Report,
}

/// Measures in a new folder inside `folder`, `rounds` times.
pub fn run(arguments: &Arguments, folder: &std::path::Path, rounds: usize) -> Result<Report, StorageError> {
    let folder = tempfile::tempdir_in(folder)?;
    // One thread for all connections: the other cores are for the servers.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut bench = Bench::prepare(arguments, folder.path()).await?;
        for round in 0..rounds {
            eprintln!("storage: round {} of {rounds}", round + 1);
            bench.measure_all(round).await?;
        }
        bench.finish().await
    })
}

impl Bench {
    async fn prepare(arguments: &Arguments, folder: &std::path::Path) -> Result<Self, StorageError> {
        let offset = arguments.port_offset;
        let script = arguments.azurite.join("node_modules/azurite/dist/src/azurite.js");
        let welkin = start_welkin(&arguments.welkin, folder, offset).await?;
        let azurite = start_azurite(&arguments.node, &script, folder, offset + 3).await?;
        let mut not_built = HashSet::new();
        for service in SERVICES {
            eprintln!("storage: data for {service:?}");
            match seed(&welkin.account, service).await {
                Err(error) if error.is_not_built() => {
                    not_built.insert(service);
                }
                other => other.map_err(|error| during("preparing", service, welkin.name, error))?,
            }
            let seeded = seed(&azurite.account, service).await;
            seeded.map_err(|error| during("preparing", service, azurite.name, error))?;
        }
        let duration = Duration::from_secs_f64(arguments.seconds);
        let limit = Limit::prepare(folder)?;
        Ok(Self { welkin, azurite, limit, duration, not_built, report: Report::default() })
    }

    async fn measure_all(&mut self, round: usize) -> Result<(), StorageError> {
        for (order, work) in Work::ALL.into_iter().enumerate() {
            for &connections in work.connections() {
                let prefix = format!("r{round}-c{connections}");
                let limit = self.limit.rate(work, connections, self.duration).await?;
                let welkin = match self.not_built.contains(&work.service()) {
                    true => None,
                    false => self.slice(&self.welkin, work, connections, &prefix).await?,
                };
                let azurite = self.slice(&self.azurite, work, connections, &prefix).await?;
                self.report.add(order, work, connections, Round { welkin, azurite, limit });
            }
        }
        Ok(())
    }

    /// `None` when the server has no such operation.
    async fn slice(
        &self,
        server: &Server,
        work: Work,
        connections: usize,
        prefix: &str,
    ) -> Result<Option<Figures>, StorageError> {
        let measured = async {
            let mut workers = Vec::new();
            for number in 0..connections {
                let prefix = format!("{prefix}-{number}");
                workers.push(StorageWorker::new(work, &server.account, prefix).await?);
            }
            measure(workers, self.duration).await
        };
        match measured.await {
            Ok(figures) => Ok(Some(figures)),
            Err(error) if error.is_not_built() => Ok(None),
            Err(error) => {
                let (work, server) = (work.to_string(), server.name);
                Err(StorageError::Work { work, connections, server, source: Box::new(error) })
            }
        }
    }

    async fn finish(self) -> Result<Report, StorageError> {
        let mut report = self.report;
        for server in [self.welkin, self.azurite] {
            if let Some(mib) = server.memory_mib() {
                report.add_memory(server.name, mib);
            }
            server.stop().await?;
        }
        Ok(report)
    }
}

fn during(what: &str, service: Service, server: &'static str, error: StorageError) -> StorageError {
    let work = format!("{what} {service:?}");
    StorageError::Work { work, connections: 1, server, source: Box::new(error) }
}
