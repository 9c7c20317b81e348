//! Service certificates: taken apart, sealed, handed to the fabric controller, and shown without their private keys.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use welkin_fabric_wire::certificate::storage_context;
use welkin_management_wire::answer::{Outcome, text, texts};

use crate::rig::{ALICE, Answer, Customer, LIMIT, Rig, deployment_body};

const BASE: &str = "/services/hostedservices/guestbook/certificates";
const PRODUCTION: &str = "/services/hostedservices/guestbook/deploymentslots/Production";
const PASSWORD: &str = "p\u{e4}ssword";

/// A file that OpenSSL wrote, in base64.
fn fixture(name: &str) -> String {
    let path = format!("{}/../pki/tests/pkcs12/{name}", env!("CARGO_MANIFEST_DIR"));
    STANDARD.encode(std::fs::read(path).unwrap())
}

fn add(customer: &Customer, file: &str, format: &str, password: &str) -> Answer {
    let body = format!(
        "<CertificateFile xmlns=\"http://schemas.microsoft.com/windowsazure\"><Data>{}</Data>\
         <CertificateFormat>{format}</CertificateFormat><Password>{password}</Password></CertificateFile>",
        fixture(file)
    );
    customer.post(BASE, &body)
}

fn added(customer: &Customer, file: &str, format: &str) {
    let accepted = add(customer, file, format, PASSWORD);
    assert_eq!((accepted.status, accepted.text.as_str()), (202, ""), "{accepted:?}");
    assert_eq!(customer.outcome(&accepted), Outcome::Succeeded);
}

fn configuration(thumbprint: &str) -> String {
    format!(
        "<ServiceConfiguration serviceName='guestbook' \
         xmlns='http://schemas.microsoft.com/ServiceHosting/2008/10/ServiceConfiguration'><Role name='Web'>\
         <Instances count='1'/><Certificates><Certificate name='tls' thumbprint='{thumbprint}' \
         thumbprintAlgorithm='sha1'/></Certificates></Role></ServiceConfiguration>"
    )
}

#[test]
fn the_life_of_a_certificate() {
    let mut rig = Rig::start();
    let alice = rig.alice();
    assert_eq!(alice.make_service("guestbook").status, 201);
    added(&alice, "legacy.pfx", "Pfx");
    let listed = alice.get(BASE).text;
    let of = |name| text(&listed, &["Certificate", name]).unwrap();
    let thumbprint = of("Thumbprint");
    assert_eq!((of("ThumbprintAlgorithm"), of("Data")), ("sha1".to_owned(), fixture("rsa.cer")));
    let path = format!("{BASE}/sha1-{thumbprint}");
    assert!(of("CertificateUrl").ends_with(&path), "{listed}");
    assert_eq!(text(&alice.get(&path).text, &["Data"]).unwrap(), fixture("rsa.cer"));

    // The fabric controller, and nobody else, opens the key; and only as this service's.
    let kept = rig.fabric.certificates();
    let (place, certificate) = kept.first_key_value().unwrap();
    assert_eq!(*place, format!("{ALICE}/guestbook/{thumbprint}"));
    assert_eq!(certificate.chain.len(), 2, "the issuer comes along, the root does not");
    let sealed = STANDARD.decode(certificate.sealed_key.as_ref().unwrap()).unwrap();
    let context = |service: &str| {
        storage_context(&ALICE.parse().unwrap(), &service.parse().unwrap(), &thumbprint.parse().unwrap())
    };
    let key = rig.fabric.key.open(&sealed, context("GuestBook").as_bytes()).unwrap();
    assert_eq!(STANDARD.encode(&*key), fixture("rsa.key.der"));
    assert!(rig.fabric.key.open(&sealed, context("other").as_bytes()).is_err());

    // The same once more, and without its key, changes nothing.
    added(&alice, "modern.pfx", "pfx");
    added(&alice, "rsa.cer", "CER");
    assert_eq!(texts(&alice.get(BASE).text, &["Certificate"]).len(), 1);
    assert!(rig.fabric.certificates()[place].sealed_key.is_some());

    let url = format!("{}/public/c/p.cspkg", rig.storage.blob_endpoint);
    let deploy = |thumbprint: &str| {
        alice.post(PRODUCTION, &deployment_body("v1", &url, &configuration(thumbprint), true))
    };
    let refused = deploy(&thumbprint.replace(&thumbprint[..1], "0"));
    assert_eq!((refused.status, refused.code().as_str()), (400, "BadRequest"), "{refused:?}");
    assert!(refused.text.contains("has no such certificate; upload it first"), "{refused:?}");
    assert_eq!(alice.outcome(&deploy(&thumbprint.to_lowercase())), Outcome::Succeeded);
    let refused = alice.delete(&path);
    assert_eq!((refused.status, refused.code().as_str()), (409, "ConflictError"), "{refused:?}");
    assert!(refused.text.contains("production slot"), "{refused:?}");
    let deleted = alice.delete(PRODUCTION);
    assert_eq!(alice.outcome(&deleted), Outcome::Succeeded);

    rig.stop_management();
    rig.start_management();
    let alice = rig.alice();
    let deleted = alice.delete(&path);
    assert_eq!(deleted.status, 202, "{deleted:?}");
    assert_eq!(alice.outcome(&deleted), Outcome::Succeeded);
    assert!(rig.fabric.certificates().is_empty());
    assert_eq!(alice.get(&path).status, 404);
    assert_eq!(alice.delete(&path).status, 404);
    assert_eq!(texts(&alice.get(BASE).text, &["Certificate"]).len(), 0);
}

#[test]
fn what_is_refused() {
    let rig = Rig::start();
    let (alice, bob) = (rig.alice(), rig.bob());
    assert_eq!(add(&alice, "legacy.pfx", "pfx", PASSWORD).status, 404, "no such service");
    assert_eq!(alice.make_service("guestbook").status, 201);
    for (file, format, password, part) in [
        ("legacy.pfx", "pfx", "wrong", "the password is wrong"),
        ("modern.pfx", "pfx", "", "the password is wrong"),
        ("rsa.cer", "pfx", PASSWORD, "not PKCS#12"),
        ("legacy.pfx", "cer", PASSWORD, "not an X.509 certificate"),
        ("costly.pfx", "pfx", PASSWORD, "rounds of key derivation"),
        ("legacy.pfx", "p7b", PASSWORD, "must be pfx or cer"),
    ] {
        let answer = add(&alice, file, format, password);
        assert_eq!((answer.status, answer.code().as_str()), (400, "BadRequest"), "{file}: {answer:?}");
        assert!(answer.text.contains(part) && !answer.text.contains(PASSWORD), "{file}: {answer:?}");
    }
    added(&alice, "p256.pfx", "pfx");
    let path = {
        let thumbprint = text(&alice.get(BASE).text, &["Certificate", "Thumbprint"]).unwrap();
        format!("{BASE}/sha1-{thumbprint}")
    };
    // What others have is not found, just as what nobody has.
    for answer in [bob.get(BASE), bob.get(&path), bob.delete(&path), add(&bob, "p256.pfx", "pfx", PASSWORD)] {
        assert_eq!((answer.status, answer.code().as_str()), (404, "ResourceNotFound"), "{answer:?}");
    }
    assert_eq!(alice.get(&format!("{BASE}/md5-12")).status, 400);
    rig.fabric.set_silent(true);
    assert_eq!(add(&alice, "p384.pfx", "pfx", PASSWORD).status, 503);
    rig.fabric.set_silent(false);
    assert_eq!(texts(&alice.get(BASE).text, &["Certificate"]).len(), 1);
}

#[test]
fn nothing_is_left_behind() {
    let mut rig = Rig::start();
    let alice = rig.alice();
    assert_eq!(alice.make_service("guestbook").status, 201);
    added(&alice, "p256.pfx", "pfx");
    // The controller did not hear that the certificate is gone.
    let thumbprint = text(&alice.get(BASE).text, &["Certificate", "Thumbprint"]).unwrap();
    rig.fabric.set_silent(true);
    assert_eq!(alice.delete(&format!("{BASE}/sha1-{thumbprint}")).status, 202);
    rig.fabric.set_silent(false);
    assert_eq!(rig.fabric.certificates().len(), 1);
    added(&alice, "p384.pfx", "pfx");
    rig.stop_management();
    rig.start_management();
    let end = std::time::Instant::now() + LIMIT;
    while rig.fabric.certificates().len() > 1 {
        assert!(std::time::Instant::now() < end, "nobody sweeps");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    // Those of a service go with it, also those that are added again under its name by somebody else.
    let alice = rig.alice();
    assert_eq!(texts(&alice.get(BASE).text, &["Certificate"]).len(), 1, "what has a row stays");
    assert_eq!(alice.delete("/services/hostedservices/guestbook").status, 200);
    assert!(rig.fabric.certificates().is_empty());
    assert_eq!(rig.bob().make_service("guestbook").status, 201);
    assert_eq!(texts(&rig.bob().get(BASE).text, &["Certificate"]).len(), 0);
}
