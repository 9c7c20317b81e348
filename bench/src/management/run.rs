//! The run: a cloud is prepared, each work is measured, then services grow and connections wait.

use std::path::{Path, PathBuf};
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, StatusCode};
use welkin_base::RoleName;
use welkin_management_wire::cloud_status::FabricKey;
use welkin_management_wire::{Element, xml};
use welkin_service_model::{PackageWriter, package};
use welkin_transport::descriptors::enough_for;

use super::cloud::{Cloud, Subscription, unmade};
use super::connection::Connection;
use super::growth;
use super::report::{Accepting, Report, Waiting};
use super::work::{
    Accepted, ApiWorker, DEFINITION, Work, configuration, create_service, document, service, until_succeeded,
};
use crate::storage::{Call, Keep, StorageError, StorageWorker, figures_of, measure};

/// How to measure the management API.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The welkin program, built for release
    #[arg(long, value_name = "FILE")]
    pub welkin: PathBuf,
    /// Duration of one measurement
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Added to the ports 10040 to 10045
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u16).range(..=50_000))]
    pub port_offset: u16,
}

/// At how many connections each work is measured.
pub const CONNECTIONS: [usize; 2] = [1, 64];
/// Connections that wait while memory is looked at: what the service takes unless it is told otherwise, and room for
/// those that look.
const WAITING: usize = 4_000;

/// Measures in a new folder inside `folder`, `rounds` times.
pub fn run(arguments: &Arguments, folder: &Path, rounds: usize) -> Result<Report, StorageError> {
    let folder = tempfile::tempdir_in(folder)?;
    let waiting = enough_for(WAITING);
    // One thread for all connections: the other cores are for the services.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let cloud = Cloud::start(&arguments.welkin, folder.path(), arguments.port_offset).await?;
        eprintln!("management: {} services with a deployment each", CONNECTIONS[1]);
        prepare(&cloud).await?;
        let mut report = Report::default();
        for round in 0..rounds {
            eprintln!("management: round {} of {rounds}", round + 1);
            for work in Work::ALL {
                for connections in CONNECTIONS {
                    slice(&cloud, work, connections, round, arguments.seconds, &mut report).await?;
                }
            }
        }
        let (cloud, steps) = growth::run(cloud, rounds, arguments.seconds).await?;
        report.growth = steps;
        report.waiting = Some(wait(&cloud, waiting).await?);
        cloud.stop().await?;
        Ok(report)
    })
}

async fn slice(
    cloud: &Cloud,
    work: Work,
    connections: usize,
    round: usize,
    seconds: f64,
    report: &mut Report,
) -> Result<(), StorageError> {
    let subscription = if work == Work::CreateService { Subscription::Making } else { Subscription::Working };
    let (door, accepted) = (cloud.door(subscription), Accepted::default());
    let during = |source| {
        let (work, source) = (work.to_string(), Box::new(source));
        StorageError::Work { work, connections, server: "management", source }
    };
    let mut workers = Vec::new();
    for number in 0..connections {
        let prefix = format!("r{round}-c{connections}-{number}");
        let worker = ApiWorker::new(work, &door, number, prefix, accepted.clone()).await;
        workers.push(worker.map_err(during)?);
    }
    let figures = measure(workers, Duration::from_secs_f64(seconds)).await.map_err(during)?;
    report.add(work, connections, figures);
    let accepted = std::mem::take(&mut *accepted.lock().unwrap_or_else(PoisonError::into_inner));
    if !accepted.is_empty() {
        let accepting = figures_of(accepted, Duration::from_secs_f64(seconds));
        report
            .accepting
            .entry(connections)
            .or_default()
            .push(Accepting { p50_ms: accepting.p50_ms, p99_ms: accepting.p99_ms });
    }
    Ok(())
}

/// Makes what the works need: a package, and services with a deployment each.
async fn prepare(cloud: &Cloud) -> Result<(), StorageError> {
    let mut connection = Connection::open(&cloud.door(Subscription::Working)).await?;
    let key = connection.get("welkin/fabric-key").await?.body;
    let key: FabricKey = serde_json::from_slice(&key).map_err(unmade)?;
    put_package(cloud, seal(&key.recipient)?).await?;
    let url = format!("{}/{}/packages/bench.cspkg", cloud.blobs, crate::storage::ACCOUNT_NAME);
    for number in 0..CONNECTIONS[1] {
        let name = service(number);
        create_service(&mut connection, &name).await?;
        let body = Element::new("CreateDeployment")
            .with("Name", "bench")
            .with("PackageUrl", &url)
            .with("Label", xml::encode_text(&name))
            .with("Configuration", xml::encode_text(&configuration("first")))
            .with("StartDeployment", true);
        let path = format!("services/hostedservices/{name}/deploymentslots/production");
        let created = connection.send(Method::POST, &path, document(body), StatusCode::ACCEPTED).await?;
        until_succeeded(&mut connection, &created.request_id).await?;
    }
    Ok(())
}

fn seal(recipient: &str) -> Result<Vec<u8>, StorageError> {
    let recipient = package::recipient(recipient).map_err(unmade)?;
    let mut writer = PackageWriter::seal(Vec::new(), &recipient, DEFINITION).map_err(unmade)?;
    let role = RoleName::new("Worker").map_err(unmade)?;
    writer.add(&role, "worker", true, &mut &b"#!/bin/sh\n"[..]).map_err(unmade)?;
    writer.finish().map_err(unmade)
}

/// Puts the package where everybody may read it.
async fn put_package(cloud: &Cloud, package: Vec<u8>) -> Result<(), StorageError> {
    let mut storage = StorageWorker::putting(&cloud.account).await?;
    let public = [("x-ms-blob-public-access", "blob")];
    let target = "/packages?restype=container";
    let call = Call { method: Method::PUT, target, headers: &public, ..Call::default() };
    storage.call(call, &Bytes::new(), StatusCode::CREATED, Keep::Length).await?;
    let block = [("x-ms-blob-type", "BlockBlob")];
    let target = "/packages/bench.cspkg";
    let call = Call { method: Method::PUT, target, headers: &block, ..Call::default() };
    storage.call(call, &Bytes::from(package), StatusCode::CREATED, Keep::Length).await?;
    Ok(())
}

/// Opens many connections that ask for nothing but one answer, and looks at memory.
async fn wait(cloud: &Cloud, waiting: usize) -> Result<Waiting, StorageError> {
    eprintln!("management: {waiting} connections wait");
    let door = cloud.door(Subscription::Working);
    let mut first = Connection::open(&door).await?;
    first.get("locations").await?;
    let before_kib = cloud.management.memory_kib().unwrap_or(0);
    let mut connections = Vec::new();
    for _ in 0..waiting {
        let mut connection = Connection::open(&door).await?;
        connection.get("locations").await?;
        connections.push(connection);
    }
    let after_kib = cloud.management.memory_kib().unwrap_or(0);
    // Nobody was closed meanwhile.
    first.get("locations").await?;
    for connection in &mut connections {
        connection.get("locations").await?;
    }
    Ok(Waiting { connections: waiting, before_kib, after_kib })
}
