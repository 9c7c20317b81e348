//! Servers of other protocols that do the same works. One that this machine has not is told on the page.

mod garage;
mod nginx;
mod postgres;
mod rabbit;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::storage::against::Against;
use crate::storage::error::StorageError;
use crate::storage::slice::{Figures, measure};
use crate::storage::work::Work;

/// Where the peers' programs are.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The nginx program
    #[arg(long, value_name = "FILE", default_value = "/usr/sbin/nginx")]
    pub nginx: PathBuf,
    /// The folder of PostgreSQL's versions
    #[arg(long, value_name = "FOLDER", default_value = "/usr/lib/postgresql")]
    pub postgres: PathBuf,
    /// RabbitMQ's folder of programs
    #[arg(long, value_name = "FOLDER", default_value = "/usr/lib/rabbitmq/bin")]
    pub rabbitmq: PathBuf,
    /// The garage program
    #[arg(long, value_name = "FILE", default_value = "garage")]
    pub garage: PathBuf,
}

/// Those that run, and why the others do not.
#[derive(Debug, Default)]
pub struct Peers {
    nginx: Option<nginx::Nginx>,
    postgres: Option<postgres::Postgres>,
    rabbit: Option<rabbit::Rabbit>,
    garage: Option<garage::Garage>,
    missing: BTreeMap<Against, String>,
}

impl Peers {
    /// Starts what can be started, in `folder`, on ports from `first_port` up.
    pub async fn start(arguments: &Arguments, folder: &Path, first_port: u16) -> Self {
        let mut peers = Self::default();
        let nginx = nginx::Nginx::start(&arguments.nginx, folder, first_port).await;
        peers.nginx = peers.or_missing(Against::Nginx, nginx);
        let postgres = postgres::Postgres::start(&arguments.postgres, folder, first_port + 1).await;
        peers.postgres = peers.or_missing(Against::Postgres, postgres);
        let rabbit = rabbit::Rabbit::start(&arguments.rabbitmq, folder, first_port + 2).await;
        peers.rabbit = peers.or_missing(Against::Rabbit, rabbit);
        let garage = garage::Garage::start(&arguments.garage, folder, first_port + 5).await;
        peers.garage = peers.or_missing(Against::Garage, garage);
        peers
    }

    fn or_missing<T>(&mut self, peer: Against, started: Result<T, StorageError>) -> Option<T> {
        started.inspect_err(|error| self.miss(peer, error)).ok()
    }

    /// Notes why figures of a peer are missing.
    pub fn miss(&mut self, peer: Against, error: &StorageError) {
        eprintln!("storage: without {peer}: {error}");
        self.missing.entry(peer).or_insert_with(|| error.to_string());
    }

    /// What one of them does; `None` when it does not run, or does not do such work.
    pub async fn slice(
        &mut self,
        peer: Against,
        work: Work,
        connections: usize,
        prefix: &str,
        duration: Duration,
    ) -> Option<Figures> {
        if !peer.does(work) || self.missing.contains_key(&peer) {
            return None;
        }
        let measured = match peer {
            Against::Nginx => measure_some(self.nginx.as_ref(), work, connections, prefix, duration).await,
            Against::Postgres => {
                measure_some(self.postgres.as_ref(), work, connections, prefix, duration).await
            }
            Against::Rabbit => measure_some(self.rabbit.as_ref(), work, connections, prefix, duration).await,
            Against::Garage => measure_some(self.garage.as_ref(), work, connections, prefix, duration).await,
            Against::Azurite | Against::Disk => return None,
        };
        measured.inspect_err(|error| self.miss(peer, error)).ok()
    }

    /// Ends them all; says which were missing and why.
    pub async fn stop(self) -> Result<BTreeMap<Against, String>, StorageError> {
        if let Some(nginx) = self.nginx {
            nginx.stop().await?;
        }
        if let Some(postgres) = self.postgres {
            postgres.stop().await?;
        }
        if let Some(rabbit) = self.rabbit {
            rabbit.stop().await?;
        }
        if let Some(garage) = self.garage {
            garage.stop().await?;
        }
        Ok(self.missing)
    }
}

/// A server that can be worked on.
trait Peer {
    type Worker: crate::storage::slice::Worker;

    /// A connection that does a work. No two of a run have the same `prefix`.
    async fn worker(&self, work: Work, prefix: String) -> Result<Self::Worker, StorageError>;
}

async fn measure_some<P: Peer>(
    peer: Option<&P>,
    work: Work,
    connections: usize,
    prefix: &str,
    duration: Duration,
) -> Result<Figures, StorageError> {
    let peer = peer.ok_or_else(|| StorageError::Peer("it does not run".to_owned()))?;
    let mut workers = Vec::new();
    for number in 0..connections {
        workers.push(peer.worker(work, format!("{prefix}-{number}")).await?);
    }
    measure(workers, duration).await
}
