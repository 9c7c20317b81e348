//! The history of a subscription.

use ureq::http::Method;
use welkin_management_wire::answer::{text, texts};

use crate::rig::{ALICE, Customer, Rig, service_body};

/// From two days ago until tomorrow, and `more`.
fn history(customer: &Customer, more: &str) -> String {
    let day = |offset: i64| {
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let then = std::time::UNIX_EPOCH
            + std::time::Duration::from_secs(seconds.saturating_add_signed(offset * 24 * 3600));
        welkin_base::Timestamp::from(then).to_iso_seconds()
    };
    let (start, end) = (day(-2).replace(':', "%3A"), day(1));
    let answer = customer.get(&format!("/operations?StartTime={start}&EndTime={end}{more}"));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text
}

fn of(answer: &str, names: &[&str]) -> Vec<String> {
    texts(answer, &[&["SubscriptionOperations", "SubscriptionOperation"], names].concat())
}

#[test]
fn what_was_done_is_told() {
    let rig = Rig::start();
    let alice = rig.alice();
    assert!(of(&history(&alice, ""), &[]).is_empty());
    let made = alice.make_service("first");
    alice.make_service("second");
    alice.make_account("pictures");
    let update = "<UpdateHostedService><Label>YQ==</Label></UpdateHostedService>";
    assert_eq!(alice.call(&Method::PUT, "/services/hostedservices/first", update).status, 200);
    assert_eq!(alice.delete("/services/hostedservices/first").status, 200);
    // What is refused and what only reads is not told.
    assert_eq!(alice.make_service("second").status, 409);
    alice.get("/services/hostedservices");

    let all = history(&alice, "");
    assert_eq!(
        of(&all, &["OperationName"]),
        [
            "CreateHostedService",
            "CreateHostedService",
            "CreateStorageAccount",
            "UpdateHostedService",
            "DeleteHostedService"
        ]
    );
    let first = format!("/{ALICE}/services/hostedservices/first");
    assert_eq!(of(&all, &["OperationObjectId"])[0], first);
    assert_eq!(of(&all, &["OperationStatus", "Status"]), ["Succeeded"; 5]);
    let id = of(&all, &["OperationId"])[0].replace('-', "");
    assert_eq!(id, made.request_id);
    let caller = ["OperationCaller", "SubscriptionCertificateThumbprint"];
    assert_eq!(of(&all, &caller)[0], rig.alice.sha1_thumbprint().to_string());
    assert_eq!(of(&all, &["OperationCaller", "ClientIP"])[0], "127.0.0.1");
    let names = of(&all, &["OperationParameters", "OperationParameter", "Name"]);
    assert_eq!(names[..2], ["subscriptionID", "subscriptionID"]);

    let filtered = history(&alice, &format!("&ObjectIdFilter={first}"));
    assert_eq!(
        of(&filtered, &["OperationName"]),
        ["CreateHostedService", "UpdateHostedService", "DeleteHostedService"]
    );
    assert!(of(&history(&alice, "&OperationResultFilter=Failed"), &["OperationName"]).is_empty());
    assert_eq!(of(&history(&alice, "&OperationResultFilter=Succeeded"), &["OperationName"]).len(), 5);
    assert!(of(&history(&rig.bob(), ""), &["OperationName"]).is_empty());
    for (query, status) in
        [("", 400), ("?StartTime=2010-01-01&EndTime=2010-01-02", 400), ("?StartTime=x&EndTime=y", 400)]
    {
        assert_eq!(alice.get(&format!("/operations{query}")).status, status, "{query}");
    }
    let token = alice.get("/operations?StartTime=2100-01-01&EndTime=2100-01-02&ContinuationToken=nonsense");
    assert_eq!(token.status, 400, "{token:?}");
}

#[test]
fn pages() {
    let rig = Rig::start();
    let alice = rig.alice();
    for _ in 0..53 {
        assert_eq!(alice.post("/services/hostedservices", &service_body("again")).status, 201);
        assert_eq!(alice.delete("/services/hostedservices/again").status, 200);
    }
    let first = history(&alice, "");
    assert_eq!(of(&first, &["OperationId"]).len(), 100);
    let token = text(&first, &["ContinuationToken"]).unwrap();
    let second = history(&alice, &format!("&ContinuationToken={}", token.replace('/', "%2F")));
    assert_eq!(of(&second, &["OperationId"]).len(), 6);
    assert_eq!(text(&second, &["ContinuationToken"]), None);
    let mut ids = [of(&first, &["OperationId"]), of(&second, &["OperationId"])].concat();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 106);
}
