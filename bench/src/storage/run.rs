//! The run: both servers side by side, measured in turn.

use std::collections::{BTreeMap, HashSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use welkin_storage_wire::Service;

use crate::storage::against::Against;
use crate::storage::error::StorageError;
use crate::storage::limit::Limit;
use crate::storage::peers::{self, Peers};
use crate::storage::report::{Report, Round};
use crate::storage::seed::seed;
use crate::storage::server::{Server, start_azurite, start_welkin};
use crate::storage::slice::{Figures, measure};
use crate::storage::work::{CONNECTIONS, Work};
use crate::storage::worker::StorageWorker;

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
    /// Added to the ports 10000 to 10002; Azurite has those after Welkin's, and other peers 10020 to 10026
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u16).range(..=50_000))]
    pub port_offset: u16,
    #[command(flatten)]
    pub peers: peers::Arguments,
}

/// The first port of the other peers, before the offset is added.
const PEERS_PORT: u16 = 10_020;
/// Some peers run as users of their own, who must come to their folders in the bench's.
const PASSABLE: u32 = 0o711;

/// What one run has at hand.
struct Bench {
    welkin: Server,
    azurite: Server,
    peers: Peers,
    limit: Limit,
    duration: Duration,
    /// What Welkin answers with 501.
    not_built: HashSet<Service>,
    report: Report,
}

/// Measures in a new folder inside `folder`, `rounds` times.
pub fn run(arguments: &Arguments, folder: &Path, rounds: usize) -> Result<Report, StorageError> {
    let folder = tempfile::tempdir_in(folder)?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(PASSABLE))?;
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
    async fn prepare(arguments: &Arguments, folder: &Path) -> Result<Self, StorageError> {
        let offset = arguments.port_offset;
        let script = arguments.azurite.join("node_modules/azurite/dist/src/azurite.js");
        let welkin = start_welkin(&arguments.welkin, folder, &folder.join("welkin"), offset).await?;
        let azurite = start_azurite(&arguments.node, &script, folder, offset + 3).await?;
        let mut not_built = HashSet::new();
        for service in SERVICES {
            eprintln!("storage: data for {service:?}");
            match seed(&welkin.account, service).await {
                Err(error) if error.is_not_built() => {
                    not_built.insert(service);
                }
                other => other.map_err(|error| during("preparing", service, welkin.process.name, error))?,
            }
            let seeded = seed(&azurite.account, service).await;
            seeded.map_err(|error| during("preparing", service, azurite.process.name, error))?;
        }
        eprintln!("storage: peers");
        let peers = Peers::start(&arguments.peers, folder, PEERS_PORT + offset).await;
        let duration = Duration::from_secs_f64(arguments.seconds);
        let limit = Limit::prepare(folder)?;
        Ok(Self { welkin, azurite, peers, limit, duration, not_built, report: Report::default() })
    }

    async fn measure_all(&mut self, round: usize) -> Result<(), StorageError> {
        for work in Work::ALL {
            for connections in CONNECTIONS {
                let prefix = format!("r{round}-c{connections}");
                let round = self.measure(work, connections, &prefix).await?;
                self.report.add(work, connections, round);
            }
        }
        Ok(())
    }

    /// Welkin and all that do the same work, one right after the other.
    async fn measure(&mut self, work: Work, connections: usize, prefix: &str) -> Result<Round, StorageError> {
        let mut others = BTreeMap::new();
        let limit = self.limit.rate(work, connections, self.duration).await?;
        others.extend(limit.map(|rate| (Against::Disk, Figures::of_rate(rate))));
        let welkin = match self.not_built.contains(&work.service()) {
            true => None,
            false => self.slice(&self.welkin, work, connections, prefix).await?,
        };
        match self.slice(&self.azurite, work, connections, prefix).await {
            Ok(azurite) => others.extend(azurite.map(|figures| (Against::Azurite, figures))),
            // On a busy machine it may not answer in time; the page says so, and the run goes on.
            Err(error) => self.peers.miss(Against::Azurite, &error),
        }
        for peer in Against::ALL {
            let figures = self.peers.slice(peer, work, connections, prefix, self.duration).await;
            others.extend(figures.map(|figures| (peer, figures)));
        }
        Ok(Round { welkin, others })
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
                let (work, server) = (work.to_string(), server.process.name);
                Err(StorageError::Work { work, connections, server, source: Box::new(error) })
            }
        }
    }

    async fn finish(self) -> Result<Report, StorageError> {
        let mut report = self.report;
        report.missing = self.peers.stop().await?;
        for Server { process, .. } in [self.welkin, self.azurite] {
            if let Some(kib) = process.memory_kib() {
                report.memory.push((process.name, kib / 1024));
            }
            process.stop().await?;
        }
        Ok(report)
    }
}

fn during(what: &str, service: Service, server: &'static str, error: StorageError) -> StorageError {
    let work = format!("{what} {service:?}");
    StorageError::Work { work, connections: 1, server, source: Box::new(error) }
}
