//! What the API costs as a subscription's services grow.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::task::JoinSet;

use super::cloud::{Cloud, Subscription};
use super::connection::{Connection, Door};
use super::work::create_service;
use crate::report::median;
use crate::storage::{StorageError, Worker, figures_of, measure};

/// How many services there are when it is measured.
const SIZES: [usize; 3] = [10, 1_000, 10_000];
/// Connections that make services before it is measured.
const MAKERS: usize = 16;
/// Services that are made, and deleted again, to see how long one more takes.
const MORE: usize = 50;

/// What was found with so many services.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Services of the subscription.
    pub services: usize,
    /// "Get Hosted Service" of any of them, in a second, over one connection.
    pub gets: f64,
    /// "List Hosted Services", in a second, over one connection.
    pub lists: f64,
    /// How long the list is.
    pub list_bytes: usize,
    /// "Get Subscription", in a second, over one connection: it tells how much is used.
    pub usages: f64,
    /// Half of the creations of one more took no longer.
    pub create_p50_ms: f64,
    /// Resident memory after that.
    pub memory_kib: u64,
    /// From the start after a crash to the first answer.
    pub start_s: f64,
}

/// Measures at each size.
pub async fn run(mut cloud: Cloud, rounds: usize, seconds: f64) -> Result<(Cloud, Vec<Step>), StorageError> {
    let (door, mut steps) = (cloud.door(Subscription::Growing), Vec::new());
    let mut there = 0;
    for services in SIZES {
        eprintln!("management: {services} services");
        make(&door, there..services).await?;
        there = services;
        let mut rates = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..rounds {
            for (rates, read) in rates.iter_mut().zip([Read::One, Read::All, Read::Usage]) {
                let connection = Connection::open(&door).await?;
                let reader = Reader { connection, read, services };
                rates.push(measure(vec![reader], Duration::from_secs_f64(seconds)).await?.rate);
            }
        }
        let [gets, lists, usages] = rates.map(|rates| median(rates.into_iter()));
        let list_bytes = Connection::open(&door).await?.get("services/hostedservices").await?.body.len();
        let create_p50_ms = one_more(&door).await?;
        let memory_kib = cloud.management.memory_kib().unwrap_or(0);
        let (again, start) = cloud.crash().await?;
        cloud = again;
        let start_s = start.as_secs_f64();
        steps.push(Step { services, gets, lists, list_bytes, usages, create_p50_ms, memory_kib, start_s });
    }
    Ok((cloud, steps))
}

fn name(number: usize) -> String {
    format!("grown-{number:06}")
}

async fn make(door: &Door, numbers: std::ops::Range<usize>) -> Result<(), StorageError> {
    let mut makers = JoinSet::new();
    for maker in 0..MAKERS {
        let (door, numbers) = (door.clone(), numbers.clone());
        makers.spawn(async move {
            let mut connection = Connection::open(&door).await?;
            for number in numbers.skip(maker).step_by(MAKERS) {
                create_service(&mut connection, &name(number)).await?;
            }
            Ok::<_, StorageError>(())
        });
    }
    while let Some(made) = makers.join_next().await {
        made.map_err(super::cloud::unmade)??;
    }
    Ok(())
}

async fn one_more(door: &Door) -> Result<f64, StorageError> {
    let mut connection = Connection::open(door).await?;
    let mut latencies = Vec::new();
    for number in 0..MORE {
        let name = format!("more-{number:03}");
        let begin = std::time::Instant::now();
        create_service(&mut connection, &name).await?;
        latencies.push(begin.elapsed());
        let path = format!("services/hostedservices/{name}");
        connection.send(Method::DELETE, &path, String::new(), StatusCode::OK).await?;
    }
    Ok(figures_of(latencies, Duration::from_secs(1)).p50_ms)
}

#[derive(Debug, Clone, Copy)]
enum Read {
    One,
    All,
    Usage,
}

struct Reader {
    connection: Connection,
    read: Read,
    services: usize,
}

impl Worker for Reader {
    async fn work(&mut self) -> Result<(), StorageError> {
        let path = match self.read {
            Read::One => format!("services/hostedservices/{}", name(rand::random_range(0..self.services))),
            Read::All => "services/hostedservices".to_owned(),
            Read::Usage => String::new(),
        };
        self.connection.get(&path).await.map(drop)
    }
}
