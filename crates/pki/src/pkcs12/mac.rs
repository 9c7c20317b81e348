//! Whether a file is as it was written, and the password the one that it was written with.

use ::pkcs12::kdf::{Pkcs12KeyType, derive_key};
use ::pkcs12::mac_data::MacData;
use der::asn1::ObjectIdentifier;
use hmac::digest::core_api::BlockSizeUser;
use hmac::digest::{Digest, FixedOutputReset};
use hmac::{Mac as _, SimpleHmac};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

use super::{Budget, Password, Pkcs12Error};

const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");
const SHA224: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.4");
/// PBMAC1 of RFC 9579.
const PBMAC1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.14");

/// Checks the file's MAC. That an empty password is no password at all, without even its NUL, is how Windows has it;
/// the password is brought into the form that fits.
pub(super) fn verify(
    mac: &MacData,
    content: &[u8],
    password: &mut Password<'_>,
    budget: &mut Budget,
) -> Result<(), Pkcs12Error> {
    let matches = match mac.mac.algorithm.oid {
        SHA1 => matches::<Sha1>,
        SHA224 => matches::<Sha224>,
        SHA256 => matches::<Sha256>,
        SHA384 => matches::<Sha384>,
        SHA512 => matches::<Sha512>,
        PBMAC1 => return Err(Pkcs12Error::Algorithm("the MAC PBMAC1".to_owned())),
        other => return Err(Pkcs12Error::Algorithm(format!("the MAC algorithm {other}"))),
    };
    budget.spend(mac.iterations)?;
    if matches(mac, content, &password.wide) {
        return Ok(());
    }
    if password.text.is_empty() {
        budget.spend(mac.iterations)?;
        if matches(mac, content, &[]) {
            password.wide.clear();
            return Ok(());
        }
    }
    Err(Pkcs12Error::WrongPassword)
}

fn matches<D: Digest + FixedOutputReset + BlockSizeUser + Clone>(
    mac: &MacData,
    content: &[u8],
    password: &[u8],
) -> bool {
    let (salt, bytes) = (mac.mac_salt.as_bytes(), <D as Digest>::output_size());
    let key = Zeroizing::new(derive_key::<D>(password, salt, Pkcs12KeyType::Mac, mac.iterations, bytes));
    let Ok(mut own) = SimpleHmac::<D>::new_from_slice(&key) else { return false };
    own.update(content);
    own.verify_slice(mac.mac.digest.as_bytes()).is_ok()
}
