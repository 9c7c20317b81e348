//! Service certificates: kept with their private keys sealed, and sealed anew for the node that needs one.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use welkin_agent_wire::certificate::{CertificateGoal, SealedCertificate, transport_context};
use welkin_base::{InstanceId, NodeName, ServiceName, Sha1Thumbprint, SubscriptionId, Timestamp};
use welkin_fabric::Role;
use welkin_fabric::certificate::due;
use welkin_fabric::row::{RowError, decode, encode};
use welkin_fabric_wire::certificate::{KeptCertificate, ServiceCertificate, storage_context};
use welkin_pki::{PeerCertificate, PrivateKey, Recipient, SealError, UnsealingKey};
use welkin_store::{Commit, CommitError, ScanFrom, Space, Store, StoreError};
use zeroize::Zeroizing;

use crate::agent::Agent;
use crate::controller::Controller;

const CERTIFICATES: Space = Space::new(10, "certificates");
/// Certificates of a chain, at most, the first counted.
const CHAIN_MAX: usize = 16;
/// Rows that are read at once.
const ROWS_MAX: usize = 64;

/// Why a certificate is not kept or given.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// What was sent contradicts itself.
    #[error("{0}")]
    Wrong(&'static str),
    /// The private key was not sealed for this.
    #[error("the private key: {0}")]
    Sealed(#[from] SealError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row cannot be read.
    #[error(transparent)]
    Row(#[from] RowError),
    /// Another controller wrote at the same moment.
    #[error("another fabric controller changed the certificate")]
    Conflict,
}

impl From<CommitError> for CertificateError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Conflict { .. } => Self::Conflict,
            CommitError::Store(error) => Self::Store(error),
        }
    }
}

/// Whose a certificate is.
pub(crate) type Owner<'a> = (&'a SubscriptionId, &'a ServiceName);

/// The certificates of all hosted services. A partition is a hosted service, a key a thumbprint.
#[derive(Debug)]
pub(crate) struct Certificates {
    store: Store,
    key: Arc<UnsealingKey>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    subscription: SubscriptionId,
    service: ServiceName,
    thumbprint: Sha1Thumbprint,
    stored: Timestamp,
    certificate: ServiceCertificate,
}

fn partition((subscription, service): Owner<'_>) -> String {
    format!("{subscription}/{}", service.as_str().to_ascii_lowercase())
}

impl Certificates {
    pub fn new(store: Store, key: Arc<UnsealingKey>) -> Self {
        Self { store, key }
    }

    /// What private keys are to be sealed to.
    pub fn recipient(&self) -> String {
        self.key.recipient().to_string()
    }

    /// Keeps a certificate, in place of what is kept under its name. What could never be of use is refused.
    pub async fn put(
        &self,
        owner: Owner<'_>,
        thumbprint: Sha1Thumbprint,
        certificate: ServiceCertificate,
        now: Timestamp,
    ) -> Result<(), CertificateError> {
        if certificate.chain.len() > CHAIN_MAX {
            return Err(CertificateError::Wrong("the chain is too long"));
        }
        let der = certificate.chain.first().and_then(|first| STANDARD.decode(first).ok());
        let found = der.map(|der| PeerCertificate::from_der(der).sha1_thumbprint());
        if found != Some(thumbprint) {
            return Err(CertificateError::Wrong("the certificate has another thumbprint"));
        }
        if let Some(sealed) = &certificate.sealed_key {
            let secret = self.open(owner, &thumbprint, sealed)?;
            PrivateKey::from_pkcs8(secret).map_err(|_| CertificateError::Wrong("not a private key"))?;
        }
        let (subscription, service) = (owner.0.clone(), owner.1.clone());
        let row = encode(&Kept { subscription, service, thumbprint, stored: now, certificate })?;
        let commit = Commit::new(CERTIFICATES, partition(owner)).put(thumbprint.to_string(), row);
        self.store.commit(commit).await?;
        Ok(())
    }

    /// The certificate, if it is kept.
    pub async fn get(
        &self,
        owner: Owner<'_>,
        thumbprint: &Sha1Thumbprint,
    ) -> Result<Option<ServiceCertificate>, CertificateError> {
        let (partition, key) = (partition(owner), thumbprint.to_string());
        let row = self.store.get(CERTIFICATES, partition.as_bytes(), key.as_bytes()).await?;
        Ok(row.map(|row| decode::<Kept>(&row.value)).transpose()?.map(|kept| kept.certificate))
    }

    /// Forgets a certificate; that it is not kept is no error.
    pub async fn delete(
        &self,
        owner: Owner<'_>,
        thumbprint: &Sha1Thumbprint,
    ) -> Result<(), CertificateError> {
        let commit = Commit::new(CERTIFICATES, partition(owner)).delete(thumbprint.to_string());
        self.store.commit(commit).await?;
        Ok(())
    }

    /// Forgets every certificate of a hosted service.
    pub async fn delete_all(&self, owner: Owner<'_>) -> Result<(), CertificateError> {
        let partition = Bytes::from(partition(owner));
        for kept in self.kept(ScanFrom::Partition(partition.clone()), |of| *of == partition).await? {
            self.delete(owner, &kept.thumbprint).await?;
        }
        Ok(())
    }

    /// What is kept, without the certificates themselves.
    pub async fn list(&self, now: Timestamp) -> Result<Vec<KeptCertificate>, CertificateError> {
        let kept = self.kept(ScanFrom::Start, |_| true).await?.into_iter();
        Ok(kept
            .map(|Kept { subscription, service, thumbprint, stored, .. }| KeptCertificate {
                subscription,
                service,
                thumbprint,
                age_seconds: now.since(stored).as_secs(),
            })
            .collect())
    }

    /// Rows from a place on, as long as their partition is wanted.
    async fn kept(
        &self,
        mut from: ScanFrom,
        wanted: impl Fn(&Bytes) -> bool,
    ) -> Result<Vec<Kept>, CertificateError> {
        let mut kept = Vec::new();
        loop {
            let rows = self.store.scan(CERTIFICATES, from, ROWS_MAX).await?;
            let Some(last) = rows.last() else { return Ok(kept) };
            from = ScanFrom::AfterRow(last.partition.clone(), last.key.clone());
            for row in &rows {
                if !wanted(&row.partition) {
                    return Ok(kept);
                }
                kept.push(decode::<Kept>(&row.value)?);
            }
        }
    }

    fn open(
        &self,
        (subscription, service): Owner<'_>,
        thumbprint: &Sha1Thumbprint,
        sealed: &str,
    ) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
        let sealed = STANDARD.decode(sealed).map_err(|_| SealError::Open)?;
        let context = storage_context(subscription, service, thumbprint);
        Ok(self.key.open(&sealed, context.as_bytes())?)
    }

    /// What of a deployment's certificates is not kept, one line each for the customer.
    pub async fn missing(&self, owner: Owner<'_>, roles: &[Role]) -> Result<Vec<String>, CertificateError> {
        let mut lines = Vec::new();
        for role in roles {
            for CertificateGoal { name, thumbprint, .. } in &role.certificates {
                if self.get(owner, thumbprint).await?.is_none() {
                    lines.push(format!(
                        "the certificate {name} of role {} has the thumbprint {thumbprint}, which is not in the store \
                         of the hosted service; upload it first",
                        role.name
                    ));
                }
            }
        }
        Ok(lines)
    }

    /// A certificate for one instance: its private key, taken from one seal, is put under the other in its place.
    pub async fn reseal(
        &self,
        owner: Owner<'_>,
        thumbprint: &Sha1Thumbprint,
        instance: &InstanceId,
        recipient: &Recipient,
    ) -> Result<Option<SealedCertificate>, CertificateError> {
        let Some(kept) = self.get(owner, thumbprint).await? else { return Ok(None) };
        let sealed_key = match &kept.sealed_key {
            None => None,
            Some(sealed) => {
                let secret = self.open(owner, thumbprint, sealed)?;
                let context = transport_context(instance, thumbprint);
                Some(STANDARD.encode(recipient.seal(secret, context.as_bytes())?))
            }
        };
        Ok(Some(SealedCertificate { chain: kept.chain, sealed_key }))
    }
}

/// Gives a node the certificates that its guests wait for. What cannot be given is tried again with the next look at
/// the node.
pub(crate) async fn supply(controller: &Arc<Controller>, name: &NodeName, agent: &Agent) {
    let (due, recipient) = {
        let state = controller.state().await;
        let due = due(&state.cluster, name);
        let seen = state.cluster.nodes.get(name).and_then(|node| node.seen.state());
        (due, seen.and_then(|seen| seen.transport_recipient.parse::<Recipient>().ok()))
    };
    for due in due {
        let Some(recipient) = &recipient else {
            tracing::warn!(node = %name, "the node has no transport key, and needs certificates");
            return;
        };
        let owner = (&due.subscription, &due.service);
        let sealed = controller.certificates.reseal(owner, &due.thumbprint, &due.instance, recipient).await;
        let (instance, thumbprint) = (&due.instance, &due.thumbprint);
        let given = match sealed {
            Ok(Some(sealed)) => {
                agent.push_certificate(instance, thumbprint, &sealed).await.map_err(|e| e.to_string())
            }
            Ok(None) => Err("it is no longer kept here".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        match given {
            Ok(()) => tracing::info!(node = %name, %instance, %thumbprint, "gave the node a certificate"),
            Err(error) => {
                tracing::warn!(node = %name, %instance, %thumbprint, error, "cannot give a certificate");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use welkin_pki::KeyedCertificate;

    use super::*;

    fn fixture() -> KeyedCertificate {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../pki/tests/pkcs12/modern.pfx");
        KeyedCertificate::from_pfx(&std::fs::read(path).unwrap(), "p\u{e4}ssword").unwrap()
    }

    /// What management would send to the holder of `recipient`.
    fn sent(owner: Owner<'_>, uploaded: &KeyedCertificate, recipient: &str) -> ServiceCertificate {
        let thumbprint = uploaded.certificate.sha1_thumbprint();
        let context = storage_context(owner.0, owner.1, &thumbprint);
        let secret = Zeroizing::new(uploaded.key.as_ref().unwrap().pkcs8().to_vec());
        let sealed = recipient.parse::<Recipient>().unwrap().seal(secret, context.as_bytes()).unwrap();
        let chain = std::iter::once(&uploaded.certificate).chain(&uploaded.chain);
        ServiceCertificate {
            chain: chain.map(|certificate| STANDARD.encode(certificate.der())).collect(),
            sealed_key: Some(STANDARD.encode(sealed)),
        }
    }

    #[tokio::test]
    async fn kept_under_one_seal_and_given_under_another() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open_local(folder.path()).await.unwrap();
        let certificates = Certificates::new(store, Arc::new(UnsealingKey::generate()));
        let subscription: SubscriptionId = "11111111-1111-1111-1111-111111111111".parse().unwrap();
        let (service, other): (ServiceName, ServiceName) =
            ("Guestbook".parse().unwrap(), "b".parse().unwrap());
        let owner = (&subscription, &service);
        let (uploaded, now) = (fixture(), Timestamp::from_ticks(0));
        let thumbprint = uploaded.certificate.sha1_thumbprint();
        let good = sent(owner, &uploaded, &certificates.recipient());

        let elsewhere = sent(owner, &uploaded, &UnsealingKey::generate().recipient().to_string());
        assert!(matches!(
            certificates.put(owner, thumbprint, elsewhere, now).await,
            Err(CertificateError::Sealed(_))
        ));
        let of_another = certificates.put((&subscription, &other), thumbprint, good.clone(), now).await;
        assert!(matches!(of_another, Err(CertificateError::Sealed(_))));
        let chain = good.chain.iter().rev().cloned().collect();
        let turned = ServiceCertificate { chain, ..good.clone() };
        assert!(matches!(
            certificates.put(owner, thumbprint, turned, now).await,
            Err(CertificateError::Wrong(_))
        ));
        assert!(certificates.list(now).await.unwrap().is_empty());

        certificates.put(owner, thumbprint, good.clone(), now).await.unwrap();
        assert_eq!(certificates.get(owner, &thumbprint).await.unwrap(), Some(good));
        assert_eq!(certificates.get((&subscription, &other), &thumbprint).await.unwrap(), None);

        let transport = UnsealingKey::generate();
        let instance: InstanceId = "6ba7b8109dad11d180b400c04fd430c8/Web_IN_0".parse().unwrap();
        let given =
            certificates.reseal(owner, &thumbprint, &instance, transport.recipient()).await.unwrap().unwrap();
        let sealed = STANDARD.decode(given.sealed_key.unwrap()).unwrap();
        let key = transport.open(&sealed, transport_context(&instance, &thumbprint).as_bytes()).unwrap();
        assert!(*key == uploaded.key.unwrap().pkcs8());

        let later = now.plus(std::time::Duration::from_secs(5));
        let listed = certificates.list(later).await.unwrap();
        assert_eq!((listed.len(), listed[0].thumbprint, listed[0].age_seconds), (1, thumbprint, 5));
        certificates.delete_all((&subscription, &other)).await.unwrap();
        assert_eq!(certificates.list(later).await.unwrap().len(), 1);
        certificates.delete_all((&subscription, &"guestbook".parse().unwrap())).await.unwrap();
        assert!(certificates.list(later).await.unwrap().is_empty());
    }
}
