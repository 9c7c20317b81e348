//! The work of operations that go on after their answer: creating, changing and deleting a deployment.
//!
//! What an operation has to do is in the record that it holds, so it begins from there, now or after a restart. Each
//! step may be done twice. The end of the operation and the end of its hold are one commit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tracing::Instrument as _;
use welkin_base::{DeploymentId, Digest, ServiceName, SubscriptionId};
use welkin_fabric_wire::{DeploymentGoal, Slot, Warnings};
use welkin_management_wire::{ApiError, ErrorCode};
use welkin_store::Commit;

use crate::deployment::{Change, DeploymentRecord, Fetch, Hold, SLOTS, in_slot, slot_key};
use crate::failure::{Failure, chain};
use crate::hosted_service::{self, HostedServiceRecord};
use crate::management::{Management, now};
use crate::state::{ACCOUNTS, Kind, Read, SERVICES, State, encode};
use crate::storage_account::{self, AccountRecord};
use crate::subscription;
use crate::{get_package, operation, package, swap};

/// How long a step that nobody answers is tried again before the operation fails.
const PATIENCE: Duration = Duration::from_secs(120);
/// The first pause before a step is tried again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(200);
/// The longest pause between tries, and between looks at a deployment that is being deleted.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Starts the work of the operation that holds the deployment in a slot.
pub fn start(management: &Arc<Management>, service: String, slot: Slot) {
    let span = tracing::info_span!("deployment", service, ?slot);
    let own = Arc::clone(management);
    let work = async move {
        if let Err(failure) = carry_out(&own, &service, slot).await {
            tracing::error!(error = chain(&failure), "the operation stops here until the next start");
        }
    };
    management.jobs.start(work.instrument(span));
}

/// Goes on with every operation that was in progress when the service ended.
pub async fn resume(management: &Arc<Management>) -> Result<(), Failure> {
    for subscription in management.state.subscriptions().await? {
        for service in management.state.names(&subscription, Kind::Service).await? {
            let own: Option<Read<HostedServiceRecord>> =
                management.state.get(SERVICES, &service, hosted_service::KEY).await?;
            if let Some(record) = own.map(|own| own.record).filter(|record| record.held.is_some()) {
                hosted_service::delete::start(management, record.name);
                continue;
            }
            for slot in SLOTS {
                let read = in_slot(management, &service, slot).await?;
                if read.is_some_and(|read| read.record.held.is_some()) {
                    tracing::info!(service, ?slot, "going on with an operation");
                    start(management, service.clone(), slot);
                }
            }
        }
        for account in management.state.names(&subscription, Kind::Account).await? {
            let read: Option<Read<AccountRecord>> =
                management.state.get(ACCOUNTS, &account, storage_account::KEY).await?;
            if let Some(record) = read.map(|read| read.record).filter(|record| record.held.is_some()) {
                drop(storage_account::work::start(management, record.name));
            }
        }
    }
    Ok(())
}

/// Does the work of the operation that holds the deployment in a slot, if there is one.
pub async fn carry_out(management: &Arc<Management>, service: &str, slot: Slot) -> Result<(), Failure> {
    let Some(read) = in_slot(management, service, slot).await? else { return Ok(()) };
    let Some(hold) = read.record.held.clone() else { return Ok(()) };
    let owner: Option<Read<HostedServiceRecord>> =
        management.state.get(SERVICES, service, hosted_service::KEY).await?;
    // A service is never removed while it has a deployment.
    let Some(owner) = owner.map(|owner| owner.record) else { return Ok(()) };
    let deployment =
        Held { management, service: owner.name, subscription: owner.subscription, slot, read, hold };
    match deployment.hold.change.clone() {
        Change::Create { package_url, warnings } => deployment.create(&package_url, warnings).await,
        Change::Goal { fetch, before, warnings } => deployment.change_goal(fetch, *before, warnings).await,
        Change::Swap => swap::work(deployment).await,
        Change::GetPackage(target) => get_package::work(deployment, &target).await,
        Change::Delete => deployment.delete().await,
        Change::DeleteWithService => deployment.delete_quietly().await,
        // The operation goes on from the other slot.
        Change::Other => Ok(()),
    }
}

/// A deployment that an operation holds: nobody else changes its record.
pub struct Held<'a> {
    /// The service.
    pub management: &'a Arc<Management>,
    /// The hosted service.
    pub service: ServiceName,
    /// Whose it is.
    pub subscription: SubscriptionId,
    /// The deployment's slot.
    pub slot: Slot,
    /// The deployment.
    pub read: Read<DeploymentRecord>,
    /// The operation.
    pub hold: Hold,
}

impl Held<'_> {
    async fn create(mut self, package_url: &str, warnings: Warnings) -> Result<(), Failure> {
        match self.hand_over(package_url, warnings).await {
            Ok(()) => self.end(Ok(())).await,
            Err(failure) => {
                let error = failure.told();
                tracing::info!(%error, "the deployment was not created");
                // The FC may have taken the goal though its answer was lost.
                self.remove_from_fabric().await?;
                self.gone(Err(error)).await
            }
        }
    }

    /// Fetches the package and gives it and the goal to the FC.
    async fn hand_over(&mut self, package_url: &str, warnings: Warnings) -> Result<(), Failure> {
        self.read.record.package = Some(self.fetch(package_url).await?);
        self.read.record.warnings = self.put_goal(&self.read.record, warnings).await?;
        Ok(())
    }

    /// Fetches a package and gives it to the FC.
    async fn fetch(&self, package_url: &str) -> Result<Digest, Failure> {
        let management = self.management;
        let fetched = package::fetch(management, &self.subscription, package_url).await?;
        tracing::info!(digest = %fetched.digest, bytes = fetched.length_bytes, "package fetched");
        patiently(|| management.fabric.put_package(fetched.digest, fetched.path())).await?;
        Ok(fetched.digest)
    }

    /// Gives the FC another goal. The FC is told of it only once nothing else is to be done, so that what fails before
    /// leaves it as it was.
    async fn change_goal(
        mut self,
        fetch: Option<Fetch>,
        before: DeploymentRecord,
        warnings: Warnings,
    ) -> Result<(), Failure> {
        if let Some(Fetch { package_url, kept }) = fetch {
            match self.fetch(&package_url).await {
                Ok(digest) => {
                    self.read.record.package = Some(digest);
                    self.read.record.kept = kept;
                }
                Err(failure) => {
                    let error = failure.told();
                    self.read.record = DeploymentRecord { generation: self.read.record.generation, ..before };
                    return self.end(Err(error)).await;
                }
            }
            self.hold.change = Change::Goal { fetch: None, before: Box::new(before.clone()), warnings };
            self.read.record.held = Some(self.hold.clone());
            let change = self.unchanged().put(slot_key(self.slot), encode(&self.read.record)?);
            self.management.state.commit(change).await?;
            let Some(read) = in_slot(self.management, self.service.as_str(), self.slot).await? else {
                return Err(Failure::Raced);
            };
            self.read = read;
        }
        let failure = match self.put_goal(&self.read.record, warnings).await {
            Ok(warnings) => {
                self.read.record.warnings = warnings;
                return self.end(Ok(())).await;
            }
            Err(failure) => failure,
        };
        let error = failure.told();
        let mut generation = self.read.record.generation;
        if error.code == ErrorCode::ServerBusy {
            // The FC may have taken it though its answer was lost: the goal before is the newest again.
            generation = generation.next();
            let back = DeploymentRecord { generation, ..before.clone() };
            persistently(|| async { self.put_goal(&back, Warnings::Told).await.map(drop) }).await;
        }
        tracing::info!(%error, "the deployment stays as it was");
        self.read.record = DeploymentRecord { generation, ..before };
        self.end(Err(error)).await
    }

    async fn delete(self) -> Result<(), Failure> {
        self.remove_from_fabric().await?;
        self.gone(Ok(())).await
    }

    /// Deletes the deployment. The operation goes on with the service, and ends there.
    async fn delete_quietly(self) -> Result<(), Failure> {
        self.remove_from_fabric().await?;
        self.management.state.commit(self.unchanged().delete(slot_key(self.slot))).await
    }

    /// Gives the FC a goal; what of it has no effect is answered.
    async fn put_goal(&self, record: &DeploymentRecord, warnings: Warnings) -> Result<Vec<String>, Failure> {
        let Some(package) = record.package else {
            return Err(ApiError::bad_request("the deployment has no package").into());
        };
        let goal = DeploymentGoal {
            generation: record.generation,
            subscription: self.subscription.clone(),
            service: self.service.clone(),
            slot: self.slot,
            package,
            configuration: record.configuration.clone(),
            status: record.goal,
            kept: record.kept.clone(),
            removed: record.removed.clone(),
            update: record.update,
        };
        let quotas = subscription::read(&self.management.state, &self.subscription).await?.record.quotas;
        patiently(|| self.management.fabric.put_goal(&record.id, &goal, quotas.cores, warnings)).await
    }

    /// Has the FC remove the deployment and waits until it is gone, however long that takes: nothing is left behind.
    async fn remove_from_fabric(&self) -> Result<(), Failure> {
        self.remove(&self.read.record.id).await
    }

    /// Has the FC remove a deployment and waits until it is gone.
    pub async fn remove(&self, id: &DeploymentId) -> Result<(), Failure> {
        let mut pause = PAUSE_MIN;
        loop {
            let gone = async {
                self.management.fabric.delete(id).await?;
                Ok::<_, Failure>(self.management.fabric.observed(id).await?.is_none())
            };
            match gone.await {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(failure) => tracing::warn!(error = chain(&failure), "cannot delete the deployment yet"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Ends the operation: the deployment stays.
    pub async fn end(self, result: Result<(), ApiError>) -> Result<(), Failure> {
        let record = DeploymentRecord { held: None, modified: now(), ..self.read.record.clone() };
        let change = self.unchanged().put(slot_key(self.slot), encode(&record)?);
        self.finish(change, result).await
    }

    /// Ends the operation: the deployment is gone.
    async fn gone(self, result: Result<(), ApiError>) -> Result<(), Failure> {
        let change = self.unchanged().delete(slot_key(self.slot));
        self.finish(change, result).await
    }

    /// A commit on the condition that the deployment is as it was read.
    pub fn unchanged(&self) -> Commit {
        State::change(SERVICES, self.service.as_str()).check_version(slot_key(self.slot), self.read.version)
    }

    /// Commits a change together with the operation's end.
    pub async fn finish(self, change: Commit, result: Result<(), ApiError>) -> Result<(), Failure> {
        let (state, service) = (&self.management.state, self.service.as_str());
        let succeeded = result.is_ok();
        let has_goal = matches!(self.hold.change, Change::Create { .. } | Change::Goal { .. });
        let warnings = if has_goal { self.read.record.warnings.clone() } else { Vec::new() };
        let result = result.map(|()| warnings);
        let change =
            operation::finish(state, change, SERVICES, service, &self.hold.operation, result).await?;
        state.commit(change).await?;
        tracing::info!(operation = %self.hold.operation, change = ?self.hold.change, succeeded, "operation ended");
        Ok(())
    }
}

/// Tries a step again while nobody answers, for [`PATIENCE`].
pub async fn patiently<T, F: Future<Output = Result<T, Failure>>>(
    mut step: impl FnMut() -> F,
) -> Result<T, Failure> {
    let (began, mut pause) = (Instant::now(), PAUSE_MIN);
    loop {
        match step().await {
            Err(failure) if failure.is_passing() && began.elapsed() < PATIENCE => {
                tracing::warn!(error = chain(&failure), "trying again");
            }
            Err(failure) if failure.is_passing() => {
                let (error, seconds) = (failure.told(), PATIENCE.as_secs());
                let message = format!("after {seconds} s of trying: {}", error.message);
                return Err(ApiError::new(ErrorCode::ServerBusy, message).into());
            }
            other => return other,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Tries a step again until it is answered, with whatever: only then is it known whether it was done.
pub async fn until_answered<F: Future<Output = Result<(), Failure>>>(
    mut step: impl FnMut() -> F,
) -> Result<(), Failure> {
    let mut pause = PAUSE_MIN;
    loop {
        match step().await {
            Err(failure) if failure.is_passing() => tracing::warn!(error = chain(&failure), "trying again"),
            other => return other,
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// Tries a step again until it is done, however long that takes: nothing is left behind.
pub async fn persistently<F: Future<Output = Result<(), Failure>>>(mut step: impl FnMut() -> F) {
    let mut pause = PAUSE_MIN;
    while let Err(failure) = step().await {
        tracing::warn!(error = chain(&failure), "trying again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}
