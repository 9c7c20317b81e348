//! Management certificates, as customers manage them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::http::Method;
use welkin_management_wire::answer::{Outcome, text, texts};
use welkin_pki::Identity;

use crate::rig::{ALICE, Answer, Customer, Rig};

const BASE: &str = "/certificates";

fn body(identity: &Identity) -> String {
    let certificate = identity.certificate();
    format!(
        "<SubscriptionCertificate xmlns=\"http://schemas.microsoft.com/windowsazure\">\
         <SubscriptionCertificatePublicKey>{}</SubscriptionCertificatePublicKey>\
         <SubscriptionCertificateThumbprint>{}</SubscriptionCertificateThumbprint>\
         <SubscriptionCertificateData>{}</SubscriptionCertificateData></SubscriptionCertificate>",
        STANDARD.encode(certificate.public_key().unwrap()),
        certificate.sha1_thumbprint(),
        STANDARD.encode(certificate.der())
    )
}

fn add(customer: &Customer, identity: &Identity) -> Answer {
    customer.post(BASE, &body(identity))
}

fn thumbprints(customer: &Customer) -> Vec<String> {
    let listed = customer.get(BASE);
    texts(&listed.text, &["SubscriptionCertificate", "SubscriptionCertificateThumbprint"])
}

#[test]
fn the_life_of_a_certificate() {
    let rig = Rig::start();
    let alice = rig.alice();
    let second = Identity::self_signed("second").unwrap();
    let thumbprint = second.sha1_thumbprint().to_string();
    let seconds = rig.customer(Some(&second), ALICE);
    assert_eq!(seconds.get(BASE).status, 403);
    let added = add(&alice, &second);
    assert_eq!(added.status, 201, "{added:?}");
    assert!(
        added.location.ends_with(&format!("/subscriptions/{ALICE}/certificates/{thumbprint}")),
        "{added:?}"
    );
    assert_eq!(alice.outcome(&added), Outcome::Succeeded);
    let mut both = vec![rig.alice.sha1_thumbprint().to_string(), thumbprint.clone()];
    both.sort();
    assert_eq!(thumbprints(&seconds), both);
    let one = seconds.get(&format!("{BASE}/{}", thumbprint.to_lowercase()));
    for (name, expected) in [
        ("SubscriptionCertificateThumbprint", thumbprint.clone()),
        ("SubscriptionCertificateData", STANDARD.encode(second.certificate().der())),
        ("SubscriptionCertificatePublicKey", STANDARD.encode(second.certificate().public_key().unwrap())),
    ] {
        assert_eq!(text(&one.text, &[name]), Some(expected), "{one:?}");
    }
    assert!(text(&one.text, &["Created"]).unwrap().ends_with('Z'));
    assert_eq!(rig.client(Some(&second)).get("/subscriptions").status, 200);

    // Others' certificates are not there, and it may be registered on their subscription too.
    assert_eq!(rig.bob().get(&format!("{BASE}/{thumbprint}")).status, 404);
    assert_eq!(rig.bob().delete(&format!("{BASE}/{thumbprint}")).status, 404);
    assert_eq!(add(&rig.bob(), &second).status, 201);
    let listed = rig.client(Some(&second)).get("/subscriptions");
    assert_eq!(texts(&listed.text, &["Subscription"]).len(), 2);

    // Refused at once, on the connection that is open.
    assert_eq!(alice.delete(&format!("{BASE}/{thumbprint}")).status, 200);
    assert_eq!((seconds.get(BASE).status, seconds.get("/locations").status), (403, 403));
    assert_eq!(alice.delete(&format!("{BASE}/{thumbprint}")).status, 404);
    let listed = rig.client(Some(&second)).get("/subscriptions");
    assert_eq!(texts(&listed.text, &["Subscription"]).len(), 1, "Bob's is left");
    assert_eq!(add(&alice, &second).status, 201);
    assert_eq!(seconds.get(BASE).status, 200);
}

#[test]
fn what_is_refused() {
    let rig = Rig::start();
    let alice = rig.alice();
    let (second, other) = (Identity::self_signed("second").unwrap(), Identity::self_signed("other").unwrap());
    let good = body(&second);
    let swap = |from: String, to: String| good.replace(&from, &to);
    let key = |identity: &Identity| STANDARD.encode(identity.certificate().public_key().unwrap());
    for (body, status, part) in [
        (
            swap(second.sha1_thumbprint().to_string(), other.sha1_thumbprint().to_string()),
            400,
            "not the SHA-1",
        ),
        (swap(second.sha1_thumbprint().to_string(), "12".to_owned()), 400, "not the SHA-1"),
        (swap(key(&second), key(&other)), 400, "not the public key"),
        (
            swap(STANDARD.encode(second.certificate().der()), "QUJD".to_owned()),
            400,
            "not an X.509 certificate",
        ),
        ("<SubscriptionCertificate/>".to_owned(), 400, "SubscriptionCertificateData is missing"),
        (body(&rig.alice), 409, "registered already"),
    ] {
        let answer = alice.post(BASE, &body);
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.text.contains(part), "{part}: {answer:?}");
    }
    for (method, path, status) in [
        (Method::GET, "/certificates/nonsense", 400),
        (Method::GET, "/certificates/DA39A3EE5E6B4B0D3255BFEF95601890AFD80709", 404),
        (Method::DELETE, "/certificates/nonsense", 400),
    ] {
        assert_eq!(alice.call(&method, path, "").status, status, "{method} {path}");
    }
}

#[test]
fn twenty_five_and_no_more() {
    let rig = Rig::start();
    let alice = rig.alice();
    let identities: Vec<_> = (0..25).map(|n| Identity::self_signed(&format!("n{n}")).unwrap()).collect();
    // At once: the limit holds all the same.
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let rig = &rig;
        let threads: Vec<_> =
            identities.iter().map(|one| scope.spawn(move || add(&rig.alice(), one).status)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 24, "{statuses:?}");
    let listed = thumbprints(&alice);
    assert_eq!(listed.len(), 25);
    let refused = add(&alice, &Identity::self_signed("one more").unwrap());
    assert!(refused.status == 409 && refused.text.contains("at most 25"), "{refused:?}");
}
