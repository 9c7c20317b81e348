//! Storage accounts and their keys.

use std::time::{Duration, SystemTime};

use ureq::http::Method;
use welkin_base::Timestamp;
use welkin_management_wire::answer::{Outcome, text, texts};

use crate::fabric::Trap;
use crate::rig::{Customer, LIMIT, Rig, account_body, base64};

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
fn what_is_updated() {
    let rig = Rig::start();
    let alice = rig.alice();
    alice.make_account("pictures");
    let path = format!("{BASE}/pictures");
    let properties = "<ExtendedProperties><ExtendedProperty><Name>owner</Name><Value>me</Value></ExtendedProperty>\
        </ExtendedProperties>";
    for (fields, status) in [
        (format!("<Description>new</Description><Label>{}</Label>", base64("renamed")), 200),
        (format!("{properties}<AccountType>Standard_RAGRS</AccountType>"), 200),
        ("<AccountType>Gold</AccountType>".to_owned(), 400),
        ("<Label>!</Label>".to_owned(), 400),
    ] {
        let body = format!("<UpdateStorageServiceInput>{fields}</UpdateStorageServiceInput>");
        assert_eq!(alice.call(&Method::PUT, &path, &body).status, status, "{fields}");
    }
    let one = alice.get(&path).text;
    let property = |name| text(&one, &["StorageServiceProperties", name]);
    assert_eq!(
        (property("Label"), property("Description")),
        (Some(base64("renamed")), Some("new".to_owned()))
    );
    assert_eq!(property("Status").as_deref(), Some("Created"));
    assert_eq!(texts(&one, &["ExtendedProperties", "ExtendedProperty", "Value"]), ["me"]);
    let body = "<UpdateStorageServiceInput/>";
    assert_eq!(rig.bob().call(&Method::PUT, &path, body).status, 404);
}

#[test]
fn an_account_is_deleted_when_storage_answers_again() {
    let rig = Rig::start();
    let alice = rig.alice();
    alice.make_account("pictures");
    let path = format!("{BASE}/pictures");
    rig.storage.set_silent(true);
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| rig.alice().delete(&path));
        let status = || text(&alice.get(&path).text, &["StorageServiceProperties", "Status"]);
        let end = std::time::Instant::now() + LIMIT;
        while status().as_deref() != Some("Deleting") && std::time::Instant::now() < end {
            std::thread::yield_now();
        }
        let refused = alice.call(&Method::PUT, &path, "<UpdateStorageServiceInput/>");
        assert!(refused.status == 409 && refused.text.contains("is deleting the account"), "{refused:?}");
        rig.storage.set_silent(false);
        assert_eq!(deleting.join().unwrap().status, 200);
    });
    assert_eq!(alice.get(&path).status, 404);
    assert!(rig.storage.accounts().is_empty());
}

#[test]
fn every_step_of_an_account() {
    for trap in [Trap::Fails, Trap::Lost, Trap::Refused, Trap::EndsBefore, Trap::EndsAfter] {
        let mut rig = Rig::start();
        let usage = |rig: &Rig| text(&rig.alice().get("").text, &["CurrentStorageAccounts"]).unwrap();
        rig.storage.set_trap(trap);
        let accepted = rig.alice().post(BASE, &account_body("pictures"));
        assert_eq!(accepted.status, 202, "{accepted:?}");
        if matches!(trap, Trap::EndsBefore | Trap::EndsAfter) {
            let end = std::time::Instant::now() + LIMIT;
            while !rig.storage.is_caught() {
                assert!(std::time::Instant::now() < end, "{trap:?}");
            }
            rig.stop_management();
            rig.start_management();
        }
        let outcome = rig.alice().outcome(&accepted);
        if trap == Trap::Refused {
            assert!(matches!(outcome, Outcome::Failed(..)), "{outcome:?}");
            // What the claim counted is given back a moment later.
            let end = std::time::Instant::now() + LIMIT;
            while usage(&rig) != "0" {
                assert!(std::time::Instant::now() < end, "{trap:?}");
            }
            assert!(rig.storage.accounts().is_empty());
            rig.alice().make_account("pictures");
        } else {
            assert_eq!(outcome, Outcome::Succeeded, "{trap:?}");
        }
        assert_eq!((rig.storage.accounts(), usage(&rig)), (vec!["pictures".to_owned()], "1".to_owned()));
        let path = format!("{BASE}/pictures");
        if matches!(trap, Trap::Fails | Trap::Lost | Trap::Refused) {
            rig.storage.set_trap(trap);
        }
        let deleted = rig.alice().delete(&path);
        if trap == Trap::Refused {
            assert_eq!(deleted.status, 500, "{deleted:?}");
            assert_eq!((rig.alice().get(&path).status, usage(&rig)), (200, "1".to_owned()));
            assert_eq!(rig.alice().delete(&path).status, 200, "it is free again");
        } else {
            assert_eq!(deleted.status, 200, "{trap:?}");
        }
        assert_eq!((rig.alice().get(&path).status, usage(&rig)), (404, "0".to_owned()));
        assert!(rig.storage.accounts().is_empty());
    }
}

/// Asks for what is answered when it is done, and crashes the service at the step that it needs of the storage service.
fn crash_during(rig: &mut Rig, trap: Trap, ask: fn(&Customer)) {
    rig.storage.set_trap(trap);
    let customer = rig.alice();
    // Its connection breaks, and with it the call.
    let asking = std::thread::spawn(move || ask(&customer));
    let end = std::time::Instant::now() + LIMIT;
    while !rig.storage.is_caught() {
        assert!(std::time::Instant::now() < end, "{trap:?}");
        std::thread::yield_now();
    }
    rig.stop_management();
    let _ = asking.join();
    rig.start_management();
}

/// How the last operation of this name ended.
fn ended(rig: &Rig, name: &str) -> String {
    let end = std::time::Instant::now() + LIMIT;
    let yesterday = Timestamp::from(SystemTime::now() - Duration::from_secs(24 * 3600)).to_iso_seconds();
    let since = &yesterday[..10];
    loop {
        let found = rig.alice().get(&format!("/operations?StartTime={since}&EndTime=2100-01-01")).text;
        let all = |name: &str| {
            let path: Vec<&str> = name.split('/').collect();
            texts(&found, &[&["SubscriptionOperations", "SubscriptionOperation"], &path[..]].concat())
        };
        let of_name = all("OperationName").into_iter().zip(all("OperationStatus/Status"));
        let status = of_name.filter(|(found, _)| found == name).map(|(_, status)| status).next_back();
        match status {
            Some(status) if status != "InProgress" => return status,
            _ => assert!(std::time::Instant::now() < end, "{name}: {found}"),
        }
    }
}

#[test]
fn a_deletion_survives_a_crash() {
    for trap in [Trap::EndsBefore, Trap::EndsAfter] {
        let mut rig = Rig::start();
        rig.alice().make_account("pictures");
        crash_during(&mut rig, trap, |alice| drop(alice.delete(&format!("{BASE}/pictures"))));
        assert_eq!(ended(&rig, "DeleteStorageAccount"), "Succeeded", "{trap:?}");
        assert_eq!(rig.alice().get(&format!("{BASE}/pictures")).status, 404);
        assert!(rig.storage.accounts().is_empty());
        rig.alice().make_account("pictures");
    }
}

#[test]
fn every_step_of_a_key_that_is_made_anew() {
    const BODY: &str = "<RegenerateKeys><KeyType>Secondary</KeyType></RegenerateKeys>";
    const PATH: &str = "/services/storageservices/pictures/keys?action=regenerate";
    for trap in [Trap::Fails, Trap::Lost, Trap::Refused, Trap::EndsBefore, Trap::EndsAfter] {
        let mut rig = Rig::start();
        rig.alice().make_account("pictures");
        let keys = |rig: &Rig| {
            let found = rig.alice().get(&format!("{BASE}/pictures/keys")).text;
            ["Primary", "Secondary"].map(|which| text(&found, &["StorageServiceKeys", which]).unwrap())
        };
        let before = keys(&rig);
        if matches!(trap, Trap::EndsBefore | Trap::EndsAfter) {
            crash_during(&mut rig, trap, |alice| drop(alice.post(PATH, BODY)));
        } else {
            rig.storage.set_trap(trap);
            let status = rig.alice().post(PATH, BODY).status;
            assert_eq!(status, if trap == Trap::Refused { 500 } else { 200 }, "{trap:?}");
        }
        let expected = if trap == Trap::Refused { "Failed" } else { "Succeeded" };
        assert_eq!(ended(&rig, "RegenerateStorageAccountKeys"), expected, "{trap:?}");
        let after = keys(&rig);
        assert_eq!(after[0], before[0], "{trap:?}: the other key stays");
        assert_eq!(after[1] == before[1], trap == Trap::Refused, "{trap:?}");
        assert_eq!(rig.alice().post(PATH, BODY).status, 200, "{trap:?}: nothing is held");
    }
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
