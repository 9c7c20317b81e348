//! How cost grows with what is stored: the same works with ten thousand, a million and ten million items.

mod load;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use welkin_storage_wire::Service;

use crate::report::median;
use crate::storage::error::StorageError;
use crate::storage::machine::Machine;
use crate::storage::run::Arguments;
use crate::storage::server::{Server, start_welkin};
use crate::storage::slice::{Worker as _, measure};
use crate::storage::work::{SMALL_BYTES, Work};
use crate::storage::worker::StorageWorker;

pub use report::Growth;

/// Blobs of 4 KiB, then entities: how many of each are there when it is measured.
const BLOBS: [usize; 2] = [10_000, 1_000_000];
const ENTITIES: [usize; 3] = [10_000, 1_000_000, 10_000_000];
/// At how many connections.
const CONNECTIONS: usize = 16;
/// After this time without a request, memory is what an idle server has.
const IDLE: Duration = Duration::from_secs(5);
/// Reads that a worker signs before a slice: together they hit much more than any cache of rows holds.
const READS_SIGNED: usize = 2_000;

/// What was found with so many items.
#[derive(Debug, Clone, PartialEq)]
struct Step {
    items: usize,
    /// Items per second while they were loaded.
    load_rate: f64,
    /// Operations per second of each work.
    rates: Vec<(Work, f64)>,
    /// From the start of the process to the first answer, after a stop and after a kill.
    start_s: f64,
    start_after_kill_s: f64,
    /// Resident memory: idle after the start, and after the works.
    idle_kib: u64,
    worked_kib: u64,
    disk_bytes: u64,
}

/// What one kind of item is measured in.
#[derive(Debug)]
struct Place<'a> {
    service: Service,
    arguments: &'a Arguments,
    rounds: usize,
    folder: PathBuf,
}

/// Measures in a new folder inside `folder`.
pub fn run(
    arguments: &Arguments,
    folder: &Path,
    rounds: usize,
    machine: &Machine,
) -> Result<Growth, StorageError> {
    let folder = tempfile::tempdir_in(folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let place = |service| Place { service, arguments, rounds, folder: folder.path().to_owned() };
        let blobs = place(Service::Blob).steps(&BLOBS).await?;
        std::fs::remove_dir_all(place(Service::Blob).data())?;
        let entities = place(Service::Table).steps(&ENTITIES).await?;
        Ok(Growth { machine: machine.to_string(), rounds, blobs, entities })
    })
}

impl Place<'_> {
    fn data(&self) -> PathBuf {
        self.folder.join(format!("{:?}", self.service))
    }

    async fn start(&self) -> Result<Server, StorageError> {
        let arguments = self.arguments;
        start_welkin(&arguments.welkin, &self.folder, &self.data(), arguments.port_offset).await
    }

    async fn steps(&self, sizes: &[usize]) -> Result<Vec<Step>, StorageError> {
        let mut steps: Vec<Step> = Vec::new();
        let mut server = self.start().await?;
        load::prepare(&server.account, self.service).await?;
        for &items in sizes {
            eprintln!("growth: {items} items of {:?}", self.service);
            let there = steps.last().map_or(0, |step| step.items);
            let begin = Instant::now();
            server = match self.service {
                Service::Table => {
                    server.process.stop().await?;
                    load::entities(&self.data(), there..items).await?;
                    self.start().await?
                }
                _ => {
                    load::blobs(&server.account, there..items).await?;
                    server
                }
            };
            let load_rate = (items - there) as f64 / begin.elapsed().as_secs_f64();
            let (step, same) = self.step(server, items, load_rate).await?;
            steps.push(step);
            server = same;
        }
        server.process.stop().await?;
        Ok(steps)
    }

    async fn step(
        &self,
        server: Server,
        items: usize,
        load_rate: f64,
    ) -> Result<(Step, Server), StorageError> {
        server.process.stop().await?;
        let disk_bytes = load::disk_bytes(&self.data())?;
        let (server, start_s) = self.first_answer(items).await?;
        tokio::time::sleep(IDLE).await;
        let idle_kib = server.process.memory_kib().unwrap_or(0);
        let mut rates = Vec::new();
        for work in works(self.service) {
            rates.push((work, self.rate(&server, work, items).await?));
        }
        let worked_kib = server.process.memory_kib().unwrap_or(0);
        server.process.kill().await?;
        let (server, start_after_kill_s) = self.first_answer(items).await?;
        let step =
            Step { items, load_rate, rates, start_s, start_after_kill_s, idle_kib, worked_kib, disk_bytes };
        Ok((step, server))
    }

    /// Starts the server and reads one item.
    async fn first_answer(&self, items: usize) -> Result<(Server, f64), StorageError> {
        let begin = Instant::now();
        let server = self.start().await?;
        let work = if self.service == Service::Blob { Work::GetBlob(SMALL_BYTES) } else { Work::GetEntity };
        let targets = vec![target(work, rand::random_range(0..items))];
        let mut worker = StorageWorker::reading(work, &server.account, String::new(), targets).await?;
        worker.work().await?;
        Ok((server, begin.elapsed().as_secs_f64()))
    }

    async fn rate(&self, server: &Server, work: Work, items: usize) -> Result<f64, StorageError> {
        let mut rates = Vec::new();
        for round in 0..self.rounds {
            let mut workers = Vec::new();
            for number in 0..CONNECTIONS {
                let count = if work.reads_many() { 1 } else { READS_SIGNED };
                let targets = (0..count).map(|_| target(work, rand::random_range(0..items))).collect();
                let prefix = format!("new-{items}-{round}-{number}");
                workers.push(StorageWorker::reading(work, &server.account, prefix, targets).await?);
            }
            rates.push(measure(workers, Duration::from_secs_f64(self.arguments.seconds)).await?.rate);
        }
        Ok(median(rates.into_iter()))
    }
}

/// What is measured of a service.
fn works(service: Service) -> [Work; 3] {
    match service {
        Service::Table => [Work::GetEntity, Work::QueryEntities, Work::InsertEntity],
        _ => [Work::GetBlob(SMALL_BYTES), Work::ListBlobs, Work::PutBlob(SMALL_BYTES)],
    }
}

/// Where a work reads the item of this number, or as many as one answer holds around it.
fn target(work: Work, number: usize) -> String {
    match work {
        Work::ListBlobs => load::list_target(number),
        Work::GetEntity => load::entity_target(number),
        Work::QueryEntities => load::range_target(number),
        _ => load::blob_target(number),
    }
}
