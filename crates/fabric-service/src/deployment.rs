//! Deployments: what management asks is checked, made ready, placed and stored. Nodes learn of it from the loop.

use welkin_base::{DeploymentId, InstanceName, ServiceName};
use welkin_fabric::{Asked, Begin, Change, NotSwapped, Refused, check_cores, compare, deploy};
use welkin_fabric_wire::{DeploymentGoal, Refusal, RefusalReason, Slots, Taken, Warnings};
use welkin_store::StoreError;

use crate::application::{self, PrepareError};
use crate::content::Kind;
use crate::controller::Controller;
use crate::row::RowsError;

/// What management is told.
#[derive(Debug)]
pub(crate) enum Answer {
    /// A goal was taken, or it was before.
    Goal(Taken),
    /// Done, or already so.
    Done,
    /// It will be done.
    Accepted,
    /// There is no such deployment or instance.
    NotFound,
    /// It contradicts what is held.
    Conflict(String),
    /// The customer must change something.
    Refused(Refusal),
    /// Another controller leads since, so that this one may not answer.
    Deposed,
    /// Not now: ask again.
    NotNow(String),
    /// This controller failed; the log says why.
    Failed,
}

/// What is asked beside a goal, because it is no part of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// All deployments of the subscription have so many cores together.
    pub cores_max: Option<u32>,
    /// What becomes of a goal of which something has no effect.
    pub warnings: Warnings,
}

/// Takes a goal: the deployment exists with it afterwards, or nothing has changed.
pub(crate) async fn put(
    controller: &Controller,
    id: &DeploymentId,
    goal: DeploymentGoal,
    terms: Terms,
) -> Answer {
    let (asked, held) = {
        let state = controller.state().await;
        match compare(&state.cluster, id, &goal) {
            Ok(asked) => (asked, state.cluster.deployments.get(id).cloned()),
            Err(refused) => return refusal(&refused),
        }
    };
    let _images_are_not_swept = controller.preparing.read().await;
    let prepared = match application::prepare(controller, &goal, held.as_ref()).await {
        Ok(prepared) => prepared,
        // It was taken before, whatever has become of its package here since.
        Err(_) if asked == Asked::Same => return Answer::Goal(Taken::default()),
        Err(PrepareError::Refused(refusal)) => return Answer::Refused(refusal),
        Err(PrepareError::Failed(error)) => {
            tracing::error!(deployment = %id, error, "a deployment cannot be made ready");
            return Answer::Failed;
        }
    };
    let taken = Taken { warnings: prepared.warnings };
    if asked == Asked::Same {
        return Answer::Goal(taken);
    }
    if terms.warnings == Warnings::Refused && !taken.warnings.is_empty() {
        let (reason, messages) = (RefusalReason::Configuration, taken.warnings);
        return Answer::Refused(Refusal { reason, messages });
    }
    // What a row names outlives this controller: before the row is.
    for package in goal.kept.values().chain([&goal.package]) {
        let file = controller.packages.file(package);
        if let Err(error) = controller.peers.spread(Kind::Packages, package, &file).await {
            return Answer::NotNow(format!("the package {package} is not safe yet: {error}"));
        }
    }
    match controller.certificates.missing((&goal.subscription, &goal.service), &prepared.roles).await {
        Ok(messages) if messages.is_empty() => {}
        Ok(messages) => {
            return Answer::Refused(Refusal { reason: RefusalReason::Configuration, messages });
        }
        Err(error) => {
            tracing::error!(deployment = %id, %error, "certificates cannot be read");
            return Answer::Failed;
        }
    }
    controller.settled().await;
    let mut state = controller.state().await;
    let placed =
        deploy(&state.cluster, id, goal, prepared.roles, prepared.update_domains_max, controller.now());
    let deployment = match placed {
        Ok(deployment) => deployment,
        Err(refused) => return refusal(&refused),
    };
    if let Some(Err(why)) = terms.cores_max.map(|max| check_cores(&state.cluster, &deployment, max)) {
        return Answer::Refused(Refusal { reason: RefusalReason::Capacity, messages: vec![why.to_string()] });
    }
    tracing::info!(deployment = %id, instances = deployment.instances.len(), "a deployment's goal is taken");
    let committed = state.commit(Change::Deployment(Box::new(deployment))).await;
    drop(state);
    stored(controller, committed, Answer::Goal(taken))
}

/// The goal is that the deployment be gone.
pub(crate) async fn delete(controller: &Controller, id: &DeploymentId) -> Answer {
    let mut state = controller.state().await;
    let Some(deployment) = state.cluster.deployments.get(id) else { return Answer::NotFound };
    if deployment.deleting {
        return Answer::Accepted;
    }
    let deleted = welkin_fabric::delete(deployment);
    tracing::info!(deployment = %id, "a deployment is being deleted");
    let committed = state.commit(Change::Deployment(Box::new(deleted))).await;
    drop(state);
    stored(controller, committed, Answer::Accepted)
}

/// One instance begins again.
pub(crate) async fn restart(
    controller: &Controller,
    id: &DeploymentId,
    name: &InstanceName,
    begin: Begin,
) -> Answer {
    let mut state = controller.state().await;
    let deployment = state.cluster.deployments.get(id);
    let changed =
        deployment.and_then(|deployment| welkin_fabric::restart(deployment, name, begin, controller.now()));
    let Some(changed) = changed else { return Answer::NotFound };
    tracing::info!(deployment = %id, instance = %name, ?begin, "an instance begins again");
    let committed = state.commit(Change::Deployment(Box::new(changed))).await;
    drop(state);
    stored(controller, committed, Answer::Accepted)
}

/// The deployments of a service take these slots.
pub(crate) async fn swap(controller: &Controller, service: &ServiceName, slots: &Slots) -> Answer {
    let mut state = controller.state().await;
    let change = match welkin_fabric::swap(&state.cluster, service, slots) {
        Ok(Some(change)) => change,
        Ok(None) => return Answer::Done,
        Err(why @ NotSwapped::Endpoints { .. }) => {
            let (reason, messages) = (RefusalReason::Configuration, vec![why.to_string()]);
            return Answer::Refused(Refusal { reason, messages });
        }
        Err(why @ (NotSwapped::Missing | NotSwapped::Busy(_))) => return Answer::Conflict(why.to_string()),
    };
    tracing::info!(%service, production = %slots.production, "slots change");
    let committed = state.commit(change).await;
    drop(state);
    stored(controller, committed, Answer::Done)
}

fn stored(controller: &Controller, committed: Result<(), RowsError>, answer: Answer) -> Answer {
    controller.changed.notify_one();
    match committed {
        Ok(()) => answer,
        Err(RowsError::Conflict) => {
            Answer::Conflict("the deployment changed meanwhile; read it and ask again".to_owned())
        }
        Err(RowsError::Store(error @ (StoreError::Deposed | StoreError::Unavailable(_)))) => unable(&error),
        Err(RowsError::Store(StoreError::TooLarge { .. })) => Answer::Refused(Refusal {
            reason: RefusalReason::Configuration,
            messages: vec![
                "the service configuration is too large to be kept; shorten its settings".to_owned(),
            ],
        }),
        Err(error) => {
            tracing::error!(%error, "a deployment cannot be stored");
            Answer::Failed
        }
    }
}

/// What is answered when the store does not do it.
pub(crate) fn unable(error: &StoreError) -> Answer {
    match error {
        StoreError::Deposed => Answer::Deposed,
        StoreError::Unavailable(_) => Answer::NotNow(error.to_string()),
        error => {
            tracing::error!(%error, "the store failed");
            Answer::Failed
        }
    }
}

fn refusal(refused: &Refused) -> Answer {
    let message = refused.to_string();
    let reason = match refused {
        Refused::Stale { .. } | Refused::Deleting | Refused::Other => return Answer::Conflict(message),
        Refused::UpdateDomains { .. } | Refused::Shrinks { .. } | Refused::LosesLocalData(_) => {
            RefusalReason::Configuration
        }
        Refused::NoVip | Refused::NoRoom(_) => RefusalReason::Capacity,
    };
    Answer::Refused(Refusal { reason, messages: vec![message] })
}
