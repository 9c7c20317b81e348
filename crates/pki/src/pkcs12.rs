//! Reading PKCS#12 files (RFC 7292), as tools of the last twenty years write them: RC2 and triple DES with a SHA-1
//! MAC, and AES under PBES2 with a SHA-2 MAC. Structure, key derivation and ciphers are RustCrypto's; what is here
//! joins them, holds what a hostile file may cost, and wipes what was decrypted.

mod decrypt;
mod mac;

use ::pkcs12::cert_type::CertBag;
use ::pkcs12::pbe_params::EncryptedPrivateKeyInfo;
use ::pkcs12::pfx::Pfx;
use ::pkcs12::safe_bag::{PrivateKeyInfo, SafeBag};
use cms::content_info::ContentInfo;
use cms::encrypted_data::EncryptedData;
use der::asn1::{ContextSpecific, ObjectIdentifier, OctetString};
use der::{Decode as _, Encode as _};
use zeroize::{Zeroize as _, Zeroizing};

use crate::certificate_file::KeyedCertificate;
use crate::private_key::{PrivateKey, PrivateKeyError};
use crate::thumbprint::PeerCertificate;
use decrypt::decrypt;

/// A file in bytes, at most. One with a key and its chain has some thousand.
pub const FILE_BYTES_MAX: usize = 256 << 10;
/// Rounds of key derivation in one file, at most: Windows asks for 2,000 and OpenSSL for 2,048 each for MAC, key and
/// certificates, NSS for 600,000. The most takes about a second.
pub const ROUNDS_MAX: u32 = 2_000_000;
/// Certificates in a file, at most.
const CERTIFICATES_MAX: usize = 32;

/// Why a PKCS#12 file is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Pkcs12Error {
    /// It is too long.
    #[error(
        "the file has more than {FILE_BYTES_MAX} bytes; leave certificates out that do not belong to the key"
    )]
    TooLarge,
    /// It is not PKCS#12.
    #[error("the file is not PKCS#12 in DER: {0}")]
    Malformed(&'static str),
    /// The password is wrong.
    #[error("the password is wrong: it does not open the file")]
    WrongPassword,
    /// It asks for too much work.
    #[error("the file asks for more than {ROUNDS_MAX} rounds of key derivation; export it again with fewer")]
    TooCostly,
    /// It uses what is not read.
    #[error("the file uses {0}, which is not read; export it again, as with: openssl pkcs12 -export")]
    Algorithm(String),
    /// It has no private key.
    #[error("the file has no private key; to upload a certificate alone use the format cer")]
    NoKey,
    /// It has several.
    #[error("the file has more than one private key; export each into a file of its own")]
    SeveralKeys,
    /// None of its certificates is the key's.
    #[error("the file has no certificate that belongs to its private key")]
    NoCertificate,
    /// Too many certificates.
    #[error(
        "the file has more than {CERTIFICATES_MAX} certificates; leave those out that the key does not need"
    )]
    TooManyCertificates,
    /// The key is of no use.
    #[error(transparent)]
    Key(#[from] PrivateKeyError),
}

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const ENCRYPTED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.6");
const X509_CERTIFICATE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.22.1");
/// `localKeyId`, by which a file says which certificate is the key's.
const LOCAL_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.21");
/// The length byte of BER that names no length.
const INDEFINITE: u8 = 0x80;

/// Rounds of key derivation that are left to a file.
struct Budget(u32);

impl Budget {
    fn spend(&mut self, rounds: impl TryInto<u32>) -> Result<(), Pkcs12Error> {
        let rounds = rounds.try_into().map_err(|_| Pkcs12Error::TooCostly)?;
        self.0 = self.0.checked_sub(rounds).ok_or(Pkcs12Error::TooCostly)?;
        Ok(())
    }
}

/// A password in the two forms that a file may want it.
struct Password<'a> {
    /// For PBES2.
    text: &'a str,
    /// For what PKCS#12 has of its own: UTF-16, big endian, with a NUL at the end.
    wide: Zeroizing<Vec<u8>>,
}

impl<'a> Password<'a> {
    fn new(text: &'a str) -> Self {
        let wide = text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes);
        let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() * 2 + 2));
        bytes.extend(wide);
        Self { text, wide: bytes }
    }
}

/// What was found so far.
#[derive(Default)]
struct Found {
    key: Option<(PrivateKey, Option<Vec<u8>>)>,
    certificates: Vec<(PeerCertificate, Option<Vec<u8>>)>,
}

/// Reads a file with one private key, the key's certificate and others of its chain.
///
/// # Errors
/// When the password does not open it, or it is not such a file.
pub fn read(file: &[u8], password: &str) -> Result<KeyedCertificate, Pkcs12Error> {
    if file.len() > FILE_BYTES_MAX {
        return Err(Pkcs12Error::TooLarge);
    }
    if file.get(1) == Some(&INDEFINITE) {
        return Err(Pkcs12Error::Algorithm("BER with indefinite lengths".to_owned()));
    }
    let pfx = Pfx::from_der(file).map_err(|_| malformed("its outer structure cannot be read"))?;
    if pfx.auth_safe.content_type != DATA {
        return Err(Pkcs12Error::Algorithm("a public key for its integrity".to_owned()));
    }
    let safes = data(&pfx.auth_safe)?;
    let mut password = Password::new(password);
    let mut budget = Budget(ROUNDS_MAX);
    if let Some(mac) = &pfx.mac_data {
        mac::verify(mac, &safes, &mut password, &mut budget)?;
    }
    let safes = Vec::<ContentInfo>::from_der(&safes).map_err(|_| malformed("its safes cannot be read"))?;
    let mut found = Found::default();
    for safe in &safes {
        let contents = open(safe, &password, &mut budget)?;
        let bags = Vec::<SafeBag>::from_der(&contents).map_err(|_| malformed("a safe cannot be read"))?;
        for mut bag in bags {
            let taken = found.take(&bag, &password, &mut budget);
            bag.bag_value.zeroize();
            taken?;
        }
    }
    found.pair()
}

fn malformed(what: &'static str) -> Pkcs12Error {
    Pkcs12Error::Malformed(what)
}

/// The octets of a safe that is plain data.
fn data(safe: &ContentInfo) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
    let octets = safe.content.decode_as::<OctetString>().map_err(|_| malformed("a safe holds no data"))?;
    Ok(Zeroizing::new(octets.into_bytes()))
}

fn open(
    safe: &ContentInfo,
    password: &Password<'_>,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
    match safe.content_type {
        DATA => data(safe),
        ENCRYPTED_DATA => {
            let unreadable = |_| malformed("an encrypted safe cannot be read");
            let der = safe.content.to_der().map_err(unreadable)?;
            let info = EncryptedData::from_der(&der).map_err(unreadable)?.enc_content_info;
            let octets = info.encrypted_content.ok_or(malformed("an encrypted safe is empty"))?;
            decrypt(&info.content_enc_alg, octets.as_bytes(), password, budget)
        }
        other => Err(Pkcs12Error::Algorithm(format!("the content type {other}"))),
    }
}

impl Found {
    fn take(
        &mut self,
        bag: &SafeBag,
        password: &Password<'_>,
        budget: &mut Budget,
    ) -> Result<(), Pkcs12Error> {
        match bag.bag_id {
            ::pkcs12::PKCS_12_PKCS8_KEY_BAG_OID => {
                let unreadable = |_| malformed("an encrypted private key cannot be read");
                let shrouded = ContextSpecific::<EncryptedPrivateKeyInfo>::from_der(&bag.bag_value);
                let shrouded = shrouded.map_err(unreadable)?.value;
                let octets = shrouded.encrypted_data.as_bytes();
                let key = decrypt(&shrouded.encryption_algorithm, octets, password, budget)?;
                self.take_key(key, bag)
            }
            ::pkcs12::PKCS_12_KEY_BAG_OID => {
                let unreadable = |_| malformed("a private key cannot be read");
                let plain =
                    ContextSpecific::<PrivateKeyInfo>::from_der(&bag.bag_value).map_err(unreadable)?;
                let key = Zeroizing::new(plain.value.to_der().map_err(unreadable)?);
                let mut rest = plain.value.private_key.into_bytes();
                rest.zeroize();
                self.take_key(key, bag)
            }
            ::pkcs12::PKCS_12_CERT_BAG_OID => self.take_certificate(bag),
            // Revocation lists and other secrets are of no use to a role.
            _ => Ok(()),
        }
    }

    fn take_key(&mut self, key: Zeroizing<Vec<u8>>, bag: &SafeBag) -> Result<(), Pkcs12Error> {
        if self.key.is_some() {
            return Err(Pkcs12Error::SeveralKeys);
        }
        self.key = Some((PrivateKey::from_pkcs8(key)?, local_key_id(bag)));
        Ok(())
    }

    fn take_certificate(&mut self, bag: &SafeBag) -> Result<(), Pkcs12Error> {
        let certificate = ContextSpecific::<CertBag>::from_der(&bag.bag_value);
        let certificate = certificate.map_err(|_| malformed("a certificate cannot be read"))?.value;
        if certificate.cert_id != X509_CERTIFICATE {
            return Ok(());
        }
        if self.certificates.len() >= CERTIFICATES_MAX {
            return Err(Pkcs12Error::TooManyCertificates);
        }
        let certificate = PeerCertificate::from_der(certificate.cert_value.into_bytes());
        self.certificates.push((certificate, local_key_id(bag)));
        Ok(())
    }

    /// Finds the key's certificate: by its public key, or, where the key does not tell that, by the file's word.
    fn pair(self) -> Result<KeyedCertificate, Pkcs12Error> {
        let (key, key_id) = self.key.ok_or(Pkcs12Error::NoKey)?;
        let fits = |(certificate, id): &&(PeerCertificate, Option<Vec<u8>>)| {
            let by_word = || key_id.is_some() && *id == key_id;
            key.belongs_to(certificate).unwrap_or_else(by_word)
        };
        let own = self.certificates.iter().find(fits).ok_or(Pkcs12Error::NoCertificate)?.0.clone();
        let others = self.certificates.into_iter().map(|(certificate, _)| certificate);
        Ok(KeyedCertificate::with_chain(own, others, Some(key)))
    }
}

fn local_key_id(bag: &SafeBag) -> Option<Vec<u8>> {
    let attribute = bag.bag_attributes.as_ref()?.iter().find(|attribute| attribute.oid == LOCAL_KEY_ID)?;
    let value = attribute.values.get(0)?.decode_as::<OctetString>().ok()?;
    Some(value.into_bytes())
}
