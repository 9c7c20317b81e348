//! A certificate on its way through the node: taken from the controller's seal, put into words for the guest, and
//! forgotten. Nothing of it touches a disk, and what held the private key is wiped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use welkin_agent_wire::certificate::{GuestCertificate, KeyText, SealedCertificate, transport_context};
use welkin_agent_wire::limits::GUEST_LINE_BYTES_MAX;
use welkin_agent_wire::{NodeGoal, ToGuest};
use welkin_base::{InstanceId, Sha1Thumbprint};
use welkin_pki::{SealError, UnsealingKey};
use zeroize::Zeroizing;

/// A line for a guest that holds a secret.
pub type SecretLine = Zeroizing<Vec<u8>>;
/// What JSON adds to a certificate's texts, at most.
const JSON_EXTRA_BYTES: usize = 512;

/// Why a certificate is not passed on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not sealed to this agent.
    #[error("the private key: {0}")]
    Sealed(#[from] SealError),
    /// It does not fit.
    #[error("the certificate cannot be told to a guest: {0}")]
    Malformed(&'static str),
}

/// Whether the goal of the instance names the certificate.
pub fn is_wanted(goal: &NodeGoal, id: &InstanceId, thumbprint: &Sha1Thumbprint) -> bool {
    let instance = goal.instances.iter().find(|instance| instance.id == *id);
    instance.is_some_and(|instance| {
        instance.guest.certificates.iter().any(|named| named.thumbprint == *thumbprint)
    })
}

/// The line that gives a guest its certificate. Each buffer on the way has room from the start, so that none moves and
/// leaves a copy behind.
pub fn line(
    transport: &UnsealingKey,
    id: &InstanceId,
    thumbprint: &Sha1Thumbprint,
    sealed: SealedCertificate,
) -> Result<SecretLine, CertificateError> {
    let key = match &sealed.sealed_key {
        None => None,
        Some(text) => {
            let sealed = STANDARD.decode(text).map_err(|_| SealError::Open)?;
            let key = transport.open(&sealed, transport_context(id, thumbprint).as_bytes())?;
            Some(in_base64(&key)?)
        }
    };
    let texts: usize = sealed.chain.iter().map(|text| text.len() + 3).sum();
    let room = JSON_EXTRA_BYTES + texts + key.as_ref().map_or(0, |key| key.as_str().len());
    if room > GUEST_LINE_BYTES_MAX || sealed.chain.iter().any(|text| STANDARD.decode(text).is_err()) {
        return Err(CertificateError::Malformed("the chain is too long or not base64"));
    }
    let word = ToGuest::Certificate(Box::new(GuestCertificate {
        thumbprint: *thumbprint,
        chain: sealed.chain,
        key,
    }));
    let mut line = Zeroizing::new(Vec::with_capacity(room));
    serde_json::to_writer(&mut *line, &word).map_err(|_| CertificateError::Malformed("it has no JSON"))?;
    line.push(b'\n');
    Ok(line)
}

fn in_base64(key: &[u8]) -> Result<KeyText, CertificateError> {
    let malformed = |()| CertificateError::Malformed("the private key is too long");
    let length = base64::encoded_len(key.len(), true).ok_or(()).map_err(malformed)?;
    let mut text = vec![0; length];
    STANDARD.encode_slice(key, &mut text).map_err(|_| malformed(()))?;
    // The bytes become the text; they are not copied.
    String::from_utf8(text).map(KeyText::new).map_err(|_| malformed(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> InstanceId {
        InstanceId::new("6ba7b8109dad11d180b400c04fd430c8".parse().unwrap(), name.parse().unwrap())
    }

    #[test]
    fn a_line_for_one_instance() {
        let transport = UnsealingKey::generate();
        let thumbprint: Sha1Thumbprint = "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709".parse().unwrap();
        let (own, other) = (id("Web_IN_0"), id("Web_IN_1"));
        let context = transport_context(&own, &thumbprint);
        let key = vec![7; 3000];
        let sealed = transport.recipient().seal(Zeroizing::new(key.clone()), context.as_bytes()).unwrap();
        let sealed = SealedCertificate {
            chain: vec![STANDARD.encode([1; 900]), STANDARD.encode([2; 900])],
            sealed_key: Some(STANDARD.encode(sealed)),
        };
        let told = line(&transport, &own, &thumbprint, sealed.clone()).unwrap();
        let ToGuest::Certificate(word) = serde_json::from_slice(&told).unwrap() else {
            panic!("another word")
        };
        assert_eq!((word.thumbprint, &word.chain), (thumbprint, &sealed.chain));
        assert_eq!(STANDARD.decode(word.key.unwrap().as_str()).unwrap(), key);
        assert_eq!(told.last(), Some(&b'\n'));

        let refused = |id: &InstanceId, sealed| line(&transport, id, &thumbprint, sealed).unwrap_err();
        assert_eq!(refused(&other, sealed.clone()), CertificateError::Sealed(SealError::Open));
        let chain = vec!["\"}".to_owned()];
        assert!(matches!(
            refused(&own, SealedCertificate { chain, ..sealed }),
            CertificateError::Malformed(_)
        ));
    }
}
