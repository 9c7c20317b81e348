//! Nobody does anything with a certificate that is not registered on the subscription. The walk is over the table
//! of operations, so an operation that is added is walked too.

use welkin_management_wire::{Operation, Row, TABLE};
use welkin_pki::Identity;

use crate::rig::{ALICE, BOB, Rig};

#[test]
fn every_operation_refuses_strangers() {
    let rig = Rig::start();
    let stranger = Identity::self_signed("stranger").unwrap();
    for (who, identity) in [
        ("without a certificate", None),
        ("with an unknown certificate", Some(&stranger)),
        ("with another subscription's certificate", Some(&rig.bob)),
    ] {
        let customer = rig.client(identity);
        for row in TABLE {
            let answer = customer.call(&row.method, &row.example(ALICE), "<nonsense");
            let case = format!("{:?} {who}: {answer:?}", row.operation);
            if row.operation == Operation::ListSubscriptions
                && identity.is_some_and(|own| own.thumbprint() == rig.bob.thumbprint())
            {
                assert_eq!(answer.status, 200, "{case}");
                assert!(answer.text.contains(BOB) && !answer.text.contains(ALICE), "{case}");
                continue;
            }
            assert_eq!((answer.status, answer.code().as_str()), (403, "ForbiddenError"), "{case}");
            assert_eq!(answer.request_id.len(), 32, "{case}");
        }
    }
}

#[test]
fn every_operation_knows_its_customer() {
    let rig = Rig::start();
    let customer = rig.client(Some(&rig.alice));
    let mut table = String::new();
    for row in TABLE {
        let answer = customer.call(&row.method, &row.example(ALICE), "<nonsense");
        assert_ne!(answer.status, 403, "{:?}: {answer:?}", row.operation);
        // What is wrong is the request, never the service.
        let built = answer.status != 501;
        assert!(!built || answer.status < 500, "{:?}: {answer:?}", row.operation);
        assert!(built || answer.code() == "NotImplemented", "{:?}: {answer:?}", row.operation);
        table.push_str(&line(row, built));
    }
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/management.md");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains(&table), "docs/management.md must say what is built:\n{table}");
}

/// The row's line in the manual.
fn line(row: &Row, built: bool) -> String {
    let query: Vec<String> = row.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let built = if built { "yes" } else { "no" };
    format!("| `{:?}` | `{} {}{query}` | {built} |\n", row.operation, row.method, row.template)
}
