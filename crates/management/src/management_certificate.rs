//! Management certificates: who may manage a subscription.

use serde::{Deserialize, Serialize};
use welkin_base::{SubscriptionId, Timestamp};
use welkin_management_wire::ApiError;
use welkin_management_wire::management_certificate::{
    AddCertificate, CERTIFICATES_MAX, ManagementCertificate, list as list_element,
};
use welkin_pki::{PeerCertificate, Sha1Thumbprint};
use welkin_store::Commit;

use crate::failure::Failure;
use crate::management::{Management, now};
use crate::operation;
use crate::quota::{TRIES, won};
use crate::reply::Reply;
use crate::request::Request;
use crate::state::{CERTIFICATES, Kind, Read, SUBSCRIPTIONS, State, decode, encode};
use crate::subscription;

/// A management certificate as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// The certificate, in DER.
    #[serde(with = "base64_text")]
    pub data: Vec<u8>,
    /// When it was registered.
    pub created: Timestamp,
}

mod base64_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        STANDARD.decode(String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Adds to a commit that a certificate is registered.
pub fn put(commit: Commit, certificate: &PeerCertificate) -> Result<Commit, Failure> {
    let record = CertificateRecord { data: certificate.der().to_vec(), created: now() };
    let key = Kind::Certificate.key(&certificate.sha1_thumbprint().to_string());
    Ok(commit.check_absent(key.clone()).put(key, encode(&record)?))
}

/// Says where a certificate is registered, before it is.
pub async fn enter(state: &State, id: &SubscriptionId, thumbprint: Sha1Thumbprint) -> Result<(), Failure> {
    state.commit(State::change(CERTIFICATES, &thumbprint.to_string()).put(id.to_string(), Vec::new())).await
}

/// Says that a certificate is not registered any more, after it was removed. Somebody who registers it again at the
/// same moment has its entry back, since what is there is looked at after.
pub async fn leave(state: &State, id: &SubscriptionId, thumbprint: Sha1Thumbprint) -> Result<(), Failure> {
    state.commit(State::change(CERTIFICATES, &thumbprint.to_string()).delete(id.to_string())).await?;
    match state.entry(id, Kind::Certificate, &thumbprint.to_string()).await? {
        Some(_) => enter(state, id, thumbprint).await,
        None => Ok(()),
    }
}

/// The subscriptions on which a certificate is registered.
pub async fn subscriptions_of(
    state: &State,
    thumbprint: Sha1Thumbprint,
) -> Result<Vec<SubscriptionId>, Failure> {
    let mut registered = Vec::new();
    for id in state.keys(CERTIFICATES, &thumbprint.to_string()).await? {
        let Ok(id) = SubscriptionId::new(&id) else { continue };
        if state.entry(&id, Kind::Certificate, &thumbprint.to_string()).await?.is_some() {
            registered.push(id);
        }
    }
    Ok(registered)
}

/// The certificates of a subscription.
pub async fn all(state: &State, id: &SubscriptionId) -> Result<Vec<ManagementCertificate>, Failure> {
    let rows = state.entries(id, Kind::Certificate.prefix()).await?;
    rows.iter().map(|row| Ok(describe(decode(SUBSCRIPTIONS, &row.value)?))).collect()
}

fn describe(record: CertificateRecord) -> ManagementCertificate {
    let certificate = PeerCertificate::from_der(record.data);
    ManagementCertificate {
        // It was looked at when it was registered.
        public_key: certificate.public_key().unwrap_or_default(),
        thumbprint: certificate.sha1_thumbprint().to_string(),
        data: certificate.der().to_vec(),
        created: record.created,
    }
}

fn thumbprint(request: &Request) -> Result<Sha1Thumbprint, ApiError> {
    request.parameters.raw("{key}").parse().map_err(|_| {
        ApiError::bad_request(
            "a management certificate is named by its SHA-1 thumbprint: 40 hexadecimal digits",
        )
    })
}

async fn find(
    state: &State,
    request: &Request,
) -> Result<(Sha1Thumbprint, Read<CertificateRecord>), Failure> {
    let thumbprint = thumbprint(request)?;
    let key = Kind::Certificate.key(&thumbprint.to_string());
    let read = state.get(SUBSCRIPTIONS, request.subscription.id.as_str(), &key).await?;
    let unknown = || ApiError::not_found(format!("no certificate {thumbprint} is registered"));
    Ok((thumbprint, read.ok_or_else(unknown)?))
}

/// "List Management Certificates".
pub async fn list(management: &Management, request: &Request) -> Result<Reply, Failure> {
    Ok(Reply::Xml(list_element(&all(&management.state, &request.subscription.id).await?)))
}

/// "Get Management Certificate".
pub async fn get(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let (_, read) = find(&management.state, request).await?;
    Ok(Reply::Xml(describe(read.record).element()))
}

/// "Add Management Certificate".
pub async fn add(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let asked = AddCertificate::parse(&request.body)?;
    let certificate = checked(&asked)?;
    let (state, id) = (&management.state, &request.subscription.id);
    let thumbprint = certificate.sha1_thumbprint();
    operation::announce(state, request, SUBSCRIPTIONS, id.as_str()).await?;
    register(state, id, &certificate, |change| {
        operation::record(change, request, &thumbprint.to_string(), operation::done())
    })
    .await?;
    let location = format!("{}/subscriptions/{id}/certificates/{thumbprint}", request.origin);
    Ok(Reply::Created { location })
}

/// Registers a certificate, with what `more` adds to the commit.
pub async fn register(
    state: &State,
    id: &SubscriptionId,
    certificate: &PeerCertificate,
    more: impl Fn(Commit) -> Result<Commit, Failure>,
) -> Result<(), Failure> {
    let thumbprint = certificate.sha1_thumbprint();
    for _ in 0..TRIES {
        let read = subscription::read(state, id).await?;
        room(state, id, thumbprint).await?;
        enter(state, id, thumbprint).await?;
        if won(state.commit(more(put(subscription::touch(&read)?, certificate)?)?).await)? {
            return Ok(());
        }
    }
    Err(Failure::Raced)
}

/// Whether one more certificate may be registered.
async fn room(state: &State, id: &SubscriptionId, new: Sha1Thumbprint) -> Result<(), Failure> {
    let thumbprints = state.names(id, Kind::Certificate).await?;
    if thumbprints.iter().any(|known| known.eq_ignore_ascii_case(&new.to_string())) {
        return Err(ApiError::conflict(format!("the certificate {new} is registered already")).into());
    }
    if thumbprints.len() >= CERTIFICATES_MAX {
        let message =
            format!("a subscription has at most {CERTIFICATES_MAX} management certificates: remove one");
        return Err(ApiError::conflict(message).into());
    }
    Ok(())
}

/// The certificate, if it is one and what is claimed of it is so.
fn checked(asked: &AddCertificate) -> Result<PeerCertificate, ApiError> {
    let bad = |message: &str| ApiError::bad_request(message.to_owned());
    let certificate = PeerCertificate::from_der(asked.data.clone());
    let key = certificate
        .public_key()
        .map_err(|_| bad("SubscriptionCertificateData is not an X.509 certificate in DER, in base64"))?;
    if asked.public_key.as_ref().is_some_and(|claimed| *claimed != key) {
        return Err(bad("SubscriptionCertificatePublicKey is not the public key of the certificate"));
    }
    let claimed = asked.thumbprint.as_ref().map(|text| text.parse::<Sha1Thumbprint>());
    match claimed {
        Some(Ok(claimed)) if claimed == certificate.sha1_thumbprint() => Ok(certificate),
        None => Ok(certificate),
        Some(_) => {
            Err(bad("SubscriptionCertificateThumbprint is not the SHA-1 thumbprint of the certificate"))
        }
    }
}

/// "Delete Management Certificate". Who has it is refused from now on.
pub async fn delete(management: &Management, request: &Request) -> Result<Reply, Failure> {
    let (state, id) = (&management.state, &request.subscription.id);
    let (thumbprint, read) = find(state, request).await?;
    let key = Kind::Certificate.key(&thumbprint.to_string());
    operation::announce(state, request, SUBSCRIPTIONS, id.as_str()).await?;
    let change = State::change_subscription(id).check_version(key.clone(), read.version).delete(key);
    let change = operation::record(change, request, &thumbprint.to_string(), operation::done())?;
    state.commit(change).await?;
    leave(state, id, thumbprint).await?;
    Ok(Reply::OK)
}
