//! Certificates of hosted services: taken apart here, kept by the FC.
//!
//! A private key is sealed to a key of which only the FC has the other half, so management cannot give it out again,
//! to nobody. What management keeps is the certificate and that there is a key.
//!
//! The FC has a certificate before the row that names it is committed, and loses it after the row is gone. What a
//! crash leaves there without a row is swept.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use welkin_base::{ServiceName, Sha1Thumbprint, Timestamp};
use welkin_fabric_wire::certificate::{self as kept, storage_context};
use welkin_management_wire::deployment::slot_name;
use welkin_management_wire::service_certificate::{
    CertificateFile, CertificateFormat, ServiceCertificate, parse_key,
};
use welkin_management_wire::{ApiError, Element, ErrorCode};
use welkin_pki::{KeyedCertificate, PeerCertificate, Recipient};
use welkin_service_model::ServiceConfiguration;
use welkin_store::Commit;
use zeroize::{Zeroize as _, Zeroizing};

use crate::deployment::{DeploymentRecord, SLOTS, in_slot, slot_key};
use crate::failure::{Failure, chain};
use crate::hosted_service::{self, HostedServiceRecord};
use crate::management::{Management, now};
use crate::operation;
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{Read, SERVICES, State, encode};

/// Certificates of one hosted service, at most: far above what a service's roles can name.
const CERTIFICATES_MAX: usize = 100;
/// Before the thumbprint in a row's key.
const PREFIX: &str = "certificate/";
/// What the FC keeps without a row is swept after this time: it is put there just before its row is.
const SWEEP_GRACE: Duration = Duration::from_secs(600);
/// How often that is looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(3600);
/// Files that are taken apart at once. Each may take a second of a processor.
static READERS: Semaphore = Semaphore::const_new(2);

/// A certificate as it is stored, beside its service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// Which one.
    pub thumbprint: Sha1Thumbprint,
    /// DER in base64.
    pub certificate: String,
    /// Whether the FC has its private key.
    pub has_key: bool,
    /// When it was uploaded.
    pub created: Timestamp,
}

fn row_key(thumbprint: &Sha1Thumbprint) -> String {
    format!("{PREFIX}{thumbprint}")
}

async fn all(management: &Management, service: &str) -> Result<Vec<Read<CertificateRecord>>, Failure> {
    management.state.within(SERVICES, service, PREFIX).await
}

/// The certificate that a request names, with its service.
async fn find(
    management: &Management,
    request: &Request,
) -> Result<(HostedServiceRecord, Read<CertificateRecord>), Failure> {
    let name = request.parameters.service()?;
    let thumbprint = parse_key(request.parameters.raw("{key}"))?;
    let service = hosted_service::find(management, &request.subscription, &name).await?.record;
    let read = management.state.get(SERVICES, name.as_str(), &row_key(&thumbprint)).await?;
    let missing =
        || ApiError::not_found(format!("the hosted service {name} has no certificate {thumbprint}"));
    Ok((service, read.ok_or_else(missing)?))
}

fn describe(
    request: &Request,
    service: &HostedServiceRecord,
    record: &CertificateRecord,
) -> ServiceCertificate {
    let key = ServiceCertificate::key(&record.thumbprint);
    ServiceCertificate {
        url: request.url(&format!("services/hostedservices/{}/certificates/{key}", service.name)),
        thumbprint: record.thumbprint,
        data: STANDARD.decode(&record.certificate).unwrap_or_default(),
    }
}

/// "List Service Certificates".
pub async fn list(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.service()?;
    let service = hosted_service::find(management, &request.subscription, &name).await?.record;
    let certificates = all(management, name.as_str()).await?;
    let elements = certificates.iter().map(|read| describe(request, &service, &read.record).element());
    Ok(Reply::Xml(Element::new("Certificates").children(elements)))
}

/// "Get Service Certificate".
pub async fn get(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let (service, read) = find(management, request).await?;
    Ok(Reply::Xml(describe(request, &service, &read.record).data_element()))
}

/// "Add Service Certificate": 202, and it is there. The same one again is no error, and one that comes without its
/// private key never takes the key away.
pub async fn add(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let name = request.parameters.service()?;
    let service = hosted_service::find(management, &request.subscription, &name).await?;
    hosted_service::free(&service.record)?;
    let uploaded = read(CertificateFile::parse(&request.body)?).await?;
    let thumbprint = uploaded.certificate.sha1_thumbprint();
    let held = all(management, name.as_str()).await?;
    if held.len() >= CERTIFICATES_MAX {
        let message = format!("{name} has {CERTIFICATES_MAX} certificates, which is the most: delete one");
        return Err(ApiError::conflict(message).into());
    }
    let before = held.into_iter().find(|read| read.record.thumbprint == thumbprint);
    let loses_key = uploaded.key.is_none() && before.as_ref().is_some_and(|read| read.record.has_key);
    // The service's row is written too: whoever deletes the service at this moment has not seen the certificate.
    let touched = HostedServiceRecord { modified: now(), ..service.record.clone() };
    let mut change = State::change(SERVICES, name.as_str())
        .check_version(hosted_service::KEY, service.version)
        .put(hosted_service::KEY, encode(&touched)?);
    if !loses_key {
        let record = CertificateRecord {
            thumbprint,
            certificate: STANDARD.encode(uploaded.certificate.der()),
            has_key: uploaded.key.is_some(),
            created: now(),
        };
        let sealed = seal(management, &service.record, uploaded).await?;
        let owner = (&service.record.subscription, &service.record.name);
        management.fabric.put_certificate(owner, &thumbprint, &sealed).await?;
        change = change
            .check_unchanged(row_key(&thumbprint), before.map(|read| read.version))
            .put(row_key(&thumbprint), encode(&record)?);
    }
    operation::announce(&management.state, request, SERVICES, name.as_str()).await?;
    let change = operation::record(change, request, name.as_str(), operation::done())?;
    management.state.commit(change).await?;
    tracing::info!(service = %name, %thumbprint, "a service certificate was added");
    Ok(Reply::ACCEPTED)
}

/// Takes a file apart, away from the threads that answer requests.
async fn read(file: CertificateFile) -> Result<KeyedCertificate, Failure> {
    let failed = |_| ApiError::new(ErrorCode::InternalError, "the certificate cannot be read now");
    let _one_of_few = READERS.acquire().await.map_err(|_| failed(()))?;
    let parse = move || match file.format {
        CertificateFormat::Pfx => KeyedCertificate::from_pfx(&file.data, &file.password),
        CertificateFormat::Cer => KeyedCertificate::from_cer(&file.data),
    };
    let read = tokio::task::spawn_blocking(parse).await.map_err(|_| failed(()))?;
    Ok(read.map_err(|error| ApiError::bad_request(error.to_string()))?)
}

async fn seal(
    management: &Management,
    service: &HostedServiceRecord,
    uploaded: KeyedCertificate,
) -> Result<kept::ServiceCertificate, Failure> {
    let thumbprint = uploaded.certificate.sha1_thumbprint();
    let certificates = std::iter::once(&uploaded.certificate).chain(&uploaded.chain);
    let chain =
        certificates.map(|certificate: &PeerCertificate| STANDARD.encode(certificate.der())).collect();
    let Some(key) = uploaded.key else { return Ok(kept::ServiceCertificate { chain, sealed_key: None }) };
    let unusable = |_| ApiError::new(ErrorCode::InternalError, "the fabric controller's key is of no use");
    let recipient = management.fabric.identity().await?.certificate_recipient;
    let recipient: Recipient = recipient.parse().map_err(unusable)?;
    let context = storage_context(&service.subscription, &service.name, &thumbprint);
    let secret = Zeroizing::new(key.pkcs8().to_vec());
    let sealed = recipient.seal(secret, context.as_bytes()).map_err(unusable)?;
    Ok(kept::ServiceCertificate { chain, sealed_key: Some(STANDARD.encode(sealed)) })
}

/// Wipes what a request said, where nobody else holds it.
pub fn wipe(body: Bytes) {
    if let Ok(mut body) = body.try_into_mut() {
        body.zeroize();
    }
}

/// "Delete Service Certificate": refused while a deployment uses it.
pub async fn delete(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let (service, read) = find(management, request).await?;
    let (name, thumbprint) = (service.name, read.record.thumbprint);
    let key = row_key(&thumbprint);
    let mut change =
        State::change(SERVICES, name.as_str()).check_version(key.clone(), read.version).delete(key);
    for slot in SLOTS {
        let deployment = in_slot(management, name.as_str(), slot).await?;
        if let Some(deployment) = &deployment
            && uses(management, &deployment.record, &thumbprint).await?
        {
            let slot = slot_name(slot).to_lowercase();
            let message =
                format!("the deployment in the {slot} slot of {name} uses the certificate {thumbprint}");
            return Err(ApiError::conflict(message).into());
        }
        change = change.check_unchanged(slot_key(slot), deployment.map(|deployment| deployment.version));
    }
    operation::announce(&management.state, request, SERVICES, name.as_str()).await?;
    let change = operation::record(change, request, name.as_str(), operation::done())?;
    management.state.commit(change).await?;
    tracing::info!(service = %name, %thumbprint, "a service certificate was deleted");
    let owner = (&service.subscription, &name);
    if let Err(failure) = management.fabric.delete_certificate(owner, &thumbprint).await {
        tracing::warn!(
            error = chain(&failure),
            "the fabric controller keeps the certificate until the next sweep"
        );
    }
    Ok(Reply::ACCEPTED)
}

/// Whether a deployment's configuration names the certificate, or one that an update has not yet replaced everywhere.
async fn uses(
    management: &Management,
    deployment: &DeploymentRecord,
    thumbprint: &Sha1Thumbprint,
) -> Result<bool, Failure> {
    let names = |configuration: &str| named(configuration).iter().any(|(_, _, named)| named == thumbprint);
    if names(&deployment.configuration) {
        return Ok(true);
    }
    if !deployment.replaced.as_ref().is_some_and(|replaced| names(&replaced.configuration)) {
        return Ok(false);
    }
    let observed = management.fabric.observed(&deployment.id).await?;
    Ok(observed.is_some_and(|observed| observed.update.is_some()))
}

/// Role, name and thumbprint of each certificate that a configuration gives. Of one that cannot be read, none: no
/// deployment ever runs with it.
fn named(configuration: &str) -> Vec<(String, String, Sha1Thumbprint)> {
    let Ok(configuration) = ServiceConfiguration::parse(configuration) else { return Vec::new() };
    let roles = configuration.roles.iter();
    let certificates = roles.flat_map(|role| role.certificates.iter().map(move |given| (role, given)));
    certificates
        .filter_map(|(role, given)| {
            Some((role.name.to_string(), given.name.clone(), given.thumbprint.parse().ok()?))
        })
        .collect()
}

/// Adds to a commit that every certificate that a configuration names is in the service's store, and stays there.
///
/// # Errors
/// When one is not there: all of them are told.
pub async fn require(
    management: &Management,
    service: &ServiceName,
    configuration: &str,
    mut change: Commit,
) -> Result<Commit, Failure> {
    let certificates = named(configuration);
    if certificates.is_empty() {
        return Ok(change);
    }
    let held = all(management, service.as_str()).await?;
    let mut missing = Vec::new();
    for (role, name, thumbprint) in certificates {
        match held.iter().find(|read| read.record.thumbprint == thumbprint) {
            Some(read) => change = change.check_version(row_key(&thumbprint), read.version),
            None => missing.push(format!(
                "the certificate {name} of role {role} has the thumbprint {thumbprint}, and the hosted service \
                 {service} has no such certificate; upload it first"
            )),
        }
    }
    if missing.is_empty() { Ok(change) } else { Err(ApiError::bad_request(missing.join("\n")).into()) }
}

/// Adds to the commit that deletes a service that its certificates go with it.
pub async fn leave_none(
    management: &Management,
    service: &str,
    mut change: Commit,
) -> Result<Commit, Failure> {
    for read in all(management, service).await? {
        let key = row_key(&read.record.thumbprint);
        change = change.check_version(key.clone(), read.version).delete(key);
    }
    Ok(change)
}

/// Has the FC forget the certificates of a service that is gone.
pub async fn forget_all(management: &Management, service: &HostedServiceRecord) {
    if let Err(failure) = management.fabric.delete_certificates((&service.subscription, &service.name)).await
    {
        tracing::warn!(
            error = chain(&failure),
            "the fabric controller keeps certificates until the next sweep"
        );
    }
}

/// Sweeps now and then, until the service ends.
pub async fn sweep_often(management: Arc<Management>) {
    loop {
        match sweep(&management).await {
            Ok(0) => {}
            Ok(certificates) => tracing::info!(certificates, "certificates that nothing names were swept"),
            Err(failure) => tracing::warn!(error = chain(&failure), "cannot sweep certificates"),
        }
        tokio::time::sleep(SWEEP_INTERVAL).await;
    }
}

/// Has the FC forget whatever no row names: what a crash left between its two stores.
async fn sweep(management: &Management) -> Result<u32, Failure> {
    let mut swept = 0;
    for certificate in management.fabric.certificates().await? {
        if certificate.age_seconds < SWEEP_GRACE.as_secs() {
            continue;
        }
        let service = certificate.service.as_str();
        let owner: Option<Read<HostedServiceRecord>> =
            management.state.get(SERVICES, service, hosted_service::KEY).await?;
        let own = owner.is_some_and(|read| read.record.subscription == certificate.subscription);
        let key = row_key(&certificate.thumbprint);
        let row: Option<Read<CertificateRecord>> = management.state.get(SERVICES, service, &key).await?;
        if own && row.is_some() {
            continue;
        }
        let owner = (&certificate.subscription, &certificate.service);
        management.fabric.delete_certificate(owner, &certificate.thumbprint).await?;
        swept += 1;
    }
    Ok(swept)
}
