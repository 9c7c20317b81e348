//! Deleting a hosted service: at once when it has no deployments, and after its deployments with `comp=media`.

use std::sync::Arc;

use tracing::Instrument as _;
use welkin_base::ServiceName;
use welkin_management_wire::ApiError;
use welkin_management_wire::operation_status::Progress;
use welkin_store::Commit;

use super::{HostedServiceRecord, KEY, find, free};
use crate::deploy;
use crate::deployment::{self, Change, SLOTS, in_slot, slot_key};
use crate::failure::{Failure, chain};
use crate::management::Management;
use crate::operation;
use crate::quota::{self, Counted};
use crate::reply::Reply;
use crate::request::Request;
use crate::service_certificate;
use crate::state::{Read, SERVICES, State, encode};

/// "Delete Hosted Service": refused while it has deployments.
pub async fn alone(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.service()?;
    let read = find(management, &request.subscription, &name).await?;
    free(&read.record)?;
    for slot in SLOTS {
        if in_slot(management, name.as_str(), slot).await?.is_some() {
            let message = format!("the hosted service {name} has a deployment: delete that first");
            return Err(ApiError::conflict(message).into());
        }
    }
    operation::announce(&management.state, request, SERVICES, name.as_str()).await?;
    let change = service_certificate::leave_none(management, name.as_str(), gone(&name, &read)).await?;
    let change = operation::record(change, request, name.as_str(), operation::done())?;
    management.state.commit(change).await?;
    quota::give_back(&management.state, &request.subscription.id, Counted::Service, name.as_str()).await?;
    service_certificate::forget_all(management, &read.record).await;
    Ok(Reply::OK)
}

/// The commit that removes a service that has no deployments.
fn gone(name: &ServiceName, read: &Read<HostedServiceRecord>) -> Commit {
    let change = State::change(SERVICES, name.as_str()).check_version(KEY, read.version).delete(KEY);
    SLOTS.into_iter().fold(change, |change, slot| change.check_absent(slot_key(slot)))
}

/// "Delete Hosted Service" with `comp=media`: 202, and its deployments are deleted, and then the service.
pub async fn with_deployments(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.service()?;
    let read = find(management, &request.subscription, &name).await?;
    free(&read.record)?;
    let record = HostedServiceRecord { held: Some(request.id.clone()), ..read.record };
    let mut change =
        State::change(SERVICES, name.as_str()).check_version(KEY, read.version).put(KEY, encode(&record)?);
    for slot in SLOTS {
        change = match in_slot(management, name.as_str(), slot).await? {
            None => change.check_absent(slot_key(slot)),
            Some(read) => {
                deployment::free(&read.record)?;
                let record = deployment::held(read.record, &request.id, Change::DeleteWithService);
                change.check_version(slot_key(slot), read.version).put(slot_key(slot), encode(&record)?)
            }
        };
    }
    operation::announce(&management.state, request, SERVICES, name.as_str()).await?;
    let change = operation::record(change, request, name.as_str(), Progress::InProgress)?;
    management.state.commit(change).await?;
    start(management, name);
    Ok(Reply::ACCEPTED)
}

/// Starts the work of deleting a service whose record says that it is being deleted.
pub fn start(management: &Arc<Management>, name: ServiceName) {
    let span = tracing::info_span!("service", %name);
    let own = Arc::clone(management);
    let work = async move {
        if let Err(failure) = Box::pin(run(&own, &name)).await {
            tracing::error!(error = chain(&failure), "the operation stops here until the next start");
        }
    };
    management.jobs.start(work.instrument(span));
}

async fn run(management: &Arc<Management>, name: &ServiceName) -> Result<(), Failure> {
    for slot in SLOTS {
        deploy::carry_out(management, name.as_str(), slot).await?;
    }
    let state = &management.state;
    let read: Option<Read<HostedServiceRecord>> = state.get(SERVICES, name.as_str(), KEY).await?;
    let Some(read) = read else { return Ok(()) };
    let Some(operation) = read.record.held.clone() else { return Ok(()) };
    let change = service_certificate::leave_none(management, name.as_str(), gone(name, &read)).await?;
    let change =
        operation::finish(state, change, SERVICES, name.as_str(), &operation, Ok(Vec::new())).await?;
    state.commit(change).await?;
    quota::give_back(state, &read.record.subscription, Counted::Service, name.as_str()).await?;
    service_certificate::forget_all(management, &read.record).await;
    Ok(())
}
