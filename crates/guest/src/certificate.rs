//! The role's certificates. The chain is a file that everybody reads; the private key stays in this process, and the
//! role has it sign by asking on its socket. A key is never written anywhere and never given out again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pem::Pem;
use rustls::SignatureScheme;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::sign::SigningKey;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use welkin_agent_wire::certificate::{CertificateGoal, GuestCertificate, KeyText, RoleCertificate};
use welkin_agent_wire::role::CERTIFICATE_FOLDER;
use welkin_base::Sha1Thumbprint;
use zeroize::Zeroizing;

use crate::error::{Doing, GuestError};

/// What a key may be asked to sign with, the preferred first.
const SCHEMES: [SignatureScheme; 9] = [
    SignatureScheme::ED25519,
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

/// Why nothing is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The role has no such certificate, or it has no private key.
    Unknown,
    /// Only elevated processes may.
    NotElevated,
    /// The key cannot sign so.
    Scheme,
}

/// The certificates, shared with the role's socket.
#[derive(Clone, Default)]
pub struct Certificates(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    held: BTreeMap<Sha1Thumbprint, Held>,
    installed: Vec<CertificateGoal>,
}

struct Held {
    chain: String,
    key: Option<Arc<dyn SigningKey>>,
}

impl Certificates {
    /// Takes what the FA gives.
    ///
    /// # Errors
    /// When it is not a certificate, or its key cannot be used.
    pub fn take(&self, given: &GuestCertificate) -> Result<(), GuestError> {
        let bad = |what| GuestError::Goal(format!("certificate {}: {what}", given.thumbprint));
        let mut chain = String::new();
        for text in &given.chain {
            let der = STANDARD.decode(text).map_err(|_| bad("the chain is not base64"))?;
            chain.push_str(&pem::encode(&Pem::new("CERTIFICATE", der)));
        }
        let key = given.key.as_ref().map(signing_key).transpose().map_err(bad)?;
        self.lock().held.insert(given.thumbprint, Held { chain, key });
        Ok(())
    }

    /// Those that are here.
    pub fn held(&self) -> BTreeSet<Sha1Thumbprint> {
        self.lock().held.keys().copied().collect()
    }

    /// Makes these, and no others, the role's.
    ///
    /// # Errors
    /// When a file cannot be written, or one is not here.
    pub fn install(&self, goals: &[CertificateGoal]) -> Result<(), GuestError> {
        let mut state = self.lock();
        write_chains(goals, &state.held).doing(|| format!("write {CERTIFICATE_FOLDER}"))?;
        state.installed = goals.to_vec();
        state.held.retain(|thumbprint, _| goals.iter().any(|goal| goal.thumbprint == *thumbprint));
        Ok(())
    }

    /// What a process of the role is told of them.
    pub fn list(&self, elevated: bool) -> Vec<RoleCertificate> {
        let state = self.lock();
        let described = state.installed.iter().filter_map(|goal| {
            let usable =
                state.held.get(&goal.thumbprint)?.key.as_ref().filter(|_| elevated || !goal.elevated_only);
            let signs =
                |scheme: &SignatureScheme| usable.is_some_and(|key| key.choose_scheme(&[*scheme]).is_some());
            Some(RoleCertificate {
                name: goal.name.clone(),
                thumbprint: goal.thumbprint,
                path: path_of(&goal.name),
                schemes: SCHEMES.into_iter().filter(signs).map(u16::from).collect(),
            })
        });
        described.collect()
    }

    /// Signs a message for a process of the role.
    ///
    /// # Errors
    /// When the process may not, or the key cannot.
    pub fn sign(&self, name: &str, scheme: u16, message: &[u8], elevated: bool) -> Result<Vec<u8>, Refusal> {
        let key = {
            let state = self.lock();
            let goal = state.installed.iter().find(|goal| goal.name == name).ok_or(Refusal::Unknown)?;
            if goal.elevated_only && !elevated {
                return Err(Refusal::NotElevated);
            }
            let held = state.held.get(&goal.thumbprint).ok_or(Refusal::Unknown)?;
            held.key.clone().ok_or(Refusal::Unknown)?
        };
        let signer = key.choose_scheme(&[SignatureScheme::from(scheme)]).ok_or(Refusal::Scheme)?;
        signer.sign(message).map_err(|_| Refusal::Scheme)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signing_key(text: &KeyText) -> Result<Arc<dyn SigningKey>, &'static str> {
    let mut der = Zeroizing::new(Vec::with_capacity(text.as_str().len()));
    STANDARD.decode_vec(text.as_str(), &mut der).map_err(|_| "the private key is not base64")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(der.as_slice()));
    any_supported_type(&key).map_err(|_| "the private key is of no kind that signs")
}

/// Where a role finds a certificate.
pub fn path_of(name: &str) -> String {
    format!("{CERTIFICATE_FOLDER}/{name}.pem")
}

/// The folder is made anew, so that nothing of an earlier goal is left in it.
fn write_chains(goals: &[CertificateGoal], held: &BTreeMap<Sha1Thumbprint, Held>) -> std::io::Result<()> {
    match fs::remove_dir_all(CERTIFICATE_FOLDER) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(CERTIFICATE_FOLDER)?;
    for goal in goals {
        let plain = goal.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let held = held.get(&goal.thumbprint).filter(|_| plain && !goal.name.starts_with('.'));
        let held = held.ok_or(std::io::ErrorKind::InvalidInput)?;
        fs::write(path_of(&goal.name), &held.chain)?;
    }
    Ok(())
}
