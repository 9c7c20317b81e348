//! Decryption of a safe or a private key, in place.

use ::pkcs12::kdf::{Pkcs12KeyType, derive_key};
use ::pkcs12::pbe_params::Pkcs12PbeParams;
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockDecryptMut, KeyIvInit};
use der::asn1::{AnyRef, ObjectIdentifier};
use der::{Decode as _, Encode as _};
use des::{TdesEde2, TdesEde3};
use pkcs5::pbes2;
use rc2::Rc2;
use sha1::Sha1;
use x509_cert::spki::AlgorithmIdentifierOwned;
use zeroize::Zeroizing;

use super::{Budget, Password, Pkcs12Error, malformed};

const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
/// `pbeWithSHAAnd3-KeyTripleDES-CBC` and the like (RFC 7292, appendix C).
const TRIPLE_DES_3_KEYS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");
const TRIPLE_DES_2_KEYS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.4");
const RC2_128: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.5");
const RC2_40: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.6");
/// Blocks of RC2 and DES.
const IV_BYTES: usize = 8;

/// Decrypts what `algorithm` says.
pub(super) fn decrypt(
    algorithm: &AlgorithmIdentifierOwned,
    octets: &[u8],
    password: &Password<'_>,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
    let missing = || malformed("an algorithm has no parameters");
    let parameters = algorithm.parameters.as_ref().ok_or_else(missing)?;
    let parameters = parameters.to_der().map_err(|_| missing())?;
    let (key_bytes, decrypt): (usize, Decrypt) = match algorithm.oid {
        PBES2 => return decrypt_pbes2(&parameters, octets, password, budget),
        TRIPLE_DES_3_KEYS => (24, decrypt_with::<TdesEde3>),
        TRIPLE_DES_2_KEYS => (16, decrypt_with::<TdesEde2>),
        RC2_128 => (16, decrypt_with::<Rc2>),
        RC2_40 => (5, decrypt_with::<Rc2>),
        other => return Err(Pkcs12Error::Algorithm(format!("the cipher {other}"))),
    };
    let parameters =
        Pkcs12PbeParams::from_der(&parameters).map_err(|_| malformed("parameters cannot be read"))?;
    let (salt, rounds) = (parameters.salt.as_bytes(), parameters.iterations);
    // The key of triple DES takes two runs of SHA-1, the IV one.
    (0..3).try_for_each(|_| budget.spend(rounds))?;
    let derive = |id, bytes| Zeroizing::new(derive_key::<Sha1>(&password.wide, salt, id, rounds, bytes));
    let key = derive(Pkcs12KeyType::EncryptionKey, key_bytes);
    let iv = derive(Pkcs12KeyType::Iv, IV_BYTES);
    let mut bytes = Zeroizing::new(octets.to_vec());
    let length = decrypt(&key, &iv, &mut bytes).ok_or(Pkcs12Error::WrongPassword)?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Key, IV and what is to be decrypted.
type Decrypt = fn(&[u8], &[u8], &mut [u8]) -> Option<usize>;

/// Decrypts in place; the length of the plaintext, or nothing when its padding is wrong.
fn decrypt_with<C>(key: &[u8], iv: &[u8], bytes: &mut [u8]) -> Option<usize>
where
    Decryptor<C>: KeyIvInit + BlockDecryptMut,
    C: BlockDecryptMut + cbc::cipher::BlockCipher,
{
    let cipher = Decryptor::<C>::new_from_slices(key, iv).ok()?;
    cipher.decrypt_padded_mut::<Pkcs7>(bytes).ok().map(<[u8]>::len)
}

fn decrypt_pbes2(
    parameters: &[u8],
    octets: &[u8],
    password: &Password<'_>,
    budget: &mut Budget,
) -> Result<Zeroizing<Vec<u8>>, Pkcs12Error> {
    let unreadable = |_| Pkcs12Error::Algorithm("a cipher or key derivation of PBES2".to_owned());
    let parameters = AnyRef::from_der(parameters).map_err(unreadable)?;
    let parameters = pbes2::Parameters::try_from(parameters).map_err(unreadable)?;
    match parameters.kdf.pbkdf2() {
        Some(kdf) => budget.spend(kdf.iteration_count)?,
        None => return Err(Pkcs12Error::Algorithm("the key derivation scrypt".to_owned())),
    }
    let mut bytes = Zeroizing::new(octets.to_vec());
    let plaintext = parameters.decrypt_in_place(password.text, &mut bytes);
    let length = plaintext.map_err(|_| Pkcs12Error::WrongPassword)?.len();
    bytes.truncate(length);
    Ok(bytes)
}
