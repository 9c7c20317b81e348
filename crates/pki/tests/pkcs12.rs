//! Files that the real `openssl pkcs12` wrote (`pkcs12/make.sh`), and what a hostile one may not do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use welkin_pki::pkcs12::FILE_BYTES_MAX;
use welkin_pki::{CertificateFileError, KeyedCertificate};

const PASSWORD: &str = "pässword";

fn fixture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/pkcs12").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn subject(der: &[u8]) -> String {
    use x509_cert::der::Decode as _;
    x509_cert::Certificate::from_der(der).unwrap().tbs_certificate.subject.to_string()
}

fn check(name: &str, password: &str, expected: Result<&[&str], &str>) {
    let read = KeyedCertificate::from_pfx(&fixture(&format!("{name}.pfx")), password);
    match (read, expected) {
        (Ok(read), Ok(expected)) => {
            let all = std::iter::once(&read.certificate).chain(&read.chain);
            let names: Vec<String> = all.map(|certificate| subject(certificate.der())).collect();
            assert_eq!(names, expected, "{name}");
            assert!(read.key.is_some(), "{name}");
            assert!(!format!("{read:?}").contains("der: Zeroizing"), "{name}");
        }
        (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{name}: {error}"),
        (read, expected) => panic!("{name}: {read:?}, expected {expected:?}"),
    }
}

#[test]
fn what_tools_write_is_read() {
    let chain: &[&str] = &["CN=rsa.example", "CN=middle.example"];
    let rsa: &[&str] = &["CN=rsa.example"];
    check("modern", PASSWORD, Ok(chain));
    check("legacy", PASSWORD, Ok(chain));
    for name in ["triple-des", "two-keys", "aes128-sha1", "plain", "without-mac"] {
        check(name, PASSWORD, Ok(rsa));
    }
    check("empty", "", Ok(rsa));
    check("empty-legacy", "", Ok(rsa));
    check("sha512", PASSWORD, Ok(&["CN=p256.example"]));
    for name in ["p256", "p384", "ed25519"] {
        check(name, PASSWORD, Ok(&[&format!("CN={name}.example")]));
    }
}

#[test]
fn the_key_is_the_one_that_went_in() {
    for name in ["modern", "legacy", "two-keys", "aes128-sha1", "plain"] {
        let read = KeyedCertificate::from_pfx(&fixture(&format!("{name}.pfx")), PASSWORD).unwrap();
        assert!(read.key.unwrap().pkcs8() == fixture("rsa.key.der"), "{name}");
        assert_eq!(read.certificate.der(), fixture("rsa.cer"), "{name}");
    }
}

#[test]
fn what_is_wrong_is_said() {
    for name in ["modern", "legacy", "two-keys", "without-mac", "empty", "empty-legacy"] {
        check(name, "password", Err("the password is wrong"));
    }
    check("modern", "", Err("the password is wrong"));
    check("p521", PASSWORD, Err("neither RSA, nor ECDSA"));
    check("short", PASSWORD, Err("the RSA key has 1024 bits"));
    check("rc4", PASSWORD, Err("the cipher 1.2.840.113549.1.12.1.1, which is not read"));
    check("no-key", PASSWORD, Err("no private key"));
    check("other-certificate", PASSWORD, Err("no certificate that belongs to its private key"));
}

#[test]
fn a_file_cannot_ask_for_endless_work() {
    let began = Instant::now();
    check("costly", PASSWORD, Err("rounds of key derivation"));
    // Two rounds of RSA key checks and one MAC fit; the limit is what an unoptimized build may take.
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn what_is_no_such_file() {
    let check = |file: &[u8], part: &str| {
        let error = KeyedCertificate::from_pfx(file, PASSWORD).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    check(&[], "not PKCS#12");
    check(b"-----BEGIN CERTIFICATE-----", "not PKCS#12");
    check(&[0x30, 0x80, 0, 0], "indefinite lengths");
    check(&fixture("rsa.cer"), "not PKCS#12");
    check(&vec![0; FILE_BYTES_MAX + 1], "more than 262144 bytes");
}

#[test]
fn certificates_alone() {
    for name in ["rsa.cer", "rsa.pem.cer"] {
        let read = KeyedCertificate::from_cer(&fixture(name)).unwrap();
        assert_eq!(read.certificate.der(), fixture("rsa.cer"), "{name}");
        assert!(read.key.is_none() && read.chain.is_empty());
    }
    for file in [fixture("modern.pfx"), vec![], b"nonsense".to_vec()] {
        assert_eq!(KeyedCertificate::from_cer(&file).unwrap_err(), CertificateFileError::NotCertificate);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever a byte becomes, the file is read as it was or refused.
    #[test]
    fn a_changed_file_never_gives_another_key(at in 0usize..2500, bits in 1u8..) {
        let mut file = fixture("legacy.pfx");
        let at = at % file.len();
        file[at] ^= bits;
        if let Ok(read) = KeyedCertificate::from_pfx(&file, PASSWORD) {
            let key = read.key.unwrap();
            prop_assert!(key.pkcs8() == fixture("rsa.key.der"));
        }
    }
}
