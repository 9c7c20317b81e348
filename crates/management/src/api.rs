//! A request's way: authenticated, routed, read, answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request as HttpRequest, Response, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use welkin_management_wire::{
    ApiError, Call, ErrorCode, Operation, REQUEST_BYTES_MAX, VERSION_HEADER, check_since, check_version,
    route, subscription_of,
};
use welkin_transport::{Body, BodyError, Peer, read_body};

use crate::failure::Failure;
use crate::management::{Management, now};
use crate::operation::{self, RequestId};
use crate::reply::{CONTINUATION, Reply, finish, refuse};
use crate::request::Request;
use crate::{
    affinity_group, cloud_status, deployment, event, get_package, hosted_service, instance, location,
    management_certificate, service_certificate, storage_account, subscription, swap, update,
};

/// A body must arrive within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// What is read of the body of a request that was refused without it, at most, and for how long: a connection whose
/// request is read to its end serves the next one.
const REFUSED_BYTES_MAX: usize = 64 << 10;
const REFUSED_TIMEOUT: Duration = Duration::from_secs(1);
/// What is read of a body that is too large, at most. Who sends more finds the connection closed.
const DISCARD_BYTES_MAX: usize = 16 << 20;

/// Answers a request.
pub async fn handle(
    management: Arc<Management>,
    peer: Peer,
    request: HttpRequest<Incoming>,
) -> Response<Body> {
    let (request, mut body) = split(request);
    let (id, began) = (RequestId::generate(), Instant::now());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = tracing::info_span!("request", %id);
    let answered =
        tracing::Instrument::instrument(answer(&management, &peer, &id, &request, &mut body), span.clone())
            .await;
    if answered.is_err() {
        // Whether it came to its end makes no difference to the answer.
        let _ = tokio::time::timeout(REFUSED_TIMEOUT, discard(&mut body, REFUSED_BYTES_MAX)).await;
    }
    let _entered = span.enter();
    let mut response = match answered {
        Ok(reply) => reply.into_response(),
        Err(failure) => {
            let error = failure.told();
            tracing::info!(%error, "refused");
            refuse(&error)
        }
    };
    finish(&mut response, id.as_str(), &management.config.location);
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (status, client) = (response.status().as_u16(), peer.address);
    tracing::info!(%method, path, status, milliseconds, %client, "answered");
    response
}

fn split(request: HttpRequest<Incoming>) -> (HttpRequest<()>, Incoming) {
    let (parts, body) = request.into_parts();
    (HttpRequest::from_parts(parts, ()), body)
}

/// Nothing is read of a request, and nothing is told about the API, before the caller is known.
async fn answer(
    management: &Arc<Management>,
    peer: &Peer,
    id: &RequestId,
    http: &HttpRequest<()>,
    incoming: &mut Incoming,
) -> Result<Reply, Failure> {
    let began = now();
    let Some(subscription) = subscription_of(http.uri()) else {
        let listed = subscription::list(management, peer).await?;
        check_version(version(http))?;
        let call = route(http.method(), http.uri())?;
        return match call.operation {
            Operation::ListSubscriptions => Ok(listed),
            other => Err(not_built(other).into()),
        };
    };
    let (subscription, caller) = subscription::authenticate(management, peer, subscription).await?;
    let in_hand = management.throttle.enter(&subscription.id, Instant::now())?;
    let Call { operation, parameters } = route(http.method(), http.uri())?;
    let version = check_version(version(http))?;
    check_since(version, operation.since())?;
    if operation != Operation::GetSubscription {
        subscription::check_active(&subscription)?;
    }
    let continuation = http.headers().get(CONTINUATION).and_then(|token| token.to_str().ok());
    let continuation = continuation.filter(|token| !token.is_empty()).map(str::to_owned);
    let origin = http.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.map_or_else(|| management.config.listen.to_string(), str::to_owned);
    let origin = format!("https://{origin}");
    let reads = http.method() == Method::GET;
    let body = body(incoming).await?;
    let (id, client) = (id.clone(), peer.address.ip());
    let request = Request {
        id,
        operation,
        parameters,
        subscription,
        caller,
        client,
        began,
        version,
        continuation,
        origin,
        body,
    };
    if reads {
        return dispatch(management, &request).await;
    }
    let own = Arc::clone(management);
    // It is in hand until it ends, although its client may go away before.
    let work = async move {
        let _in_hand = in_hand;
        let answered = dispatch(&own, &request).await;
        if request.operation == Operation::AddServiceCertificate {
            service_certificate::wipe(request.body);
        }
        answered
    };
    let span = tracing::Span::current();
    let done = management.jobs.finish(tracing::Instrument::instrument(work, span)).await;
    done.unwrap_or_else(|| {
        let message = "the service failed; its log has the reason";
        Err(ApiError::new(ErrorCode::InternalError, message).into())
    })
}

fn version(http: &HttpRequest<()>) -> Option<&str> {
    http.headers().get(VERSION_HEADER).and_then(|value| value.to_str().ok())
}

/// A body that is too large is read to its end, within bounds, so that its sender comes to read why it is refused.
async fn body(incoming: &mut Incoming) -> Result<Bytes, ApiError> {
    let read = async {
        let read = read_body(&mut *incoming, REQUEST_BYTES_MAX).await;
        if matches!(read, Err(BodyError::TooLarge { .. })) {
            discard(incoming, DISCARD_BYTES_MAX).await;
        }
        read
    };
    match tokio::time::timeout(BODY_TIMEOUT, read).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(BodyError::TooLarge { bytes_max })) => {
            let message = format!("the body has more than {bytes_max} bytes");
            Err(ApiError::new(ErrorCode::RequestBodyTooLarge, message))
        }
        Ok(Err(_)) | Err(_) => {
            Err(ApiError::new(ErrorCode::InvalidXmlRequest, "the body did not arrive whole"))
        }
    }
}

/// Reads on and keeps nothing.
async fn discard(incoming: &mut Incoming, bytes_max: usize) {
    let mut left = bytes_max;
    while let Some(Ok(frame)) = incoming.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

/// The one place that says what is built.
pub async fn dispatch(management: &Arc<Management>, request: &Request) -> Result<Reply, Failure> {
    let config = &management.config;
    match request.operation {
        Operation::GetSubscription => subscription::get(management, &request.subscription).await,
        Operation::ListLocations => Ok(location::list(config)),
        Operation::ListRoleSizes => Ok(location::list_role_sizes()),
        Operation::ListOperatingSystems => Ok(location::list_operating_systems(config)),
        Operation::ListOperatingSystemFamilies => Ok(location::list_operating_system_families(config)),
        Operation::GetOperationStatus => {
            operation::status(management, &request.subscription, &request.parameters).await
        }

        Operation::ListSubscriptionOperations => operation::history::list(management, request).await,

        Operation::ListAffinityGroups => affinity_group::list(management, request).await,
        Operation::GetAffinityGroup => affinity_group::get(management, request).await,
        Operation::CreateAffinityGroup => affinity_group::create(management, request).await,
        Operation::UpdateAffinityGroup => affinity_group::update(management, request).await,
        Operation::DeleteAffinityGroup => affinity_group::delete(management, request).await,

        Operation::ListManagementCertificates => management_certificate::list(management, request).await,
        Operation::GetManagementCertificate => management_certificate::get(management, request).await,
        Operation::AddManagementCertificate => management_certificate::add(management, request).await,
        Operation::DeleteManagementCertificate => management_certificate::delete(management, request).await,

        Operation::CheckStorageAccountName => storage_account::check_name(management, request).await,
        Operation::ListStorageAccounts => storage_account::list(management, request).await,
        Operation::GetStorageAccount => storage_account::get(management, request).await,
        Operation::CreateStorageAccount => storage_account::create(management, request).await,
        Operation::UpdateStorageAccount => storage_account::update(management, request).await,
        Operation::DeleteStorageAccount => storage_account::delete(management, request).await,
        Operation::GetStorageAccountKeys => storage_account::keys(management, request).await,
        Operation::RegenerateStorageAccountKeys => storage_account::regenerate(management, request).await,

        Operation::CheckHostedServiceName => hosted_service::check_name(management, request).await,
        Operation::ListHostedServices => hosted_service::list(management, request).await,
        Operation::GetHostedService => hosted_service::get(management, request).await,
        Operation::CreateHostedService => hosted_service::create(management, request).await,
        Operation::UpdateHostedService => hosted_service::update(management, request).await,
        Operation::DeleteHostedService => hosted_service::delete::alone(management, request).await,
        Operation::DeleteHostedServiceWithMedia => {
            hosted_service::delete::with_deployments(management, request).await
        }

        Operation::GetDeployment => deployment::get(management, request).await,
        Operation::CreateDeployment => deployment::create(management, request).await,
        Operation::DeleteDeployment => deployment::delete(management, request).await,
        Operation::UpdateDeploymentStatus => update::status(management, request).await,
        Operation::ChangeDeploymentConfiguration => update::configuration(management, request).await,
        Operation::UpgradeDeployment => update::upgrade(management, request).await,
        Operation::WalkUpgradeDomain => update::walk(management, request).await,
        Operation::RollbackUpdateOrUpgrade => update::roll_back(management, request).await,
        Operation::SwapDeployment => swap::swap(management, request).await,
        Operation::GetPackage => get_package::get(management, request).await,
        Operation::ListDeploymentEvents => event::list(management, request).await,

        Operation::RebootRoleInstance => instance::act(management, request, "reboot").await,
        Operation::ReimageRoleInstance => instance::act(management, request, "reimage").await,
        Operation::RebuildRoleInstance => instance::act(management, request, "rebuild").await,
        Operation::DeleteRoleInstances => update::delete_instances(management, request).await,

        Operation::ListServiceCertificates => service_certificate::list(management, request).await,
        Operation::GetServiceCertificate => service_certificate::get(management, request).await,
        Operation::AddServiceCertificate => service_certificate::add(management, request).await,
        Operation::DeleteServiceCertificate => service_certificate::delete(management, request).await,

        Operation::GetFabricKey => cloud_status::fabric_key(management).await,
        Operation::GetCloudStatus => cloud_status::get(management, &request.subscription).await,
        Operation::GetInstanceLog => instance::log(management, request).await,

        other => Err(not_built(other).into()),
    }
}

fn not_built(operation: Operation) -> ApiError {
    ApiError::new(ErrorCode::NotImplemented, format!("the operation {operation:?} is not built yet"))
}
