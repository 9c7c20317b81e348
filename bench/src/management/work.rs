//! What is asked of the API while it is measured.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use welkin_management_wire::{Element, xml};

use super::connection::{Connection, Door};
use crate::storage::{StorageError, Worker};

/// Between two looks at an operation.
const POLL: Duration = Duration::from_millis(2);

/// One kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    /// "Get Hosted Service Properties".
    GetService,
    /// "List Hosted Services".
    ListServices,
    /// "Get Operation Status".
    GetOperation,
    /// "Get Deployment", for which the fabric controller is asked.
    GetDeployment,
    /// "Create Hosted Service", of a new name each time.
    CreateService,
    /// "Update Hosted Service", by each worker another.
    UpdateService,
    /// "Change Deployment Configuration", by each worker another, until its operation has succeeded.
    ChangeConfiguration,
}

impl Work {
    /// All, in the order of the report.
    pub const ALL: [Self; 7] = [
        Self::GetService,
        Self::ListServices,
        Self::GetOperation,
        Self::GetDeployment,
        Self::CreateService,
        Self::UpdateService,
        Self::ChangeConfiguration,
    ];
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GetService => "Get Hosted Service",
            Self::ListServices => "List Hosted Services (64)",
            Self::GetOperation => "Get Operation Status",
            Self::GetDeployment => "Get Deployment",
            Self::CreateService => "Create Hosted Service",
            Self::UpdateService => "Update Hosted Service",
            Self::ChangeConfiguration => "Change Configuration, until it has succeeded",
        })
    }
}

/// How long each request took to be accepted, of all workers.
pub type Accepted = Arc<Mutex<Vec<Duration>>>;

/// One connection that does one work.
#[derive(Debug)]
pub struct ApiWorker {
    work: Work,
    connection: Connection,
    /// Of all workers of the run, so that each has a service of its own.
    number: usize,
    /// Begins the names of what it makes.
    prefix: String,
    round: u64,
    /// An operation that has ended.
    operation: String,
    accepted: Accepted,
}

/// The name of the service of this number.
pub fn service(number: usize) -> String {
    format!("service-{number:03}")
}

fn path(service: &str) -> String {
    format!("services/hostedservices/{service}")
}

impl ApiWorker {
    /// Connects. No two workers of a run may have the same `prefix`.
    pub async fn new(
        work: Work,
        door: &Door,
        number: usize,
        prefix: String,
        accepted: Accepted,
    ) -> Result<Self, StorageError> {
        let connection = Connection::open(door).await?;
        let mut worker =
            Self { work, connection, number, prefix, round: 0, operation: String::new(), accepted };
        if work == Work::GetOperation {
            worker.operation = worker.update_service().await?;
        }
        Ok(worker)
    }

    async fn update_service(&mut self) -> Result<String, StorageError> {
        let label = xml::encode_text(&format!("{} {}", self.prefix, self.round));
        let body = document(Element::new("UpdateHostedService").with("Label", label));
        let path = path(&service(self.number));
        Ok(self.connection.send(Method::PUT, &path, body, StatusCode::OK).await?.request_id)
    }

    /// Changes a setting and waits until management and the fabric controller have done it.
    async fn change_configuration(&mut self) -> Result<(), StorageError> {
        let body = Element::new("ChangeConfiguration")
            .with(
                "Configuration",
                xml::encode_text(&configuration(&format!("{}{}", self.prefix, self.round))),
            )
            .with("Mode", "Simultaneous");
        let path = format!("{}/deploymentslots/production/?comp=config", path(&service(self.number)));
        let begin = Instant::now();
        let answer = self.connection.send(Method::POST, &path, document(body), StatusCode::ACCEPTED).await?;
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).push(begin.elapsed());
        until_succeeded(&mut self.connection, &answer.request_id).await
    }
}

/// Waits until an operation has succeeded.
pub async fn until_succeeded(connection: &mut Connection, operation: &str) -> Result<(), StorageError> {
    while !connection.has_succeeded(operation).await? {
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

impl Worker for ApiWorker {
    async fn work(&mut self) -> Result<(), StorageError> {
        self.round += 1;
        let own = path(&service(self.number));
        match self.work {
            Work::GetService => self.connection.get(&own).await.map(drop),
            Work::ListServices => self.connection.get("services/hostedservices").await.map(drop),
            Work::GetOperation => {
                self.connection.get(&format!("operations/{}", self.operation)).await.map(drop)
            }
            Work::GetDeployment => {
                self.connection.get(&format!("{own}/deploymentslots/production")).await.map(drop)
            }
            Work::CreateService => {
                create_service(&mut self.connection, &format!("{}-{}", self.prefix, self.round)).await
            }
            Work::UpdateService => self.update_service().await.map(drop),
            Work::ChangeConfiguration => self.change_configuration().await,
        }
    }
}

/// A body as text.
pub fn document(element: Element) -> String {
    String::from_utf8_lossy(&element.to_document()).into_owned()
}

/// "Create Hosted Service".
pub async fn create_service(connection: &mut Connection, name: &str) -> Result<(), StorageError> {
    let body = Element::new("CreateHostedService")
        .with("ServiceName", name)
        .with("Label", xml::encode_text(name))
        .with("Location", "here");
    let path = "services/hostedservices";
    connection.send(Method::POST, path, document(body), StatusCode::CREATED).await.map(drop)
}

/// The service definition of all deployments.
pub const DEFINITION: &str = r#"<ServiceDefinition name="Bench"
    xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceDefinition">
  <WorkerRole name="Worker" vmsize="ExtraSmall">
    <ConfigurationSettings><Setting name="Round"/></ConfigurationSettings>
    <Runtime><EntryPoint><ProgramEntryPoint commandLine="worker" setReadyOnProcessStart="true"/></EntryPoint></Runtime>
  </WorkerRole>
</ServiceDefinition>"#;

/// A service configuration for it.
pub fn configuration(round: &str) -> String {
    format!(
        r#"<ServiceConfiguration serviceName="Bench"
             xmlns="http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration">
           <Role name="Worker"><Instances count="1"/>
             <ConfigurationSettings><Setting name="Round" value="{round}"/></ConfigurationSettings></Role>
           </ServiceConfiguration>"#
    )
}
