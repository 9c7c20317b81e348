//! Storage accounts and their keys.

use welkin_management_wire::answer::{Outcome, text, texts};

use crate::rig::{Rig, account_body};

const BASE: &str = "/services/storageservices";

#[test]
fn the_life_of_an_account() {
    let rig = Rig::start();
    let (alice, bob) = (rig.alice(), rig.bob());
    alice.make_account("pictures");
    assert_eq!(rig.storage.accounts(), ["pictures"]);
    let one = alice.get(&format!("{BASE}/pictures"));
    let endpoints = texts(&one.text, &["StorageServiceProperties", "Endpoints", "Endpoint"]);
    assert_eq!(endpoints[0], format!("{}/pictures/", rig.storage.blob_endpoint));
    assert_eq!(endpoints.len(), 3);
    assert_eq!(texts(&alice.get(BASE).text, &["StorageService", "ServiceName"]), ["pictures"]);

    let key = |answer: &str, which| text(answer, &["StorageServiceKeys", which]).unwrap();
    let before = alice.get(&format!("{BASE}/pictures/keys")).text;
    let body = "<RegenerateKeys><KeyType>Secondary</KeyType></RegenerateKeys>";
    let after = alice.post(&format!("{BASE}/pictures/keys?action=regenerate"), body);
    assert_eq!(after.status, 200, "{after:?}");
    assert_eq!(key(&before, "Primary"), key(&after.text, "Primary"));
    assert_ne!(key(&before, "Secondary"), key(&after.text, "Secondary"));

    for path in ["", "/keys"] {
        assert_eq!(bob.get(&format!("{BASE}/pictures{path}")).status, 404);
    }
    assert_eq!(bob.delete(&format!("{BASE}/pictures")).status, 404);
    assert_eq!(bob.post(BASE, &account_body("pictures")).status, 409);

    assert_eq!(alice.delete(&format!("{BASE}/pictures")).status, 200);
    assert_eq!(alice.delete(&format!("{BASE}/pictures")).status, 404);
    assert!(rig.storage.accounts().is_empty());
    assert!(texts(&alice.get(BASE).text, &["StorageService"]).is_empty());
}

#[test]
fn names() {
    let rig = Rig::start();
    let alice = rig.alice();
    rig.storage.make_foreign("taken");
    alice.make_account("mine");
    for (name, status, result) in [
        ("taken", 200, Some("false")),
        ("mine", 200, Some("false")),
        ("free", 200, Some("true")),
        ("a-b", 400, None),
    ] {
        let answer = alice.get(&format!("{BASE}/operations/isavailable/{name}"));
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(text(&answer.text, &["Result"]).as_deref(), result, "{name}");
    }
    // An account that management did not make is nobody's to have.
    assert_eq!(alice.post(BASE, &account_body("taken")).status, 409);
    assert_eq!(alice.get(&format!("{BASE}/taken/keys")).status, 404);
    let accepted = alice.post(BASE, &account_body("second"));
    assert_eq!(alice.outcome(&accepted), Outcome::Succeeded);
    let refused = alice.post(BASE, &account_body("third"));
    assert!(refused.status == 409 && refused.text.contains("may have 2 storage accounts"), "{refused:?}");
}
