//! Role instances: what can be done to one, and what it writes to its console.

use welkin_management_wire::ApiError;
use welkin_store::Commit;

use crate::deployment;
use crate::failure::Failure;
use crate::management::Management;
use crate::operation;
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{SERVICES, State};

/// "Reboot Role Instance", "Reimage Role Instance" and "Rebuild Role Instance": the FC takes it, and the node does it.
pub async fn act(management: &Management, request: &Request, action: &str) -> Result<Reply, Failure> {
    let instance = request.parameters.instance()?;
    let (service, _, read) = deployment::find(management, request).await?;
    deployment::free(&read.record)?;
    let observed = management.fabric.observed(&read.record.id).await?;
    let known = observed.iter().flat_map(|observed| &observed.instances).any(|known| known.name == instance);
    if !known {
        let message = format!("the deployment {} has no instance {instance}", read.record.name);
        return Err(ApiError::not_found(message).into());
    }
    management.fabric.act(&read.record.id, &instance, action).await?;
    let service = service.name.as_str();
    operation::announce(&management.state, request, SERVICES, service).await?;
    let change: Commit = State::change(SERVICES, service);
    let change = operation::record(change, request, service, operation::done())?;
    management.state.commit(change).await?;
    Ok(Reply::ACCEPTED)
}

/// The end of an instance's console.
pub async fn log(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let instance = request.parameters.instance()?;
    let (_, _, read) = deployment::find(management, request).await?;
    let log = management.fabric.log(&read.record.id, &instance).await?;
    let unknown = || ApiError::not_found(format!("{} has no instance {instance}", read.record.name));
    Ok(Reply::Text(log.ok_or_else(unknown)?))
}
