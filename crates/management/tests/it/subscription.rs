//! Subscriptions: what the operator does with them, and quotas that hold.

use ureq::http::Method;
use welkin_base::SubscriptionId;
use welkin_management::Quotas;
use welkin_management::control::client::ControlError;
use welkin_management::control::{Change, Create, Subscription};
use welkin_management_wire::answer::{Outcome, text, texts};
use welkin_pki::Identity;

use crate::rig::{ALICE, BOB, Rig, account_body, service_body};

const QUOTAS: Quotas = Quotas { cores: 4, hosted_services: 2, storage_accounts: 1 };

fn create(rig: &Rig, name: &str, identity: &Identity) -> Subscription {
    let certificates = vec![identity.certificate_pem().to_owned()];
    let asked = Create { id: None, name: name.to_owned(), quotas: QUOTAS, certificates };
    rig.operate(async |client| client.create(&asked).await).unwrap()
}

fn alice() -> SubscriptionId {
    SubscriptionId::new(ALICE).unwrap()
}

#[test]
fn the_life_of_a_subscription() {
    let mut rig = Rig::start();
    let carol = Identity::self_signed("carol").unwrap();
    let made = create(&rig, "Carol's", &carol);
    assert_eq!((made.quotas, made.disabled), (QUOTAS, false));
    assert_eq!(made.certificates, [carol.sha1_thumbprint().to_string()]);
    let (id, carols) = (made.id.clone(), rig.customer(Some(&carol), made.id.as_str()));
    let answer = carols.get("");
    for (name, expected) in
        [("SubscriptionName", "Carol's"), ("SubscriptionStatus", "Active"), ("MaxCoreCount", "4")]
    {
        assert_eq!(text(&answer.text, &[name]).as_deref(), Some(expected), "{answer:?}");
    }
    assert_eq!(carols.make_service("carols").status, 201);
    let listed = rig.client(Some(&carol)).get("/subscriptions");
    assert_eq!(texts(&listed.text, &["Subscription", "SubscriptionID"]), [id.as_str()]);

    let seen = rig.operate(async |client| client.list().await).unwrap();
    let names: Vec<_> = seen.iter().map(|one| (one.name.as_str(), one.usage.hosted_services)).collect();
    assert!(names.contains(&("Carol's", 1)) && names.contains(&("Alice", 0)), "{names:?}");

    let refused = rig.operate(async |client| client.delete(&id).await).unwrap_err();
    assert!(refused.to_string().contains("delete them first"), "{refused}");
    let disabled = Change { disabled: Some(true), ..Change::default() };
    rig.operate(async |client| client.change(&id, &disabled).await).unwrap();
    for (method, path) in [(Method::GET, "/locations"), (Method::POST, "/services/hostedservices")] {
        let answer = carols.call(&method, path, &service_body("more"));
        assert_eq!((answer.status, answer.code().as_str()), (403, "SubscriptionDisabled"), "{answer:?}");
    }
    assert_eq!(text(&carols.get("").text, &["SubscriptionStatus"]).as_deref(), Some("Disabled"));
    // A stranger is not told that it is disabled.
    assert_eq!(rig.customer(Some(&rig.bob), id.as_str()).get("/locations").code(), "ForbiddenError");

    rig.stop_management();
    rig.start_management();
    let carols = rig.customer(Some(&carol), id.as_str());
    assert_eq!(carols.get("/locations").status, 403, "it stays disabled");
    let enabled = Change { disabled: Some(false), name: Some("C".to_owned()), quotas: None };
    let changed = rig.operate(async |client| client.change(&id, &enabled).await).unwrap();
    assert_eq!((changed.name.as_str(), changed.quotas), ("C", QUOTAS));
    assert_eq!(carols.delete("/services/hostedservices/carols").status, 200);
    rig.operate(async |client| client.delete(&id).await).unwrap();
    assert_eq!(carols.get("").code(), "ForbiddenError");
    assert_eq!(rig.client(Some(&carol)).get("/subscriptions").code(), "ForbiddenError");
    assert!(rig.operate(async |client| client.get(&id).await).is_err());
}

#[test]
fn what_the_operator_is_refused() {
    let rig = Rig::start();
    let missing = SubscriptionId::new("99999999-9999-9999-9999-999999999999").unwrap();
    let asked = |id: Option<&str>, name: &str, certificate: &str| Create {
        id: id.map(|id| SubscriptionId::new(id).unwrap()),
        name: name.to_owned(),
        quotas: QUOTAS,
        certificates: vec![certificate.to_owned()],
    };
    let pem = rig.alice.certificate_pem();
    for (asked, part) in [
        (asked(Some(BOB), "again", pem), "there is a subscription 22222222"),
        (asked(None, "", pem), "1 to 100 printable"),
        (asked(None, "x", "nonsense"), "not an X.509 certificate"),
        (asked(None, "x", rig.alice.key_pem()), "not an X.509 certificate"),
    ] {
        let refused = rig.operate(async |client| client.create(&asked).await).unwrap_err();
        assert!(matches!(&refused, ControlError::Refused(why) if why.contains(part)), "{part}: {refused}");
    }
    assert!(rig.operate(async |client| client.delete(&missing).await).is_err());
    let certificate = rig.alice.certificate_pem().to_owned();
    let twice = rig.operate(async |client| client.add_certificate(&alice(), &certificate).await).unwrap_err();
    assert!(twice.to_string().contains("registered already"), "{twice}");
}

#[test]
fn certificates_that_the_operator_registers() {
    let mut rig = Rig::start();
    let second = Identity::self_signed("second").unwrap();
    let pem = second.certificate_pem().to_owned();
    rig.operate(async |client| client.add_certificate(&alice(), &pem).await).unwrap();
    let (first, own) = (rig.alice(), rig.customer(Some(&second), ALICE));
    assert_eq!(own.get("/locations").status, 200);
    let thumbprint = rig.alice.sha1_thumbprint();
    rig.operate(async |client| client.remove_certificate(&alice(), thumbprint).await).unwrap();
    // The same connection, which was let in before.
    assert_eq!(first.get("/locations").code(), "ForbiddenError");
    assert_eq!(own.get("/locations").status, 200);
    // One that came from the configuration and was removed does not come back.
    rig.stop_management();
    rig.start_management();
    assert_eq!(rig.alice().get("/locations").code(), "ForbiddenError");
    assert_eq!(rig.customer(Some(&second), ALICE).get("/locations").status, 200);
    // A new one in the configuration comes.
    let third = Identity::self_signed("third").unwrap();
    rig.stop_management();
    rig.config.subscriptions[0].certificates.push(third.certificate_pem().to_owned());
    rig.start_management();
    assert_eq!(rig.customer(Some(&third), ALICE).get("/locations").status, 200);
    assert_eq!(rig.alice().get("/locations").code(), "ForbiddenError");
}

#[test]
fn quotas_hold_when_many_ask_at_once() {
    let rig = Rig::start();
    let carol = Identity::self_signed("carol").unwrap();
    let made = create(&rig, "Carol's", &carol);
    let statuses = |call: &(dyn Fn(usize) -> u16 + Sync)| {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..12).map(|index| scope.spawn(move || call(index))).collect();
            let mut statuses: Vec<u16> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            statuses.sort_unstable();
            statuses
        })
    };
    let customer = || rig.customer(Some(&carol), made.id.as_str());
    let services = statuses(&|index| customer().make_service(&format!("service{index}")).status);
    assert_eq!(services, [[201; 2].as_slice(), &[409; 10]].concat());
    let accounts = statuses(&|index| {
        let accepted =
            customer().post("/services/storageservices", &account_body(&format!("account{index}")));
        if accepted.status == 202 {
            assert_eq!(customer().outcome(&accepted), Outcome::Succeeded);
        }
        accepted.status
    });
    assert_eq!(accounts, [[202].as_slice(), &[409; 11]].concat());
    let carols = customer();
    let listed = texts(&carols.get("/services/hostedservices").text, &["HostedService", "ServiceName"]);
    assert_eq!(listed.len(), 2, "{listed:?}");
    let usage = |carols: &crate::rig::Customer| {
        let answer = carols.get("").text;
        ["CurrentHostedServices", "CurrentStorageAccounts"].map(|name| text(&answer, &[name]).unwrap())
    };
    assert_eq!(usage(&carols), ["2", "1"]);

    // One name that many want is counted once, and what is deleted counts no more.
    for name in &listed {
        assert_eq!(carols.delete(&format!("/services/hostedservices/{name}")).status, 200);
    }
    assert_eq!(usage(&carols), ["0", "1"]);
    let same = statuses(&|_| customer().make_service("same").status);
    assert_eq!(same, [[201].as_slice(), &[409; 11]].concat());
    assert_eq!(usage(&carols), ["1", "1"]);
    let deleted = statuses(&|_| customer().delete("/services/hostedservices/same").status);
    assert_eq!(deleted.iter().filter(|status| **status == 200).count(), 1, "{deleted:?}");
    assert_eq!(usage(&carols), ["0", "1"]);
    // A name that another has is not counted.
    assert_eq!(rig.bob().make_service("bobs").status, 201);
    assert_eq!(carols.make_service("bobs").status, 409);
    assert_eq!(usage(&carols), ["0", "1"]);
    // A lower quota takes nothing away.
    let fewer = Change { quotas: Some(Quotas { storage_accounts: 0, ..QUOTAS }), ..Change::default() };
    rig.operate(async |client| client.change(&made.id, &fewer).await).unwrap();
    assert_eq!(usage(&carols), ["0", "1"]);
    assert_eq!(carols.post("/services/storageservices", &account_body("another")).status, 409);
}
